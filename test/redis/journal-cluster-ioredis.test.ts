import t from 'tap'

import { linedCluster, passJournalSuite, wayOver } from './journal-suites.js'
import { ioredisCluster } from './redis-clients.js'

t.test('a journal in a cluster passes the whole suite, over ioredis', { timeout: 300_000 }, async (t) => {
  const { cluster, lines, addresses } = await linedCluster(t)
  const client = await ioredisCluster(t, cluster, { natMap: addresses })
  await passJournalSuite(t, wayOver(client, ...lines), await ioredisCluster(t, cluster))
})
