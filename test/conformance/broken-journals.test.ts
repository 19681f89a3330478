import t from 'tap'

import { journalSuite } from '../../lib/conformance/index.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import type { BrokenJournal } from './broken-journal.js'
import { BROKEN_QUEUES } from './broken-queues.js'
import { BROKEN_READERS } from './broken-readers.js'
import { BROKEN_WRITERS } from './broken-writers.js'
import { double, failuresOf, inMemory } from './subjects.js'

const BROKEN = [...BROKEN_QUEUES, ...BROKEN_WRITERS, ...BROKEN_READERS]
/** So many at once: some of them are waited for in vain, which is what they are for. */
const AT_ONCE = 8
const IN_VAIN = /ms still waiting for the wake of /
const failed = new Set<string>()

for (let index = 0; index < BROKEN.length; index += AT_ONCE) {
  const some = BROKEN.slice(index, index + AT_ONCE)
  const results = await Promise.all(some.map(async (broken) => ({ ...broken, failures: await failuresOf(suiteOf(broken)) })))
  for (const { failures, ...broken } of results) checkFailures(broken, failures)
}

/** The suite fails a broken journal in a test of its sentence, and not because that waited in vain, unless it slept. */
function checkFailures (broken: BrokenJournal, failures: Map<string, unknown>): void {
  t.test(`a journal that breaks sentence ${broken.must} fails a test of it: ${broken.how}`, async (t) => {
    for (const name of failures.keys()) failed.add(name)
    const messages = [...failures.values()].map(String)
    t.ok(messages.some((message) => IN_VAIN.test(message) === (broken.sleeps === true)), `${failures.size} tests failed`)
    const saysWhich = new RegExp(`journal contract, sentence (\\d+, )*${broken.must}[,:]`)
    t.strictSame(messages.filter((message) => !saysWhich.test(message)), [])
  })
}

/** The tests of the sentence that it breaks. */
function suiteOf ({ breaks, must }: BrokenJournal) {
  const make = inMemory((inner, limits) => double(inner, breaks(inner, limits)))
  return journalSuite(make, { patienceMs: 1_000 }).filter((test) => test.must.includes(must))
}

t.test('two journals that are one fail', async (t) => {
  const shared = memoryJournal()
  const suite = journalSuite(() => ({ journal: shared, advance: () => {} })).filter(({ must }) => must.length === 0)
  for (const { name, run } of suite) {
    failed.add(name)
    await t.rejects(run(), { message: /^journal contract: two journals are apart: chats/ })
  }
})

t.test('a test that waits in vain says for what', async (t) => {
  const suite = journalSuite(inMemory((inner) => double(inner, { take: async () => new Promise(() => {}) })), { patienceMs: 50 })
  for (const { run } of suite.filter(({ must }) => must.includes(4))) {
    await t.rejects(run(), { message: /: after 50 ms still waiting for the journal to answer$/ })
  }
})

t.test('each sentence is broken by one of them', async (t) => {
  const sentences = new Set(journalSuite(inMemory()).flatMap(({ must }) => must))
  t.strictSame([...new Set(BROKEN.map(({ must }) => must))].sort(inOrder), [...sentences].sort(inOrder))
})

t.test('each test fails one of them', async (t) => {
  t.strictSame(journalSuite(inMemory()).map(({ name }) => name).filter((name) => !failed.has(name)), [])
})

function inOrder (one: number, other: number): number {
  return one - other
}
