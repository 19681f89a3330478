import t from 'tap'

import type { Entry, Followed, FollowFrom, NewEntry, OfferTerms, Run, SessionCursor, TurnEnd } from '../../lib/journal/journal.js'
import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { open, short, type SyncJournal } from '../helpers/sync-journal.js'

const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
const STOP: NewEntry = { kind: 'end', end: { finishReason: 'stop' } }
const ABORTED: TurnEnd = { finishReason: 'aborted' }
const S = { owner: 'ann', agentId: 'main', sessionId: 's' }
/** Batches appended, over all runs: each number is new to its run. */
let batches = 0

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

await t.test('neighbouring text', async (t) => {
  await t.test('comes as one up to a length, under the seq of the last', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    const run = begin(journal, 't1')
    append(journal, run, text('aaa'), text('bbb'), text('ccc'), text('ddddddd'), text('e'))
    t.strictSame(read(cursor, 6), ['1 turn-started', '3 aaabbb', '4 ccc', '5 ddddddd', '6 e'], 'a piece that is longer comes whole')
  })

  await t.test('comes in its pieces when it is not to be merged', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    append(journal, begin(journal, 't1'), text('a'), text('b'))
    t.strictSame(read(cursor, 0), ['1 turn-started', '2 a', '3 b'])
  })

  await t.test('is not merged across an event, a message, an end, a published event, or the start of a turn', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    const one = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, one, text('a'), event('x'), text('b'), message('M'), text('c'))
    journal.publish(S, 'note', '1')
    append(journal, one, text('d'))
    journal.withdraw(S, 't2', ABORTED)
    append(journal, one, text('e'), STOP)
    journal.release(one, ABORTED)
    append(journal, begin(journal, 't3'), text('f'))
    t.strictSame(read(cursor, 100), [
      '1 turn-started', '2 a', '3 x', '4 b', '5 M', '6 c', '7 note', '8 d', '9 end aborted', '10 e', '11 end stop',
      '12 turn-started', '13 f'
    ])
  })

  await t.test('is merged across what is of others', async (t) => {
    const journal = open()
    const one = begin(journal, 't1')
    offer(journal, 't2')
    const { cursor } = follow(journal, { turns: new Set(['t1']) })
    append(journal, one, text('a'))
    journal.publish(S, 'note', '1')
    append(journal, one, text('b'))
    journal.withdraw(S, 't2', ABORTED)
    t.strictSame(read(cursor, 100), ['4 ab'])
    t.equal(cursor.seq, 5)
    t.strictSame(cursor.view('t1'), { text: 'ab', end: undefined })
  })
})

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

