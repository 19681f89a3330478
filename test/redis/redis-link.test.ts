import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

import { createCluster } from 'redis'
import t from 'tap'

import { backOffMs } from '../../lib/redis/back-off.js'
import { RedisLink } from '../../lib/redis/redis-link.js'
import { RedisScript } from '../../lib/redis/redis-script.js'
import { linedCluster } from './journal-suites.js'
import { ioredisClient, ioredisCluster, nodeRedisClient, nodeRedisCluster } from './redis-clients.js'
import { startRedisCluster } from './redis-cluster.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

const COUNT = new RedisScript('return { redis.call("INCR", KEYS[1]), ARGV[1], false }')

t.test('by the clients of either library', async (t) => {
  const [server, cluster] = await Promise.all([RedisServer.start(t), startRedisCluster(t)])
  const mapped = await nodeRedisClient(t, server)
  const clients = {
    'a client of ioredis': [await ioredisClient(t, server, { stringNumbers: true }), false],
    'a cluster of ioredis': [await ioredisCluster(t, cluster), true],
    'a client of redis': [mapped.withTypeMapping({ [':'.charCodeAt(0)]: String }), false],
    'a cluster of redis': [await nodeRedisCluster(t, cluster), true]
  } as const
  for (const [name, [client, isCluster]] of Object.entries(clients)) {
    await t.test(`${name} a command and a script have the same answers, however the host has its own`, async (t) => {
      const link = new RedisLink('a test', client, { commandTimeoutMs: 2_000 })
      t.teardown(() => { link.close() })
      t.equal(link.isCluster, isCluster)
      const key = `${name}:{tag}`
      t.strictSame(await link.run(COUNT, [key], ['a']), [1, 'a', null])
      t.strictSame(await link.run(COUNT, [key], ['é \u{1f375}']), [2, 'é \u{1f375}', null])
      t.equal(await link.send(key, ['GET', key]), '2')
      t.equal(await link.send(key, ['GET', `${key}:none`]), null)
      t.strictSame(await link.send(key, ['PTTL', key]), -1)
    })
  }
})

t.test('the host\'s own client is left alone', async (t) => {
  const server = await RedisServer.start(t)
  const [one, other] = [await ioredisClient(t, server), await nodeRedisClient(t, server)]
  for (const client of [one, other]) {
    const link = new RedisLink('a test', client, { commandTimeoutMs: 2_000 })
    t.equal(await link.send('k', ['SET', 'k', 'v']), 'OK')
    link.close()
    link.close()
    await t.rejects(link.send('k', ['GET', 'k']), { name: 'StoreError', message: 'it was closed' })
  }
  t.strictSame([await one.get('k'), await other.get('k')], ['v', 'v'])
})

t.test('a cluster that cannot be reached is looked for again and again, until the link is closed', async (t) => {
  let attempts = 0
  const server = createServer((socket) => {
    attempts++
    socket.on('error', () => {}).destroy()
  }).listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}` }] })
  const link = new RedisLink('a test', client, { commandTimeoutMs: 2_000 })
  await t.rejects(link.send('k', ['GET', 'k']), { message: 'there is no connection to Redis' })
  await until('more attempts', 20_000, async () => attempts > 3)
  link.close()
})

t.test('attempts to connect get rarer, up to one in two seconds', async (t) => {
  for (const [attempt, longest] of [[0, 50], [1, 100], [5, 1_600], [6, 2_000], [1_000, 2_000]] as const) {
    const ms = backOffMs(attempt)
    t.ok(ms >= longest / 2 && ms <= longest, `${ms} ms before attempt ${attempt}`)
  }
})

t.test('each part of a cluster is found again, though its host\'s client has given it up', async (t) => {
  const { cluster, lines, addresses } = await linedCluster(t)
  const client = await nodeRedisCluster(t, cluster, { nodeAddressMap: addresses })
  // As it does itself when a connection has been away for five seconds.
  const [first = {}] = Object.values(addresses)
  Object.assign(first, { reconnectStrategy: false })
  const link = new RedisLink('a test', client, { commandTimeoutMs: 2_000 })
  t.teardown(() => { link.close() })
  const keys = Array.from({ length: 40 }, (_, index) => `{${index}}`)
  const answers = async (): Promise<boolean> => {
    const answered = await Promise.all(keys.map((key) => link.send(key, ['INCR', key]).then(() => true, () => false)))
    return answered.every(Boolean)
  }
  await until('all to be there', 20_000, answers)
  for (const line of lines) line.cut()
  t.notOk(await answers())
  for (const line of lines) line.mend()
  await t.resolves(until('all to be back', 20_000, answers))
})

t.test('a cluster whose nodes were all away is found again, by either library', async (t) => {
  const { cluster, lines, addresses } = await linedCluster(t)
  const clients = {
    ioredis: await ioredisCluster(t, cluster, { natMap: addresses }),
    redis: await nodeRedisCluster(t, cluster, { nodeAddressMap: addresses })
  }
  for (const [name, client] of Object.entries(clients)) {
    const link = new RedisLink('a test', client, { commandTimeoutMs: 100 })
    t.teardown(() => { link.close() })
    const answers = async (): Promise<boolean> => await link.send('{a}', ['INCR', '{a}']).then(() => true, () => false)
    await until(`${name} to be there`, 20_000, answers)
    for (const line of lines) line.cut()
    const longerThanSilence = performance.now() + 700
    await until('silence', 20_000, async () => !await answers() && performance.now() > longerThanSilence)
    for (const line of lines) line.mend()
    await t.resolves(until(`${name} to be back`, 20_000, answers))
  }
})
