import { Redis } from 'ioredis'
import t, { type Test } from 'tap'

import { sessionStoreSuite } from '../../lib/conformance/index.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'
import { redisKeys } from '../../lib/redis/redis-keys.js'
import { redisSessionStore, type RedisSessionStoreOptions } from '../../lib/sessions/redis-session-store.js'
import type { SessionMessage, SessionStore } from '../../lib/sessions/session-store.js'
import { StoreError } from '../../lib/store-error.js'
import { ioredisClient, ioredisCluster, nodeRedisClient, nodeRedisCluster } from '../redis/redis-clients.js'
import { startRedisCluster } from '../redis/redis-cluster.js'
import { RedisServer } from '../redis/redis-server.js'
import { until } from '../redis/until.js'
import { checkGrown } from './grown-answer.js'

const OWNED = { owner: 'ann', agentId: 'main' }
const PREFIX = 'app:'
const PATIENCE_MS = 20_000

t.setTimeout(300_000)

t.test('the whole suite is passed', async (t) => {
  const [server, cluster] = await Promise.all([RedisServer.start(t), startRedisCluster(t)])
  const clients = {
    'by a client of ioredis': await ioredisClient(t, server),
    'by a client of ioredis with a prefix of its own': await ioredisClient(t, server, { keyPrefix: 'host:' }),
    'by a cluster of ioredis': await ioredisCluster(t, cluster),
    'by a client of redis': await nodeRedisClient(t, server),
    'by a cluster of redis': await nodeRedisCluster(t, cluster)
  }
  for (const [name, client] of Object.entries(clients)) {
    await t.test(name, async (t) => {
      let stores = 0
      for (const { name: each, run } of sessionStoreSuite(() => redisSessionStore(client, { prefix: `${name}:${stores++}:` }))) {
        await t.resolves(run(), each)
      }
    })
  }
})

t.test('what cannot work is refused at once', async (t) => {
  const client = new Redis({ lazyConnect: true })
  t.teardown(() => { client.disconnect() })
  const make = (client: unknown, options?: object) => () => redisSessionStore(client as RedisClient, options as RedisSessionStoreOptions)
  for (const none of [undefined, null, 'redis://localhost', {}, new Map(), { sendCommand () {}, duplicate () {}, connect () {}, destroy () {} }]) {
    t.throws(make(none, { prefix: PREFIX }), { name: 'TypeError', message: /^a Redis session store needs a client: a Redis or Cluster of ioredis/ })
  }
  for (const options of [undefined, {}, { prefix: '' }, { prefix: 7 }]) {
    t.throws(make(client, options), { name: 'TypeError', message: /^a Redis session store needs a prefix for its keys/ })
  }
  t.throws(make(client, { prefix: 'a{b}' }), { name: 'RangeError', message: /without \{ and \}/ })
  for (const ttlMs of [0, -1, NaN]) t.throws(make(client, { prefix: PREFIX, ttlMs }), new RangeError(`ttlMs of a Redis session store must be at least 1, not ${ttlMs}`))
  for (const ttlMs of [1.5, Infinity]) t.throws(make(client, { prefix: PREFIX, ttlMs }), new RangeError(`ttlMs of a Redis session store must be a whole number, not ${ttlMs}`))
  t.throws(make(client, { prefix: PREFIX, ttlMs: '1h' }), new TypeError('ttlMs of a Redis session store must be a number of at least 1, not "1h"'))
  t.throws(make(client, { prefix: PREFIX, ttl: 5 }), { name: 'TypeError', message: /has no option ttl; it takes ttlMs/ })
})

