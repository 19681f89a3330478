import t from 'tap'

import type { Awaitable } from '../../lib/awaitable.js'
import type {
  Entry, Journal, NewEntry, Offer, OfferTerms, Run, StoredChat, TurnCursor, TurnEnd
} from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import { deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, short } from '../helpers/sync-journal.js'

const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 2, displacedEnd: { finishReason: 'aborted' } }
const STOP: NewEntry = { kind: 'end', end: { finishReason: 'stop' } }
const ABORTED: TurnEnd = { finishReason: 'aborted' }
const S = key('s')
/** Batches that `fill` has appended, over all runs: each number is new to its run. */
let batches = 0

await t.test('what the contract says', async (t) => {
  await t.test('1. an entry\'s seq is the one before it plus 1, from 1, over all turns of the session', async (t) => {
    const journal = open()
    const one = begin(journal, 't1')
    const waiting = follow(journal, offer(journal, 't2'))
    journal.append(one.run, 1, [text('a'), message('b'), event('x')])
    journal.withdraw(S, 't2', ABORTED)
    journal.append(one.run, 2, [STOP])
    journal.release(one.run, ABORTED)
    const three = begin(journal, 't3')
    t.strictSame(read(one.cursor).map(short), ['1 turn-started', '2 a', '3 b', '4 x', '6 end stop'])
    t.strictSame(read(waiting).map(short), ['5 end aborted'])
    t.strictSame(read(three.cursor).map(short), ['7 turn-started'])
    t.match(begin(journal, 't1', key('other')).offer, { seq: 0 })
  })

  await t.test('1. a session whose entries were dropped has a new epoch, one that is there keeps its own', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 60_000, maxSessions: 2 })
    const first = done(journal, 't1')
    t.equal(done(journal, 't2').epoch, first.epoch)
    journal.forget(S)
    const second = done(journal, 't3')
    t.not(second.epoch, first.epoch, 'forgotten')
    t.equal(second.seq, 0)
    clock.advance(70_000)
    const third = done(journal, 't4')
    t.not(third.epoch, second.epoch, 'too old')
    done(journal, 't1', key('other'))
    done(journal, 't1', key('another'))
    const fourth = done(journal, 't5')
    t.not(fourth.epoch, third.epoch, 'one session too many')
    t.equal(fourth.seq, 0)
  })

  await t.test('2. offer checks the depth of the queue and keeps the chat in one step', async (t) => {
    const journal = open()
    const taken = ['t1', 't2', 't3', 't4'].map((turnId) => result(journal.offer(S, chat(turnId), TERMS)))
    t.match(taken, [{ position: 0 }, { position: 1 }, { position: 2 }, { accepted: false, code: 'QUEUE_FULL' }])
    const run = take(journal)
    t.match(journal.offer(S, chat('t5'), TERMS), { accepted: false, code: 'QUEUE_FULL' })
    journal.append(run, 1, [STOP])
    journal.release(run, ABORTED)
    take(journal)
    t.match(journal.offer(S, chat('t6'), TERMS), { accepted: true, position: 2 })
  })

  await t.test('2. a chat that does not want to wait is refused while another runs or waits', async (t) => {
    const journal = open()
    const reject: OfferTerms = { ...TERMS, onBusy: 'reject' }
    t.match(journal.offer(S, chat('t1'), reject), { accepted: true, position: 0 })
    t.strictSame(journal.offer(S, chat('t2'), reject), { accepted: false, code: 'SESSION_BUSY' })
    const run = take(journal)
    t.strictSame(journal.offer(S, chat('t3'), reject), { accepted: false, code: 'SESSION_BUSY' })
    journal.release(run, ABORTED)
    t.match(journal.offer(S, chat('t4'), reject), { accepted: true })
  })

  await t.test('2. a chat that interrupts withdraws what waits, each with its end', async (t) => {
    const journal = open()
    begin(journal, 't1')
    const two = follow(journal, offer(journal, 't2'))
    const three = follow(journal, offer(journal, 't3'))
    const offered = accepted(result(journal.offer(S, chat('t4'), { ...TERMS, onBusy: 'interrupt' })))
    t.strictSame([offered.displaced, offered.position], [['t2', 't3'], 1])
    t.strictSame([read(two).map(short), read(three).map(short)], [['2 end aborted'], ['3 end aborted']])
    t.equal(journal.withdraw(S, 't2', ABORTED), false)
  })

  await t.test('2. a chat that interrupts has room, also where nothing may wait', async (t) => {
    // With a depth of 0 it used to be refused as QUEUE_FULL while a turn ran.
    const journal = open()
    const terms: OfferTerms = { ...TERMS, maxQueued: 0, onBusy: 'interrupt' }
    const one = accepted(result(journal.offer(S, chat('t1'), terms)))
    const run = take(journal)
    const two = accepted(result(journal.offer(S, chat('t2'), terms)))
    const three = accepted(result(journal.offer(S, chat('t3'), terms)))
    t.strictSame([one, two, three].map(({ position, displaced }) => [position, displaced]), [[0, []], [1, []], [1, ['t2']]])
    journal.release(run, ABORTED)
    t.equal(take(journal).chat.turnId, 't3')
  })

  await t.test('3. take gives one right at a time, each chat once and in order, and writes turn-started with it', async (t) => {
    const journal = open()
    t.equal(journal.take(S, goesOn), undefined, 'no session')
    offer(journal, 't1', { metadata: { a: 1 } })
    offer(journal, 't2')
    const seen: unknown[] = []
    const cursor = follow(journal, 't1', () => { seen.push(cursor.next()) })
    t.equal(cursor.next(), undefined)
    const one = take(journal)
    t.equal(one.chat.turnId, 't1')
    t.strictSame(seen, [
      { kind: 'event', name: 'turn-started', json: '{"message":"t1?","metadata":{"a":1}}', turnId: 't1', seq: 1 }
    ])
    t.equal(journal.take(S, goesOn), undefined, 'another has the right')
    journal.release(one, ABORTED)
    const two = take(journal)
    t.equal(two.chat.turnId, 't2')
    t.match(read(follow(journal, 't2')), [{ json: '{"message":"t2?"}' }])
    journal.release(two, ABORTED)
    t.equal(journal.take(S, goesOn), undefined, 'nothing waits')
  })

  await t.test('4. append refuses for a run that was released, that has written its end, or that was forgotten', async (t) => {
    const journal = open()
    const released = begin(journal, 't1')
    journal.release(released.run, ABORTED)
    t.equal(journal.append(released.run, 1, [text('a')]), false)
    t.equal(journal.append(released.run, 1, [text('a')]), false, 'and says so again')
    const ended = begin(journal, 't2')
    t.equal(journal.append(ended.run, 1, [STOP]), true)
    t.equal(journal.append(ended.run, 2, [text('a')]), false)
    journal.release(ended.run, ABORTED)
    const forgotten = begin(journal, 't3')
    journal.forget(S)
    t.equal(journal.append(forgotten.run, 1, [text('a')]), false)
    t.strictSame(read(released.cursor).map(short), ['1 turn-started', '2 end aborted'])
    t.strictSame(read(ended.cursor).map(short), ['3 turn-started', '4 end stop'])
  })

  await t.test('4. a run that was released gives nobody else\'s right back', async (t) => {
    const journal = open()
    const { run } = begin(journal, 't1')
    journal.release(run, ABORTED)
    const next = begin(journal, 't2')
    journal.release(run, ABORTED)
    offer(journal, 't3')
    t.equal(journal.take(S, goesOn), undefined)
    t.equal(journal.append(next.run, 1, [text('a')]), true)
  })

  await t.test('4. a run of another journal is refused', async (t) => {
    const { run } = begin(open(), 't1')
    const double: Run = { key: run.key, chat: run.chat, text: run.text }
    t.throws(() => open().append(double, 1, [text('a')]), { name: 'TypeError', message: 'this run is of another journal' })
  })

  await t.test('5. append writes all its entries in order, next to each other, and wakes once', async (t) => {
    const journal = open()
    let wakes = 0
    const { run, cursor } = begin(journal, 't1', S, () => { wakes++ })
    read(cursor)
    journal.append(run, 1, [text('a'), event('x'), message('m'), text('b'), STOP])
    t.equal(wakes, 1)
    t.strictSame(read(cursor).map(short), ['2 a', '3 x', '4 m', '5 b', '6 end stop'])
  })

  await t.test('6. a batch that was appended already writes nothing and is answered as the first time', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    t.equal(journal.append(run, 1, [text('a')]), true)
    t.equal(journal.append(run, 1, [text('a')]), true)
    t.equal(journal.append(run, 2, [STOP]), true)
    t.equal(journal.append(run, 2, [STOP]), true)
    journal.release(run, ABORTED)
    t.equal(journal.append(run, 2, [STOP]), true, 'also when the run is over')
    t.equal(journal.append(run, 3, [STOP]), false)
    t.strictSame(read(cursor).map(short), ['1 turn-started', '2 a', '3 end stop'])
  })

  await t.test('7. withdraw ends a chat that waits, and answers false for one that does not', async (t) => {
    const journal = open()
    t.equal(journal.withdraw(S, 't1', ABORTED), false, 'no session')
    begin(journal, 't1')
    offer(journal, 't2')
    offer(journal, 't3')
    const cursor = follow(journal, 't2')
    t.equal(journal.withdraw(S, 't1', ABORTED), false, 'it runs')
    t.equal(journal.withdraw(S, 't9', ABORTED), false, 'unknown')
    t.equal(journal.withdraw(S, 't2', ABORTED), true)
    t.equal(journal.withdraw(S, 't2', ABORTED), false, 'twice')
    t.strictSame(read(cursor).map(short), ['2 end aborted'])
  })

  await t.test('8. a cursor gives each entry of its turn once and in order, from whenever it was opened', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    const seen = read(cursor)
    journal.append(run, 1, [text('a')])
    seen.push(...read(cursor))
    journal.append(run, 2, [message('b'), text('c')])
    const late = follow(journal, 't1')
    seen.push(...read(cursor))
    journal.append(run, 3, [STOP])
    seen.push(...read(cursor))
    t.strictSame(seen.map(short), ['1 turn-started', '2 a', '3 b', '4 c', '5 end stop'])
    t.strictSame(read(late), seen)
    t.equal(cursor.next(), undefined)
    t.equal(cursor.text(), 'ac')
  })

  await t.test('8. a turn that the journal does not know cannot be followed', async (t) => {
    const journal = open()
    t.equal(journal.followTurn(S, 't1', () => {}), undefined, 'no session')
    offer(journal, 't2')
    t.equal(journal.followTurn(S, 't1', () => {}), undefined, 'no turn')
    t.equal(journal.followTurn(key('other'), 't2', () => {}), undefined, 'it is of another session')
  })

  await t.test('8. a turn that has ended can be followed from its start, as long as its end is held', async (t) => {
    const journal = open({ maxEntries: 4 })
    const { run } = begin(journal, 't1')
    offer(journal, 't2')
    journal.append(run, 1, [text('a'), message('M'), STOP])
    journal.withdraw(S, 't2', ABORTED)
    journal.release(run, ABORTED)
    t.strictSame(read(follow(journal, 't1')).map(short), ['2 a', '3 M', '4 end stop'])
    t.strictSame(read(follow(journal, 't2')).map(short), ['5 end aborted'])
    done(journal, 't3')
    const late = follow(journal, 't1')
    done(journal, 't4')
    t.equal(journal.followTurn(S, 't1', () => {}), undefined, 'its end is gone')
    t.strictSame(read(late).map(short), ['2 a', '3 M', '4 end stop'], 'but not for who had begun')
  })

  await t.test('8. sessions whose names would meet when joined are apart', async (t) => {
    const journal = open()
    journal.offer({ owner: 'a', agentId: 'b","c', sessionId: 'd' }, chat('t1'), TERMS)
    t.equal(journal.followTurn({ owner: 'a","b', agentId: 'c', sessionId: 'd' }, 't1', () => {}), undefined)
  })

  await t.test('9. a cursor that had nothing calls its wake once when there is more, and not before it was asked', async (t) => {
    const journal = open()
    let wakes = 0
    const { run, cursor } = begin(journal, 't1', S, () => { wakes++ })
    journal.append(run, 1, [text('a')])
    t.equal(wakes, 0, 'not asked yet')
    read(cursor)
    journal.append(run, 2, [text('b')])
    journal.append(run, 3, [text('c')])
    t.equal(wakes, 1, 'once')
    read(cursor)
    journal.forget(S)
    t.equal(wakes, 2, 'also for what is lost')
    t.equal(cursor.next(), 'lost')
  })

  await t.test('9. a cursor of a turn that waits is woken by its start and by its withdrawal', async (t) => {
    const journal = open()
    begin(journal, 't1')
    let wakes = 0
    const cursor = follow(journal, offer(journal, 't2'), () => { wakes++ })
    t.equal(cursor.next(), undefined)
    journal.withdraw(S, 't2', ABORTED)
    t.equal(wakes, 1)
    t.strictSame(read(cursor).map(short), ['2 end aborted'])
  })

  await t.test('9. a cursor that was closed is not woken', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1', S, () => { t.fail('woken') })
    read(cursor)
    cursor.close()
    journal.append(run, 1, [text('a')])
    t.equal(journal.stats().cursors, 0)
  })

  await t.test('10. what ended stays readable by cursors that are open, also when its session is gone', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxEntries: 4, maxAgeMs: 60_000 })
    const ended = begin(journal, 't1')
    const withdrawn = follow(journal, offer(journal, 't2'))
    journal.withdraw(S, 't2', ABORTED)
    journal.append(ended.run, 1, [text('a'), text('b'), STOP])
    journal.release(ended.run, ABORTED)
    for (let turn = 3; turn < 9; turn++) done(journal, `t${turn}`)
    clock.advance(120_000)
    t.equal(journal.stats().sessions, 0)
    t.strictSame(read(withdrawn).map(short), ['2 end aborted'])
    t.match(read(ended.cursor), [{ kind: 'text', content: 'ab' }, { kind: 'end', seq: 5 }])
    t.equal(ended.cursor.text(), 'ab')
  })
})