await t.test('a view', async (t) => {
  await t.test('is of the turn as it was at the position: before, inside and behind it', async (t) => {
    const journal = open()
    const { cursor: { epoch } } = follow(journal)
    const one = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, one, text('a'), text('b'))
    journal.withdraw(S, 't2', ABORTED)
    append(journal, one, message('M'), text('c'), STOP)
    journal.release(one, ABORTED)
    append(journal, begin(journal, 't3'), text('d'))
    const end = { finishReason: 'stop' }
    const views = [['', undefined], ['', undefined], ['a', undefined], ['ab', undefined], ['ab', undefined], ['ab', undefined],
      ['abc', undefined], ['abc', end], ['abc', end], ['abc', end]]
    for (const [seq, [text, end]] of views.entries()) {
      const { cursor } = follow(journal, { position: { epoch, seq } })
      t.strictSame(cursor.view('t1'), { text, end }, `t1 at ${seq}`)
      t.strictSame(cursor.view('t2'), { text: '', end: seq < 4 ? undefined : ABORTED }, `t2 at ${seq}`)
      t.strictSame(cursor.view('t3'), { text: seq < 9 ? '' : 'd', end: undefined }, `t3 at ${seq}`)
      t.equal(cursor.view('t9'), undefined)
    }
    const { cursor: walking } = follow(journal, { position: { epoch, seq: 0 } })
    for (const [seq, [text, end]] of views.entries()) {
      t.equal(walking.seq, seq)
      t.strictSame(walking.view('t1'), { text, end }, `on the way at ${seq}`)
      walking.next(0)
    }
  })

  await t.test('behind the tail is of the turn that was being told, and of those that have ended or not begun', async (t) => {
    const journal = open({ maxEntries: 3 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, run, text('a'))
    const { cursor } = follow(journal)
    append(journal, run, text('b'), text('c'), text('d'), text('e'))
    t.strictSame(cursor.view('t1'), { text: 'a', end: undefined })
    t.strictSame(cursor.view('t2'), { text: '', end: undefined })
    t.match(cursor.next(0), { content: 'b', seq: 3 })
    t.strictSame([cursor.seq, cursor.view('t1')], [3, { text: 'ab', end: undefined }])
  })

  await t.test('is undefined where nobody knows any more how much there was', async (t) => {
    const journal = open({ maxEntries: 4 })
    const one = begin(journal, 't1')
    append(journal, one, STOP)
    journal.release(one, ABORTED)
    const two = begin(journal, 't2')
    append(journal, two, text('a'))
    // Told so far: the end of t1, as far as the cursor knows.
    const { cursor } = follow(journal, { position: { epoch: follow(journal).cursor.epoch, seq: 2 } })
    append(journal, two, text('b'), text('c'), text('d'), text('e'))
    t.strictSame(cursor.view('t2'), { text: '', end: undefined })
    t.equal(cursor.view('t1'), undefined, 'its end is not held')
    t.equal(cursor.next(0), 'lost')
  })

  await t.test('of a forgotten session is undefined', async (t) => {
    const journal = open()
    append(journal, begin(journal, 't1'), text('a'))
    const { cursor } = follow(journal)
    journal.forget(S)
    t.equal(cursor.view('t1'), undefined)
  })
})

