import { backOffMs } from './back-off.js'
import { has } from './ioredis-wire.js'
import type { NodeRedisClient, RedisWire, RedisWireOptions } from './redis-client.js'

/** Not what `createSentinel` and `createClientPool` make: those take commands otherwise, and lend connections. */
export function isNodeRedisClient (client: object): client is NodeRedisClient {
  return has(client, 'sendCommand', 'duplicate', 'connect', 'destroy') && (has(client, 'createPool') || isNodeRedisCluster(client))
}

function isNodeRedisCluster (client: object): boolean {
  return has(client, 'getSlotRandomNode')
}

/** A duplicate of a client of node-redis that never queues what it cannot send at once, and never stops trying to connect. */
export function nodeRedisWire (client: NodeRedisClient, { silenceMs }: RedisWireOptions): RedisWire {
  const isCluster = isNodeRedisCluster(client)
  const withOwn = (host: ConnectionOptions = {}): ConnectionOptions => ({
    ...host,
    disableOfflineQueue: true,
    // It knows silence only, not whether somebody waits: so there is a ping well before.
    pingInterval: silenceMs / 2,
    socket: { ...host.socket, socketTimeout: silenceMs, connectTimeout: silenceMs, reconnectStrategy: backOffMs }
  })
  // What `isNodeRedisClient` has found has these members. How replies are to be mapped is the host's affair, for its own commands.
  const { duplicate, options, _options } = client as unknown as Host
  const own = duplicate.call(client, isCluster
    ? { commandOptions: {}, defaults: withOwn(_options?.defaults) }
    : { commandOptions: {}, ...withOwn(options) })

  let isClosed = false
  let noteTried: () => void = () => { /* replaced at once */ }
  const tried = new Promise<void>((resolve) => { noteTried = resolve })
  // Without a listener, an error would end the process.
  own.on('error', () => { noteTried() })
  void connect()

  /** A client tries again by itself, but a cluster that was never reached does not. */
  async function connect (): Promise<void> {
    for (let attempt = 0; !isClosed && !own.isOpen; attempt++) {
      await own.connect().catch(() => new Promise((resolve) => {
        noteTried()
        setTimeout(resolve, backOffMs(attempt)).unref()
      }))
    }
    noteTried()
  }

  function disconnect (): void {
    if (own.isOpen) own.destroy()
  }

  return {
    isCluster,
    tried,
    isReady: () => own.isReady,
    // An array of its own: node-redis keeps it until it is sent.
    send: (key, command) => isCluster ? own.sendCommand(key, false, [...command]) : own.sendCommand([...command]),
    reconnect () {
      disconnect()
      void connect()
    },
    close () {
      isClosed = true
      disconnect()
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
  readonly isReady: boolean
  connect (): Promise<unknown>
  sendCommand (...given: unknown[]): Promise<unknown>
  destroy (): void
  on (event: 'error', listener: () => void): unknown
}