await t.test('beyond the tail', async (t) => {
  await t.test('a reader gets the text that it lacks in steps, then what is held', async (t) => {
    for (const pieceLength of [1, 7, 1_000, MERGE_UNITS - 1, MERGE_UNITS, MERGE_UNITS + 1, 100_000]) {
      const journal = open({ maxEntries: 8, maxBytes: 1e9 })
      const { run, cursor } = begin(journal, 't1')
      const pieces = Array.from({ length: 40 }, (_, index) => String.fromCharCode(97 + index % 26).repeat(pieceLength))
      for (const [index, piece] of pieces.entries()) journal.append(run, index + 1, [text(piece)])
      const missed = pieces.slice(0, -8).join('')
      const told = readText(cursor, missed.length)
      t.equal(told.join(''), missed)
      t.ok(told.every((step) => step.length <= MERGE_UNITS), `${pieceLength}`)
      t.strictSame(read(cursor).map(short), pieces.slice(-8).map((piece, index) => `${34 + index} ${piece}`))
    }
  })

  await t.test('a reader that falls back while it catches up gets every unit once', async (t) => {
    const journal = open({ maxEntries: 4, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    let written = ''
    let told = ''
    let batch = 0
    const seqs: number[] = []
    for (let round = 0; round < 50; round++) {
      for (let count = 0; count < round % 9; count++) {
        const piece = `${round}.${count};`.repeat(500)
        written += piece
        journal.append(run, ++batch, [text(piece)])
      }
      const entry = cursor.next()
      if (entry === undefined || entry === 'lost') continue
      seqs.push(entry.seq)
      if (entry.kind === 'text') told += entry.content
    }
    journal.append(run, ++batch, [STOP])
    const rest = read(cursor)
    told += rest.map((entry) => entry.kind === 'text' ? entry.content : '').join('')
    t.equal(told, written)
    t.equal(rest.at(-1)?.kind, 'end')
    t.strictSame(seqs, [...seqs].sort((one, other) => one - other), 'seq never falls')
  })

  await t.test('a whole message that is held is never passed over', async (t) => {
    const journal = open({ maxEntries: 4, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), text('b'), text('c')])
    journal.append(run, 2, [message('M'), text('d'), text('e')])
    t.strictSame(readUntilEmpty(cursor), ['3 ab', '4 c', '5 M', '6 d', '7 e'])
    journal.append(run, 3, [STOP])
    t.strictSame(readUntilEmpty(cursor), ['8 end stop'])
  })

  await t.test('whole messages that were forgotten are told all the same, each in its place in the text', async (t) => {
    // A reader before one was `lost`, though it was healthy: it had only waited behind another answer.
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const { run, cursor: before } = begin(journal, 't1')
    const after = follow(journal, 't1')
    journal.append(run, 1, [message('M'), text('a'), text('b'), message('N'), message('O')])
    t.equal(read(after).length, 5)
    journal.append(run, 2, [text('c'), event('x'), text('d'), message('P'), text('e'), STOP])
    t.strictSame(readUntilEmpty(before), ['2 M', '4 ab', '5 N', '6 O', '9 cd', '10 P', '11 e', '12 end stop'])
    t.strictSame(readUntilEmpty(after), ['9 cd', '10 P', '11 e', '12 end stop'])
  })

  await t.test('a reader at any distance gets text and whole messages once and in order', async (t) => {
    for (const [maxEntries, readEvery] of [[1, 7], [2, 5], [4, 3], [8, 11], [16, 1], [3, 1_000]] as const) {
      const journal = open({ maxEntries, maxBytes: 1e9 })
      const { run, cursor } = begin(journal, 't1')
      const [written, told, seqs]: [string[], string[], number[]] = [[], [], []]
      const take = (entry: Entry): void => {
        seqs.push(entry.seq)
        if (entry.kind === 'text' || entry.kind === 'message') told.push(entry.kind === 'text' ? entry.content : `<${entry.content}>`)
      }
      for (let batch = 1; batch <= 300; batch++) {
        const isMessage = batch % 3 === 0 || batch % 7 === 0
        const content = `${batch};`.repeat(batch % 50 === 0 ? 9_000 : 1)
        written.push(isMessage ? `<${content}>` : content)
        journal.append(run, batch, [isMessage ? message(content) : text(content)])
        const entry = batch % readEvery === 0 ? cursor.next() : undefined
        if (entry !== undefined && entry !== 'lost') take(entry)
      }
      journal.append(run, 301, [STOP])
      read(cursor).forEach(take)
      t.equal(told.join(''), written.join(''), `${maxEntries}`)
      t.strictSame(seqs, [...seqs].sort((one, other) => one - other), 'seq never falls')
      t.equal(seqs.at(-1), 302)
    }
  })

  await t.test('an event that was forgotten is passed over', async (t) => {
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [event('x'), text('a'), event('y'), event('z'), event('q')])
    t.strictSame(readUntilEmpty(cursor), ['3 a', '4 y', '5 z', '6 q'])
  })

  await t.test('a reader whose turn has nothing left in the ring gets its text and its end', async (t) => {
    const journal = open({ maxEntries: 2, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), text('b'), STOP])
    journal.release(run, ABORTED)
    done(journal, 't2')
    done(journal, 't3')
    t.strictSame(readUntilEmpty(cursor), ['3 ab', '4 end stop'])
    t.equal(cursor.next(), undefined)
  })

  await t.test('a reader past the end of another\'s withdrawal gets its own text once', async (t) => {
    // The text bound was taken from the first held entry, whosever it was: with another turn's end in front, everything
    // written since came twice.
    const journal = open({ maxEntries: 4, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    offer(journal, 't2')
    journal.append(run, 1, [text('a'), text('b')])
    journal.withdraw(S, 't2', ABORTED)
    journal.append(run, 2, [text('c'), message('M'), text('d')])
    t.strictSame(readUntilEmpty(cursor), ['3 ab', '5 c', '6 M', '7 d'])
  })

  await t.test('a reader of a turn that was pushed out by withdrawals is told its text, and waits', async (t) => {
    const journal = open({ maxEntries: 2, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a')])
    for (const turnId of ['t2', 't3', 't4']) {
      offer(journal, turnId)
      journal.withdraw(S, turnId, ABORTED)
    }
    t.strictSame(readUntilEmpty(cursor), ['2 a'])
    journal.append(run, 2, [text('b'), STOP])
    t.strictSame(readUntilEmpty(cursor), ['6 b', '7 end stop'])
  })

  await t.test('a reader that had read the text before the end of the tail does not get it again', async (t) => {
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), text('b')])
    t.equal(read(cursor).length, 3)
    journal.append(run, 2, [event('v'), event('w'), event('x'), event('y')])
    t.strictSame(readUntilEmpty(cursor), ['5 w', '6 x', '7 y'])
  })
})

