import type { Test } from 'tap'

import { RedisServer } from '../../redis/redis-server.js'
import { Fleet } from './fleet.js'
import { runNodesSeed, type SeedReport } from './run-seed.js'

const NODES = 3
export const LEASE_MS = 1_500
export const SWEEP_MS = 300

/** Three nodes and a Redis that keeps what it has confirmed, for as long as the task takes. */
export async function withNodes (
  { bug }: { bug?: string | undefined }, task: (runSeed: (seed: number) => Promise<SeedReport>, fleet: Fleet) => Promise<void>
): Promise<void> {
  const ends: Array<() => unknown> = []
  // Of a test no more is needed here.
  const owner = { teardown: (end: () => unknown) => { ends.unshift(end) } } as unknown as Test
  try {
    const server = await RedisServer.start(owner, { settings: { appendonly: 'yes', appendfsync: 'always' } })
    const prefix = 'faults:'
    const fleet = await Fleet.start(NODES, { redisPort: server.port, prefix, leaseMs: LEASE_MS, sweepMs: SWEEP_MS, bug })
    ends.unshift(() => { fleet.close() })
    await task((seed) => runNodesSeed(seed, { server, fleet, prefix, leaseMs: LEASE_MS }), fleet)
  } finally {
    for (const end of ends) await end()
  }
}
