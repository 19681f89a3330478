import t from 'tap'

import { journalSuite } from '../../lib/conformance/index.js'
import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { Random } from '../fuzz/random.js'
import { AsyncJournal } from '../helpers/async-journal.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { inMemory } from './subjects.js'

t.test('the memory journal passes the whole suite', async (t) => {
  for (const { name, run } of journalSuite(inMemory())) await t.resolves(run(), name)
})

for (const seed of [1, 2, 3]) {
  const random = new Random(seed)
  t.test(`a journal that answers late passes the whole suite, with seed ${seed}`, async (t) => {
    const suite = journalSuite(inMemory((inner) => new AsyncJournal(inner, random)))
    for (const { name, run } of suite) await t.resolves(run(), name)
  })
}

t.test('a journal of two nodes passes the whole suite', async (t) => {
  const random = new Random(5)
  const suite = journalSuite((limits) => {
    const clock = new ManualClock()
    const inner: Journal = memoryJournal({ ...limits, clock })
    return {
      journal: new AsyncJournal(inner, random), peer: new AsyncJournal(inner, random), advance: (ms) => { clock.advance(ms) }
    }
  })
  for (const { name, run } of suite) await t.resolves(run(), name)
})
