import t from 'tap'

import { linedCluster, passJournalSuite, wayOver } from './journal-suites.js'
import { nodeRedisCluster } from './redis-clients.js'

t.test('a journal in a cluster passes the whole suite, over redis', { timeout: 300_000 }, async (t) => {
  const { cluster, lines, addresses } = await linedCluster(t)
  const client = await nodeRedisCluster(t, cluster, { nodeAddressMap: addresses })
  await passJournalSuite(t, wayOver(client, ...lines), await nodeRedisCluster(t, cluster))
})
