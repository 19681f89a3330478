// Feeds whose readers are behind: what is told late is told whole, or said to be lost. Read by hand, so that nothing hangs on sockets.
import t from 'tap'

import { memoryJournal } from '../../lib/index.js'
import { FrameBatch } from '../../lib/transports/frame-bytes.js'
import { LOST, WRITTEN } from '../../lib/transports/frame-source.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { KEY, ticks } from '../helpers/turn-bench.js'
import { end, piece, running, subscribed, turnStarted, whole } from './expected.js'
import { PLACE, following, ofTurn, open, read, readAll } from './slow-scene.js'

t.test('neighbouring pieces of one turn are merged, at most 64 KiB, never across anything else', async (t) => {
  const opened = open()
  const { feed } = await following(opened)
  const { stage, start } = opened
  const large = 'x'.repeat(20_000)
  stage.act('a').say('1', '2', { type: 'message', content: 'm' }, '3', { type: 'event', name: 'e', data: 0 }, large, large, '4').end()
  stage.act('b').say('5', '6').end()
  await start('a')
  await start('b')
  t.strictSame(readAll(feed, true), [
    turnStarted('a', 1, PLACE), piece('12', 3, PLACE), whole('m', 4, PLACE), piece('3', 5, PLACE),
    { type: 'event', agentId: 'main', id: 'a', sessionId: KEY.sessionId, seq: 6, name: 'e', data: 0 },
    piece(large, 7, PLACE), piece(`${large}4`, 9, PLACE), end(10, PLACE),
    turnStarted('b', 11, ofTurn('b')), piece('56', 13, ofTurn('b')), end(14, ofTurn('b'))
  ])
  feed.close()
})

t.test('pieces are told several at a time, up to what the batch may hold, and each by itself', async (t) => {
  const opened = open()
  const { feed } = await following(opened)
  const { stage, start } = opened
  stage.act('a').say(...Array.from({ length: 50 }, (_, i) => `${i},`)).end()
  await start('a')
  const batch = new FrameBatch()
  const written = (isBehind = false): number => {
    const before = batch.frames
    t.equal(feed.next(isBehind, batch), WRITTEN)
    return batch.frames - before
  }
  t.equal(written(), 1, 'the event that it begins with')
  t.strictSame([written(), written()], [16, 16])
  batch.limit = batch.size + 1
  t.equal(written(), 1, 'the one that makes it full')
  batch.limit = Infinity
  t.equal(written(true), 1, 'to a reader that is behind the rest comes as one')
  t.strictSame(readAll(feed), [end(52, PLACE)])
  t.throws(() => feed.takeText('too late', 'a', 53), { message: 'pieces are taken only while they are asked for' })
  feed.close()
})

t.test('text that is no longer held comes as one piece, and then the exact rest', async (t) => {
  const opened = open({ maxEntries: 8 })
  const { feed } = await following(opened)
  const { stage, start } = opened
  stage.act('a').say('0')
  await start('a')
  t.strictSame(readAll(feed), [turnStarted('a', 1, PLACE), piece('0', 2, PLACE)])
  const pieces = Array.from({ length: 50 }, (_, i) => `${i},`)
  stage.act('a').say(...pieces)
  await ticks()
  t.strictSame(read(feed), piece(pieces.slice(0, 42).join(''), 44, PLACE), 'under the seq before the oldest that is held')
  t.strictSame(readAll(feed), pieces.slice(42).map((content, i) => piece(content, 45 + i, PLACE)))
  stage.act('a').end()
  await ticks()
  t.strictSame(readAll(feed), [end(53, PLACE)])
  feed.close()
})

t.test('where more than text was lost a feed is told so unasked, and goes on from there', async (t) => {
  const opened = open({ maxEntries: 8 })
  const { feed, epoch } = await following(opened)
  const { stage, start } = opened
  const pieces = Array.from({ length: 20 }, (_, i) => `${i},`)
  stage.act('a').say(...pieces)
  await start('a')
  t.strictSame(readAll(feed), [{ ...subscribed(epoch, 21, false, [running('a', pieces.join(''))]), ...PLACE }])
  stage.act('a').say('rest').end()
  await ticks()
  t.strictSame(readAll(feed), [piece('rest', 22, PLACE), end(23, PLACE)])
  stage.act('b').say(...pieces).end()
  await start('b')
  t.strictSame(readAll(feed), [{ ...subscribed(epoch, 45, false), ...PLACE }], 'a turn that has ended meanwhile is in the history')
  t.ok(feed.isIdle)
  feed.close()
})

t.test('a feed of its own turns only is told the same way', async (t) => {
  const opened = open({ maxEntries: 8 })
  const { stage, start, done, makeFeed } = opened
  const feed = makeFeed()
  const pieces = Array.from({ length: 20 }, (_, i) => `${i},`)
  stage.act('a').say(...pieces)
  await start('a')
  feed.addOwn('a', true)
  const missed = await feed.join({ epoch: 'another', seq: 7 })
  const { epoch } = feed.position
  t.strictSame(missed, { ...subscribed(epoch, 21, false, [running('a', pieces.join(''))]), ...PLACE }, 'its position was none')
  t.strictSame(readAll(feed), [])
  stage.act('a').say({ type: 'event', name: 'e', data: 0 }, ...pieces).end()
  await ticks()
  t.strictSame(readAll(feed), [{ ...subscribed(epoch, 43, false), ...PLACE }])
  t.strictSame([done.turns, feed.isIdle, feed.own.size], [1, true, 0], 'its end can be told no more')
  await feed.join()
  feed.close()
})

