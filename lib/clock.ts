import { exactNow, loopNow } from './loop-turns.js'

/**
 * Time as the channel sees it. Everything that waits or measures takes a `Clock`, so that a test can turn its hands.
 */
export interface Clock {
  /**
   * Milliseconds that never run backwards; the zero point means nothing. They may stand still within one turn of the event
   * loop: it is for what takes longer.
   */
  now(): number
  /** The same for what happens within one turn. @default `now` */
  exact?(): number
  /** Wall-clock milliseconds since 1970-01-01T00:00:00Z. */
  date(): number
  /** Runs `task` every `ms` until the returned function is called. Does not keep the process alive. */
  every(ms: number, task: () => void): () => void
  /** Runs `task` once after `ms`, unless the returned function is called first. Does not keep the process alive. */
  after(ms: number, task: () => void): () => void
}

/** The longest that a timer of Node's can wait; one that is to wait longer does not wait at all. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: loopNow,
  exact: exactNow,
  date: () => Date.now(),
  every (ms, task) {
    const timer = setInterval(task, ms)
    timer.unref()
    return () => { clearInterval(timer) }
  },
  after (ms, task) {
    const timer = setTimeout(task, Math.min(ms, MAX_TIMEOUT_MS))
    timer.unref()
    return () => { clearTimeout(timer) }
  }
}

/** The time within one turn of the event loop, as far as the clock has it. */
export function exactTime (clock: Pick<Clock, 'now' | 'exact'>): number {
  return clock.exact === undefined ? clock.now() : clock.exact()
}
