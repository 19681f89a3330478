import t, { type Test } from 'tap'

import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import type { JournalNews, StoredChat } from '../../lib/journal/journal.js'
import { Line } from './line.js'
import { S, STOP, TERMS, all, begin, follow, open, stateOf, text } from './journal-scene.js'
import { ioredisClient } from './redis-clients.js'
import { until } from './until.js'

const PATIENCE_MS = 10_000
const TAKING = { ...TERMS, onStop: () => true }
const chatOf = (turnId: string) => ({ turnId, message: `${turnId}?`, acceptedAt: 1, bodyHash: 'h' })

t.test('the right to run comes with a chat that finds its session free, and with no other', async (t) => {
  const { journal, make } = await open(t)
  const peer = await make()
  const { cursor } = await follow(peer)
  const offer = await journal.offer(S, chatOf('t1'), TAKING)
  t.match(offer, { accepted: true, position: 0, run: { chat: chatOf('t1') } })
  t.match(await peer.offer(S, chatOf('t2'), TAKING), { accepted: true, position: 1, run: undefined })
  const run = 'run' in offer ? offer.run : undefined
  if (run === undefined) return
  await journal.append(run, 1, [text('a'), { kind: 'end', end: STOP }])
  t.strictSame(await all(cursor), ['turn-started', 'a', 'end stop'])
  await journal.release(run, STOP)
  t.equal((await peer.take(S, () => true))?.chat.turnId, 't2')
})

t.test('the right to run does not come with a chat before which another one waits', async (t) => {
  const { journal, make } = await open(t)
  const peer = await make()
  await peer.offer(S, chatOf('t1'), TERMS)
  t.match(await journal.offer(S, chatOf('t2'), TAKING), { accepted: true, position: 1, run: undefined })
  t.equal((await peer.take(S, () => true))?.chat.turnId, 't1')
})

t.test('it is not asked for where a turn is known to run', async (t) => {
  const { journal, admin } = await open(t)
  await follow(journal)
  await begin(journal)
  await admin.config('RESETSTAT')
  t.match(await journal.offer(S, chatOf('t2'), TAKING), { accepted: true, position: 1, run: undefined })
  t.match(await admin.info('commandstats'), /cmdstat_evalsha:calls=2,/, 'the index and the chat')
})

t.test('nor where nobody could read the turn yet', async (t) => {
  const { server, admin } = await open(t)
  const client = await ioredisClient(t, server)
  const duplicate = client.duplicate.bind(client)
  // Whoever listens finds nobody there.
  Object.assign(client, { duplicate: (options: object) => duplicate('autoResubscribe' in options ? { ...options, port: 1 } : options) })
  const journal = redisJournal(client, { prefix: 'test:' })
  t.teardown(async () => { await journal.close() })
  t.match(await journal.offer(S, chatOf('t1'), TAKING), { accepted: true, position: 0, run: undefined })
  t.equal(await admin.hget(await stateOf(admin), 'r'), null)
})

t.test('a right that came with a chat which is known already is made use of', async (t) => {
  const { journal, make } = await open(t)
  const peer = await make()
  const news: JournalNews[] = []
  journal.watch?.((each) => { news.push(each) })
  await peer.offer(S, chatOf('t1'), TERMS)
  t.match(await journal.offer(S, chatOf('t1'), TAKING), { accepted: false, claimed: { isSame: true } })
  t.equal(await peer.take(S, () => true), undefined, 'it was taken')
  await until('the news', PATIENCE_MS, async () => news.length > 0)
  t.match(news, [{ kind: 'free', key: S }])
  t.equal((await journal.take(S, () => true))?.chat.turnId, 't1')
})

t.test('a right that came with a chat which has no place in the index, and is refused, is made use of', async (t) => {
  const { journal, admin } = await open(t)
  const news: JournalNews[] = []
  journal.watch?.((each) => { news.push(each) })
  const index = new RedisKeys('test:').indexOf(new RedisKeys('test:').session(S))
  await admin.set(index, 'no index')
  await t.rejects(async () => journal.offer(S, chatOf('t1'), TAKING), /WRONGTYPE/)
  await admin.del(index)
  t.equal(await journal.retract(S, chatOf('t1')), false)
  await until('the news', PATIENCE_MS, async () => news.length > 0)
  t.equal((await journal.take(S, () => true))?.chat.turnId, 't1')
})

