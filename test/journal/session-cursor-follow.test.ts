import t from 'tap'

import { open, type SyncJournal } from '../helpers/sync-journal.js'
import { ABORTED, message, STOP, text } from './new-entries.js'
import { append, begin, follow, offer, read, S } from './session-scene.js'

await t.test('a follow', async (t) => {
  await t.test('from now on gives what comes, and what runs and waits now', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    append(journal, run, text('a'), message('M'), text('b'))
    offer(journal, 't2')
    const { cursor, recovered, turns } = follow(journal)
    t.equal(recovered, false)
    t.equal(cursor.seq, 4)
    t.strictSame(turns, [
      { chat: { turnId: 't1', message: 't1?', acceptedAt: 0 }, status: 'running', text: 'ab' },
      { chat: { turnId: 't2', message: 't2?', acceptedAt: 0 }, status: 'queued' }
    ])
    append(journal, run, text('c'), STOP)
    t.strictSame(read(cursor), ['5 c', '6 end stop'])
  })

  await t.test('makes the session if there is none, and waits for its first turn', async (t) => {
    const journal = open()
    const { cursor, recovered, turns } = follow(journal)
    t.strictSame([recovered, turns, cursor.seq], [false, [], 0])
    t.strictSame(read(cursor), [])
    const run = begin(journal, 't1')
    append(journal, run, text('a'))
    t.strictSame(read(cursor), ['1 turn-started', '2 a'])
  })

  await t.test('from a position goes on behind it, and repeats no text', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    append(journal, run, text('a'), text('b'), text('c'))
    const { epoch } = follow(journal).cursor
    for (const [seq, rest] of [[0, ['1 turn-started', '2 a', '3 b', '4 c']], [2, ['3 b', '4 c']], [4, []]] as const) {
      const { cursor, recovered, turns } = follow(journal, { position: { epoch, seq } })
      t.strictSame([recovered, cursor.seq, cursor.epoch], [true, seq, epoch])
      t.strictSame(turns, [{ chat: run.chat, status: 'running' }])
      t.strictSame(read(cursor), rest)
    }
  })

  await t.test('from a position that is not held, or of another epoch, or not yet there, starts from now', async (t) => {
    const journal = open({ maxEntries: 3 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, run, text('a'), text('b'), text('c'), text('d'))
    const { epoch } = follow(journal).cursor
    for (const position of [{ epoch: 'other', seq: 4 }, { epoch, seq: 1 }, { epoch, seq: 6 }, { epoch, seq: -1 }]) {
      const { cursor, recovered, turns } = follow(journal, { position })
      t.strictSame([recovered, cursor.seq, cursor.epoch], [false, 5, epoch])
      t.match(turns, [{ status: 'running', text: 'abcd' }, { status: 'queued' }])
      t.strictSame(read(cursor), [])
    }
    t.equal(follow(journal, { position: { epoch, seq: 2 } }).recovered, true, 'the entry after it is the oldest held')
  })

  await t.test('has no news of a turn that has its end and is not released', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    append(journal, run, text('a'), STOP)
    const { cursor, turns } = follow(journal)
    t.strictSame(turns, [])
    t.strictSame(cursor.view('t1'), { text: 'a', end: { finishReason: 'stop' } })
    journal.release(run, ABORTED)
    t.strictSame(read(cursor), [])
  })

  await t.test('of a set of turns gives these only, and no event that is of none', async (t) => {
    const journal = open()
    const turns = new Set(['t2'])
    const { cursor } = follow(journal, { turns })
    const run = begin(journal, 't1')
    append(journal, run, text('a'))
    journal.publish(S, 'note', '1')
    append(journal, run, STOP)
    journal.release(run, ABORTED)
    t.strictSame(read(cursor), [])
    t.equal(cursor.seq, 4, 'what it passed over is behind it')
    append(journal, begin(journal, 't2'), text('b'))
    t.strictSame(read(cursor), ['5 turn-started', '6 b'])
  })

  await t.test('of a set that changes goes by what it is when an entry is read', async (t) => {
    const journal = open()
    const turns = new Set(['t1'])
    const { cursor } = follow(journal, { turns })
    const one = begin(journal, 't1')
    append(journal, one, text('a'), STOP)
    journal.release(one, ABORTED)
    t.strictSame(read(cursor), ['1 turn-started', '2 a', '3 end stop'])
    turns.delete('t1')
    turns.add('t2')
    const two = begin(journal, 't2')
    append(journal, two, text('b'), STOP)
    journal.release(two, ABORTED)
    t.strictSame(read(cursor), ['4 turn-started', '5 b', '6 end stop'])
    done(journal, 't3')
    cursor.turns = undefined
    t.strictSame(read(cursor), ['7 turn-started', '8 end stop'])
    cursor.turns = new Set()
    done(journal, 't4')
    t.strictSame(read(cursor), [])
  })
})

await t.test('events that were published', async (t) => {
  await t.test('come in their place, also in the middle of a turn', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    const run = begin(journal, 't1')
    append(journal, run, text('a'))
    t.strictSame(journal.publish(S, 'note', '{"x":1}'), { epoch: cursor.epoch, seq: 3 })
    append(journal, run, text('b'))
    t.strictSame(Array.from({ length: 4 }, () => cursor.next(0)), [
      { kind: 'event', name: 'turn-started', json: '{"message":"t1?"}', turnId: 't1', seq: 1 },
      { kind: 'text', content: 'a', turnId: 't1', seq: 2 },
      { kind: 'event', name: 'note', json: '{"x":1}', turnId: undefined, seq: 3 },
      { kind: 'text', content: 'b', turnId: 't1', seq: 4 }
    ])
  })

  await t.test('wake who sleeps, when no turn runs too', async (t) => {
    const journal = open()
    let wakes = 0
    const { cursor } = follow(journal, {}, () => { wakes++ })
    t.strictSame(read(cursor), [])
    journal.publish(S, 'note', '1')
    journal.publish(S, 'note', '2')
    t.equal(wakes, 1)
    t.strictSame(read(cursor), ['1 note', '2 note'])
  })
})

/** A turn that has come and gone. */
function done (journal: SyncJournal, turnId: string): void {
  const run = begin(journal, turnId)
  append(journal, run, STOP)
  journal.release(run, ABORTED)
}
