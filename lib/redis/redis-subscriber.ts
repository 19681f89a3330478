import { ioredisSubscriber } from './ioredis-subscriber.js'
import { isIoredisClient } from './ioredis-wire.js'
import { nodeRedisSubscriber } from './node-redis-subscriber.js'
import type { RedisClient, RedisSubscriber, RedisSubscriberOptions } from './redis-client.js'

/** A duplicate of a host's client, as `RedisLink` has taken it. */
export function redisSubscriber (client: RedisClient, options: RedisSubscriberOptions): RedisSubscriber {
  return isIoredisClient(client) ? ioredisSubscriber(client, options) : nodeRedisSubscriber(client, options)
}
