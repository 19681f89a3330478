import t from 'tap'

import { redisJournalSuite } from './journal-suites.js'
import { Line } from './line.js'
import { ioredisClient, nodeRedisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

t.test('a journal in Redis passes the whole suite, over ioredis', async (t) => {
  const server = await RedisServer.start(t)
  const line = await Line.to(t, server.port)
  const way = { client: await ioredisClient(t, server, { port: line.port }), cut: () => { line.cut() }, mend: () => { line.mend() } }
  for (const { name, run } of redisJournalSuite(way, await ioredisClient(t, server))) await t.resolves(run(), name)
})

t.test('a journal in Redis passes the whole suite, over redis', async (t) => {
  const server = await RedisServer.start(t)
  const line = await Line.to(t, server.port)
  const client = await nodeRedisClient(t, { url: `redis://127.0.0.1:${line.port}` })
  const way = { client, cut: () => { line.cut() }, mend: () => { line.mend() } }
  for (const { name, run } of redisJournalSuite(way, await nodeRedisClient(t, server))) await t.resolves(run(), name)
})
