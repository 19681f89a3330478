import { journalSuite, type ConformanceTest, type JournalLimits } from '../../lib/conformance/index.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'

/** Long enough for what Redis answers on a machine that is busy, short enough to be waited for. */
const WINDOW_MS = 400

/** One node's way to Redis, and how to cut it. */
export interface NodeWay {
  client: RedisClient
  cut: () => void
  mend: () => void
}

/** The suite over two nodes; each of its tests has a prefix of its own. */
export function redisJournalSuite (way: NodeWay, other: RedisClient): ConformanceTest[] {
  let count = 0
  return journalSuite(async ({ maxSessions, ...limits }: JournalLimits) => {
    const options = { prefix: `suite${++count}:`, sweepMs: 50, stopTimeoutMs: 300, ...limits }
    const [journal, peer] = [redisJournal(way.client, options), redisJournal(other, options)]
    await Promise.all([journal.ready(), peer.ready()])
    return {
      journal,
      peer,
      advance: (ms) => new Promise((resolve) => { setTimeout(resolve, ms) }),
      cutOff () {
        way.cut()
        return () => { way.mend() }
      }
    }
  }, { windowMs: WINDOW_MS, isShared: true, patienceMs: 20_000 })
}