await t.test('bounds', async (t) => {
  await t.test('entries and bytes are held per session', async (t) => {
    const journal = open({ maxEntries: 10, maxBytes: 2_000 })
    const { run } = begin(journal, 't1')
    for (let batch = 1; batch <= 20; batch++) journal.append(run, batch, [text('x')])
    t.match(journal.stats(), { sessions: 1, entries: 10, bytes: 10 * 122 })
    journal.append(run, 21, [text('x'.repeat(500))])
    t.match(journal.stats(), { entries: 8, bytes: 7 * 122 + 1_120 })
  })

  await t.test('entries older than allowed go with the next append', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 1_000 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a')])
    clock.advance(1_001)
    journal.append(run, 2, [text('b')])
    t.equal(journal.stats().entries, 1)
    t.strictSame(readUntilEmpty(cursor), ['2 a', '3 b'])
  })

  await t.test('the sweep drops sessions that nobody used, trims live ones, and stops when none is left', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000 })
    t.equal(clock.pending, 0)
    const live = begin(journal, 't1', key('live'))
    done(journal, 't1', key('idle'))
    clock.advance(9_000)
    done(journal, 't1', key('fresh'))
    t.equal(clock.pending, 1)
    t.match(journal.stats(), { sessions: 3, entries: 5 })
    clock.advance(6_000)
    t.match(journal.stats(), { sessions: 2, entries: 2 }, 'the live one is kept, without its old entries')
    journal.append(live.run, 1, [STOP])
    journal.release(live.run, ABORTED)
    clock.advance(10_000)
    t.match(journal.stats(), { sessions: 1 })
    clock.advance(10_000)
    t.match(journal.stats(), { sessions: 0, entries: 0, bytes: 0 })
    t.equal(clock.pending, 0)
    t.strictSame(read(live.cursor).map(short), ['2 end stop'])
  })

  await t.test('the session unused for longest makes room for a new one, a live one never', async (t) => {
    const journal = open({ maxSessions: 3 })
    begin(journal, 't1', key('live'))
    const epochs = new Map(['a', 'b'].map((name) => [name, done(journal, 't1', key(name)).epoch]))
    done(journal, 't2', key('a'))
    done(journal, 't1', key('c'))
    t.equal(journal.stats().sessions, 3)
    t.equal(done(journal, 't3', key('a')).epoch, epochs.get('a'), 'used since')
    t.not(done(journal, 't2', key('b')).epoch, epochs.get('b'), 'it had to go')
  })

  await t.test('bytes are held in all: above, idle sessions go, the one unused for longest first, a live one never', async (t) => {
    // There was no bound in all: as many sessions as allowed could hold 50 GB.
    const journal = open({ maxTotalBytes: 85_000 })
    const fillOne = (name: string): Run => {
      const { run } = begin(journal, 't1', key(name))
      fill(journal, run, 1, 'x'.repeat(5_000))
      return run
    }
    const live = fillOne('live')
    journal.offer(key('live'), chat('t2'), TERMS)
    const epochOf = (name: string): string => done(journal, `t${++batches}`, key(name)).epoch
    const epochs = new Map<string, string>()
    for (const name of ['a', 'b', 'c']) {
      journal.release(fillOne(name), ABORTED)
      epochs.set(name, epochOf(name))
    }
    t.equal(journal.stats().sessions, 4)
    epochOf('a')
    const big = begin(journal, 't1', key('big')).run
    fill(journal, big, 2, 'x'.repeat(5_000))
    t.equal(journal.stats().sessions, 5, 'it is not counted with every entry')
    journal.release(big, ABORTED)
    t.equal(journal.stats().sessions, 3)
    t.ok(journal.stats().bytes <= 85_000)
    t.equal(epochOf('a'), epochs.get('a'), 'used since')
    t.not(epochOf('b'), epochs.get('b'), 'it had to go')
    t.not(epochOf('c'), epochs.get('c'), 'it had to go too')
    t.equal(journal.append(live, 999_999, [text('a')]), true)
  })

  await t.test('a session that alone has too many bytes goes when its turn is over, and leaves no timer', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxTotalBytes: 1_000 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('x'.repeat(1_000)), STOP])
    offer(journal, 't2')
    journal.release(run, ABORTED)
    t.equal(journal.stats().sessions, 1, 'a chat waits')
    journal.withdraw(S, 't2', ABORTED)
    t.equal(journal.stats().sessions, 0)
    t.equal(clock.pending, 0)
    t.equal(read(cursor).length, 3)
  })

  await t.test('live sessions may be more than allowed', async (t) => {
    const journal = open({ maxSessions: 2 })
    for (const name of ['a', 'b', 'c']) begin(journal, 't1', key(name))
    t.equal(journal.stats().sessions, 3)
  })
})