/** A chat that was offered, and taken with that, over a connection that broke before it was answered. */
async function unheard (t: Test, chat: StoredChat) {
  const { server, admin } = await open(t)
  const line = await Line.to(t, server.port)
  const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), { prefix: 'test:' })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const news: JournalNews[] = []
  journal.watch?.((each) => { news.push(each) })
  // From now on Redis knows the scripts.
  await journal.offer({ ...S, sessionId: 'other' }, chatOf('t0'), TAKING)
  line.mute()
  const offered = t.rejects(async () => journal.offer(S, chat, TAKING), { name: 'StoreError', reason: 'away' })
  const { base } = new RedisKeys('test:').session(S)
  const running = (): Promise<string | null> => admin.hget(`${base}:s`, 'r')
  await until('the right', PATIENCE_MS, async () => await running() === 't1')
  line.cut()
  await offered
  line.mend()
  // By both connections: to follow takes a subscription and a command.
  const other = { ...S, sessionId: 'another' }
  await until('the way to Redis', PATIENCE_MS, async () => await Promise.resolve(journal.follow(other, {}, () => {})).then(() => true, () => false))
  const leaseUntil = async (): Promise<number> => Number(await admin.hget(`${base}:s`, 'l'))
  return { journal, news, running, leaseUntil }
}

t.test('a right of which the answer was lost with that of its chat', async (t) => {
  await t.test('is made use of, where the chat cannot be taken back and is found when it is sent again', async (t) => {
    const { journal, news, leaseUntil } = await unheard(t, chatOf('t1'))
    t.equal(await journal.retract(S, chatOf('t1')), false)
    await until('the news', PATIENCE_MS, async () => news.length > 0)
    const before = await leaseUntil()
    const run = await journal.take(S, () => true)
    t.ok(await leaseUntil() > before, 'its lease begins anew')
    t.equal(run?.chat.turnId, 't1')
    t.equal(run !== undefined && await journal.append(run, 1, [text('a')]), true)
  })

  await t.test('is given back with an end, where nobody would find it', async (t) => {
    const chat = { turnId: 't1', message: 'hello', acceptedAt: 1 }
    const { journal, news, running } = await unheard(t, chat)
    const { cursor } = await follow(journal)
    t.equal(await journal.retract(S, chat), false)
    t.equal(await running(), null)
    t.strictSame(await all(cursor), ['end error'])
    t.strictSame(news, [])
  })

  await t.test('is made use of, where it is asked of another chat whether it can be taken back', async (t) => {
    const { journal, news } = await unheard(t, { turnId: 't1', message: 'hello', acceptedAt: 1 })
    t.equal(await journal.retract(S, chatOf('t9')), false)
    await until('the news', PATIENCE_MS, async () => news.length > 0)
    t.equal((await journal.take(S, () => true))?.chat.turnId, 't1')
  })

  await t.test('does not come with the next chat', async (t) => {
    const { journal } = await unheard(t, chatOf('t1'))
    t.match(await journal.offer(S, chatOf('t2'), TAKING), { accepted: true, position: 1, run: undefined })
    t.equal((await journal.take(S, () => true))?.chat.turnId, 't1')
  })
})

t.test('of a turn that runs as soon as its session is there no reader misses the start', async (t) => {
  const { journal, admin } = await open(t)
  for (let round = 0; round < 20; round++) {
    const key = { ...S, sessionId: `s${round}` }
    const offer = await journal.offer(key, chatOf('t1'), TAKING)
    if (!offer.accepted) throw new Error('it was not taken')
    const followed = await journal.follow(key, { position: { epoch: offer.epoch, seq: offer.seq } }, () => {})
    if (followed === undefined) throw new Error('there is no room')
    t.match(followed.cursor.next(0), { name: 'turn-started' }, `round ${round}`)
    followed.cursor.close()
  }
  t.ok(await admin.ping())
})
