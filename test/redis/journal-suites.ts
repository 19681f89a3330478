import { journalSuite, type ConformanceTest, type JournalLimits } from '../../lib/conformance/index.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'
import { until } from './until.js'

/** Long enough for what Redis answers on a machine that is busy, short enough to be waited for. */
const WINDOW_MS = 1_000

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
        return async () => {
          way.mend()
          const other = { owner: 'ann', agentId: 'main', sessionId: 'whether Redis answers' }
          await until('the way to Redis', 10_000, async () => {
            try {
              return (await journal.publish(other, 'news', '{}')).seq > 0
            } catch {
              return false
            }
          })
        }
      }
    }
  }, { windowMs: WINDOW_MS, isShared: true, patienceMs: 30_000 })
}
