import { backOffMs } from './back-off.js'
import type { IoredisClient, RedisWire, RedisWireOptions } from './redis-client.js'

export function isIoredisClient (client: object): client is IoredisClient {
  return has(client, 'call', 'duplicate', 'disconnect') && 'status' in client && typeof client.status === 'string'
}

/**
 * A duplicate of a client of ioredis that never queues what it cannot send at once, never sends anything twice, and never stops trying to
 * connect.
 */
export function ioredisWire (client: IoredisClient, { silenceMs }: RedisWireOptions): RedisWire {
  const isCluster = 'isCluster' in client && client.isCluster === true
  const connection = {
    // Commands under way when a connection breaks are rejected then; ioredis would else keep them, and send them once more.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    socketTimeout: silenceMs,
    connectTimeout: silenceMs,
    stringNumbers: false,
    // What scripts tell is told under the names of keys, which the host's prefix, put before keys and not before channels, would part.
    keyPrefix: ''
  }
  // What `isIoredisClient` has found has this method, with these parameters.
  const { duplicate } = client as unknown as { duplicate: (...given: unknown[]) => Duplicate }
  const own = isCluster
    ? duplicate.call(client, [], {
      // The queue is for nodes that are being connected to: each connects when it is first needed, and has one attempt.
      keyPrefix: '',
      enableOfflineQueue: true,
      lazyConnect: false,
      retryDelayOnFailover: 0,
      clusterRetryStrategy: backOffMs,
      redisOptions: { ...redisOptionsOf(client), ...connection }
    })
    : duplicate.call(client, { ...connection, enableOfflineQueue: false, lazyConnect: false, retryStrategy: backOffMs })
  return {
    isCluster,
    tried: new Promise((resolve) => {
      // Without a listener for its errors, ioredis prints them.
      own.on('ready', () => { resolve() }).on('error', () => { resolve() })
    }),
    isReady: () => own.status === 'ready',
    send: (_key, [name = '', ...args]) => own.call(name, ...args),
    reconnect () { own.disconnect(true) },
    close () { own.disconnect() }
  }
}

/** Those of the host, which hold its credentials. */
function redisOptionsOf (client: object): object | undefined {
  return 'options' in client ? (client.options as { redisOptions?: object } | undefined)?.redisOptions : undefined
}

/** Whether all of these are methods of it. */
export function has (client: object, ...names: string[]): boolean {
  return names.every((name) => typeof (client as Record<string, unknown>)[name] === 'function')
}

interface Duplicate {
  readonly status: string
  call (name: string, ...args: string[]): Promise<unknown>
  disconnect (reconnect?: boolean): void
  on (event: 'ready' | 'error', listener: () => void): Duplicate
}
