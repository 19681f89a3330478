import t from 'tap'

import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { open, type SyncJournal } from '../helpers/sync-journal.js'
import { ABORTED, event, message, STOP, text } from './new-entries.js'
import { append, begin, follow, offer, read, readEntries, S, take } from './session-scene.js'

await t.test('beyond the tail', async (t) => {
  await t.test('text that is missing is told in steps whose seq rises, then what is held', async (t) => {
    for (const pieceLength of [1, 7, 1_000, MERGE_UNITS - 1, MERGE_UNITS, MERGE_UNITS + 1, 100_000]) {
      const journal = open({ maxEntries: 8, maxBytes: 1e9 })
      const run = begin(journal, 't1')
      const { cursor } = follow(journal)
      const pieces = Array.from({ length: 40 }, (_, index) => String.fromCharCode(97 + index % 26).repeat(pieceLength))
      for (const piece of pieces) append(journal, run, text(piece))
      const steps = readEntries(cursor)
      const seqs = steps.map(({ seq }) => seq)
      t.strictSame(seqs, [...new Set(seqs)].sort((one, other) => one - other), 'strictly rising')
      for (const [index, step] of steps.entries()) {
        const from = (seqs[index - 1] ?? 1) - 1
        t.ok(step.kind === 'text' && step.content === pieces.slice(from, step.seq - 1).join(''), `step ${index} of ${pieceLength}`)
      }
      t.equal(seqs.at(-1), 41)
    }
  })

  await t.test('a piece longer than a step comes whole, also when others\' entries precede it', async (t) => {
    // Its first part came under the seq before it: who came back from there was told that part twice.
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal, { turns: new Set(['t1']) })
    append(journal, run, text('a'))
    for (let count = 0; count < 3; count++) journal.publish(S, 'note', '1')
    const long = 'x'.repeat(3 * MERGE_UNITS)
    append(journal, run, text(long), text('b'), text('c'), text('d'))
    t.strictSame(readEntries(cursor).map((entry) => [entry.seq, entry.kind === 'text' && entry.content.length]), [
      [2, 1], [6, long.length], [7, 1], [8, 1], [9, 1]
    ])
  })

  await t.test('a turn of the id of one that was withdrawn is not taken for it', async (t) => {
    // What came next was taken to begin a text, and all that the running turn had said was told once more.
    const journal = open({ maxEntries: 6, maxBytes: 1e9 })
    const run = begin(journal, 't1')
    offer(journal, 'w')
    append(journal, run, text('said before, '))
    journal.withdraw(S, 'w', ABORTED)
    offer(journal, 'w')
    const { cursor } = follow(journal, { position: { epoch: epochOf(journal), seq: 2 }, turns: new Set(['t1']) })
    append(journal, run, text('b'))
    t.strictSame(read(cursor), ['4 b'])
    append(journal, run, ...'cdefghijk'.split('').map(text))
    t.equal(cursor.view('w')?.text, '')
    t.strictSame(readEntries(cursor).map((entry) => entry.kind === 'text' && entry.content).join(''), 'cdefghijk')
  })

  await t.test('nor for one of which entries are held, and no text is kept', async (t) => {
    const journal = open({ maxEntries: 100, maxBytes: 10_000 })
    const first = begin(journal, 'd')
    append(journal, first, text('x'.repeat(4_000)), text('old'), STOP)
    journal.release(first, ABORTED)
    const other = begin(journal, 't2')
    append(journal, other, text('y'.repeat(1_200)), STOP)
    journal.release(other, ABORTED)
    offer(journal, 'd')
    const { cursor, recovered } = follow(journal, { position: { epoch: epochOf(journal), seq: 2 } })
    t.equal(recovered, true)
    const again = take(journal)
    for (let count = 0; count < 3; count++) journal.publish(S, 'note', '1'.repeat(1_000))
    append(journal, again, text('new'))
    t.equal(readEntries(cursor).length > 0, true)
    t.equal(cursor.view('d')?.text, 'new')
  })

  await t.test('what is missing besides text is lost, which is said once', async (t) => {
    for (const missing of [message('M'), event('x')]) {
      const journal = open({ maxEntries: 2 })
      const run = begin(journal, 't1')
      const { cursor } = follow(journal)
      append(journal, run, text('a'), missing, text('b'), text('c'))
      t.strictSame([cursor.next(0), cursor.next(0), cursor.next(0)], ['lost', undefined, undefined])
      cursor.close()
    }
  })

  await t.test('text before something else that is missing is lost too, not what is left after it', async (t) => {
    const journal = open({ maxEntries: 2 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, event('x'), text('b'), text('c'), text('d'))
    const { cursor: late } = follow(journal, { position: { epoch: cursor.epoch, seq: 3 } })
    t.equal(cursor.next(0), 'lost')
    t.strictSame(read(late), ['4 c', '5 d'])
  })

  await t.test('text is told up to an end that is held', async (t) => {
    const journal = open({ maxEntries: 3 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, text('a'), text('b'), text('c'), STOP)
    journal.release(run, ABORTED)
    journal.publish(S, 'note', '1')
    t.strictSame(read(cursor), ['3 ab', '4 c', '5 end stop', '6 note'])
  })

  await t.test('an end that is gone is lost, and so is the start of the next turn', async (t) => {
    const journal = open({ maxEntries: 3 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, text('a'), STOP)
    const { cursor: behind } = follow(journal)
    journal.release(run, ABORTED)
    append(journal, begin(journal, 't2'), text('b'), text('c'), text('d'))
    t.equal(cursor.next(0), 'lost')
    t.equal(behind.next(0), 'lost')
  })

  await t.test('ends of chats that were withdrawn leave the text of the running turn as it is', async (t) => {
    const journal = open({ maxEntries: 4 })
    const run = begin(journal, 't1')
    for (const turnId of ['t2', 't3', 't4']) offer(journal, turnId)
    append(journal, run, text('a'))
    const { cursor } = follow(journal)
    journal.withdraw(S, 't2', ABORTED)
    t.strictSame(read(cursor), ['3 end aborted'])
    append(journal, run, text('b'), text('c'), text('d'))
    journal.withdraw(S, 't3', ABORTED)
    append(journal, run, text('e'), text('f'))
    t.strictSame(read(cursor), ['5 bc', '6 d', '7 end aborted', '8 e', '9 f'])
    t.strictSame(cursor.view('t1'), { text: 'abcdef', end: undefined })
    append(journal, run, text('g'))
    journal.withdraw(S, 't4', ABORTED)
    append(journal, run, text('h'), text('i'), text('j'), text('k'))
    t.equal(cursor.next(0), 'lost', 'an end of the session is missing')
  })

  await t.test('readers of a set of turns lack nothing where others\' ends, events and text are gone', async (t) => {
    const journal = open({ maxEntries: 2 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    offer(journal, 't3')
    const { cursor } = follow(journal, { turns: new Set(['t1']) })
    const { cursor: waiting } = follow(journal, { turns: new Set(['t3']) })
    const { cursor: nobodys } = follow(journal, { turns: new Set() })
    append(journal, run, text('a'))
    journal.withdraw(S, 't2', ABORTED)
    journal.publish(S, 'note', '1')
    append(journal, run, text('b'), text('c'), text('d'))
    t.strictSame([read(waiting), read(nobodys)], [[], []])
    t.strictSame([waiting.seq, nobodys.seq], [7, 7])
    t.strictSame(read(cursor), ['5 ab', '6 c', '7 d'])
    append(journal, run, event('x'), text('e'), text('f'))
    t.equal(cursor.next(0), 'lost')
    journal.release(run, ABORTED)
    append(journal, take(journal), text('g'))
    t.strictSame(read(waiting), ['12 turn-started', '13 g'])
  })

  await t.test('the end of a chat that was withdrawn is told as long as it is held, whatever has ended since', async (t) => {
    // It made room for the text of others, though it had none, and whoever waited for it was lost.
    const journal = open({ maxEntries: 4, maxBytes: 1_400 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    const { cursor } = follow(journal, { turns: new Set(['t2']) })
    for (let count = 0; count < 4; count++) append(journal, run, text('x'.repeat(200)))
    journal.withdraw(S, 't2', ABORTED)
    append(journal, run, STOP)
    journal.release(run, ABORTED)
    journal.publish(S, 'note', '1')
    t.strictSame(read(cursor), ['6 end aborted'])
  })

  await t.test('a turn of the set that is no longer known is lost', async (t) => {
    const journal = open({ maxEntries: 2 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal, { turns: new Set(['t1']) })
    append(journal, run, STOP)
    journal.release(run, ABORTED)
    append(journal, begin(journal, 't2'), text('a'), text('b'))
    t.equal(cursor.next(0), 'lost')
  })

  await t.test('what goes by its age goes the same way', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, text('a'), text('b'))
    clock.advance(20_000)
    t.equal(journal.stats().entries, 0)
    t.strictSame(read(cursor), ['3 ab'])
    append(journal, run, text('c'))
    t.strictSame(read(cursor), ['4 c'])
  })
})

function epochOf (journal: SyncJournal): string {
  const { cursor } = follow(journal)
  cursor.close()
  return cursor.epoch
}