await t.test('pace', async (t) => {
  await t.test('is nothing without a reader, and while one is near', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 50)
    read(cursor)
    fill(journal, run, 50)
    t.equal(journal.pace(run), undefined, 'half a ring is near')
    fill(journal, run, 1)
    t.not(journal.pace(run), undefined, 'one more is not')
    cursor.close()
    t.equal(journal.pace(run), undefined, 'nobody reads')
  })

  await t.test('settles when the reader is a quarter of the ring behind, and is one promise for all who wait', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    read(cursor)
    fill(journal, run, 51)
    const state = watch(journal.pace(run))
    t.equal(journal.pace(run), state.promise)
    for (let count = 0; count < 25; count++) cursor.next()
    t.equal(await state.now(), 'pending', '26 behind')
    cursor.next()
    t.equal(await state.now(), 'settled', '25 behind')
    t.equal(journal.pace(run), undefined)
  })

  await t.test('goes by the fastest reader', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor: slow } = begin(journal, 't1')
    const fast = follow(journal, 't1')
    read(slow)
    read(fast)
    fill(journal, run, 51)
    const state = watch(journal.pace(run))
    slow.next()
    t.equal(await state.now(), 'pending')
    read(fast)
    t.equal(await state.now(), 'settled')
    t.equal(journal.pace(run), undefined)
  })

  await t.test('counts bytes too', async (t) => {
    const journal = open({ maxEntries: 1_000, maxBytes: 10_000 })
    const { run, cursor } = begin(journal, 't1')
    read(cursor)
    fill(journal, run, 2, 'x'.repeat(2_500))
    const state = watch(journal.pace(run))
    cursor.next()
    t.equal(await state.now(), 'pending')
    cursor.next()
    t.equal(await state.now(), 'settled')
  })

  await t.test('of a turn that waited in the queue counts from its start', async (t) => {
    // A reader that had not looked since was held to be behind by all that the turn before had written.
    const journal = open({ maxEntries: 100 })
    const first = begin(journal, 't1')
    offer(journal, 't2')
    const waiting = follow(journal, 't2')
    const late = follow(journal, 't2')
    waiting.next()
    fill(journal, first.run, 200)
    journal.release(first.run, ABORTED)
    const run = take(journal)
    t.equal(journal.pace(run), undefined)
    fill(journal, run, 50)
    t.not(journal.pace(run), undefined, 'turn-started counts')
    t.equal(read(waiting).length, 51)
    t.equal(read(late).length, 51)
  })

  await t.test('settles when the last reader leaves', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 60)
    const state = watch(journal.pace(run))
    cursor.close()
    t.equal(await state.now(), 'settled')
  })

  await t.test('settles when the session is forgotten', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run } = begin(journal, 't1')
    fill(journal, run, 60)
    const state = watch(journal.pace(run))
    journal.forget(S)
    t.equal(await state.now(), 'settled')
  })

  await t.test('is nothing once the end is written', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 60)
    const state = watch(journal.pace(run))
    journal.append(run, 1_000, [STOP])
    t.equal(journal.pace(run), undefined)
    cursor.next()
    t.equal(await state.now(), 'settled')
  })

  await t.test('of a reader beyond the tail settles when it has caught up', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 500)
    const late = follow(journal, 't1')
    cursor.close()
    const state = watch(journal.pace(run))
    late.next()
    t.equal(await state.now(), 'pending')
    read(late)
    t.equal(await state.now(), 'settled')
  })
})

