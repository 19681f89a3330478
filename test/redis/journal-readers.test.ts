import t, { type Test } from 'tap'

import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import type { RedisReplica } from '../../lib/journal/redis/redis-replica.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { ticks } from '../helpers/turn-bench.js'
import { S, STOP, PATIENCE_MS, open, begin, follow, all, nextOf, text, stateOf } from './journal-scene.js'
import { Line } from './line.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { openReplicas } from './replicas-scene.js'
import { until } from './until.js'

t.test('a node that comes to a turn when its beginning is no longer held has all of its text and messages', async (t) => {
  const { make } = await open(t)
  const journal = await make({ maxEntries: 4 })
  const run = await begin(journal)
  await journal.append(run, 1, [text('a'), { kind: 'event', name: 'x', json: '{}' }, { kind: 'message', content: '[m]' }, text('b')])
  for (let batch = 2; batch < 12; batch++) await journal.append(run, batch, [text(`${batch};`)])
  const peer = await make({ maxEntries: 4 })
  const whole = `ab${Array.from({ length: 10 }, (_, index) => `${index + 2};`).join('')}`
  const { turns, cursor } = await follow(peer)
  t.match(turns, [{ status: 'running', text: whole }])
  const turn = await peer.followTurn(S, 't1', () => {})
  if (turn === undefined) throw new Error('the turn cannot be followed')
  await journal.append(run, 12, [text('c'), { kind: 'end', end: STOP }])
  t.strictSame((await all(cursor)), ['c', 'end stop'])
  const told = await all(turn)
  t.equal(told.slice(0, -1).join(''), `a[m]${whole.slice(1)}c`)
  t.equal(turn.text(), `${whole}c`)
  // Of a turn that has ended, and whose beginning is not held, nobody knows the text.
  t.equal(await (await make({ maxEntries: 4 })).followTurn(S, 't1', () => {}), undefined)
})

t.test('a run waits for the readers of its node, and for no others', async (t) => {
  const { make } = await open(t)
  const [journal, peer] = [await make({ maxEntries: 8 }), await make({ maxEntries: 8 })]
  const run = await begin(journal)
  const far = await follow(peer)
  for (let batch = 1; batch < 10; batch++) await journal.append(run, batch, [text('a')])
  t.equal(journal.pace(run), undefined)
  const near = await follow(journal)
  for (let batch = 10; batch < 20; batch++) await journal.append(run, batch, [text('a')])
  await eventually(() => journal.pace(run) !== undefined)
  let isOver = false
  void journal.pace(run)?.then(() => { isOver = true })
  await all({ next: () => near.cursor.next(0) ?? { kind: 'end', end: STOP, turnId: 't1', seq: 0 } })
  await eventually(() => isOver)
  for (const { cursor } of [near, far]) cursor.close()
})

t.test('what was published while a subscription was broken is read', async (t) => {
  const { journal, admin } = await open(t)
  const { cursor, next } = await follow(journal)
  for (let round = 0; round < 5; round++) {
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await journal.publish(S, `news ${round}`, '{}')
    t.match(await next(), { name: `news ${round}`, seq: round + 1 })
  }
  cursor.close()
})

t.test('a prefix that the host puts before its own keys parts no reader from what is told', async (t) => {
  const { server } = await open(t)
  const journal = redisJournal(await ioredisClient(t, server, { keyPrefix: 'host:' }), { prefix: 'test:', clock: new ManualClock() })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const { cursor, next } = await follow(journal)
  await journal.publish(S, 'news', '{}')
  t.match(await next(), { name: 'news', seq: 1 })
  cursor.close()
})

t.test('a publication that was lost is noticed by the next, and by none after a while', async (t) => {
  const { admin, make } = await open(t)
  const journal = await make({ maxAgeMs: 1_000 })
  const { cursor, next } = await follow(journal)
  // Whoever writes without telling is not there; what is told ahead of its time has to wait.
  const base = (await stateOf(admin)).replace(/:s$/, '')
  await admin.publish(base, JSON.stringify([2, cursor.epoch, 2, 1, 0, { e: [['v', 'too early', '{}']] }]))
  await journal.publish(S, 'first', '{}')
  await journal.publish(S, 'second', '{}')
  t.match([await next(), await next()], [{ name: 'first', seq: 1 }, { seq: 2 }])
  await admin.hincrby(await stateOf(admin), 'v', 1)
  await admin.xadd(`${base}:e`, '3-0', 'm', JSON.stringify([3, cursor.epoch, 3, 1, 0, { e: [['v', 'untold', '{}']] }]), 'w', '300')
  await admin.hincrby(await stateOf(admin), 'q', 1)
  t.match(await next(), { name: 'untold', seq: 3 })
  cursor.close()
})

