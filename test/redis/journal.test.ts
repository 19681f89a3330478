import t from 'tap'

import { passJournalSuite, wayOver } from './journal-suites.js'
import { Line } from './line.js'
import { ioredisClient, nodeRedisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

// They mostly wait.
t.jobs = 2

t.test('a journal in Redis passes the whole suite, over ioredis', { timeout: 300_000, buffered: true }, async (t) => {
  const server = await RedisServer.start(t)
  const line = await Line.to(t, server.port)
  await passJournalSuite(t, wayOver(await ioredisClient(t, server, { port: line.port }), line), await ioredisClient(t, server))
})

t.test('a journal in Redis passes the whole suite, over redis', { timeout: 300_000, buffered: true }, async (t) => {
  const server = await RedisServer.start(t)
  const line = await Line.to(t, server.port)
  const client = await nodeRedisClient(t, { url: `redis://127.0.0.1:${line.port}` })
  await passJournalSuite(t, wayOver(client, line), await nodeRedisClient(t, server))
})
