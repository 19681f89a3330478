import { ioredisSubscriber } from './ioredis-subscriber.js'
import { isIoredisClient } from './ioredis-wire.js'
import { nodeRedisSubscriber } from './node-redis-subscriber.js'
import type { RedisClient } from './redis-client.js'

/** One connection that only listens, or in a cluster with sharded channels one to each part that has some. */
export interface RedisSubscriber {
  /** Settles when it is in force. Rejects while there is no connection. */
  subscribe (channel: string): Promise<void>
  unsubscribe (channel: string): Promise<void>
  close (): void
}

export interface RedisSubscriberOptions {
  /** Channels of a cluster are told by the part alone that keeps keys of their hash tag. */
  isSharded: boolean
  /** Milliseconds that a connection may take. */
  connectTimeoutMs: number
  onMessage: (channel: string, message: string) => void
  /** There is a connection, and all subscriptions are in force: at first, and after each break, during which messages were missed. */
  onConnected: () => void
}

/** A duplicate of a host's client, as `RedisLink` has taken it. */
export function redisSubscriber (client: RedisClient, options: RedisSubscriberOptions): RedisSubscriber {
  return isIoredisClient(client) ? ioredisSubscriber(client, options) : nodeRedisSubscriber(client, options)
}
