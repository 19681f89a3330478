import type { Awaitable } from '../awaitable.js'
import type { SessionMessage } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'

export type { SessionMessage }

/**
 * The conversation history of sessions: what a host keeps in its database. The live part of a turn is the journal's.
 *
 * Every method may answer at once or by a promise; a rejection is a `STORE_UNAVAILABLE` for the turn that needed it.
 *
 * 1. `append` MUST take all messages of one call or none.
 * 2. `append` MUST be idempotent by `(turnId, role)`: a message of a turn and role that is kept already changes nothing, but for
 *    one that is not `complete`, and longer than what is kept, if that is not `complete` either: its `content` MUST take the place
 *    of the shorter one, and all else stay. Of an answer that was broken off, nodes may know more or less.
 * 3. `append` MUST keep the order of calls of one session: a message appended later is newer.
 * 4. `messages` MUST answer the newest `limit` messages, oldest first; with `before`, those that precede that cursor.
 * 5. `messages` MUST answer a `before` cursor if and only if older messages are kept.
 * 6. A cursor MUST stay valid while newer messages arrive; for one that the store does not know it MUST answer
 *    an empty page.
 * 7. `turn` MUST answer the messages of that turn in the order of their append, none for an unknown turn.
 * 8. `list` MUST answer the sessions of that owner and agent only, the one with the newest message first.
 * 9. `delete` MUST forget the session's messages, and answer whether there was anything to forget.
 * 10. What a method is given or answers MUST NOT be an object that the store goes on using.
 * 11. Nothing MUST cross owners, agents or sessions, whatever characters their names hold.
 * 12. After `close`, every method MUST reject or throw, and `close` itself MUST answer again.
 */
export interface SessionStore {
  append(key: SessionKey, messages: readonly SessionMessage[]): Awaitable<void>
  messages(key: SessionKey, page: PageRequest): Awaitable<MessagePage>
  turn(key: SessionKey, turnId: string): Awaitable<SessionMessage[]>
  list(of: SessionListKey, page: PageRequest): Awaitable<SessionPage>
  delete(key: SessionKey): Awaitable<boolean>
  close?(): Awaitable<void>
}

export interface PageRequest {
  /** At most this many items, at least 1. */
  limit: number
  /** A cursor from an earlier page; opaque to everyone but the store. */
  before?: string | undefined
}

export interface MessagePage {
  messages: SessionMessage[]
  before?: string | undefined
}

export interface SessionListKey {
  owner: string
  agentId: string
}

export interface SessionSummary {
  sessionId: string
  /** When its newest message was said, in milliseconds since 1970-01-01T00:00:00Z. */
  updatedAt: number
}

export interface SessionPage {
  sessions: SessionSummary[]
  before?: string | undefined
}
