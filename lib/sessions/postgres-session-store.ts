import { createHash } from 'node:crypto'

import { wholeBoundsOf } from '../bounds.js'
import { systemClock } from '../clock.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { cursorOf, readCursor } from './cursor.js'
import { longerAnswer } from './longer-answer.js'
import { PostgresLink, type PostgresPool, type Row, type Statement } from './postgres-link.js'
import { postgresSessionSql, tableNames, type PostgresTables, type TableNames } from './postgres-tables.js'
import type { MessagePage, PageRequest, SessionListKey, SessionMessage, SessionPage, SessionStore } from './session-store.js'

export interface PostgresSessionStoreOptions extends PostgresTables {
  /** Milliseconds after its newest message at which a session is forgotten. @default 2_592_000_000 */
  ttlMs?: number | undefined
  /** Messages kept of one session. One more, and its oldest is forgotten. @default 1_000 */
  maxMessagesPerSession?: number | undefined
  /** Bytes kept of one session, as JSON. Above it, its oldest messages are forgotten, never the newest. @default 8_388_608 */
  maxBytesPerSession?: number | undefined
  /** Sessions kept of one owner and agent. One more, and the one whose newest message is oldest is forgotten. @default 1_000 */
  maxSessionsPerOwner?: number | undefined
  /** Milliseconds that a transaction may take, the wait for a connection of the pool included. @default 2_000 */
  timeoutMs?: number | undefined
}

const WHAT = 'a PostgreSQL session store'
const DEFAULT_BOUNDS = {
  ttlMs: 30 * 24 * 60 * 60 * 1000,
  maxMessagesPerSession: 1_000,
  maxBytesPerSession: 8 * 1024 * 1024,
  maxSessionsPerOwner: 1_000,
  timeoutMs: 2_000
}
const PRUNE_EVERY_MS = 60_000
/** At most so many sessions are forgotten in one transaction. */
const PRUNE_COUNT = 100
const FIRST_PRUNE = Number.NEGATIVE_INFINITY
const TOP = '9223372036854775807'

/**
 * Keeps conversations in PostgreSQL from 12 on, in the tables that `migratePostgresSessions` makes. Rejects with a `StoreError`. The pool
 * is the host's: `close` leaves it open.
 * @throws TypeError for a pool of no known shape or an option that there is not, RangeError for a name or a number that cannot be
 */
export function postgresSessionStore (pool: PostgresPool, options: PostgresSessionStoreOptions = {}): SessionStore {
  return new PostgresStore(pool, options)
}

/**
 * Makes the tables, unless they are there. Several nodes may do so at once.
 * @throws StoreError
 */
export async function migratePostgresSessions (pool: PostgresPool, tables: PostgresTables = {}): Promise<void> {
  const statements = postgresSessionSql(tables)
  const link = new PostgresLink('the migration of sessions', pool, DEFAULT_BOUNDS.timeoutMs * 10)
  try {
    await link.transaction('', async (statement) => {
      // `IF NOT EXISTS` is no help to two that look at the same time.
      await statement('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text', [statements])
      await statement(statements)
    })
  } finally {
    link.close()
  }
}

class PostgresStore implements SessionStore {
  readonly #link: PostgresLink
  readonly #names: TableNames
  readonly #bounds: typeof DEFAULT_BOUNDS
  #prunedAt = FIRST_PRUNE

  constructor (pool: PostgresPool, options: PostgresSessionStoreOptions) {
    this.#bounds = wholeBoundsOf(WHAT, DEFAULT_BOUNDS, options, ['schema', 'table'])
    this.#names = tableNames(WHAT, options)
    this.#link = new PostgresLink(WHAT, pool, this.#bounds.timeoutMs)
  }