t.test('a turn that is read whole and whose text is kept no longer is told by a new start', async (t) => {
  const opened = open({ maxBytes: 400 })
  const { stage, start, makeFeed, done } = opened
  const feed = makeFeed()
  stage.act('a').say('x'.repeat(150))
  stage.act('b').say('y'.repeat(150)).end()
  await start('a')
  feed.addOwn('a', false)
  await feed.join()
  const { epoch } = feed.position
  stage.act('a').end()
  await start('b')
  await ticks()
  const [cut, ...rest] = readAll(feed) as Array<{ seq: number }>
  t.strictSame([cut, ...rest], [{ ...subscribed(epoch, cut?.seq ?? -1, false), ...PLACE }])
  t.equal(done.turns, 1)
  feed.close()
})

t.test('a session that is forgotten under its feed begins anew', async (t) => {
  const opened = open()
  const { feed, epoch } = await following(opened)
  const { stage, start, bench, makeFeed, done } = opened
  const own = makeFeed()
  stage.act('a').say('x')
  await start('a')
  own.addOwn('a', true)
  await own.join()
  t.strictSame(readAll(feed), [turnStarted('a', 1, PLACE), piece('x', 2, PLACE)])
  await bench.journal.forget(KEY)
  const frame = read(feed) as { epoch: string }
  t.strictSame(frame, { ...subscribed(frame.epoch, 0, false), ...PLACE })
  t.not(frame.epoch, epoch)
  t.strictSame(read(own), frame)
  t.equal(done.turns, 1)
  await bench.engine.publish(KEY, 'news', '1')
  t.strictSame([readAll(feed), readAll(own)], [[{ type: 'event', agentId: 'main', ...PLACE, seq: 1, name: 'news', data: 1 }], []])
  for (const each of [feed, own]) each.close()
  stage.act('a').end()
  await bench.idle()
  t.equal(bench.journal.stats().cursors, 0)
})

for (const isAtOnce of [true, false]) {
  t.test(`a journal that cannot tell a feed from where to go on ends it, ${isAtOnce ? 'at once' : 'or later'}`, async (t) => {
    const [clock, journal] = [new ManualClock(), new SlowJournal()]
    const opened = open({}, isAtOnce ? memoryJournal({ clock }) : journal)
    const { feed } = await following(opened)
    const { bench, failures } = opened
    if (isAtOnce) Reflect.set(bench.journal, 'follow', () => { throw new Error('boom') })
    else journal.before = (method) => { if (method === 'follow') throw new Error('boom'); return undefined }
    await bench.journal.forget(KEY)
    if (!isAtOnce) {
      t.equal(feed.next(false), undefined)
      await ticks()
    }
    t.equal(feed.next(false), LOST)
    t.strictSame(failures, [['Error: boom', 'a session could not be followed any more']])
    feed.close()
  })
}

t.test('a journal that hangs then is waited for so long, and no longer; one without room is no better', async (t) => {
  const journal = new SlowJournal()
  const opened = open({}, journal)
  const { feed } = await following(opened)
  const { feed: other } = await following(opened)
  journal.before = (method) => method === 'follow' ? new Promise(() => {}) : undefined
  await journal.forget(KEY)
  t.equal(feed.next(false), undefined)
  t.notOk(feed.isIdle)
  opened.clock.advance(2_999)
  await ticks()
  t.equal(feed.next(false), undefined)
  opened.clock.advance(1)
  await ticks()
  t.equal(feed.next(false), LOST)
  t.match(opened.failures, [[/took longer than 3000 ms/]])
  journal.before = () => undefined
  journal.follow = async () => undefined
  t.equal(other.next(false), undefined)
  await ticks()
  t.equal(other.next(false), LOST)
  for (const each of [feed, other]) each.close()
  t.equal(journal.openCursors, 0)
})

t.test('a feed that is closed while its journal thinks reads nothing, and leaves nothing open', async (t) => {
  const journal = new SlowJournal()
  const opened = open({}, journal)
  const { feed } = await following(opened)
  await journal.forget(KEY)
  t.equal(feed.next(false), undefined)
  feed.close()
  const joining = opened.makeFeed()
  const joined = joining.join()
  joining.close()
  const subscribing = opened.makeFeed()
  const cut = subscribing.subscribe(undefined, undefined)
  subscribing.close()
  const late = opened.makeFeed()
  const caught = late.catchUp()
  late.close()
  await joined
  t.strictSame([await cut, await caught], [undefined, undefined])
  await ticks()
  t.equal(journal.openCursors, 0)
  t.throws(() => joining.position, { message: /no position/ })
  t.equal(joining.view('a'), undefined)
  joining.unsubscribe()
})

t.test('what fails in a feed is told, and keeps nothing else from it', async (t) => {
  const { makeFeed, failures } = open()
  const feed = makeFeed()
  const order: number[] = []
  feed.run(async () => { order.push(1); throw new Error('boom') })
  feed.run(async () => { order.push(2) })
  await ticks()
  t.strictSame([order, failures, feed.isIdle], [[1, 2], [['Error: boom', 'what a client asked of a session could not be done']], true])
})

t.test('a connection that goes before it has read where a feed goes on keeps nothing waiting', async (t) => {
  const journal = new SlowJournal()
  const opened = open({}, journal)
  const { feed } = await following(opened)
  await journal.forget(KEY)
  t.equal(feed.next(false), undefined)
  await ticks()
  let ran = 0
  feed.run(() => { ran++ })
  await ticks()
  t.equal(ran, 0, 'it would be answered from a place that the reader does not know')
  feed.close()
  await eventually(() => ran === 1)
  t.equal(journal.openCursors, 0)
  // The same where the journal answers after that.
  const { feed: other } = await following(opened)
  await journal.forget(KEY)
  t.equal(other.next(false), undefined)
  other.run(() => { ran++ })
  other.close()
  await eventually(() => ran === 2)
  t.equal(journal.openCursors, 0)
})
