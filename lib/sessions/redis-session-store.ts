import { wholeBoundsOf } from '../bounds.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import type { RedisClient } from '../redis/redis-client.js'
import { checkedPrefix, redisKeys } from '../redis/redis-keys.js'
import { RedisLink } from '../redis/redis-link.js'
import type { RedisScript } from '../redis/redis-script.js'
import { cursorOf, readCursor } from './cursor.js'
import { longerAnswer } from './longer-answer.js'
import { APPEND, FORGET, LIST, MESSAGES, NOTE_LISTED, REPLACE, TELL_LIST, TURN, UNLIST } from './redis-session-scripts.js'
import type {
  MessagePage, PageRequest, SessionListKey, SessionMessage, SessionPage, SessionStore, SessionSummary
} from './session-store.js'

export interface RedisSessionStoreOptions {
  /** What all keys begin with, such as `my-app:`. */
  prefix: string
  /** Milliseconds after its newest message at which a session is forgotten. @default 2_592_000_000 */
  ttlMs?: number | undefined
  /** Messages kept of one session. One more, and its oldest is forgotten. @default 1_000 */
  maxMessagesPerSession?: number | undefined
  /** Bytes kept of one session, as JSON. Above it, its oldest messages are forgotten, never the newest. @default 8_388_608 */
  maxBytesPerSession?: number | undefined
  /** Sessions kept of one owner and agent. One more, and the one whose newest message is oldest is forgotten. @default 1_000 */
  maxSessionsPerOwner?: number | undefined
  /** Milliseconds that a command may take. @default 2_000 */
  commandTimeoutMs?: number | undefined
}

const WHAT = 'a Redis session store'
const DEFAULT_BOUNDS = {
  ttlMs: 30 * 24 * 60 * 60 * 1000,
  maxMessagesPerSession: 1_000,
  maxBytesPerSession: 8 * 1024 * 1024,
  maxSessionsPerOwner: 1_000,
  commandTimeoutMs: 2_000
}
/** How often a page of a list is read again because some of its sessions were gone. */
const MAX_READS = 20

/**
 * Keeps conversations in Redis from 6.2 on, or a cluster, for all nodes of a service. Rejects with a `StoreError`. It has a connection of
 * its own, and `close` closes only that.
 * @throws TypeError for a client of no known shape, no prefix, or an option that there is not; RangeError for a prefix or a number that
 * cannot be
 */
export function redisSessionStore (client: RedisClient, options: RedisSessionStoreOptions): SessionStore {
  return new RedisStore(client, options)
}

// All keys of a session lie on one node of a cluster, those of its owner's list maybe on another, and nothing writes to both at once. So
// the session is written first, and keeps in mind up to where its list was told. Whoever finds a session that knows more than that tells
// the list; whoever finds a session in a list that is not there, or another of its name, puts the list right. To tell it twice changes
// nothing.
class RedisStore implements SessionStore {
  readonly #link: RedisLink
  readonly #prefix: string
  readonly #bounds: typeof DEFAULT_BOUNDS

  /** Nothing of its options is taken on trust: JavaScript calls this too. */
  constructor (client: RedisClient, options: Partial<RedisSessionStoreOptions> = {}) {
    this.#bounds = wholeBoundsOf(WHAT, DEFAULT_BOUNDS, options, ['prefix'])
    this.#prefix = checkedPrefix(WHAT, options.prefix)
    this.#link = new RedisLink(WHAT, client, this.#bounds)
  }

  async append (key: SessionKey, messages: readonly SessionMessage[]): Promise<void> {
    const { ttlMs, maxMessagesPerSession, maxBytesPerSession } = this.#bounds
    const elements = messages.flatMap((message) => [
      identityOf(message.role, message.turnId), elementOf(message), `${message.at}`, `${message.complete}`
    ])
    const bounds = [ttlMs, maxMessagesPerSession, maxBytesPerSession].map(String)
    const reply = await this.#run(APPEND, this.#sessionKeys(key), [crypto.randomUUID(), ...bounds, ...elements])
    await this.#heard(key, reply)
    for (const message of messages) if (!message.complete) await this.#lengthen(key, reply.slice(4), message)
  }

  async messages (key: SessionKey, { limit, before }: PageRequest): Promise<MessagePage> {
    const reply = await this.#run(MESSAGES, this.#sessionKeys(key), [`${limit}`, ...cursorArguments(before)])
    const [id, start = '', first] = [reply[0], reply[4], reply[5]]
    await this.#heard(key, reply)
    const messages = reply.slice(6).map(messageOf)
    return messages.length === 0 || start === first ? { messages } : { messages, before: cursorOf(`${id}`, Number(start)) }
  }

  async turn (key: SessionKey, turnId: string): Promise<SessionMessage[]> {
    const reply = await this.#run(TURN, this.#sessionKeys(key), [identityOf('user', turnId), identityOf('assistant', turnId)])
    await this.#heard(key, reply)
    return reply.slice(4).map(messageOf)
  }