  async append (key: SessionKey, messages: readonly SessionMessage[]): Promise<void> {
    const rows = messages.map(({ role, content, turnId, at, complete, metadata }) => ({
      turn: JSON.stringify(turnId), role, at, body: JSON.stringify({ role, content, turnId, at, complete, metadata })
    }))
    await this.#link.transaction('', async (statement) => {
      if (rows.length === 0) return
      const [names, list] = [sessionKeyText(key), listOf(key)]
      const session = await this.#lock(statement, names, list)
      const kept = await statement(`INSERT INTO ${this.#names.messages} (key, place, turn, role, bytes, body)
        SELECT $1, $2::bigint + ordinal, turn, role, octet_length(body), body
        FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS given (turn, role, body, ordinal) ORDER BY ordinal
        ON CONFLICT DO NOTHING RETURNING (place - $2::bigint)::text AS ordinal`,
      [hash(names), session.last, rows.map(({ turn }) => turn), rows.map(({ role }) => role), rows.map(({ body }) => body)])
      await this.#lengthen(statement, hash(names), messages)
      const newest = Math.max(0, ...kept.map(({ ordinal }) => Number(ordinal)))
      if (newest === 0) return
      await this.#touch(statement, hash(names), newest, rows[newest - 1]?.at)
      // A session that is new is the only one that can be one too many.
      if (session.last === '0') await this.#forget(statement, 'list = $2 ORDER BY rank DESC OFFSET $3', [list, this.#bounds.maxSessionsPerOwner])
      await this.#prune(statement)
    })
  }

  async messages (key: SessionKey, { limit, before }: PageRequest): Promise<MessagePage> {
    const cursor = before === undefined ? undefined : readCursor(before) ?? { id: '', position: 0 }
    const rows = await this.#read(`SELECT id::text, place::text, body FROM ${this.#names.sessions} AS session, LATERAL (
        SELECT place, body FROM ${this.#names.messages} AS message
        WHERE message.key = session.key AND place < $3::bigint ORDER BY place DESC LIMIT $4::bigint
      ) AS page WHERE key = $1 AND ${isKept('$2')} AND ($5::text IS NULL OR (id::text = $5 AND $3::bigint <= last)) ORDER BY page.place DESC`,
    [hash(sessionKeyText(key)), this.#bounds.ttlMs, cursor?.position ?? TOP, limit + 1, cursor?.id ?? null])
    const page = rows.slice(0, limit)
    const [oldest, messages] = [page.at(-1), page.map(messageOf).reverse()]
    return oldest === undefined || rows.length <= limit ? { messages } : { messages, before: cursorOf(`${oldest.id}`, Number(oldest.place)) }
  }

  async turn (key: SessionKey, turnId: string): Promise<SessionMessage[]> {
    const rows = await this.#read(`SELECT body FROM ${this.#names.messages} JOIN ${this.#names.sessions} USING (key)
      WHERE key = $1 AND ${isKept('$2')} AND turn = $3 ORDER BY place`, [hash(sessionKeyText(key)), this.#bounds.ttlMs, JSON.stringify(turnId)])
    return rows.map(messageOf)
  }

  async list (of: SessionListKey, { limit, before }: PageRequest): Promise<SessionPage> {
    const list = listOf(of)
    const cursor = before === undefined ? { id: list, position: TOP } : readCursor(before)
    const rows = await this.#read(`SELECT names, said_at::text, rank::text FROM ${this.#names.sessions} AS session
      WHERE list = $1 AND ${isKept('$2')} AND rank < $3::bigint AND $4 = list ORDER BY session.rank DESC LIMIT $5::bigint`,
    [list, this.#bounds.ttlMs, cursor?.position ?? 0, cursor?.id ?? '', limit + 1])
    const page = rows.slice(0, limit)
    const sessions = page.map(({ names, said_at: at }) => ({ sessionId: sessionIdOf(`${names}`), updatedAt: Number(at) }))
    const last = page.at(-1)
    return last === undefined || rows.length <= limit ? { sessions } : { sessions, before: cursorOf(list, Number(last.rank)) }
  }

  async delete (key: SessionKey): Promise<boolean> {
    const rows = await this.#link.transaction('', async (statement) => statement(
      `DELETE FROM ${this.#names.sessions} WHERE key = $1 RETURNING (${isKept('$2')})::text AS kept`,
      [hash(sessionKeyText(key)), this.#bounds.ttlMs]
    ))
    return rows.some(({ kept }) => kept === 'true')
  }

  close (): void {
    this.#link.close()
  }

  async #read (text: string, values: unknown[]): Promise<Row[]> {
    return this.#link.transaction('READ ONLY', async (statement) => statement(text, values))
  }

  /** Finds the session's row or makes it, and keeps everybody else from it until the end of the transaction. */
  async #lock (statement: Statement, names: string, list: string): Promise<{ last: string }> {
    const [row] = await statement(`INSERT INTO ${this.#names.sessions} AS session (key, list, names, id) VALUES ($1, $2, $3, $4)
      ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key RETURNING last::text, (${isKept('$5')})::text AS kept`,
    [hash(names), list, names, crypto.randomUUID(), this.#bounds.ttlMs])
    if (row?.kept === 'true') return { last: `${row.last}` }
    await statement(`DELETE FROM ${this.#names.sessions} WHERE key = $1`, [hash(names)])
    return this.#lock(statement, names, list)
  }

  /** Notes what was appended last, and forgets what is too much. */
  async #touch (statement: Statement, key: string, count: number, at: number | undefined): Promise<void> {
    await statement(`UPDATE ${this.#names.sessions} SET last = last + $2::bigint, rank = DEFAULT, said_at = $3, touched = now() WHERE key = $1`,
      [key, count, at])
    await this.#trim(statement, key)
  }

  /** Puts longer answers in the place of those that are kept. */
  async #lengthen (statement: Statement, key: string, messages: readonly SessionMessage[]): Promise<void> {
    for (const message of messages) {
      if (message.complete) continue
      const place = [key, JSON.stringify(message.turnId), message.role]
      const [kept] = await statement(`SELECT body FROM ${this.#names.messages} WHERE key = $1 AND turn = $2 AND role = $3`, place)
      const longer = kept && longerAnswer(messageOf(kept), message)
      if (longer === undefined) continue
      await statement(`UPDATE ${this.#names.messages} SET body = $4, bytes = octet_length($4) WHERE key = $1 AND turn = $2 AND role = $3`,
        [...place, JSON.stringify(longer)])
      await this.#trim(statement, key)
    }
  }

  async #trim (statement: Statement, key: string): Promise<void> {
    await statement(`DELETE FROM ${this.#names.messages} AS message USING (
        SELECT place, row_number() OVER newer AS number, sum(bytes) OVER newer AS bytes FROM ${this.#names.messages}
        WHERE key = $1 WINDOW newer AS (ORDER BY place DESC)
      ) AS kept WHERE message.key = $1 AND message.place = kept.place AND kept.number > 1
        AND (kept.number > $2::bigint OR kept.bytes > $3::bigint)`,
    [key, this.#bounds.maxMessagesPerSession, this.#bounds.maxBytesPerSession])
  }

  /** Sessions that have had their time are not shown any more; now and then they go. */
  async #prune (statement: Statement): Promise<void> {
    const now = systemClock.now()
    if (now - this.#prunedAt < PRUNE_EVERY_MS) return
    this.#prunedAt = now
    await this.#forget(statement, `NOT ${isKept('$2')} OFFSET $3`, [this.#bounds.ttlMs, 0])
  }

  /** Leaves alone what somebody is appending to. */
  async #forget (statement: Statement, which: string, values: unknown[]): Promise<void> {
    await statement(`DELETE FROM ${this.#names.sessions} WHERE key IN (
        SELECT key FROM ${this.#names.sessions} WHERE ${which} LIMIT $1 FOR UPDATE SKIP LOCKED
      )`, [PRUNE_COUNT, ...values])
  }
}

/** @param ttlMs the parameter that says it */
function isKept (ttlMs: string): string {
  return `(touched > now() - ${ttlMs}::float8 * interval '1 millisecond')`
}

function listOf ({ owner, agentId }: SessionListKey): string {
  return hash(JSON.stringify([owner, agentId]))
}

/** Of a length that fits into an index, whatever is hashed. */
function hash (text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

function sessionIdOf (names: string): string {
  // The text is a `sessionKeyText`.
  const [, , sessionId] = JSON.parse(names) as [string, string, string]
  return sessionId
}

function messageOf ({ body }: Row): SessionMessage {
  // The text is what `append` made of a message.
  return JSON.parse(`${body}`) as SessionMessage
}
