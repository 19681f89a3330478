import { setTimeout } from 'node:timers/promises'

import { systemClock } from '../clock.js'
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
    // A node that is away must not keep those that are there from being used.
    ? { commandOptions: {}, minimizeConnections: true, defaults: withOwn(_options?.defaults) }
    : { ...withOwn(options), commandOptions: {} })

  let isClosed = false
  // The clusters of redis 5 do not say it themselves.
  let isClusterReady = false
  let waiting = 0
  let heardAt = systemClock.now()
  const tried = new Promise<void>((resolve) => {
    // Without a listener, an error would end the process.
    own.on('error', () => { resolve() })
    void connect(resolve)
  })

  /** A client tries again by itself, but a cluster that was never reached does not. */
  async function connect (noteTried: () => void): Promise<void> {
    for (let attempt = 0; !isClosed && !own.isOpen; attempt++) {
      try {
        await own.connect()
        isClusterReady = isCluster
      } catch {
        noteTried()
        await setTimeout(backOffMs(attempt), undefined, { ref: false })
      }
    }
    noteTried()
  }

  function reconnect (): void {
    disconnect()
    void connect(ignore)
  }

  function disconnect (): void {
    if (own.isOpen) own.destroy()
  }

  /** What is sent is a sign of life to node-redis too, so that a connection from which nothing comes would be kept while it is used. */
  async function sendToOne (command: readonly string[]): Promise<unknown> {
    const now = systemClock.now()
    if (waiting === 0) heardAt = now
    else if (now - heardAt > silenceMs) reconnect()
    waiting++
    try {
      // An array of its own: node-redis keeps it until it is sent.
      return await own.sendCommand([...command])
    } finally {
      waiting--
      heardAt = systemClock.now()
    }
  }

  /** A cluster whose nodes were all away at once may look for them in vain for long: then it is made anew. */
  async function sendToCluster (key: string, command: readonly string[]): Promise<unknown> {
    try {
      const reply = await own.sendCommand(key, false, [...command])
      heardAt = systemClock.now()
      return reply
    } catch (error) {
      const now = systemClock.now()
      const isSilent = !isReply(error) && now - heardAt > silenceMs
      if (isSilent) reconnect()
      if (isSilent || isReply(error)) heardAt = now
      throw error
    }
  }

  return {
    isCluster,
    tried,
    isReady: () => own.isOpen && (isClusterReady || own.isReady),
    send: (key, command) => isCluster ? sendToCluster(key, command) : sendToOne(command),
    reconnect,
    close () {
      isClosed = true
      disconnect()
    }
  }
}

/** What Redis refuses it has heard. */
function isReply (error: unknown): boolean {
  return error instanceof Error && /^[A-Z]{2,} /.test(error.message)
}

function ignore (): void {
  // Only the first attempt is waited for.
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