t.test('what it keeps', async (t) => {
  const server = await RedisServer.start(t)
  const client = await ioredisClient(t, server)
  t.beforeEach(async () => { await client.flushall() })

  await t.test('has an end, and begins with the prefix; all of a session has one hash tag', async (t) => {
    const store = open(t, client, { ttlMs: 60_000 })
    await store.append(key('s'), [said('t1')])
    const keys = await client.keys('*')
    t.equal(keys.length, 5)
    for (const each of keys) {
      t.match(each, /^app:\{[\w-]{22}\}:(meta|messages|places|order|entries)$/)
      const left = await client.pttl(each)
      t.ok(left > 0 && left <= 60_000, `${each} has ${left} ms`)
    }
    t.equal(new Set(keys.map((each) => /\{.*\}/.exec(each)?.[0])).size, 2)
  })

  await t.test('is forgotten when its time is over, by its list too', async (t) => {
    const store = open(t, client, { ttlMs: 50 })
    await store.append(key('old'), [said('t1')])
    await until('its end', PATIENCE_MS, async () => (await store.messages(key('old'), { limit: 9 })).messages.length === 0)
    let turns = 0
    await until('its list to let it go', PATIENCE_MS, async () => {
      await store.append(key('new'), [said(`t${turns++}`)])
      return !(await client.zrange(listKeys()('order'), '0', '-1')).includes('"old"')
    })
    t.ok(turns > 0)
  })

  await t.test('is at most so many messages, so many bytes, so many sessions; the oldest go', async (t) => {
    const few = open(t, client, { prefix: 'few:', maxMessagesPerSession: 3 })
    for (let turn = 0; turn < 5; turn++) await few.append(key('s'), [said(`t${turn}`)])
    t.strictSame(await contents(few, 's'), ['t2?', 't3?', 't4?'])
    t.strictSame(await few.turn(key('s'), 't1'), [])
    t.match(await few.turn(key('s'), 't4'), [{ content: 't4?' }])
    const page = await few.messages(key('s'), { limit: 2 })
    t.match(await few.messages(key('s'), { limit: 2, before: page.before }), { messages: [{ content: 't2?' }], before: undefined })

    const small = open(t, client, { prefix: 'small:', maxBytesPerSession: 1_000 })
    await small.append(key('s'), [said('t1', 'x'.repeat(500)), said('t2', 'y'.repeat(500))])
    t.match(await small.messages(key('s'), { limit: 9 }), { messages: [{ turnId: 't2' }] })
    await small.append(key('s'), [said('t3', 'z'.repeat(5_000))])
    t.match((await small.messages(key('s'), { limit: 9 })).messages.map(({ turnId }) => turnId), ['t3'], 'the newest stays, whatever its size')

    await checkGrown(t, small)

    const narrow = open(t, client, { prefix: 'narrow:', maxSessionsPerOwner: 2 })
    for (const name of ['a', 'b', 'c']) await narrow.append(key(name), [said('t1')])
    t.strictSame(await listed(narrow), ['c', 'b'])
    t.strictSame(await contents(narrow, 'a'), [], 'what is in no list is not kept either')
    t.equal((await client.keys('narrow:*')).length, 2 * 3 + 2)
  })

  await t.test('is no conversation any more once Redis has evicted a part of it', async (t) => {
    const store = open(t, client)
    await store.append(key('s'), [said('t1'), said('t2')])
    const { before } = await store.messages(key('s'), { limit: 1 })
    await client.del(sessionKeys('s')('places'))
    await store.append(key('s'), [said('t3')])
    t.strictSame(await contents(store, 's'), ['t3?'])
    t.strictSame(await store.messages(key('s'), { limit: 9, before }), { messages: [] }, 'a cursor into what was is unknown')
  })
})

t.test('a session and its list, which are not written in one step', async (t) => {
  const server = await RedisServer.start(t)
  const client = await ioredisClient(t, server)
  t.beforeEach(async () => { await client.flushall() })

  /** As if a node had died between the two. */
  async function appendUnlisted (t: Test, store: SessionStore, name: string): Promise<void> {
    await client.set(listKeys()('order'), 'in the way')
    t.equal(await reasonOf(store.append(key(name), [said('t1')])), 'refused')
    await client.del(listKeys()('order'))
  }

  for (const [how, access] of Object.entries({
    'read by page': async (store: SessionStore) => store.messages(key('s'), { limit: 9 }),
    'read by turn': async (store: SessionStore) => store.turn(key('s'), 't1'),
    'written, with what it has already': async (store: SessionStore) => store.append(key('s'), [said('t1')])
  })) {
    await t.test(`a session that no list knows gets into it when it is ${how}`, async (t) => {
      const store = open(t, client)
      await appendUnlisted(t, store, 's')
      t.strictSame(await listed(store), [])
      await access(store)
      t.strictSame(await store.list(OWNED, { limit: 9 }), { sessions: [{ sessionId: 's', updatedAt: 5 }] })
    })
  }

  await t.test('a session that is gone is not listed, and leaves the list', async (t) => {
    const store = open(t, client)
    for (const name of ['a', 'b', 'c', 'd']) await store.append(key(name), [said('t1')])
    await client.del(['meta', 'messages', 'places'].map(sessionKeys('c')))
    t.strictSame(await pages(store, 2), [['d', 'b'], ['a']], 'and its place in the page is taken by the next')
    t.strictSame(await client.zrange(listKeys()('order'), '0', '-1'), ['"a"', '"b"', '"d"'])
  })

  await t.test('a list that knows another session of the name, or less of it, is put right', async (t) => {
    const store = open(t, client)
    await store.append(key('a'), [said('t1')])
    await store.append(key('b'), [said('t1')])
    await client.hset(listKeys()('entries'), '"a"', 'another 1 3')
    t.strictSame(await store.list(OWNED, { limit: 9 }), { sessions: [{ sessionId: 'a', updatedAt: 5 }, { sessionId: 'b', updatedAt: 5 }] })
    t.strictSame(await listed(store), ['a', 'b'], 'and does not move it once more')
  })

  await t.test('of a list in which nothing is right for long, there is a page all the same', async (t) => {
    const store = open(t, client)
    await store.append(key('a'), [said('t1')])
    await client.hdel(sessionKeys('a')('meta'), 'end')
    await client.hset(sessionKeys('a')('meta'), 'end', '01')
    t.strictSame(await store.list(OWNED, { limit: 9 }), { sessions: [] })
  })

  await t.test('a session that its list lets go is kept when it has become newer', async (t) => {
    const store = open(t, client, { maxSessionsPerOwner: 1 })
    await store.append(key('a'), [said('t1')])
    await client.hset(sessionKeys('a')('meta'), 'end', '2')
    await store.append(key('b'), [said('t1')])
    t.equal(await client.exists(sessionKeys('a')('meta')), 1)
  })
})

