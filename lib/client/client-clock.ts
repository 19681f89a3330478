import type { Clock } from '../clock.js'

/** Time as this client sees it. */
export type ClientClock = Pick<Clock, 'now' | 'date' | 'after'>

/** The longest that a timer can wait; one that is to wait longer does not wait at all. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

export const systemClock: ClientClock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after (ms, task) {
    const timer = setTimeout(task, Math.min(ms, MAX_TIMEOUT_MS))
    return () => { clearTimeout(timer) }
  }
}

/** A timer that rings so late was asleep: a tab in the background, a closed laptop. */
const ASLEEP_MS = 5_000

/** Runs `task` after so much time awake: who wakes has had no chance to do anything yet, and begins anew. */
export function afterAwake (clock: ClientClock, ms: number, task: () => void): () => void {
  const dueAt = clock.now() + ms
  let cancel = clock.after(ms, () => {
    if (clock.now() - dueAt < ASLEEP_MS) task()
    else cancel = afterAwake(clock, ms, task)
  })
  return () => { cancel() }
}

/** A point in time, by both clocks: one may stand still while a computer sleeps, the other may be set. */
export interface Moment {
  now: number
  date: number
}

export function momentOf (clock: ClientClock): Moment {
  return { now: clock.now(), date: clock.date() }
}

/** At least so many milliseconds have passed since, by the clock that says more. */
export function elapsedMs (clock: ClientClock, { now, date }: Moment): number {
  return Math.max(clock.now() - now, clock.date() - date)
}