await t.test('forget', async (t) => {
  await t.test('drops entries, queue and the right to run; cursors read lost', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    offer(journal, 't2')
    const waiting = follow(journal, 't2')
    journal.forget(S)
    t.strictSame(readUntilLost(cursor), ['1 turn-started'], 'what was written can still be told')
    t.strictSame([cursor.next(), waiting.next()], ['lost', 'lost'])
    t.equal(journal.take(S, goesOn), undefined)
    t.strictSame(journal.stats(), { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims: 0 })
    journal.release(run, ABORTED)
    t.equal(begin(journal, 't3').run.chat.turnId, 't3', 'the next one starts anew')
    journal.release(run, ABORTED)
    offer(journal, 't4')
    t.equal(journal.take(S, goesOn), undefined, 'and is not disturbed by what is over')
  })

  await t.test('of a session that is not there changes nothing', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock })
    journal.forget(S)
    done(journal, 't1')
    journal.forget(key('other'))
    t.equal(journal.stats().sessions, 1)
    journal.forget(S)
    t.equal(clock.pending, 0)
  })

  await t.test('leaves an end that is written to be read, and the text before it', async (t) => {
    // Readers of a turn that had ended were told that it was lost.
    const journal = open({ maxEntries: 2 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), message('M'), text('b'), STOP])
    journal.forget(S)
    t.strictSame(readUntilEmpty(cursor), ['2 a', '3 M', '4 b', '5 end stop'])
  })

  await t.test('lets a cursor that has read the end be', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [STOP])
    read(cursor)
    journal.forget(S)
    t.equal(cursor.next(), undefined)
  })
})