for (const [library, connect] of Object.entries({ ioredis: ioredisClient, redis: nodeRedisClient })) {
  t.test(`by ${library}, when Redis`, async (t) => {
    await t.test('is away, it says so at once, and is back with it', async (t) => {
      const server = await RedisServer.start(t)
      const store = open(t, await connect(t, server))
      await store.append(key('s'), [said('t1')])
      await server.kill()
      await until('the loss to be seen', PATIENCE_MS, async () => await reasonOf(store.turn(key('s'), 't1')) === 'away')
      t.equal(await reasonOf(store.append(key('s'), [said('t2')])), 'away')
      await server.launch()
      await untilItWorks(store)
      t.strictSame(await contents(store, 's'), ['t2?'], 'a Redis without a disk has forgotten the rest')
    })

    await t.test('is not there yet, it waits for its first attempt only', async (t) => {
      const server = await RedisServer.start(t)
      const client = await connect(t, server)
      await server.stop()
      const store = open(t, client)
      t.equal(await reasonOf(store.turn(key('s'), 't1')), 'away')
      await server.launch()
      await untilItWorks(store)
    })

    await t.test('does not answer, it is late, and on when Redis goes on', async (t) => {
      const server = await RedisServer.start(t)
      const store = open(t, await connect(t, server), { commandTimeoutMs: 500 })
      await untilItWorks(store)
      server.pause()
      t.equal(await reasonOf(store.append(key('s'), [said('t3')])), 'late')
      await until('the connection to be given up', PATIENCE_MS, async () => await reasonOf(store.turn(key('s'), 't1')) === 'away')
      server.resume()
      await untilItWorks(store)
    })

    await t.test('has no room, it says so, still reads and deletes, and is on when there is room', async (t) => {
      const server = await RedisServer.start(t, { settings: { 'maxmemory-policy': 'noeviction' } })
      const [store, admin] = [open(t, await connect(t, server)), await ioredisClient(t, server)]
      await store.append(key('s'), [said('t1')])
      await admin.config('SET', 'maxmemory', '1')
      const error = await errorOf(store.append(key('s'), [said('t2', 'a secret')]))
      t.match(error, { name: 'StoreError', reason: 'full', message: /^Redis has no room for more: .*OOM/, cause: undefined })
      t.notMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /secret/)
      t.strictSame(await contents(store, 's'), ['t1?'])
      t.equal(await store.delete(key('s')), true)
      await admin.config('SET', 'maxmemory', '0')
      await store.append(key('s'), [said('t2')])
      t.strictSame(await contents(store, 's'), ['t2?'])
    })

    await t.test('takes no writes after a failover, it says so, connects anew, and is on when there is a master', async (t) => {
      const [server, other] = await Promise.all([RedisServer.start(t), RedisServer.start(t)])
      const [store, admin] = [open(t, await connect(t, server)), await ioredisClient(t, server)]
      await store.append(key('s'), [said('t1')])
      const before = await connectionsOf(admin)
      await admin.replicaof('127.0.0.1', other.port)
      t.equal(await reasonOf(store.append(key('s'), [said('t2')])), 'read-only')
      await until('another connection', PATIENCE_MS, async () => await connectionsOf(admin) > before)
      await admin.replicaof('NO', 'ONE')
      await untilItWorks(store)
    })

    await t.test('forgets its scripts, it tells them again', async (t) => {
      const server = await RedisServer.start(t)
      const store = open(t, await connect(t, server), { commandTimeoutMs: Number.MAX_SAFE_INTEGER })
      const admin = await ioredisClient(t, server)
      await store.append(key('s'), [said('t1')])
      await admin.script('FLUSH')
      await store.append(key('s'), [said('t2')])
      t.strictSame(await contents(store, 's'), ['t1?', 't2?'])
    })

    await t.test('refuses a command, it says so', async (t) => {
      const server = await RedisServer.start(t)
      const [store, admin] = [open(t, await connect(t, server)), await ioredisClient(t, server)]
      await admin.set(sessionKeys('s')('meta'), 'in the way')
      t.match(await errorOf(store.append(key('s'), [said('t1')])), { reason: 'refused', message: /WRONGTYPE/ })
    })

    await t.test('answers, and the store was closed meanwhile, it says that', async (t) => {
      const server = await RedisServer.start(t)
      const store = open(t, await connect(t, server))
      await store.append(key('s'), [said('t1')])
      server.pause()
      const reason = reasonOf(store.append(key('s'), [said('t2')]))
      await new Promise((resolve) => { setImmediate(resolve) })
      await store.close?.()
      t.equal(await reason, 'closed')
      server.resume()
      t.equal(await reasonOf(store.append(key('s'), [said('t2')])), 'closed')
    })
  })
}

