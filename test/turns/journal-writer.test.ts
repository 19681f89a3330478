import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import type { Journal, NewEntry, Run } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { JournalWriter } from '../../lib/turns/journal-writer.js'
import { deferred } from '../helpers/deferred.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { CHAT, KEY } from './one-chat.js'

await t.test('a writer', async (t) => {
  await t.test('writes at once where the journal answers at once', async (t) => {
    const { run, journal } = await taken(memoryJournal())
    const writer = new JournalWriter(journal, run, { onJournalFailure: fail })
    writeOne(writer, text('a'))
    t.equal(writer.settle(), undefined)
    t.equal(run.text.toString(), 'a')
    await writer.settled()
  })

  await t.test('gathers for the next append while one is in flight', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    const writer = new JournalWriter(journal, run, { onJournalFailure: fail })
    writeOne(writer, text('a'))
    for (const content of ['b', 'c', 'd']) writeOne(writer, text(content))
    const gate = deferred()
    journal.before = (_, count) => count === 2 ? gate.promise : undefined
    await tick()
    await tick()
    writeOne(writer, text('e'))
    gate.resolve()
    await writer.settled()
    t.strictSame(journal.batches, [1, 3, 1])
    t.equal(run.text.toString(), 'abcde')
    t.equal(writer.settle(), undefined)
  })

  await t.test('writes in one append what came at once', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    const writer = new JournalWriter(journal, run, { onJournalFailure: fail })
    for (const content of ['a', 'b', 'c']) writer.add(text(content))
    t.equal(run.text.toString(), '')
    await writer.settle()
    t.strictSame(journal.batches, [3])
    t.equal(run.text.toString(), 'abc')
  })

  await t.test('is full when more has gathered than a run may leave in memory, of whatever kind', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    for (const [entry, count] of [
      [text('x'.repeat(32 * 1024)), 2],
      [{ kind: 'message', content: 'x'.repeat(32 * 1024) }, 2],
      // Events counted 64 units each, however much data they had: 1,024 of them could be hundreds of megabytes.
      [{ kind: 'event', name: 'x', json: 'x'.repeat(32 * 1024) }, 2],
      [{ kind: 'event', name: 'x', json: '1' }, 1_024]
    ] satisfies Array<[NewEntry, number]>) {
      const writer = new JournalWriter(journal, run, { onJournalFailure: fail })
      writeOne(writer, entry)
      t.notOk(writer.isFull)
      for (let gathered = 0; gathered < count; gathered++) writeOne(writer, entry)
      t.notOk(writer.isFull)
      writeOne(writer, entry)
      t.ok(writer.isFull)
    }
  })

  for (const [how, answer] of [
    ['rejects', async () => { throw new Error('no disk') }],
    ['throws', () => { throw new Error('no disk') }],
    ['throws no Error', () => { throw 'no disk' as unknown as Error }],
    ['answers false', () => false],
    ['answers false later', async () => false]
  ] as const) {
    await t.test(`fails once and for good when an append ${how}`, async (t) => {
      const { run, journal } = await taken(memoryJournal())
      let appends = 0
      const append: Journal['append'] = () => { appends++; return answer() }
      const failures: Error[] = []
      const writer: JournalWriter = new JournalWriter({ ...journal, append }, run, {
        onJournalFailure (err) {
          failures.push(err)
          writeOne(writer, text('from inside'))
        }
      })
      writeOne(writer, text('a'))
      writeOne(writer, text('b'))
      await writer.settled()
      writeOne(writer, text('c'))
      await writer.settled()
      t.equal(appends, 1)
      t.ok(writer.hasFailed)
      t.match(failures, [{ message: /no disk|the right to run this turn is gone/ }])
      t.equal(failures.length, 1)
    })
  }

  await t.test('fails when a later append of what has gathered does', async (t) => {
    const journal = new SlowJournal()
    const { run } = await taken(journal)
    const failures: Error[] = []
    const writer = new JournalWriter(journal, run, { onJournalFailure (err) { failures.push(err) } })
    journal.before = (_, count): undefined => { if (count === 2) throw new Error('no disk') }
    for (const content of ['a', 'b', 'c']) writeOne(writer, text(content))
    await writer.settled()
    t.match(failures, [{ message: 'no disk' }])
    t.equal(run.text.toString(), 'a')
    t.notOk(writer.isFull)
  })

  function writeOne (writer: JournalWriter, entry: NewEntry): void {
    writer.add(entry)
    writer.flush()
  }

  function fail (err: Error): void {
    throw err
  }
})

function text (content: string): NewEntry {
  return { kind: 'text', content }
}

async function taken (journal: Journal): Promise<{ journal: Journal, run: Run }> {
  await journal.offer(KEY, CHAT, { onBusy: 'queue', maxQueued: 1, displacedEnd: { finishReason: 'aborted' } })
  const run = await journal.take(KEY, () => true)
  if (run === undefined) throw new Error('nothing to take')
  return { journal, run }
}
