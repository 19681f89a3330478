import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'

import type { Entry, NewEntry, OfferTerms, TurnEnd } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { encodeEnded } from '../../lib/journal/redis/redis-entries.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisJournalOptions } from '../../lib/journal/redis/redis-journal-options.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import { RedisPeers } from '../../lib/journal/redis/redis-peers.js'
import { RedisReplicas } from '../../lib/journal/redis/redis-replicas.js'
import { RedisScriptRunner } from '../../lib/journal/redis/redis-script-runner.js'
import { redisScripts } from '../../lib/journal/redis/redis-scripts.js'
import { RedisSweep } from '../../lib/journal/redis/redis-sweep.js'
import { RedisLink } from '../../lib/redis/redis-link.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { Line } from './line.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

const S = { owner: 'ann', agentId: 'main', sessionId: 's' }
const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
const STOP: TurnEnd = { finishReason: 'stop' }
const PATIENCE_MS = 10_000
const SETTINGS = { leaseMs: 10_000, idleMs: 60_000, liveMs: 60_000, dedupWindowMs: 1, maxEntries: 9, maxBytes: 999, isSharded: false }

/** A Redis, somebody who may look into it, and journals over it. */
async function open (t: Test) {
  const server = await RedisServer.start(t)
  const admin = await ioredisClient(t, server)
  const make = async (options: Partial<RedisJournalOptions> = {}) => {
    const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', ...options })
    t.teardown(async () => { await journal.close() })
    await journal.ready()
    return journal
  }
  return { server, admin, make, journal: await make() }
}

type Made = Awaited<ReturnType<typeof open>>['journal']

async function begin (journal: Made, turnId = 't1') {
  await journal.offer(S, { turnId, message: `${turnId}?`, acceptedAt: 1 }, TERMS)
  const run = await journal.take(S, () => true)
  if (run === undefined) throw new Error('nothing was taken')
  return run
}

async function follow (journal: Made, mergeUnits = 0) {
  const followed = await journal.follow(S, {}, () => {})
  if (followed === undefined) throw new Error('there is no room')
  return { ...followed, next: () => nextOf(() => followed.cursor.next(mergeUnits)) }
}

async function nextOf (next: () => Entry | 'lost' | undefined): Promise<Entry | 'lost'> {
  for (;;) {
    const entry = next()
    if (entry !== undefined) return entry
    await new Promise((resolve) => { setImmediate(resolve) })
  }
}

/** What a cursor tells up to an end. */
async function all (cursor: { next (mergeUnits: number): Entry | 'lost' | undefined }): Promise<string[]> {
  const told: string[] = []
  for (;;) {
    const entry = await nextOf(() => cursor.next(0))
    if (entry === 'lost') return [...told, 'lost']
    told.push(entry.kind === 'text' || entry.kind === 'message' ? entry.content : entry.kind === 'event' ? entry.name : `end ${entry.end.finishReason}`)
    if (entry.kind === 'end') return told
  }
}

const text = (content: string): NewEntry => ({ kind: 'text', content })

/** The hash of the only session. */
async function stateOf (admin: Redis): Promise<string> {
  const [key] = (await admin.keys('test:*')).filter((name) => name.endsWith(':s'))
  if (key === undefined) throw new Error('there is no session')
  return key
}

t.test('options that make no sense are refused', async (t) => {
  const { server, journal } = await open(t)
  const client = await ioredisClient(t, server)
  const make = (options: object) => () => redisJournal(client, { prefix: 'test:', ...options })
  t.throws(make({ prefix: '' }), TypeError)
  t.throws(make({ prefix: '{a}' }), RangeError)
  t.throws(make({ leaseMs: 100, journalGraceMs: 200 }), RangeError)
  t.throws(make({ leaseMS: 100 }), /no option leaseMS/)
  t.throws(make({ maxAgeMs: 1.5 }), RangeError)
  t.throws(() => redisJournal({} as never, { prefix: 'test:' }), TypeError)
  const foreign = memoryJournal()
  foreign.offer(S, { turnId: 't', message: '', acceptedAt: 1 }, TERMS)
  const run = await foreign.take(S, () => true)
  if (run !== undefined) await t.rejects(async () => journal.append(run, 1, []), { message: 'this run is of another journal' })
  await foreign.close()
})

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

t.test('bytes are a bound too: the oldest go, the newest stays', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ maxBytes: 4_000 })
  for (let count = 0; count < 30; count++) await journal.publish(S, 'news', JSON.stringify('x'.repeat(300)))
  const held = await admin.xlen((await stateOf(admin)).replace(/:s$/, ':e'))
  t.ok(held > 2 && held < 15, `${held} are held`)
  await journal.publish(S, 'news', JSON.stringify('x'.repeat(9_000)))
  t.equal(await admin.xlen((await stateOf(admin)).replace(/:s$/, ':e')), 1)
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

