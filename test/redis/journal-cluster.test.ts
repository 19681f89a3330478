import t, { type Test } from 'tap'

import { passJournalSuite, wayOver } from './journal-suites.js'
import { Line } from './line.js'
import { ioredisCluster, nodeRedisCluster } from './redis-clients.js'
import { startRedisCluster } from './redis-cluster.js'

/** A cluster, and lines to its nodes under which they are known by their own addresses. */
async function lined (t: Test) {
  const cluster = await startRedisCluster(t)
  const lines: Line[] = []
  const addresses: Record<string, { host: string, port: number }> = {}
  for (const { port } of cluster.nodes) {
    const line = await Line.to(t, port)
    lines.push(line)
    addresses[`127.0.0.1:${port}`] = { host: '127.0.0.1', port: line.port }
  }
  return { cluster, lines, addresses }
}

t.test('a journal in a cluster passes the whole suite, over ioredis', async (t) => {
  const { cluster, lines, addresses } = await lined(t)
  const client = await ioredisCluster(t, cluster, { natMap: addresses })
  await passJournalSuite(t, wayOver(client, ...lines), await ioredisCluster(t, cluster))
})

t.test('a journal in a cluster passes the whole suite, over redis', async (t) => {
  const { cluster, lines, addresses } = await lined(t)
  const client = await nodeRedisCluster(t, cluster, { nodeAddressMap: addresses })
  await passJournalSuite(t, wayOver(client, ...lines), await nodeRedisCluster(t, cluster))
})
