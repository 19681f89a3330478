import { connectAtLast, destroyForGood, duplicateOf } from './node-redis-duplicate.js'
import type { NodeRedisClient, RedisSubscriber, RedisSubscriberOptions } from './redis-client.js'

/** By then what was subscribed to is so again. */
const CONNECTED = ['ready', 'connect', 'node-ready', 'sharded-channel-moved']

/** Listens by `redis`. */
export function nodeRedisSubscriber (
  client: NodeRedisClient, { isSharded, connectTimeoutMs, onMessage, onConnected }: RedisSubscriberOptions
): RedisSubscriber {
  let isClosed = false
  const own = duplicateOf(client, () => isClosed, { socket: { connectTimeout: connectTimeoutMs } })
  const onFailed = (): void => {
    // It tries again by itself.
  }
  own.on('error', onFailed)
  const tell = (): void => { if (!isClosed) onConnected() }
  for (const event of CONNECTED) own.on(event, tell)
  void connectAtLast(own, () => isClosed, onFailed).then((isConnected) => { if (isConnected) tell() })

  const listener = (message: string, channel: string): void => { onMessage(channel, message) }
  return {
    async subscribe (channel) {
      await (isSharded ? own.sSubscribe(channel, listener) : own.subscribe(channel, listener))
    },
    async unsubscribe (channel) {
      await (isSharded ? own.sUnsubscribe(channel) : own.unsubscribe(channel))
    },
    isReady: () => own.isOpen && own.isReady !== false,
    close () {
      isClosed = true
      if (own.isOpen) destroyForGood(own)
    }
  }
}