t.test('a session that nobody reads any more is let go, and can be read again', async (t) => {
  const { server, admin } = await open(t)
  const clock = new ManualClock()
  const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', clock })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const channels = async (): Promise<number> => (await admin.pubsub('CHANNELS', 'test:*:live:*')).length
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
  const { server, admin } = await open(t)
  const clock = new ManualClock()
  const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', clock })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const channels = async (): Promise<number> => (await admin.pubsub('CHANNELS', 'test:*:live:*')).length
  t.equal(await journal.followTurn({ ...S, sessionId: 'none' }, 't', () => {}), undefined)
  const { next } = await follow(journal)
  t.equal(await channels(), 2)
  await journal.forget(S)
  t.equal(await next(), 'lost')
  clock.advance(60_000)
  await until('the end of the subscriptions', PATIENCE_MS, async () => await channels() === 0)
})

t.test('the id of the journal lives as long as its nodes, and is another when Redis was flushed', async (t) => {
  const { server, admin } = await open(t)
  const clock = new ManualClock()
  const line = await Line.to(t, server.port)
  const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), { prefix: 'test:', clock })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  const { id } = journal
  const [key = ''] = await admin.keys('test:*:journal')
  await admin.pexpire(key, 60_000)
  clock.advance(30_000)
  await until('more time', PATIENCE_MS, async () => await admin.pttl(key) > 60_000)
  t.equal(journal.id, id)
  await admin.flushall()
  clock.advance(30_000)
  await eventually(() => journal.id !== id)
  line.cut()
  clock.advance(30_000)
  await t.rejects(async () => journal.claimed(S, { turnId: 't', bodyHash: 'h' }), { name: 'StoreError' }, 'and goes on without Redis')
})

t.test('a session that begins to live while somebody looks at it is looked at again', async (t) => {
  const { server, admin } = await open(t)
  const link = new RedisLink('a test', await ioredisClient(t, server), { commandTimeoutMs: PATIENCE_MS })
  t.teardown(() => { link.close() })
  const clock = new ManualClock()
  const keys = new RedisKeys('look:')
  const place = keys.session(S)
  let looks = 0
  const sweep = new RedisSweep({
    keys,
    runner: new class extends RedisScriptRunner {
      override async run (...asked: Parameters<RedisScriptRunner['run']>): Promise<unknown> {
        const answer = await super.run(...asked)
        // It was idle, and now another node has begun a turn in it.
        if (asked[0] === 'look') {
          await sweep.add(place)
          looks++
        }
        return answer
      }
    }(link, redisScripts(SETTINGS), clock, () => 0),
    clock,
    leaseMs: 10_000,
    sweepMs: 50,
    onFree: () => true,
    onLeft: async () => true
  })
  t.teardown(() => { sweep.close() })
  await sweep.add(place, 0)
  await until('a second look', PATIENCE_MS, async () => {
    clock.advance(50)
    return looks > 1
  })
  t.equal(await admin.zcard(keys.indexOf(place)), 1)
})

t.test('a session whose keys are gone is lost to its readers', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ maxAgeMs: 1_000 })
  const { next } = await follow(journal)
  await admin.flushall()
  t.equal(await next(), 'lost')
})

t.test('a journal that has fallen back behind what a node has seen is another journal, and its turn ends', async (t) => {
  const { journal, admin } = await open(t)
  const run = await begin(journal)
  await journal.append(run, 1, [text('a'), text('b')])
  const { cursor } = await follow(journal)
  await admin.hset(await stateOf(admin), 'q', 1)
  t.equal(await journal.append(run, 2, [text('c')]), false)
  t.equal(await nextOf(() => cursor.next(0)), 'lost')
  const again = await follow(journal)
  t.not(again.cursor.epoch, cursor.epoch)
  t.strictSame([again.cursor.seq, again.turns], [1, []])
  const whole = await journal.follow(S, { position: { epoch: again.cursor.epoch, seq: 0 } }, () => {})
  t.match(await nextOf(() => whole?.cursor.next(0)), { kind: 'end', turnId: 't1', end: { error: { code: 'TURN_LOST' } } })
})

t.test('a reader that has seen more than there is goes on in another journal', async (t) => {
  const { journal, admin } = await open(t)
  for (let count = 0; count < 5; count++) await journal.publish(S, 'news', '{}')
  const { cursor } = await follow(journal)
  await admin.hset(await stateOf(admin), 'q', 2)
  const again = await follow(journal)
  t.not(again.cursor.epoch, cursor.epoch)
  t.equal(await nextOf(() => cursor.next(0)), 'lost')
})

