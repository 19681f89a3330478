import { backOffMs, type IoredisClient, type RedisLink, type RedisLinkEvents, type RedisLinkSettings } from './redis-link.js'

/** So many channels are subscribed to by one command. */
const CHANNELS_PER_COMMAND = 500

/** Connections of `ioredis`. */
export class IoredisLink implements RedisLink {
  readonly isCluster: boolean
  readonly #commands: Ioredis
  readonly #subscriber: Ioredis
  readonly #events: RedisLinkEvents
  readonly #channels = new Set<string>()
  readonly #isSharded: boolean

  constructor (client: IoredisClient, { isSharded, connectTimeoutMs }: RedisLinkSettings, events: RedisLinkEvents) {
    this.isCluster = client.isCluster
    this.#isSharded = isSharded
    this.#events = events
    this.#commands = duplicate(client, connectTimeoutMs, false)
    this.#subscriber = duplicate(client, connectTimeoutMs, isSharded)
    for (const connection of [this.#commands, this.#subscriber]) connection.on('error', events.onError)
    this.#subscriber.on(isSharded ? 'smessage' : 'message', events.onMessage)
    for (const event of RESTORED) this.#subscriber.on(event, () => { this.#restore() })
  }

  send (_key: string, [name = '', ...args]: readonly string[]): Promise<unknown> {
    return this.#commands.call(name, ...args)
  }

  async subscribe (channel: string): Promise<void> {
    this.#channels.add(channel)
    await this.#subscribe([channel])
  }

  async unsubscribe (channel: string): Promise<void> {
    this.#channels.delete(channel)
    await (this.#isSharded ? this.#subscriber.sunsubscribe(channel) : this.#subscriber.unsubscribe(channel))
  }

  close (): void {
    this.#commands.disconnect()
    this.#subscriber.disconnect()
  }

  /** ioredis renews subscriptions by itself, but does not say when they are in force: asking for them once more does. */
  #restore (): void {
    this.#subscribeAll().then(this.#events.onRestored, this.#events.onError)
  }

  async #subscribeAll (): Promise<void> {
    const channels = [...this.#channels]
    for (let from = 0; from < channels.length; from += CHANNELS_PER_COMMAND) {
      await this.#subscribe(channels.slice(from, from + CHANNELS_PER_COMMAND))
    }
  }

  async #subscribe (channels: string[]): Promise<void> {
    // Shards are apart: one command for the channels of one slot.
    if (this.#isSharded) await Promise.all(channels.map((channel) => this.#subscriber.ssubscribe(channel)))
    else await this.#subscriber.subscribe(...channels)
  }
}

const RESTORED = ['ready', '+subscriber', 'subscribersReady']

function duplicate (client: IoredisClient, connectTimeout: number, shardedSubscribers: boolean): Ioredis {
  const own = {
    keyPrefix: '',
    connectTimeout,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    lazyConnect: false,
    retryStrategy: backOffMs
  }
  // The shape of ioredis, as checked by whoever made the link.
  const { duplicate } = client as unknown as { duplicate: (...given: unknown[]) => Ioredis }
  if (!client.isCluster) return duplicate.call(client, own)
  const { lazyConnect, enableOfflineQueue, keyPrefix } = own
  // Its connections are made lazily: those of single nodes have to hold what waits for that, and nothing longer than a connection takes.
  const redisOptions = { connectTimeout, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, keyPrefix }
  return duplicate.call(client, [], {
    keyPrefix, enableOfflineQueue, lazyConnect, clusterRetryStrategy: backOffMs, shardedSubscribers, redisOptions
  })
}

interface Ioredis {
  call (name: string, ...args: string[]): Promise<unknown>
  subscribe (...channels: string[]): Promise<unknown>
  ssubscribe (channel: string): Promise<unknown>
  unsubscribe (channel: string): Promise<unknown>
  sunsubscribe (channel: string): Promise<unknown>
  on (event: string, listener: (...given: never[]) => void): unknown
  disconnect (): void
}
