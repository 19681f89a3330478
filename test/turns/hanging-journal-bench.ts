import type { Test } from 'tap'

import { deferred, type Deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { TurnBench } from '../helpers/turn-bench.js'

type Method = Parameters<SlowJournal['before']>[0]

interface Bench {
  one: TurnBench
  desk: Desk
  journal: SlowJournal
  /** Keeps what was asked from its effect (`before`) or from its answer (`after`), until the gate is opened. */
  hang: (when: 'before' | 'after', method: Method, count?: number) => Deferred<void>
}

export function bench (): Bench {
  const clock = new ManualClock()
  const journal = new SlowJournal({ clock })
  const desk = new Desk()
  const hang: Bench['hang'] = (when, method, count) => {
    const gate = deferred()
    journal[when] = (name, nth) => name === method && (count === undefined || nth === count) ? gate.promise : undefined
    return gate
  }
  return { one: new TurnBench(desk.executor, { clock, journal }), desk, journal, hang }
}

/** The session works again. */
export async function goesOn (t: Test, { one, desk }: Bench, message: string): Promise<void> {
  const reader = await one.start({ message })
  await desk.answer(message, `re: ${message}`)
  t.match(await reader.ended.promise, { content: `re: ${message}` })
  await one.finish(t)
}
