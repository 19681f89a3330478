import { backOffMs, type NodeRedisClient, type RedisLink, type RedisLinkEvents, type RedisLinkSettings } from './redis-link.js'

/** Connections of `redis`. */
export class NodeRedisLink implements RedisLink {
  readonly isCluster: boolean
  readonly #commands: NodeRedis
  readonly #subscriber: NodeRedis
  readonly #isSharded: boolean
  readonly #events: RedisLinkEvents
  readonly #connected: Promise<unknown>
  #isClosed = false

  constructor (client: NodeRedisClient, { isSharded, connectTimeoutMs }: RedisLinkSettings, events: RedisLinkEvents) {
    this.isCluster = 'slots' in client
    this.#isSharded = isSharded
    this.#events = events
    this.#commands = this.#duplicate(client, connectTimeoutMs)
    this.#subscriber = this.#duplicate(client, connectTimeoutMs)
    for (const connection of [this.#commands, this.#subscriber]) connection.on('error', events.onError)
    // By then what was subscribed to is so again.
    for (const event of RESTORED) this.#subscriber.on(event, events.onRestored)
    this.#connected = this.#subscriber.connect()
    for (const connected of [this.#connected, this.#commands.connect()]) {
      connected.catch((err: unknown) => { if (!this.#isClosed && err instanceof Error) events.onError(err) })
    }
  }

  send (key: string, args: readonly string[]): Promise<unknown> {
    return this.isCluster ? this.#commands.sendCommand(key, false, [...args]) : this.#commands.sendCommand([...args])
  }

  async subscribe (channel: string): Promise<void> {
    await this.#connected
    const onMessage = this.#onMessage
    await (this.#isSharded ? this.#subscriber.sSubscribe(channel, onMessage) : this.#subscriber.subscribe(channel, onMessage))
  }

  async unsubscribe (channel: string): Promise<void> {
    await (this.#isSharded ? this.#subscriber.sUnsubscribe(channel) : this.#subscriber.unsubscribe(channel))
  }

  close (): void {
    this.#isClosed = true
    for (const connection of [this.#commands, this.#subscriber]) if (connection.isOpen) connection.destroy()
  }

  readonly #onMessage = (message: string, channel: string): void => { this.#events.onMessage(channel, message) }

  #duplicate (client: NodeRedisClient, connectTimeout: number): NodeRedis {
    // The shape of redis, as checked by whoever made the link.
    const { duplicate, options } = client as unknown as { duplicate: (given: object) => NodeRedis, options?: { socket?: object } }
    const own = { disableOfflineQueue: true, keyPrefix: '' }
    const socket = { connectTimeout, reconnectStrategy: backOffMs }
    if (!this.isCluster) return duplicate.call(client, { ...own, socket: { ...options?.socket, ...socket } })
    const { defaults } = (Reflect.get(client, '_options') ?? {}) as { defaults?: { socket?: object } }
    // A node's connection is made when it is needed: it has to hold what waits for that.
    return duplicate.call(client, { keyPrefix: '', defaults: { ...defaults, socket: { ...defaults?.socket, ...socket } } })
  }
}

const RESTORED = ['ready', 'node-ready', 'sharded-channel-moved']

interface NodeRedis {
  readonly isOpen: boolean
  connect (): Promise<unknown>
  sendCommand (args: string[]): Promise<unknown>
  sendCommand (key: string, isReadonly: boolean, args: string[]): Promise<unknown>
  subscribe (channel: string, listener: Listener): Promise<unknown>
  sSubscribe (channel: string, listener: Listener): Promise<unknown>
  unsubscribe (channel: string): Promise<unknown>
  sUnsubscribe (channel: string): Promise<unknown>
  on (event: string, listener: (...given: never[]) => void): unknown
  destroy (): void
}

type Listener = (message: string, channel: string) => void
