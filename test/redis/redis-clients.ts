import { Cluster, Redis, type ClusterOptions, type RedisOptions } from 'ioredis'
import { createClient, createCluster, type RedisClientOptions, type RedisClusterOptions } from 'redis'
import type { Test } from 'tap'

import type { RedisCluster } from './redis-cluster.js'
import type { RedisServer } from './redis-server.js'

const HOST = '127.0.0.1'

// Each resolves once its client is connected, with a listener for its errors as a host would have one. They close with their test.

export async function ioredisClient (t: Test, { port }: RedisServer, options: IoredisOptions = {}): Promise<Redis> {
  const client = new Redis({ port, host: HOST, ...options, lazyConnect: true })
  client.on('error', ignore)
  t.teardown(() => { client.disconnect() })
  await client.connect()
  return client
}

export async function ioredisCluster (t: Test, { nodes }: RedisCluster, options: IoredisClusterOptions = {}): Promise<Cluster> {
  const client = new Cluster(nodes.map(({ port }) => ({ port, host: HOST })), { ...options, lazyConnect: true })
  client.on('error', ignore)
  t.teardown(() => { client.disconnect() })
  await client.connect()
  return client
}

export async function nodeRedisClient (t: Test, { url }: Pick<RedisServer, 'url'>, options: NodeRedisOptions = {}) {
  const client = createClient({ ...options, url })
  client.on('error', ignore)
  t.teardown(() => { if (client.isOpen) client.destroy() })
  await client.connect()
  return client
}

export async function nodeRedisCluster (t: Test, { nodes }: RedisCluster, options: NodeRedisClusterOptions = {}) {
  let isClosed = false
  // Destroyed while it looks for its nodes anew it connects to them afterwards, and would do so for ever once they are gone.
  for (const address of Object.values(options.nodeAddressMap ?? {})) Object.assign(address, { reconnectStrategy: () => !isClosed && 100 })
  const client = createCluster({ ...options, rootNodes: nodes.map(({ url }) => ({ url })) })
  client.on('error', ignore)
  t.teardown(() => {
    isClosed = true
    if (client.isOpen) client.destroy()
  })
  await client.connect()
  return client
}

function ignore (): void {
  // A server that is down is what these tests are about.
}

/** Without the overloads by which ioredis tells what replies look like. */
type IoredisOptions = Omit<RedisOptions, 'replyMapping'>
type IoredisClusterOptions = Omit<ClusterOptions, 'redisOptions'>
type NodeRedisClusterOptions = Pick<RedisClusterOptions, 'defaults' | 'nodeAddressMap'>
type NodeRedisOptions = Pick<RedisClientOptions, 'disableOfflineQueue' | 'keyPrefix' | 'socket' | 'username' | 'password'>
