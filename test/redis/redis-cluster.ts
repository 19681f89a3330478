import { Redis } from 'ioredis'
import type { Test } from 'tap'

import { RedisServer, type RedisServerOptions } from './redis-server.js'
import { until } from './until.js'

const SLOTS = 16_384
const MASTERS = 3
const PATIENCE_MS = 30_000

/** Three masters that share the slots between them, without replicas. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
}

/** Resolves once each of the three says that the whole cluster is well. They end with the test. */
export async function startRedisCluster (t: Test, { settings = {} }: RedisServerOptions = {}): Promise<RedisCluster> {
  const all = { 'cluster-enabled': 'yes', 'cluster-node-timeout': 5_000, ...settings }
  const nodes = await Promise.all(Array.from({ length: MASTERS }, () => RedisServer.start(t, { settings: all })))
  const clients = nodes.map(({ port }) => new Redis(port, '127.0.0.1'))
  try {
    await join(nodes, clients)
    await until('the cluster to be well', PATIENCE_MS, async () => {
      const states = await Promise.all(clients.map((client) => client.cluster('INFO')))
      // One that need not be whole is well before it knows all of its parts, and so would be whoever asks it for them.
      const wanted = ['cluster_state:ok', `cluster_known_nodes:${MASTERS}`, `cluster_slots_assigned:${SLOTS}`]
      return states.every((state) => wanted.every((line) => state.split('\r\n').includes(line)))
    })
  } finally {
    for (const client of clients) client.disconnect()
  }
  return { nodes }
}

async function join (nodes: readonly RedisServer[], clients: readonly Redis[]): Promise<void> {
  for (const [index, client] of clients.entries()) {
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    await client.call('CLUSTER', 'ADDSLOTS', ...slotsOf(index))
  }
  for (const { port } of nodes.slice(1)) await clients[0]?.call('CLUSTER', 'MEET', '127.0.0.1', port)
}

/** Each node's share. */
function slotsOf (index: number): number[] {
  const start = Math.floor(SLOTS * index / MASTERS)
  return Array.from({ length: Math.floor(SLOTS * (index + 1) / MASTERS) - start }, (_, slot) => start + slot)
}
