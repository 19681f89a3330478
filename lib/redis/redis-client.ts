import { IoredisLink } from './ioredis-link.js'
import { NodeRedisLink } from './node-redis-link.js'
import type { IoredisClient, NodeRedisClient, RedisLink, RedisLinkEvents, RedisLinkSettings } from './redis-link.js'

/** The host's own client: only its settings are used, for connections of our own. */
export type RedisClient = IoredisClient | NodeRedisClient

/** @throws TypeError when it is neither a client of `ioredis` nor of `redis` */
export function redisLink (client: RedisClient, settings: RedisLinkSettings, events: RedisLinkEvents): RedisLink {
  if (hasMethods(client, 'duplicate', 'call') && 'status' in client) return new IoredisLink(client, settings, events)
  if (hasMethods(client, 'duplicate', 'sendCommand') && 'isOpen' in client) return new NodeRedisLink(client, settings, events)
  throw new TypeError('expected a client of `ioredis` (`new Redis()`, `new Cluster()`) or of `redis` (`createClient()`, `createCluster()`)')
}

export function isClusterClient (client: RedisClient): boolean {
  return 'isCluster' in client ? client.isCluster : 'slots' in client
}

function hasMethods (value: unknown, ...names: string[]): boolean {
  return typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function')
}
