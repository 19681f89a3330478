import t from 'tap'

import type { OfferTerms, Run } from '../../lib/journal/journal.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, short } from '../helpers/sync-journal.js'
import { ABORTED, event, message, STOP, text } from './new-entries.js'
import { accepted, begin, chat, done, follow, goesOn, offer, read, result, S, take, TERMS } from './turn-scene.js'

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
