import t, { type Test } from 'tap'

import { journalSuite } from '../../lib/conformance/index.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

const WINDOW_MS = 300

/** Two nodes over one server; each test has a prefix of its own. */
function suiteOver (client: RedisClient) {
  let count = 0
  return journalSuite(async (limits) => {
    const prefix = `suite${++count}:`
    const [journal, peer] = [redisJournal(client, { prefix, ...optionsOf(limits) }), redisJournal(client, { prefix, ...optionsOf(limits) })]
    await Promise.all([journal.ready(), peer.ready()])
    return { journal, peer, advance: (ms) => new Promise((resolve) => { setTimeout(resolve, ms) }) }
  }, { windowMs: WINDOW_MS })
}

function optionsOf ({ maxSessions, ...limits }: { maxSessions: number, maxEntries: number, maxAgeMs: number, dedupWindowMs: number, maxClaimsPerOwner: number }) {
  return limits
}

async function pass (t: Test, client: RedisClient): Promise<void> {
  for (const { name, run } of suiteOver(client)) await t.resolves(run(), name)
}

t.test('a journal in Redis passes the whole suite, over ioredis', async (t) => {
  const server = await RedisServer.start(t)
  await pass(t, await ioredisClient(t, server))
})
