import t from 'tap'

import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { ioredisCluster } from './redis-clients.js'
import { startRedisCluster } from './redis-cluster.js'
import { until } from './until.js'

const ABORTED = { finishReason: 'aborted' } as const

// Clusters before Redis 7 have no channels that are sharded.
t.test('in a cluster whose channels are not sharded nodes hear each other, wherever each is connected', async (t) => {
  const cluster = await startRedisCluster(t)
  const make = async () => {
    const journal = redisJournal(await ioredisCluster(t, cluster), { prefix: 'test:', sharded: false, stopTimeoutMs: 10_000 })
    t.teardown(async () => { await journal.close() })
    await journal.ready()
    return journal
  }
  const [journal, peer] = [await make(), await make()]
  // So many owners that their keys are in all parts.
  await Promise.all(Array.from({ length: 12 }, async (_, owner) => {
    const key = { owner: `${owner}`, agentId: 'main', sessionId: 's' }
    await journal.offer(key, { turnId: 't1', message: 't1?', acceptedAt: 1 }, { onBusy: 'queue', maxQueued: 9, displacedEnd: ABORTED })
    let asked = 0
    await journal.take(key, () => ++asked > 0)
    await peer.followTurn(key, 't1', () => {})
    // Nodes that do not answer in time are not counted.
    await t.resolves(until('its reader to be counted', 30_000, async () => await journal.readers(key, 't1') === 1))
    t.strictSame(await peer.cancel(key, 't1', ABORTED), ['t1'])
    t.equal(asked, 1, 'its node was asked')
  }))
})
