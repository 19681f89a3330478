import { connectAtLast, destroyForGood, duplicateOf } from './node-redis-duplicate.js'
import type { NodeRedisClient, RedisSubscriber, RedisSubscriberOptions } from './redis-client.js'

/** By then what was subscribed to is so again. */
const CONNECTED = ['ready', 'connect', 'node-ready', 'sharded-channel-moved']

/** Listens by `redis`. */
export function nodeRedisSubscriber (
  client: NodeRedisClient, { isSharded, connectTimeoutMs, onMessage, onConnected }: RedisSubscriberOptions
): RedisSubscriber {
  const closing = new AbortController()
  const own = duplicateOf(client, closing.signal, { socket: { connectTimeout: connectTimeoutMs } })
  const onFailed = (): void => {
    // It tries again by itself.
  }
  own.on('error', onFailed)
  const tell = (): void => { if (!closing.signal.aborted) onConnected() }
  for (const event of CONNECTED) own.on(event, tell)
  void connectAtLast(own, closing.signal, onFailed).then((isConnected) => { if (isConnected) tell() })

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
      closing.abort()
      if (own.isOpen) destroyForGood(own)
    }
  }
}
