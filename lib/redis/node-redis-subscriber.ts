import { backOffMs } from './back-off.js'
import type { NodeRedisClient, RedisSubscriber, RedisSubscriberOptions } from './redis-client.js'

/** By then what was subscribed to is so again. */
const CONNECTED = ['ready', 'connect', 'node-ready', 'sharded-channel-moved']

/** Listens by `redis`. */
export function nodeRedisSubscriber (
  client: NodeRedisClient, { isSharded, connectTimeoutMs, onMessage, onConnected }: RedisSubscriberOptions
): RedisSubscriber {
  // What `isNodeRedisClient` has found has these members.
  const { duplicate, options, _options } = client as unknown as Host
  const withOwn = (host: ConnectionOptions = {}): ConnectionOptions => ({
    ...host, socket: { ...host.socket, connectTimeout: connectTimeoutMs, reconnectStrategy: backOffMs }
  })
  const own = duplicate.call(client, _options === undefined ? withOwn(options) : { defaults: withOwn(_options.defaults) })
  let isClosed = false
  own.on('error', () => {
    // It tries again by itself.
  })
  for (const event of CONNECTED) own.on(event, onConnected)
  void connect()

  /** A client tries again by itself, but a cluster that was never reached does not. */
  async function connect (): Promise<void> {
    for (let attempt = 0; !isClosed && !own.isOpen; attempt++) {
      await own.connect().then(onConnected, () => new Promise((resolve) => { setTimeout(resolve, backOffMs(attempt)).unref() }))
    }
  }

  const listener = (message: string, channel: string): void => { onMessage(channel, message) }
  return {
    async subscribe (channel) {
      await (isSharded ? own.sSubscribe(channel, listener) : own.subscribe(channel, listener))
    },
    async unsubscribe (channel) {
      await (isSharded ? own.sUnsubscribe(channel) : own.unsubscribe(channel))
    },
    close () {
      isClosed = true
      if (own.isOpen) own.destroy()
    }
  }
}

interface Host {
  duplicate: (overrides: object) => Duplicate
  options?: ConnectionOptions
  /** Of a cluster. */
  _options?: { defaults?: ConnectionOptions }
}

interface ConnectionOptions {
  socket?: object
  [option: string]: unknown
}

interface Duplicate {
  readonly isOpen: boolean
  connect (): Promise<unknown>
  subscribe (channel: string, listener: Listener): Promise<unknown>
  sSubscribe (channel: string, listener: Listener): Promise<unknown>
  unsubscribe (channel: string): Promise<unknown>
  sUnsubscribe (channel: string): Promise<unknown>
  on (event: string, listener: () => void): unknown
  destroy (): void
}

type Listener = (message: string, channel: string) => void