await t.test('a closed journal', async (t) => {
  await t.test('has dropped everything, takes no chat, and leaves no timer', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock })
    const { run, cursor } = begin(journal, 't1')
    done(journal, 't1', key('other'))
    journal.close()
    journal.close()
    t.strictSame(readUntilLost(cursor), ['1 turn-started'])
    t.equal(cursor.next(), 'lost')
    t.equal(journal.append(run, 1, [text('a')]), false)
    t.equal(journal.take(S, goesOn), undefined)
    t.throws(() => journal.offer(S, chat('t2'), TERMS), /closed/)
    t.match(journal.stats(), { sessions: 0, cursors: 0 })
    t.equal(clock.pending, 0)
  })
})

await t.test('a journal', async (t) => {
  await t.test('has an id of its own, and works with the system\'s clock', async (t) => {
    const journal = memoryJournal()
    t.not(journal.id, memoryJournal().id)
    done(journal, 't1')
    t.match(journal.stats(), { sessions: 1, entries: 2 })
    journal.close()
  })

  await t.test('counts its cursors', async (t) => {
    const journal = open()
    begin(journal, 't1')
    follow(journal, offer(journal, 't2'))
    follow(journal, 't1').close()
    done(journal, 't1', key('other'))
    t.equal(journal.stats().cursors, 2)
  })
})