t.test('a turn\'s first text and its end are urgent, what else it says is not', async (t) => {
  const { journal } = await open(t)
  const run = await begin(journal)
  const urgent: boolean[] = []
  const turn = await journal.followTurn(S, 't1', (isUrgent = false) => { urgent.push(isUrgent) })
  if (turn === undefined) throw new Error('the turn cannot be followed')
  await nextOf(() => turn.next())
  urgent.length = 0
  for (const [index, entry] of [text('a'), text('b'), { kind: 'end', end: STOP } as const].entries()) {
    while (turn.next() !== undefined);
    await journal.append(run, index + 1, [entry])
    await nextOf(() => turn.next())
  }
  t.strictSame(urgent, [true, false, true])
})

t.test('a session that nobody reads any more is let go, and can be read again', async (t) => {
  const { clock, journal, channels } = await openTimed(t)
  const { cursor } = await follow(journal)
  t.equal(journal.stats().sessions, 1)
  clock.advance(60_000)
  t.equal(journal.stats().sessions, 1)
  cursor.close()
  clock.advance(60_000)
  t.equal(journal.stats().sessions, 0)
  const again = await follow(journal)
  t.equal(await channels(), 1)
  again.cursor.close()
  clock.advance(60_000)
  await until('the end of the subscription', PATIENCE_MS, async () => await channels() === 0)
})

t.test('of a session that there is not, or not any more, nothing is kept', async (t) => {
  const { clock, journal, channels } = await openTimed(t)
  t.equal(await journal.followTurn({ ...S, sessionId: 'none' }, 't', () => {}), undefined)
  const { next } = await follow(journal)
  t.equal(await channels(), 2)
  await journal.forget(S)
  t.equal(await next(), 'lost')
  clock.advance(60_000)
  await until('the end of the subscriptions', PATIENCE_MS, async () => await channels() === 0)
})

t.test('without a way to Redis no session can be followed, and who follows one goes on when there is one again', async (t) => {
  const { server, admin } = await open(t)
  const line = await Line.to(t, server.port)
  const clock = new ManualClock()
  const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), { prefix: 'test:', clock })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const { cursor, next } = await follow(journal)
  const other = { ...S, sessionId: 'other' }
  line.cut()
  await t.rejects(async () => journal.follow(other, {}, () => {}), { name: 'StoreError' })
  for (let look = 0; look < 3; look++) {
    clock.advance(look === 0 ? 10_000 : 200)
    await t.rejects(async () => journal.claimed(S, { turnId: 't', bodyHash: 'h' }))
  }
  const base = (await stateOf(admin)).replace(/:s$/, '')
  line.mend()
  const news = async (): Promise<boolean> => {
    clock.advance(200)
    try {
      return (await journal.publish(S, 'news', '{}')).seq > 0
    } catch {
      return false
    }
  }
  await until('the way to Redis', PATIENCE_MS, news)
  await until('the subscription', PATIENCE_MS, async () => (await admin.pubsub('CHANNELS', base)).length > 0)
  t.match(await next(), { name: 'news', seq: 1 })
  cursor.close()
  t.ok(await journal.follow(other, {}, () => {}))
})

t.test('what others publish on the channels of a journal is ignored, and reported once', async (t) => {
  const server = await RedisServer.start(t)
  const admin = await ioredisClient(t, server)
  const warnings: string[] = []
  const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', onWarning: (message) => { warnings.push(message) } })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const { cursor, next } = await follow(journal)
  const channels = await admin.pubsub('CHANNELS', 'test:*') as string[]
  t.equal(channels.length, 2, 'of the node, and of the session')
  for (const garbage of ['{', '{}', '', 'x', 'null', '[]', '[1,"e",1,1,0]', '["1","e",1,1,0,{}]']) {
    for (const channel of channels) t.equal(await admin.publish(channel, garbage), 1)
  }
  await journal.publish(S, 'news', '{}')
  t.match(await next(), { name: 'news', seq: 1 })
  t.equal(warnings.length, 1)
  t.match(warnings[0], /is of no journal and was ignored/)
  cursor.close()
})

