import { backOffMs } from './back-off.js'
import type { IoredisClient, RedisSubscriber, RedisSubscriberOptions } from './redis-client.js'

/** So many channels are subscribed to by one command. */
const CHANNELS_PER_COMMAND = 500
const CLOSED = 'the subscriber was closed'
const CONNECTED = ['ready', '+subscriber', 'subscribersReady']

/** Listens by `ioredis`. */
export function ioredisSubscriber (
  client: IoredisClient, { isSharded, connectTimeoutMs, onMessage, onConnected }: RedisSubscriberOptions
): RedisSubscriber {
  const own = duplicateOf(client, connectTimeoutMs, isSharded)
  const channels = new Set<string>()
  own.on('error', () => {
    // It tries again by itself.
  })
  own.on(isSharded ? 'smessage' : 'message', onMessage)
  const waiting: Array<{ resolve: () => void, reject: (err: Error) => void }> = []
  own.on('ready', () => { for (const { resolve } of waiting.splice(0)) resolve() })
  own.on('end', () => { for (const { reject } of waiting.splice(0)) reject(new Error(CLOSED)) })
  for (const event of CONNECTED) own.on(event, () => { void renew() })

  /** All of them again, and told when that is in force. */
  async function renew (): Promise<void> {
    const all = [...channels]
    const some = Array.from({ length: Math.ceil(all.length / CHANNELS_PER_COMMAND) }, (_, index) => (
      all.slice(index * CHANNELS_PER_COMMAND, (index + 1) * CHANNELS_PER_COMMAND)))
    const renewed = await Promise.allSettled(some.map(subscribe))
    // If it broke again, the next connection will tell.
    if (renewed.every(({ status }) => status === 'fulfilled')) onConnected()
  }

  async function subscribe (some: string[]): Promise<void> {
    // Parts of a cluster are apart: one command takes channels of one slot.
    if (isSharded) {
      await ready()
      await Promise.all(some.map((channel) => own.ssubscribe(channel)))
    } else {
      await own.subscribe(...some)
    }
  }

  /**
   * What waits for a connection does so here. In the queue of ioredis it would be sent when the cluster is ready, and if the
   * part that it is for is not known by then, throw where nobody can catch it (`getResponsibleSubscriber` of 5.11).
   */
  async function ready (): Promise<void> {
    if (own.status === 'ready') return
    if (own.status === 'end') throw new Error(CLOSED)
    await new Promise<void>((resolve, reject) => { waiting.push({ resolve, reject }) })
  }

  return {
    async subscribe (channel) {
      channels.add(channel)
      try {
        await subscribe([channel])
      } catch (error) {
        channels.delete(channel)
        throw error
      }
    },
    async unsubscribe (channel) {
      channels.delete(channel)
      if (isSharded) await ready()
      await (isSharded ? own.sunsubscribe(channel) : own.unsubscribe(channel))
    },
    isReady: () => own.status === 'ready',
    close () { own.disconnect() }
  }
}

function duplicateOf (client: IoredisClient, connectTimeout: number, shardedSubscribers: boolean): Duplicate {
  // What `isIoredisClient` has found has this method, with these parameters.
  const { duplicate, options } = client as unknown as { duplicate: (...given: unknown[]) => Duplicate, options?: { redisOptions?: object } }
  // By itself ioredis would subscribe again too, without saying when that is in force; and where the connection breaks meanwhile,
  // with a rejection that nobody can handle.
  const connection = { connectTimeout, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, autoResubscribe: false, keyPrefix: '' }
  if ('isCluster' in client && client.isCluster === true) {
    return duplicate.call(client, [], {
      keyPrefix: '',
      enableOfflineQueue: true,
      lazyConnect: false,
      clusterRetryStrategy: backOffMs,
      shardedSubscribers,
      redisOptions: { ...options?.redisOptions, ...connection }
    })
  }
  return duplicate.call(client, { ...connection, enableOfflineQueue: false, lazyConnect: false, retryStrategy: backOffMs })
}

interface Duplicate {
  readonly status: string
  subscribe (...channels: string[]): Promise<unknown>
  ssubscribe (channel: string): Promise<unknown>
  unsubscribe (channel: string): Promise<unknown>
  sunsubscribe (channel: string): Promise<unknown>
  on (event: string, listener: (channel: string, message: string) => void): unknown
  disconnect (): void
}
