import { MAX_TIMEOUT_MS, systemClock } from '../clock.js'
import { StoreError } from '../store-error.js'

/** The host's own pool, told by its shape: a `Pool` of `pg`. */
export interface PostgresPool {
  readonly totalCount: number
  connect (): Promise<PostgresClient>
  on (event: 'error', listener: (error: Error) => void): unknown
  off (event: 'error', listener: (error: Error) => void): unknown
}

export interface PostgresClient {
  query (text: string, values?: unknown[]): Promise<{ rows: object[], rowCount: number | null }>
  release (isBroken?: boolean): void
  on (event: 'error', listener: (error: Error) => void): unknown
  off (event: 'error', listener: (error: Error) => void): unknown
}

/** One statement of a transaction; its rows, whose columns are all texts. */
export type Statement = (text: string, values?: unknown[]) => Promise<Row[]>
export type Row = Readonly<Record<string, string | null>>

/** By the first letters of an SQLSTATE, the longest first. */
const REASON_BY_STATE = {
  57014: 'late', '55P03': 'late', 25006: 'read-only', '57P': 'away', '08': 'away', 53300: 'away', 53: 'full'
} as const

/** The way to a PostgreSQL, by the host's pool: every transaction is done or rejected in its time. */
export class PostgresLink {
  readonly #pool: PostgresPool
  readonly #timeoutMs: number
  #isClosed = false

  /** @throws TypeError for a pool of no known shape */
  constructor (what: string, pool: PostgresPool, timeoutMs: number) {
    if (!isPool(pool)) throw new TypeError(`${what} needs a pool: a Pool of pg`)
    this.#pool = pool
    this.#timeoutMs = Math.min(timeoutMs, MAX_TIMEOUT_MS)
    // A connection that breaks while nobody uses it would else end the process of a host that has no listener.
    pool.on('error', ignore)
  }

  /**
   * Does all of `work` or nothing.
   * @throws StoreError
   */
  async transaction<T> (mode: 'READ ONLY' | '', work: (statement: Statement) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreError('closed', 'it was closed')
    const late = new AbortController()
    return new Promise((resolve, reject) => {
      const stop = systemClock.after(this.#timeoutMs, () => {
        late.abort()
        reject(new StoreError('late', `PostgreSQL has not answered within ${this.#timeoutMs} ms`))
      })
      this.#run(mode, work, late.signal).then(resolve, (error: unknown) => { reject(told(error)) }).finally(stop)
    })
  }

  close (): void {
    if (!this.#isClosed) this.#pool.off('error', ignore)
    this.#isClosed = true
  }

  async #run<T> (mode: string, work: (statement: Statement) => Promise<T>, late: AbortSignal): Promise<T> {
    const client = await this.#pool.connect()
    // While it is lent the pool does not listen: one that breaks would end the process, though its statements are rejected too.
    client.on('error', ignore)
    // A connection on which a statement may still be running, or a transaction open, is of no use to anybody else.
    let isBroken = !late.aborted
    let isReleased = false
    const release = (): void => {
      if (isReleased) return
      isReleased = true
      client.release(isBroken)
      // From here on the pool listens again.
      client.off('error', ignore)
    }
    late.addEventListener('abort', release)
    try {
      late.throwIfAborted()
      // Nothing is left running in the database that nobody waits for any more, and a node that stands still holds no lock for ever.
      const ms = this.#timeoutMs
      await client.query(`BEGIN ISOLATION LEVEL READ COMMITTED ${mode};
        SET LOCAL statement_timeout = ${ms}; SET LOCAL idle_in_transaction_session_timeout = ${ms}`)
      // All that is selected is cast to text: numbers and dates are as the host's type parsers make them.
      const result = await work(async (text, values) => (await client.query(text, values)).rows as Row[])
      await client.query('COMMIT')
      isBroken = false
      return result
    } finally {
      release()
    }
  }
}

function isPool (pool: unknown): pool is PostgresPool {
  return typeof pool === 'object' && pool !== null && ['connect', 'on', 'off', 'totalCount'].every((name) => name in pool)
}

/** What the database says of an error beside its message holds what was to be written. */
function told (error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const text = error instanceof Error ? error.message : String(error)
  const state = error instanceof Error && 'severity' in error && 'code' in error ? String(error.code) : undefined
  if (state === undefined) return new StoreError('away', `the connection to PostgreSQL broke: ${text}`)
  if (state === '42P01') return new StoreError('refused', `PostgreSQL has no such table, run its migration first: ${text}`)
  const [, reason] = Object.entries(REASON_BY_STATE).sort(([one], [other]) => other.length - one.length)
    .find(([start]) => state.startsWith(start)) ?? []
  return new StoreError(reason ?? 'refused', `PostgreSQL refused a statement: ${text}`)
}

function ignore (): void {
  // The next transaction meets it, or a new connection.
}