t.test('a subscription that is had too late is left, unless somebody wants it by then', async (t) => {
  const place = new RedisKeys('late:').session(S)
  const sent: Array<() => void> = []
  const left: string[] = []
  const subscriber = {
    subscribe: async () => new Promise<void>((resolve) => { sent.push(resolve) }),
    unsubscribe: async (channel: string) => { left.push(channel) },
    isReady: () => true,
    close () {}
  }
  // There is no session.
  const { clock, replicas } = openReplicas(t, { subscriber, read: () => [] })
  const tooLate = async (): Promise<void> => {
    const count = sent.length
    const opened = t.rejects(replicas.open(place, false), { name: 'StoreError', reason: 'late' })
    await eventually(() => sent.length > count)
    clock.advance(1_000)
    await opened
  }
  await tooLate()
  sent[0]?.()
  await eventually(() => left.length === 1)
  t.strictSame(left, [place.base])
  await tooLate()
  const wanted = replicas.open(place, false)
  await eventually(() => sent.length === 3)
  for (const resolve of sent) resolve()
  await wanted
  t.equal(left.length, 1, 'it is wanted')
})

t.test('what was published behind a gap while a session was read is read again', async (t) => {
  const { replicas, place, published, answer, reads, told } = scripted(t)
  const opening = replicas.open(place, false)
  await eventually(() => reads() === 1)
  // The message before it is neither in the answer nor published: it was written while the subscription was not in force.
  replicas.take(place.base, published(3, 'c'))
  answer(1, ['a'])
  const replica = await opening
  await eventually(() => reads() === 2)
  answer(3, ['a', 'b', 'c'])
  await eventually(() => replica?.version === 3)
  t.strictSame(told(replica), ['a', 'b', 'c'])
  await ticks()
  t.equal(reads(), 2)
})

t.test('of a Redis that fell back nothing is told that was published behind a gap before', async (t) => {
  const { replicas, place, published, answer, reads, told } = scripted(t)
  const opening = replicas.open(place, false)
  await eventually(() => reads() === 1)
  answer(0, [])
  const replica = await opening
  // The first of these messages was lost on its way, and all of them with the Redis that had them.
  replicas.take(place.base, published(2, 'lost'))
  replicas.take(place.base, published(3, 'lost'))
  for (let read = 2; read <= 3; read++) {
    await eventually(() => reads() === read)
    answer(0, [])
  }
  await ticks()
  for (let version = 1; version <= 3; version++) replicas.take(place.base, published(version, `new ${version}`))
  await ticks()
  t.strictSame([told(replica), reads()], [['new 1', 'new 2', 'new 3'], 3])
})

/** Replicas of a session of events, whose Redis answers what the test says. */
function scripted (t: Test) {
  const place = new RedisKeys('gap:').session(S)
  const published = (version: number, name: string): string =>
    JSON.stringify([version, 'epoch', version, 1, 0, { e: [['v', name, '0']] }])
  const waiting: Array<(answer: unknown) => void> = []
  let reads = 0
  const read = (): Promise<unknown> => {
    reads++
    return new Promise((resolve) => { waiting.push(resolve) })
  }
  const answer = (version: number, names: string[]): void => {
    const messages = names.map((name, index) => published(index + 1, name))
    waiting.shift()?.(['epoch', `${version}`, `${version}`, reads === 1 ? 0 : 1, messages, [], [], '', []])
  }
  const told = (replica: RedisReplica | undefined): unknown[] => {
    const { ring } = replica?.log ?? {}
    return Array.from({ length: ring?.size ?? 0 }, (_, index) => ring?.entryAt(index + 1)).map((entry) => entry?.kind === 'event' && entry.name)
  }
  const subscriber = { async subscribe () {}, async unsubscribe () {}, isReady: () => true, close () {} }
  return { ...openReplicas(t, { subscriber, read }), place, published, answer, reads: () => reads, told }
}

/** A journal whose time the test makes, and how many sessions it listens to. */
async function openTimed (t: Test) {
  const { admin, make } = await open(t)
  const clock = new ManualClock()
  const channels = async (): Promise<number> => (await admin.pubsub('CHANNELS', 'test:*:live:*')).length
  return { clock, journal: await make({ clock }), channels }
}