t.test('of a turn whose node is gone after its end only the right to run is left, which is given back', async (t) => {
  const { make } = await open(t)
  const options = { leaseMs: 300, sweepMs: 50 }
  const [journal, peer] = [await make(options), await make(options)]
  const heard: string[] = []
  peer.watch?.(({ kind }) => { heard.push(kind) })
  const run = await begin(journal)
  await journal.append(run, 1, [{ kind: 'end', end: STOP }])
  await journal.offer(S, { turnId: 't2', message: 't2?', acceptedAt: 1 }, TERMS)
  await journal.close()
  await eventually(() => heard.includes('left'))
  t.equal(await peer.salvage?.(S), undefined)
  await eventually(() => heard.includes('free'))
  t.equal((await peer.take(S, () => true))?.chat.turnId, 't2')
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

t.test('a journal whose Redis lets nobody read its settings warns of nothing', async (t) => {
  const { server, admin } = await open(t)
  await admin.call('ACL', 'SETUSER', 'default', '-config')
  const warnings: string[] = []
  const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', onWarning: (message) => { warnings.push(message) } })
  t.teardown(async () => { await journal.close() })
  await journal.ready()
  t.strictSame(warnings, [])
})

t.test('every key expires, and what nobody uses does so soon', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ maxAgeMs: 60_000, dedupWindowMs: 120_000 })
  const run = await begin(journal)
  await journal.append(run, 1, [text('a')])
  await journal.offer(S, { turnId: 't2', message: '', acceptedAt: 1, bodyHash: 'h' }, TERMS)
  const times = async (): Promise<number[]> => Promise.all((await admin.keys('test:*')).map((name) => admin.pttl(name)))
  t.ok((await times()).every((ms) => ms > 120_000), 'as long as something runs or waits')
  await journal.append(run, 2, [{ kind: 'end', end: STOP }])
  await journal.release(run, STOP)
  await journal.withdraw(S, 't2', STOP)
  const left = (await admin.keys('test:*')).filter((name) => name.includes(':live:'))
  t.ok((await Promise.all(left.map((name) => admin.pttl(name)))).every((ms) => ms > 0 && ms <= 120_000))
  t.ok((await times()).every((ms) => ms > 0))
})

t.test('a node that cannot say what it is asked says nothing: who asked does not wait for ever', async (t) => {
  const clock = new ManualClock()
  const said: string[] = []
  const peers = new RedisPeers({
    channel: 'mine', clock, publish: async (_channel, text) => said.push(text), answer: async () => { throw new Error('Redis is away') }
  })
  peers.hear(JSON.stringify({ ask: 'readers', base: 'b', turnId: 't', id: '1', from: 'theirs' }))
  const asked = peers.ask('theirs', { ask: 'readers', base: 'b', turnId: 't' }, 1_000, 1)
  await eventually(() => said.length === 1)
  clock.advance(1_000)
  t.strictSame(await asked, [])
  t.match(JSON.parse(said[0] ?? ''), { ask: 'readers', from: 'mine' }, 'the question, and no answer')
})

t.test('a Redis that is full keeps nothing of the chats that it refuses, and takes chats again once it has room', async (t) => {
  const { journal, admin } = await open(t)
  const used = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await admin.info('memory'))?.[1])
  const chat = (turnId: string) => ({ turnId, message: 'x'.repeat(2_000), acceptedAt: 1, bodyHash: 'h' })
  const refusals = async (sessionId: string, count: number, onBusy: OfferTerms['onBusy']): Promise<number> => {
    let refused = 0
    // One by one: what waits in the buffers of a connection takes memory too.
    for (let index = 0; index < count; index++) {
      const name = `${sessionId}${index}`
      try {
        await journal.offer({ ...S, sessionId: name }, chat(name), { ...TERMS, onBusy })
      } catch {
        refused++
      }
    }
    return refused
  }
  await journal.offer({ ...S, sessionId: 'kept0' }, chat('waits'), TERMS)
  // One that is over: what has expired may be dropped by a chat that is refused, but nothing written behind that.
  const [claims = ''] = (await admin.keys('test:*')).filter((name) => name.endsWith(':claims'))
  t.not(claims, '', 'the claims of the owner')
  await admin.zadd(claims, 1, 'over')
  await admin.config('SET', 'maxmemory', '1')
  const [before, names] = [await used(), (await admin.keys('test:*')).sort()]
  t.equal(await refusals('new', 1_000, 'queue'), 1_000)
  t.equal(await refusals('kept', 1, 'interrupt'), 1, 'one that would displace another')
  await t.rejects(async () => journal.take({ ...S, sessionId: 'kept0' }, () => true), { name: 'StoreError', reason: 'full' })
  t.strictSame((await admin.keys('test:*')).sort(), names)
  t.ok(await used() - before < 1_000_000, 'of 2 MB that were offered')
  t.ok(await admin.zscore(claims, 'over'))
  await admin.config('SET', 'maxmemory', '0')
  t.equal(await refusals('new', 3, 'queue'), 0)
  t.equal((await journal.take({ ...S, sessionId: 'kept0' }, () => true))?.chat.turnId, 'waits')
})