function goesOn (): boolean {
  return false
}

function chat (turnId: string, rest: Partial<StoredChat> = {}): StoredChat {
  return { turnId, message: `${turnId}?`, acceptedAt: 0, ...rest }
}

function offer (journal: Journal, turnId: string, rest: Partial<StoredChat> = {}): string {
  accepted(result(journal.offer(S, chat(turnId, rest), TERMS)))
  return turnId
}

function result<T> (value: Awaitable<T>): T {
  return value as T
}

function accepted (offered: Offer): Extract<Offer, { accepted: true }> {
  if (!offered.accepted) throw new Error(JSON.stringify(offered))
  return offered
}

function take (journal: Journal, of = S): Run {
  const run = result(journal.take(of, goesOn))
  if (run === undefined) throw new Error('nothing to take')
  return run
}

function follow (journal: Journal, turnId: string, wake = (): void => {}, of = S): TurnCursor {
  const cursor = result(journal.followTurn(of, turnId, wake))
  if (cursor === undefined) throw new Error(`no turn ${turnId}`)
  return cursor
}

/** A turn that runs, and a reader of it. */
function begin (
  journal: Journal, turnId: string, of = S, wake = (): void => {}
): { run: Run, cursor: TurnCursor, offer: Extract<Offer, { accepted: true }> } {
  const offered = accepted(result(journal.offer(of, chat(turnId), TERMS)))
  const run = take(journal, of)
  return { run, cursor: follow(journal, turnId, wake, of), offer: offered }
}

