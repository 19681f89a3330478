import { MAX_TIMEOUT_MS, systemClock } from '../clock.js'
import { StoreError } from '../store-error.js'
import { ioredisWire, isIoredisClient } from './ioredis-wire.js'
import { isNodeRedisClient, nodeRedisWire } from './node-redis-wire.js'
import type { RedisClient, RedisWire, RedisWireOptions } from './redis-client.js'
import type { RedisScript } from './redis-script.js'

export interface RedisLinkOptions {
  /** Milliseconds that a command may take; then it is rejected as `late`. */
  commandTimeoutMs: number
}

// So that what is merely late is not cut off with all others.
const SILENCE_PER_TIMEOUT = 3

/**
 * The way to a Redis, over a duplicate of the host's client: every command is answered or rejected within its time, and at once while there
 * is no connection. Nothing is sent twice. Connections that break come back by themselves, however long that takes.
 */
export class RedisLink {
  readonly isCluster: boolean
  readonly #wire: RedisWire
  readonly #commandTimeoutMs: number
  /** Tells those that wait for an answer that there will be none. */
  readonly #waiting = new Set<(error: StoreError) => void>()
  #isClosed = false

  /**
   * @param what whose it is, for the errors
   * @throws TypeError for a client of no known shape
   */
  constructor (what: string, client: RedisClient, { commandTimeoutMs }: RedisLinkOptions) {
    this.#wire = wireOf(what, client, { silenceMs: Math.min(SILENCE_PER_TIMEOUT * commandTimeoutMs, MAX_TIMEOUT_MS) })
    this.#commandTimeoutMs = commandTimeoutMs
    this.isCluster = this.#wire.isCluster
  }

  /**
   * @param key where to, in a cluster; one of the keys of the command
   * @throws StoreError
   */
  async send (key: string, command: readonly string[]): Promise<unknown> {
    return this.#inTime(async () => this.#sendNow(key, command))
  }

  /**
   * Runs a script, which Redis is told whenever it does not know it: at first, and after it was restarted or flushed.
   * @param keys at least one; in a cluster all of one hash tag
   * @throws StoreError
   */
  async run (script: RedisScript, keys: readonly [string, ...string[]], args: readonly string[]): Promise<unknown> {
    const rest = [`${keys.length}`, ...keys, ...args]
    return this.#inTime(async () => {
      try {
        return await this.#sendNow(keys[0], ['EVALSHA', script.sha, ...rest])
      } catch (error) {
        if (replyCodeOf(error) !== 'NOSCRIPT') throw error
        // It was not run: so this is no second time.
        return this.#sendNow(keys[0], ['EVAL', script.lua, ...rest])
      }
    })
  }

  close (): void {
    this.#isClosed = true
    // A connection that is silent may take its time to end.
    for (const reject of this.#waiting) reject(closed())
    this.#wire.close()
  }

  async #sendNow (key: string, command: readonly string[]): Promise<unknown> {
    if (this.#isClosed) throw closed()
    if (!this.#wire.isReady()) await this.#wire.tried
    if (!this.#wire.isReady()) throw new StoreError('away', 'there is no connection to Redis')
    return this.#wire.send(key, command)
  }

  #inTime (work: () => Promise<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stop = systemClock.after(this.#commandTimeoutMs, () => {
        reject(new StoreError('late', `Redis has not answered within ${this.#commandTimeoutMs} ms`))
      })
      this.#waiting.add(reject)
      void work().then(resolve, (error: unknown) => { reject(this.#told(error)) }).finally(() => {
        stop()
        this.#waiting.delete(reject)
      })
    })
  }

  #told (error: unknown): StoreError {
    if (error instanceof StoreError) return error
    const text = error instanceof Error ? error.message : String(error)
    switch (replyCodeOf(error)) {
      case undefined: return new StoreError('away', `the connection to Redis broke: ${text}`)
      case 'OOM': return new StoreError('full', `Redis has no room for more: ${text}`)
      case 'READONLY':
        // After a failover the address may stand for another server already.
        if (!this.#wire.isCluster) this.#wire.reconnect()
        return new StoreError('read-only', `this Redis takes no writes: ${text}`)
      case 'LOADING': case 'CLUSTERDOWN': case 'MASTERDOWN': return new StoreError('away', `Redis is not there yet: ${text}`)
      default: return new StoreError('refused', `Redis refused a command: ${text}`)
    }
  }
}

function closed (): StoreError {
  return new StoreError('closed', 'it was closed')
}

function wireOf (what: string, client: unknown, options: RedisWireOptions): RedisWire {
  if (typeof client === 'object' && client !== null) {
    if (isIoredisClient(client)) return ioredisWire(client, options)
    if (isNodeRedisClient(client)) return nodeRedisWire(client, options)
  }
  throw new TypeError(`${what} needs a client: a Redis or Cluster of ioredis, or what createClient or createCluster of redis makes`)
}

/** The code that a reply of Redis begins with. Before Redis 7 that of a command in a script stands in the middle. */
function replyCodeOf (error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const [, inScript] = / -(OOM|READONLY) /.exec(error.message) ?? []
  return inScript ?? /^([A-Z]{2,}) /.exec(error.message)?.[1]
}