for (const [library, connect] of Object.entries({ ioredis: ioredisCluster, redis: nodeRedisCluster })) {
  t.test(`by ${library}, when a node of the cluster is away, its sessions are, until it is back`, async (t) => {
    const cluster = await startRedisCluster(t, { settings: { 'cluster-require-full-coverage': 'no' } })
    const store = open(t, await connect(t, cluster))
    const names = Array.from({ length: 12 }, (_, index) => `s${index}`)
    const append = async (turnId: string): Promise<unknown[]> =>
      Promise.all(names.map(async (name) => reasonOf(store.append({ owner: name, agentId: 'main', sessionId: name }, [said(turnId)]))))
    t.strictSame(await append('t1'), names.map(() => undefined))
    await cluster.nodes[0]?.kill()
    await until('the loss to be seen', PATIENCE_MS, async () => (await append('t2')).some((reason) => reason === 'away'))
    t.ok((await append('t3')).some((reason) => reason === undefined), 'the others work on')
    await cluster.nodes[0]?.launch()
    await until('the return', PATIENCE_MS, async () => (await append('t4')).every((reason) => reason === undefined))
  })

  t.test(`by ${library}, a cluster that is not there yet is found when it is`, async (t) => {
    const cluster = await startRedisCluster(t)
    const client = await connect(t, cluster)
    await Promise.all(cluster.nodes.map(async (node) => node.stop()))
    const store = open(t, client)
    t.equal(await reasonOf(store.turn(key('s'), 't1')), 'away')
    await Promise.all(cluster.nodes.map(async (node) => node.launch()))
    await untilItWorks(store)
  })
}

function open (t: Test, client: RedisClient, options: Partial<RedisSessionStoreOptions> = {}): SessionStore {
  const store = redisSessionStore(client, { prefix: PREFIX, ...options })
  t.teardown(() => store.close?.())
  return store
}

async function untilItWorks (store: SessionStore): Promise<void> {
  await until('the store to work again', PATIENCE_MS, async () => await reasonOf(store.append(key('s'), [said('t2')])) === undefined)
}

async function errorOf (work: unknown): Promise<StoreError> {
  try {
    await work
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error('it works')
}

async function reasonOf (work: unknown): Promise<string | undefined> {
  return Promise.resolve(work).then(() => undefined, (error: unknown) => error instanceof StoreError ? error.reason : String(error))
}

async function connectionsOf (admin: Redis): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1])
}

async function contents (store: SessionStore, name: string): Promise<string[]> {
  return (await store.messages(key(name), { limit: 9 })).messages.map(({ content }) => content)
}

async function listed (store: SessionStore): Promise<string[]> {
  return (await store.list(OWNED, { limit: 9 })).sessions.map(({ sessionId }) => sessionId)
}

async function pages (store: SessionStore, limit: number): Promise<string[][]> {
  const found: string[][] = []
  let before: string | undefined
  do {
    const page = await store.list(OWNED, { limit, before })
    found.push(page.sessions.map(({ sessionId }) => sessionId))
    before = page.before
  } while (before !== undefined)
  return found
}

function sessionKeys (name: string): (part: string) => string {
  return redisKeys(PREFIX, sessionKeyText(key(name)))
}

function listKeys (): (part: string) => string {
  return redisKeys(PREFIX, JSON.stringify([OWNED.owner, OWNED.agentId]))
}

function key (sessionId: string): SessionKey {
  return { ...OWNED, sessionId }
}

function said (turnId: string, content = `${turnId}?`): SessionMessage {
  return { role: 'user', content, turnId, at: 5, complete: true }
}