/** A turn that has come and gone. */
function done (journal: Journal, turnId: string, of = S): Extract<Offer, { accepted: true }> {
  const { run, cursor, offer } = begin(journal, turnId, of)
  journal.append(run, 1, [STOP])
  journal.release(run, ABORTED)
  cursor.close()
  return offer
}

function fill (journal: Journal, run: Run, count: number, content = 'x'): void {
  for (let done = 0; done < count; done++) journal.append(run, ++batches, [text(content)])
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
function read (cursor: TurnCursor): Entry[] {
  const entries: Entry[] = []
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
    if (entry === 'lost') throw new Error('lost')
    entries.push(entry)
  }
  return entries
}

function readUntilEmpty (cursor: TurnCursor): string[] {
  return read(cursor).map(short)
}

/** All that can still be told. */
function readUntilLost (cursor: TurnCursor): string[] {
  const told: string[] = []
  for (let entry = cursor.next(); entry !== 'lost'; entry = cursor.next()) {
    if (entry === undefined) throw new Error('not lost')
    told.push(short(entry))
  }
  return told
}

/** Pieces of text, up to a length in all. */
function readText (cursor: TurnCursor, length: number): string[] {
  const pieces: string[] = []
  for (let read = 0; read < length; read += pieces.at(-1)?.length ?? 0) {
    const entry = cursor.next()
    if (entry === undefined || entry === 'lost' || entry.kind !== 'text') throw new Error(`no text: ${JSON.stringify(entry)}`)
    pieces.push(entry.content)
  }
  return pieces
}

function watch (promise: Promise<void> | undefined): { promise: Promise<void>, now: () => Promise<string> } {
  if (promise === undefined) throw new Error('there is nothing to wait for')
  const fence = deferred()
  fence.resolve()
  return { promise, now: async () => await Promise.race([promise.then(() => 'settled'), fence.promise.then(() => {}).then(() => 'pending')]) }
}
