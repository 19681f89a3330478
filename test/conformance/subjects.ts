import type { ConformanceTest, JournalLimits, JournalUnderTest } from '../../lib/conformance/index.js'
import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Makers of a journal in memory whose clock the suite turns; `around` is what stands between the two. */
export function inMemory (around: (journal: Journal, limits: JournalLimits) => Journal = (journal) => journal) {
  return (limits: JournalLimits): JournalUnderTest => {
    const clock = new ManualClock()
    const journal = around(memoryJournal({ ...limits, clock }), limits)
    return { journal, advance: (ms) => { clock.advance(ms) } }
  }
}

/** A double of a journal: as the one it stands before, but for what it does otherwise. */
export function double (inner: Journal, changes: Partial<Journal>): Journal {
  return {
    id: inner.id,
    offer: (...given) => inner.offer(...given),
    claimed: (...given) => inner.claimed(...given),
    take: (...given) => inner.take(...given),
    append: (...given) => inner.append(...given),
    release: (...given) => inner.release(...given),
    withdraw: (...given) => inner.withdraw(...given),
    retract: (...given) => inner.retract(...given),
    cancel: (...given) => inner.cancel(...given),
    publish: (...given) => inner.publish(...given),
    followTurn: (...given) => inner.followTurn(...given),
    follow: (...given) => inner.follow(...given),
    readers: (...given) => inner.readers(...given),
    pace: (run) => inner.pace(run),
    forget: (key) => inner.forget(key),
    stats: () => inner.stats(),
    close: () => inner.close(),
    ...changes
  }
}

/** The same of a journal that nodes share. */
export function sharedDouble (inner: Journal, changes: Partial<Journal>): Journal {
  return double(inner, {
    graceMs: inner.graceMs,
    watch: (onNews) => inner.watch?.(onNews) ?? (() => {}),
    salvage: (key) => inner.salvage?.(key),
    ...changes
  })
}

/** What the tests of a suite reject with, by name. They are independent, and run side by side. */
export async function failuresOf (suite: readonly ConformanceTest[]): Promise<Map<string, unknown>> {
  const failureByName = new Map<string, unknown>()
  await Promise.all(suite.map(async ({ name, run }) => {
    await run().catch((error: unknown) => { failureByName.set(name, error) })
  }))
  return failureByName
}
