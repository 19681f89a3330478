import type { Test } from 'tap'

import { journalSuite, type ConformanceTest, type JournalLimits } from '../../lib/conformance/index.js'
import type { Journal } from '../../lib/journal/journal.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisClient } from '../../lib/redis/redis-client.js'
import { Line } from './line.js'
import { startRedisCluster } from './redis-cluster.js'
import { until } from './until.js'

/** Long enough for what Redis answers on a machine that is busy, short enough to be waited for. */
const WINDOW_MS = 2_000

/** One node's way to Redis, and how to cut it. */
export interface NodeWay {
  client: RedisClient
  cut: () => void
  mend: () => void
}

/** Names the journals apart that share a Redis. */
let count = 0

/**
 * The suite over two nodes; each of its tests has a prefix of its own.
 * @param around made for each journal: what stands before each of its nodes
 */
export function redisJournalSuite (
  way: NodeWay, other: RedisClient, { windowMs = WINDOW_MS, patienceMs = 30_000, around = () => (node: Journal) => node } = {}
): ConformanceTest[] {
  return journalSuite(async ({ maxSessions, ...limits }: JournalLimits) => {
    // A test that failed may have left it cut.
    way.mend()
    const options = { prefix: `suite${++count}:`, sweepMs: 200, stopTimeoutMs: 1_000, ...limits }
    const [journal, peer] = [redisJournal(way.client, options), redisJournal(other, options)]
    await Promise.all([journal.ready(), peer.ready()])
    const before = around()
    return {
      journal: before(journal),
      peer: before(peer),
      advance: (ms) => new Promise((resolve) => { setTimeout(resolve, ms) }),
      cutOff () {
        way.cut()
        return async () => {
          way.mend()
          await wayBack(journal)
        }
      }
    }
  }, { windowMs, isShared: true, patienceMs })
}

/** The first sentence that speaks of nodes: their tests cut the way that all others have too. */
export const FIRST_SHARED = 21
const AT_ONCE = 4

/** Passes the suite: what has nothing to do with the way to Redis, several tests at once; then those that mostly wait, all at once. */
export async function passJournalSuite (t: Test, way: NodeWay, other: RedisClient): Promise<void> {
  const suite = redisJournalSuite(way, other)
  const isAlone = ({ must }: ConformanceTest): boolean => must.some((sentence) => sentence >= FIRST_SHARED)
  const ofWindow = suite.filter((each) => !isAlone(each) && each.name.includes('window'))
  const others = suite.filter((each) => !isAlone(each) && !ofWindow.includes(each)).values()
  const pass = ({ name, run }: ConformanceTest): Promise<unknown> => t.resolves(run(), name)
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (const each of others) await pass(each)
  }))
  await Promise.all(ofWindow.map(pass))
  for (const each of suite.filter(isAlone)) await pass(each)
}

/** A way over lines that are cut together. */
export function wayOver (client: RedisClient, ...lines: Line[]): NodeWay {
  return {
    client,
    cut () { for (const line of lines) line.cut() },
    mend () { for (const line of lines) line.mend() }
  }
}

/** A cluster, and lines to its nodes under which they are known by their own addresses. */
export async function linedCluster (t: Test) {
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

/** So many owners are in every part of a cluster of three, but for one case in a million. */
const OWNERS = 40

async function wayBack (journal: Journal): Promise<void> {
  let last: unknown
  const answersEverywhere = async (): Promise<boolean> => {
    try {
      for (let owner = 0; owner < OWNERS; owner++) await journal.publish({ owner: `${owner}`, agentId: 'main', sessionId: 's' }, 'news', '{}')
      return true
    } catch (err) {
      last = err
      return false
    }
  }
  try {
    await until('the way to Redis', 20_000, answersEverywhere)
  } catch (err) {
    throw new Error(`${String(err)}: ${String(last)}`, { cause: last })
  }
}