t.test('a Redis that has lost its last chat, and nothing that has a number, leaves no reader behind', async (t) => {
  type Opened = Awaited<ReturnType<typeof open>> & { base: string, epoch: string }
  const lose = ({ admin, base }: Opened) => (
    admin.multi().hincrby(`${base}:s`, 'v', -1).hdel(`${base}:s`, 'c:t1').del(`${base}:q`, `${base}:c:t1`))
  const rounds: Record<string, (opened: Opened) => Promise<unknown>> = {
    'that hears what is published then': async (opened) => {
      await lose(opened).exec()
      await opened.journal.publish(S, 'news', '{}')
    },
    'whose connection breaks, too': async (opened) => {
      await lose(opened).exec()
      await opened.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await opened.journal.publish(S, 'news', '{}')
    },
    'when somebody begins to read': async (opened) => {
      await lose(opened).exec()
      await opened.journal.follow(S, {}, () => {})
    },
    'when nothing happens': async (opened) => lose(opened).exec(),
    'that is not told of what is written then': async (opened) => {
      const { base, epoch } = opened
      const message = JSON.stringify([2, epoch, 2, 1, 0, { e: [['v', 'untold', '{}']] }])
      await lose(opened).hincrby(`${base}:s`, 'v', 1).hincrby(`${base}:s`, 'q', 1).xadd(`${base}:e`, '2-0', 'm', message, 'w', '300').exec()
    }
  }
  for (const [name, happen] of Object.entries(rounds)) {
    await t.test(name, async (t) => {
      const opened = await open(t)
      const journal = await opened.make({ maxAgeMs: 1_000 })
      await journal.publish(S, 'before', '{}')
      const { cursor, next } = await follow(journal)
      await journal.offer(S, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
      t.ok(await journal.followTurn(S, 't1', () => {}), 'the chat is known')
      await happen({ ...opened, journal, base: (await stateOf(opened.admin)).replace(/:s$/, ''), epoch: cursor.epoch })
      t.equal(await next(), 'lost')
      const again = await follow(journal)
      t.strictSame(again.turns, [])
      await journal.publish(S, 'after', '{}')
      t.match(await again.next(), { name: 'after' })
      again.cursor.close()
    })
  }
})

t.test('who is told that a journal has fallen back goes on in the new one, though he has seen more of the old one', async (t) => {
  const { server, admin, journal } = await open(t)
  // Its clock stands still: it looks for nothing by itself.
  const still = redisJournal(await ioredisClient(t, server), { prefix: 'test:', clock: new ManualClock() })
  t.teardown(async () => { await still.close() })
  await still.ready()
  const watched = await follow(still)
  await follow(journal)
  for (const turnId of ['t1', 't2', 't3']) await journal.offer(S, { turnId, message: '', acceptedAt: 1 }, TERMS)
  t.ok(await still.followTurn(S, 't3', () => {}), 'all is known')
  await admin.hincrby(await stateOf(admin), 'v', -3)
  await follow(journal)
  t.equal(await watched.next(), 'lost')
})

t.test('a Redis that is full can be read, keeps the right to run, and says which journal it is', async (t) => {
  const { admin, make, journal } = await open(t)
  const run = await begin(journal)
  await journal.append(run, 1, [text('a')])
  await admin.config('SET', 'maxmemory', '1')
  const peer = await make({ leaseMs: 300 })
  t.equal(peer.id, journal.id)
  t.match((await follow(peer)).turns, [{ status: 'running', text: 'a' }])
  await admin.config('SET', 'maxmemory', '0')
  const short = { ...S, sessionId: 'short' }
  await peer.offer(short, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
  const silent = await peer.take(short, () => true)
  if (silent === undefined) throw new Error('nothing was taken')
  await admin.config('SET', 'maxmemory', '1')
  const state = (await admin.keys('test:*')).filter((name) => name.endsWith(':s'))
  const leases = async (): Promise<number> => Math.max(...(await Promise.all(state.map((name) => admin.hget(name, 'l')))).map(Number))
  const before = await leases()
  await until('a renewal', PATIENCE_MS, async () => await leases() > before)
  await journal.forget(S)
  t.equal(await admin.exists(...state), 1, 'what is forgotten goes')
  await admin.config('SET', 'maxmemory', '0')
  t.ok(await peer.append(silent, 1, [text('b')]))
})

t.test('the claims of an owner are counted as long as they are good, however short sessions are kept', async (t) => {
  const { make, admin } = await open(t)
  const journal = await make({ liveMs: 10_000, maxAgeMs: 10_000, dedupWindowMs: 600_000 })
  const times = async () => {
    const claims = (await admin.keys('test:*')).filter((name) => name.endsWith(':claims') || name.includes(':c:'))
    t.equal(claims.length, 2)
    return Promise.all(claims.map((name) => admin.pttl(name)))
  }
  await journal.offer(S, { turnId: 't1', message: '', acceptedAt: 1, bodyHash: 'h' }, TERMS)
  t.ok((await times()).every((ms) => ms > 500_000), 'of a chat that waits')
  await journal.withdraw(S, 't1', STOP)
  t.ok((await times()).every((ms) => ms > 500_000), 'of one that has ended')
})

t.test('the right to run is as old as the question, however late the answer', async (t) => {
  for (const late of ['take', 'append'] as const) {
    await t.test(late, async (t) => {
      const { server } = await open(t)
      const line = await Line.to(t, server.port)
      const clock = new ManualClock()
      const journal = redisJournal(await ioredisClient(t, server, { port: line.port }), {
        prefix: 'test:', clock, leaseMs: 9_000, journalGraceMs: 3_000, commandTimeoutMs: 60_000
      })
      t.teardown(async () => { await journal.close() })
      await journal.ready()
      const lost: unknown[] = []
      journal.watch?.((news) => { if (news.kind === 'lost') lost.push(news.code) })
      await journal.offer(S, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
      const run = late === 'append' ? await journal.take(S, () => true) : undefined
      server.pause()
      const asked = run === undefined ? journal.take(S, () => true) : journal.append(run, 1, [text('a')])
      // Once it has been asked.
      await new Promise((resolve) => { setImmediate(resolve) })
      clock.advance(2_900)
      server.resume()
      t.ok(await asked)
      line.cut()
      clock.advance(100)
      await eventually(() => lost.length > 0)
      t.strictSame(lost, ['STORE_UNAVAILABLE'])
    })
  }
})

t.test('a right that is given back twice, since the first answer was lost, lets the next turn run at once', async (t) => {
  const { server, journal } = await open(t)
  const link = new RedisLink('a test', await ioredisClient(t, server), { commandTimeoutMs: PATIENCE_MS })
  t.teardown(() => { link.close() })
  const [place, scripts] = [new RedisKeys('test:').session(S), redisScripts(SETTINGS)]
  const run = async (name: keyof typeof scripts, ...args: string[]) => link.run(scripts[name], [place.base, place.claims], args)
  const taken = await begin(journal) as unknown as { epoch: string, fence: string }
  await journal.offer(S, { turnId: 't2', message: '', acceptedAt: 1 }, TERMS)
  const [end, as] = ['{"finishReason":"stop"}', encodeEnded(STOP)]
  t.strictSame(await run('release', taken.epoch, taken.fence, end, as), ['released', 1])
  t.strictSame(await run('release', taken.epoch, taken.fence, end, as), ['gone', 1])
  t.strictSame(await run('salvage', 'node', 'nonce'), ['ended', 1])
  await journal.take(S, () => true)
  t.strictSame(await run('release', taken.epoch, taken.fence, end, as), ['gone', 0], 'somebody runs')
  t.strictSame(await run('salvage', 'node', 'nonce'), ['none'])
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
  const clock = new ManualClock()
  const place = new RedisKeys('late:').session(S)
  const sent: Array<() => void> = []
  const left: string[] = []
  // There is no session: all that is run is a script that reads.
  const runner = new class extends RedisScriptRunner {
    override async run (): Promise<unknown> { return [] }
  }({} as never, {} as never, clock, () => 0)
  const replicas = new RedisReplicas({
    subscriber: {
      subscribe: async () => new Promise<void>((resolve) => { sent.push(resolve) }),
      unsubscribe: async (channel) => { left.push(channel) },
      close () {}
    },
    timeoutMs: 1_000,
    runner,
    clock,
    limits: { maxEntries: 9, maxBytes: 999, forgetsRead: false },
    checkMs: 60_000,
    onLeft: () => {}
  })
  t.teardown(() => { replicas.close() })
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