await t.test('a session\'s reader', async (t) => {
  await t.test('is woken when there is more and it had asked, once', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    let wakes = 0
    const { cursor } = follow(journal, {}, () => { wakes++ })
    append(journal, run, text('a'))
    t.equal(wakes, 0, 'not asked yet')
    t.strictSame(read(cursor), ['2 a'])
    append(journal, run, text('b'))
    append(journal, run, text('c'))
    t.equal(wakes, 1)
    t.strictSame(read(cursor), ['3 b', '4 c'])
    offer(journal, 't2')
    journal.withdraw(S, 't2', ABORTED)
    t.equal(wakes, 2)
    t.strictSame(read(cursor), ['5 end aborted'])
    journal.release(run, ABORTED)
    t.equal(wakes, 3)
    read(cursor)
    begin(journal, 't3')
    t.equal(wakes, 4)
    read(cursor)
    journal.forget(S)
    t.equal(wakes, 5, 'also for what is lost')
    t.strictSame([cursor.next(0), cursor.next(0)], ['lost', undefined])
  })

  await t.test('that is closed is told nothing, and is woken no more', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    const { cursor } = follow(journal, {}, () => { t.fail('woken') })
    read(cursor)
    t.equal(journal.stats().cursors, 1)
    cursor.close()
    cursor.close()
    append(journal, run, text('a'))
    t.equal(cursor.next(0), undefined)
    t.equal(journal.stats().cursors, 0)
  })

  await t.test('that has lost its place is none any more', async (t) => {
    // Until it was closed, the run went on waiting for it.
    const journal = open({ maxEntries: 4 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, event('x'), text('a'), text('b'), text('c'), text('d'))
    let isSettled = false
    const pacing = journal.pace(run)?.then(() => { isSettled = true })
    t.equal(cursor.next(0), 'lost')
    await pacing
    t.equal(isSettled, true)
    t.equal(journal.pace(run), undefined)
    t.strictSame([journal.stats().cursors, journal.readers(S, 't1')], [0, 0])
  })

  await t.test('that is near lets the run go on, of the session or of a set that has the turn; others do not count', async (t) => {
    const journal = open({ maxEntries: 20 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    const { cursor: others } = follow(journal, { turns: new Set(['t2']) })
    for (let count = 0; count < 30; count++) append(journal, run, text('x'))
    t.equal(journal.pace(run), undefined, 'who reads others is not waited for')
    read(others)
    for (const turns of [undefined, new Set(['t1'])]) {
      const { cursor } = follow(journal, { turns })
      for (let count = 0; count < 10; count++) append(journal, run, text('x'))
      t.equal(journal.pace(run), undefined, 'half a ring is near')
      append(journal, run, text('x'))
      let isSettled = false
      const pacing = journal.pace(run)?.then(() => { isSettled = true })
      t.not(pacing, undefined, 'one more is not')
      for (let count = 0; count < 5; count++) cursor.next(0)
      await Promise.resolve()
      t.equal(isSettled, false, '6 behind')
      cursor.next(0)
      await pacing
      t.equal(journal.pace(run), undefined, '5 behind')
      for (let count = 0; count < 11; count++) append(journal, run, text('x'))
      const leaving = journal.pace(run)
      t.not(leaving, undefined)
      cursor.close()
      await leaving
      t.equal(journal.pace(run), undefined, 'nobody reads')
    }
  })

  await t.test('that follows a session whose entries are all gone is not behind', async (t) => {
    // All bytes that the session had ever written counted as its distance.
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000, maxBytes: 2_000 })
    const run = begin(journal, 't1')
    append(journal, run, text('x'.repeat(2_000)))
    clock.advance(20_000)
    t.equal(journal.stats().entries, 0)
    const { cursor } = follow(journal)
    append(journal, run, text('y'))
    t.equal(journal.pace(run), undefined)
    t.strictSame(read(cursor), ['3 y'])
  })

  await t.test('that has caught up with text that is gone is not behind', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000, maxBytes: 20_000 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, text('x'.repeat(9_000)))
    clock.advance(20_000)
    t.equal(readEntries(cursor).length, 1)
    append(journal, run, text('y'))
    t.equal(journal.pace(run), undefined)
  })
})

function offer (journal: SyncJournal, turnId: string): void {
  if (!journal.offer(S, { turnId, message: `${turnId}?`, acceptedAt: 0 }, TERMS).accepted) throw new Error('refused')
}

function take (journal: SyncJournal): Run {
  const run = journal.take(S, () => false)
  if (run === undefined) throw new Error('nothing to take')
  return run
}

function begin (journal: SyncJournal, turnId: string): Run {
  offer(journal, turnId)
  return take(journal)
}

/** A turn that has come and gone. */
function done (journal: SyncJournal, turnId: string): void {
  const run = begin(journal, turnId)
  append(journal, run, STOP)
  journal.release(run, ABORTED)
}

function append (journal: SyncJournal, run: Run, ...entries: NewEntry[]): void {
  if (!journal.append(run, ++batches, entries)) throw new Error('not written')
}

function follow (journal: SyncJournal, from: FollowFrom = {}, wake = (): void => {}): Followed {
  const followed = journal.follow(S, from, wake)
  if (followed === undefined) throw new Error('no room')
  return followed
}

function text (content: string): NewEntry {
  return { kind: 'text', content }
}

function message (content: string): NewEntry {
  return { kind: 'message', content }
}

function event (name: string): NewEntry {
  return { kind: 'event', name, json: '1' }
}

/** All that is there now. */
function readEntries (cursor: SessionCursor, mergeUnits = 0): Entry[] {
  const entries: Entry[] = []
  for (let entry = cursor.next(mergeUnits); entry !== undefined; entry = cursor.next(mergeUnits)) {
    if (entry === 'lost') throw new Error('lost')
    entries.push(entry)
  }
  return entries
}

function read (cursor: SessionCursor, mergeUnits = 0): string[] {
  return readEntries(cursor, mergeUnits).map(short)
}
