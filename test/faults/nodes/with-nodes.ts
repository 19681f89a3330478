import type { Test } from 'tap'

import { RedisServer } from '../../redis/redis-server.js'
import { SubscriberLine } from '../../redis/subscriber-line.js'
import { Fleet } from './fleet.js'

export interface NodesOptions {
  bug?: string | undefined
  /** @default 3 */
  count?: number
}

export interface NodesTools {
  server: RedisServer
  fleet: Fleet
  /** The way of all nodes to Redis. */
  line: SubscriberLine
  prefix: string
  leaseMs: number
}

export const LEASE_MS = 1_500
export const SWEEP_MS = 300

/** Nodes and a Redis that keeps what it has confirmed, for as long as the task takes. */
export async function withNodes<T> ({ bug, count = 3 }: NodesOptions, task: (tools: NodesTools) => Promise<T>): Promise<T> {
  const ends: Array<() => unknown> = []
  // Of a test no more is needed here.
  const owner = { teardown: (end: () => unknown) => { ends.unshift(end) } } as unknown as Test
  try {
    const server = await RedisServer.start(owner, { settings: { appendonly: 'yes', appendfsync: 'always' } })
    const line = await SubscriberLine.to(owner, server.port)
    const prefix = 'faults:'
    const fleet = await Fleet.start(count, { redisPort: line.port, prefix, leaseMs: LEASE_MS, sweepMs: SWEEP_MS, bug })
    ends.unshift(() => { fleet.close() })
    return await task({ server, fleet, line, prefix, leaseMs: LEASE_MS })
  } finally {
    for (const end of ends) await end()
  }
}
