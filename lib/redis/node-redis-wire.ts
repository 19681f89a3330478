import { systemClock } from '../clock.js'
import { has } from './ioredis-wire.js'
import { connectAtLast, destroyForGood, duplicateOf, isNodeRedisCluster } from './node-redis-duplicate.js'
import type { NodeRedisClient, RedisWire, RedisWireOptions } from './redis-client.js'

/** Not what `createSentinel` and `createClientPool` make: those take commands otherwise, and lend connections. */
export function isNodeRedisClient (client: object): client is NodeRedisClient {
  return has(client, 'sendCommand', 'duplicate', 'connect', 'destroy') && (has(client, 'createPool') || isNodeRedisCluster(client))
}

/** A duplicate of a client of node-redis that never queues what it cannot send at once, and never stops trying to connect. */
export function nodeRedisWire (client: NodeRedisClient, { silenceMs }: RedisWireOptions): RedisWire {
  const isCluster = isNodeRedisCluster(client)
  let isClosed = false
  const own = duplicateOf(client, () => isClosed, {
    disableOfflineQueue: true,
    // It knows silence only, not whether somebody waits: so there is a ping well before.
    pingInterval: silenceMs / 2,
    socket: { socketTimeout: silenceMs, connectTimeout: silenceMs }
    // A node that is away must not keep those that are there from being used.
  }, { minimizeConnections: true })

  // The clusters of redis 5 do not say it themselves.
  let isClusterReady = false
  let waiting = 0
  let heardAt = systemClock.now()
  const tried = new Promise<void>((resolve) => {
    // Without a listener, an error would end the process.
    own.on('error', () => { resolve() })
    void connect(resolve)
  })

  async function connect (noteTried: () => void): Promise<void> {
    if (await connectAtLast(own, () => isClosed, noteTried)) isClusterReady = isCluster
    noteTried()
  }

  /** Not while a client connects, which it does by itself: then it would do so twice. */
  function reconnect (): void {
    if (own.isOpen && own.isReady === false) return
    if (own.isOpen) own.destroy()
    void connect(ignore)
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
    isReady: () => own.isOpen && (isClusterReady || own.isReady === true),
    send: (key, command) => isCluster ? sendToCluster(key, command) : sendToOne(command),
    reconnect,
    close () {
      isClosed = true
      if (own.isOpen) destroyForGood(own)
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