  async list (of: SessionListKey, { limit, before }: PageRequest): Promise<SessionPage> {
    for (let reads = 1; ; reads++) {
      const [id = '', ...cells] = await this.#run(LIST, this.#listKeys(of), [`${limit + 1}`, ...cursorArguments(before)])
      const rows = rowsOf(`${id}`, cells)
      const page = rows.slice(0, limit)
      const checked = await Promise.all(page.map((row) => this.#isRight(of, row)))
      if (reads < MAX_READS && checked.includes(false)) continue
      const sessions = page.filter((_, index) => checked[index]).map(({ sessionId, updatedAt }) => ({ sessionId, updatedAt }))
      const last = page.at(-1)
      return last === undefined || rows.length <= limit ? { sessions } : { sessions, before: last.cursor }
    }
  }

  async delete (key: SessionKey): Promise<boolean> {
    const id = await this.#link.run(FORGET, this.#sessionKeys(key), [])
    if (typeof id !== 'string') return false
    await this.#link.run(UNLIST, this.#listKeys(key), [nameOf(key), id])
    return true
  }

  close (): void {
    this.#link.close()
  }

  /** Puts a longer answer in the place of one that is kept, unless somebody else puts one there that is as long. */
  async #lengthen (key: SessionKey, known: Reply, message: SessionMessage): Promise<void> {
    const { maxMessagesPerSession, maxBytesPerSession } = this.#bounds
    const identity = identityOf(message.role, message.turnId)
    for (let kept: unknown = known.find((element) => element?.startsWith(`${identity}\n`)); typeof kept === 'string';) {
      const longer = longerAnswer(messageOf(kept), message)
      if (longer === undefined) return
      const args = [identity, kept, elementOf(longer), `${maxMessagesPerSession}`, `${maxBytesPerSession}`]
      kept = await this.#link.run(REPLACE, this.#sessionKeys(key), args)
    }
  }

  /** What a script says of the session itself comes first in its reply. */
  async #heard (key: SessionKey, [id, end, at, listed]: Reply): Promise<void> {
    if (typeof id === 'string' && Number(end) > Number(listed ?? 0)) await this.#tellList(key, id, `${end}`, `${at}`)
  }

  async #tellList (key: SessionKey, id: string, end: string, at: string): Promise<void> {
    const { ttlMs, maxSessionsPerOwner } = this.#bounds
    const known = [nameOf(key), id, end, at, `${ttlMs}`, `${maxSessionsPerOwner}`, crypto.randomUUID()]
    const gone = rowsOf('', withRanks(await this.#run(TELL_LIST, this.#listKeys(key), known)))
    await this.#link.run(NOTE_LISTED, [this.#sessionKeys(key)[0]], [id, end])
    await Promise.all(gone.map(async (row) => {
      await this.#link.run(FORGET, this.#sessionKeys({ ...key, sessionId: row.sessionId }), [row.id, row.end])
    }))
  }

  /** Whether a row of the list says of its session what that says of itself; if not, it is put right. */
  async #isRight (of: SessionListKey, row: Row): Promise<boolean> {
    const key = { owner: of.owner, agentId: of.agentId, sessionId: row.sessionId }
    const [meta] = this.#sessionKeys(key)
    const [id, end, at] = await this.#link.send(meta, ['HMGET', meta, 'id', 'end', 'at']) as Reply
    if (id === row.id && end === row.end) return true
    if (typeof id === 'string') await this.#tellList(key, id, `${end}`, `${at}`)
    else await this.#link.run(UNLIST, this.#listKeys(of), [nameOf(key), row.id])
    return false
  }

  async #run (script: RedisScript, keys: Keys, args: readonly string[]): Promise<Reply> {
    // All the scripts that are run here answer with an array of texts, and false for what there is not.
    return await this.#link.run(script, keys, args) as Reply
  }

  #sessionKeys (key: SessionKey): Keys {
    const named = redisKeys(this.#prefix, sessionKeyText(key))
    return [named('meta'), named('messages'), named('places')]
  }

  #listKeys ({ owner, agentId }: SessionListKey): Keys {
    const named = redisKeys(this.#prefix, JSON.stringify([owner, agentId]))
    return [named('order'), named('entries')]
  }
}

/** A line feed, which ends it where it stands, cannot be in it. */
function identityOf (role: SessionMessage['role'], turnId: string): string {
  return JSON.stringify([role, turnId])
}

function elementOf ({ role, content, turnId, at, complete, metadata }: SessionMessage): string {
  return `${identityOf(role, turnId)}\n${JSON.stringify({ role, content, turnId, at, complete, metadata })}`
}

function messageOf (element: string | null | undefined): SessionMessage {
  // The text is what `elementOf` made of a message.
  return JSON.parse(`${element}`.slice(`${element}`.indexOf('\n'))) as SessionMessage
}

/** As JSON, in which any name is well-formed. */
function nameOf ({ sessionId }: SessionKey): string {
  return JSON.stringify(sessionId)
}

function cursorArguments (before: string | undefined): [id: string, position: string] {
  if (before === undefined) return ['', '']
  const { id, position } = readCursor(before) ?? { id: 'none', position: 0 }
  return [id, `${position}`]
}

function rowsOf (listId: string, cells: Reply): Row[] {
  const rows: Row[] = []
  for (let at = 0; at + 2 < cells.length; at += 3) {
    const [id = '', end = '', updatedAt] = `${cells[at + 2]}`.split(' ')
    // The name is what `nameOf` made of a session's.
    const sessionId = JSON.parse(`${cells[at]}`) as string
    rows.push({ sessionId, id, end, updatedAt: Number(updatedAt), cursor: cursorOf(listId, Number(cells[at + 1])) })
  }
  return rows
}

/** Sessions that a list has let go have no rank any more. */
function withRanks (cells: Reply): Reply {
  return cells.flatMap((cell, index) => index % 2 === 0 ? [cell, '0'] : [cell])
}

/** A session as its list knows it. */
interface Row extends SessionSummary {
  id: string
  end: string
  cursor: string
}

type Keys = readonly [string, ...string[]]
type Reply = ReadonlyArray<string | null | undefined>
