import t, { type Test } from 'tap'

import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { RedisKeys } from '../../lib/journal/redis/redis-keys.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'
import { SLOTS, slotOf } from '../../lib/redis/redis-slots.js'
import { ioredisClient, ioredisCluster, nodeRedisCluster } from './redis-clients.js'
import { startRedisCluster, type RedisCluster } from './redis-cluster.js'
import { until } from './until.js'

const TERMS = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } } as const
const LOST = { finishReason: 'error', error: { code: 'TURN_LOST' } } as const
const KEYS = Array.from({ length: 24 }, (_, owner) => ({ owner: `${owner}`, agentId: 'main', sessionId: 's' }))
const PATIENCE_MS = 30_000

t.setTimeout(120_000)

t.test('the slot of a key is the one that Redis counts, and an index is where its sessions are', async (t) => {
  const cluster = await startRedisCluster(t)
  const [server] = cluster.nodes
  if (server === undefined) throw new Error('there is none')
  const admin = await ioredisClient(t, server)
  const keys = new RedisKeys('test:', 64)
  for (const key of KEYS) {
    const place = keys.session(key)
    t.equal(slotOf(place.base), await admin.cluster('KEYSLOT', place.base))
    const index = keys.indexOf(place)
    t.equal(keys.partOf(index), keys.partOf(place.base))
    t.ok(Math.abs(slotOf(index) - slotOf(place.base)) < SLOTS / 64)
  }
  t.equal(new Set(keys.indexes).size, 64)
})

for (const [name, connect] of Object.entries({ ioredis: ioredisCluster, redis: nodeRedisCluster })) {
  t.test(`sessions of the parts that are there are taken over while another part of the cluster stands still, over ${name}`, async (t) => {
    await takesOver(t, connect)
  })
}

async function takesOver (t: Test, connect: (t: Test, cluster: RedisCluster) => Promise<RedisClient>): Promise<void> {
  // By its default a cluster that lacks a part serves nobody.
  const cluster = await startRedisCluster(t, { settings: { 'cluster-require-full-coverage': 'no' } })
  const make = async () => {
    const journal = redisJournal(await connect(t, cluster), { prefix: 'test:', leaseMs: 1_000, sweepMs: 100, commandTimeoutMs: 1_000 })
    t.teardown(async () => { await journal.close() })
    await journal.ready()
    return journal
  }
  const [journal, peer] = [await make(), await make()]
  const ended = new Set<string>()
  peer.watch?.((news) => {
    if (news.kind !== 'left') return
    const { owner } = news.key
    Promise.resolve(peer.salvage?.(news.key)).then(async (run) => {
      if (run === undefined) return
      await peer.release(run, LOST)
      ended.add(owner)
    }).catch(() => {
      // Of the part that stands still.
    })
  })
  for (const key of KEYS) {
    await journal.offer(key, { turnId: 't1', message: '', acceptedAt: 1 }, TERMS)
    t.ok(await journal.take(key, () => true))
  }
  const keys = new RedisKeys('test:', 64)
  const isThere = (name: string): boolean => slotOf(name) < Math.floor(SLOTS * 2 / 3)
  const there = KEYS.map((key) => keys.session(key)).filter((place) => isThere(place.base) && isThere(keys.indexOf(place)))
  t.ok(there.length > 0 && there.length < KEYS.length)
  const stopped = cluster.nodes[2]
  stopped?.pause()
  t.teardown(() => { stopped?.resume() })
  await journal.close()
  const missing = (): string[] => there.map(({ key }) => key.owner).filter((owner) => !ended.has(owner))
  await until('the ends of all that are there', PATIENCE_MS, async () => missing().length === 0)
  t.equal(ended.size, there.length, 'and of no others')
  stopped?.resume()
  await until('the ends of all', PATIENCE_MS, async () => ended.size === KEYS.length)
}
