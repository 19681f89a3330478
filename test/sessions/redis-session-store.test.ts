import t from 'tap'

import { sessionStoreSuite } from '../../lib/conformance/index.js'
import { redisSessionStore } from '../../lib/sessions/redis-session-store.js'
import { ioredisClient, ioredisCluster, nodeRedisClient, nodeRedisCluster } from '../redis/redis-clients.js'
import { startRedisCluster } from '../redis/redis-cluster.js'
import { RedisServer } from '../redis/redis-server.js'

t.test('the whole suite is passed', async (t) => {
  const [server, cluster] = await Promise.all([RedisServer.start(t), startRedisCluster(t)])
  const clients = {
    'by a client of ioredis': await ioredisClient(t, server),
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
