import { boundsOf } from '../bounds.js'
import { systemClock, type Clock } from '../clock.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { SessionMap } from '../protocol/session-map.js'
import { cursorOf, positionOf } from './cursor.js'
import { emptySessionBytes, keptOf, MemorySession, type Kept, type Lengthened } from './memory-session.js'
import type {
  MessagePage, PageRequest, SessionListKey, SessionMessage, SessionPage, SessionStore
} from './session-store.js'
import { TouchOrder, type Ordered } from '../touch-order.js'

export interface MemorySessionStoreOptions {
  /** Sessions kept. One more, and the session that was left alone longest is forgotten. @default 10_000 */
  maxSessions?: number | undefined
  /** Messages kept of one session. One more, and its oldest is forgotten. @default 1_000 */
  maxMessagesPerSession?: number | undefined
  /** Estimated bytes kept of one session. Above it, its oldest messages are forgotten, never the newest. @default 8_388_608 */
  maxBytesPerSession?: number | undefined
  /**
   * Estimated bytes of everything kept. Above it, sessions are forgotten, the one that was left alone longest first,
   * and of the last one its oldest messages. @default 67_108_864
   */
  maxBytes?: number | undefined
  /** Milliseconds after which a session that nobody read or wrote is forgotten. @default 86_400_000 */
  maxIdleMs?: number | undefined
  clock?: Clock | undefined
}

/** A session store that answers at once, and is gone with its process. */
export interface MemorySessionStore extends SessionStore {
  /** How many sessions are kept. */
  readonly size: number
  /** Estimated bytes of what is kept. */
  readonly bytes: number
  /** @throws `RangeError` when the messages of one call are larger than the whole store; nothing is kept or lost then */
  append(key: SessionKey, messages: readonly SessionMessage[]): void
  messages(key: SessionKey, page: PageRequest): MessagePage
  turn(key: SessionKey, turnId: string): SessionMessage[]
  list(of: SessionListKey, page: PageRequest): SessionPage
  delete(key: SessionKey): boolean
  close(): void
}

const DEFAULT_BOUNDS = {
  maxSessions: 10_000,
  maxMessagesPerSession: 1_000,
  maxBytesPerSession: 8 * 1024 * 1024,
  maxBytes: 64 * 1024 * 1024,
  maxIdleMs: 24 * 60 * 60 * 1000
}

/**
 * Keeps conversations in this process, within five bounds.
 * @throws RangeError for a bound that is not at least 1, TypeError for an option that there is not
 */
export function memorySessionStore (options: MemorySessionStoreOptions = {}): MemorySessionStore {
  return new MemoryStore(options, false)
}

/** The same for sessions to which each message is appended once: it is not looked for among those that are there. */
export function unsharedSessionStore (options: MemorySessionStoreOptions = {}): MemorySessionStore {
  return new MemoryStore(options, true)
}

class MemoryStore implements MemorySessionStore {
  readonly #maxSessions: number
  readonly #maxMessagesPerSession: number
  readonly #maxBytesPerSession: number
  readonly #maxBytes: number
  readonly #maxIdleMs: number
  readonly #clock: Clock
  readonly #messagesAreNew: boolean
  readonly #tag = crypto.randomUUID()
  readonly #entries = new SessionMap<Entry>()
  readonly #listByKey = new Map<string, SessionList>()
  readonly #byTouch = new TouchOrder<Entry>()
  #bytes = 0
  /** Sessions and lists of them: a number is never used again, so that a cursor into what was forgotten is unknown to its successor. */
  #made = 0
  #closed = false

  constructor (options: MemorySessionStoreOptions, messagesAreNew: boolean) {
    this.#messagesAreNew = messagesAreNew
    const bounds = boundsOf('a memory session store', DEFAULT_BOUNDS, options, ['clock'])
    this.#maxSessions = bounds.maxSessions
    this.#maxMessagesPerSession = bounds.maxMessagesPerSession
    this.#maxBytesPerSession = bounds.maxBytesPerSession
    this.#maxBytes = bounds.maxBytes
    this.#maxIdleMs = bounds.maxIdleMs
    this.#clock = options.clock ?? systemClock
  }

  get size (): number {
    return this.#entries.size
  }

  get bytes (): number {
    return this.#bytes
  }

  append (key: SessionKey, messages: readonly SessionMessage[]): void {
    const found = this.#find(key)
    const fresh = freshOf(messages, found?.session)
    const longer = longerOf(messages, found?.session)
    if (fresh.length === 0 && longer.length === 0) return
    this.#assertRoomFor(key, fresh, longer)
    const entry = found ?? this.#open(key)
    const { session } = entry
    const before = session.bytes
    for (const each of longer) session.lengthen(each)
    for (const kept of fresh) session.add(kept)
    while (session.size > this.#maxMessagesPerSession) session.forgetOldest()
    while (session.size > 1 && session.bytes > this.#maxBytesPerSession) session.forgetOldest()
    this.#bytes += session.bytes - before
    if (fresh.length > 0) entry.list.byMessage.touch(session)
    this.#makeRoomBeside(entry)
  }

  messages (key: SessionKey, page: PageRequest): MessagePage {
    return this.#find(key)?.session.page(page) ?? { messages: [] }
  }

  turn (key: SessionKey, turnId: string): SessionMessage[] {
    return this.#find(key)?.session.turn(turnId) ?? []
  }

  list (of: SessionListKey, { limit, before }: PageRequest): SessionPage {
    this.#enter()
    const list = this.#listByKey.get(listKeyText(of))
    if (list === undefined) return { sessions: [] }
    const { byMessage, id } = list
    const end = before === undefined ? byMessage.top : positionOf(before, id, byMessage.top)
    const found = byMessage.newest(limit + 1, end)
    const page = found.slice(0, limit)
    const sessions = page.map(({ sessionId, updatedAt }) => ({ sessionId, updatedAt }))
    const last = page.at(-1)
    return last === undefined || found.length <= limit ? { sessions } : { sessions, before: cursorOf(id, last.rank) }
  }

  delete (key: SessionKey): boolean {
    const entry = this.#find(key)
    if (entry !== undefined) this.#forget(entry)
    return entry !== undefined
  }

  close (): void {
    this.#closed = true
    for (const { session } of this.#entries.all()) session.clear()
    this.#entries.clear()
    this.#listByKey.clear()
    this.#byTouch.clear()
    this.#bytes = 0
  }

  /** Every access comes through here, and forgets what lay idle: so the store needs no timer. */
  #enter (): number {
    if (this.#closed) throw new Error('this session store is closed')
    const now = this.#clock.now()
    for (let oldest = this.#byTouch.oldest(); oldest !== undefined; oldest = this.#byTouch.oldest()) {
      if (now - oldest.touchedAt < this.#maxIdleMs) break
      this.#forget(oldest)
    }
    return now
  }

  #find (key: SessionKey): Entry | undefined {
    const now = this.#enter()
    const entry = this.#entries.get(key)
    if (entry !== undefined) this.#touch(entry, now)
    return entry
  }

  #touch (entry: Entry, now: number): void {
    // A number with a fraction would be an object of its own, and one more to be fetched from memory.
    entry.touchedAt = Math.floor(now)
    this.#byTouch.touch(entry)
  }

  /** Asked before anything changes: else one oversized answer would push out every other session for nothing. */
  #assertRoomFor (key: SessionKey, fresh: readonly Kept[], lengthened: readonly Lengthened[]): void {
    let bytes = emptySessionBytes(key)
    for (const kept of fresh) bytes += kept.bytes
    for (const { longer } of lengthened) bytes += longer.bytes
    if (bytes > this.#maxBytes) {
      throw new RangeError(`about ${bytes} bytes do not fit into a session store whose maxBytes is ${this.#maxBytes}`)
    }
  }

  #open (key: SessionKey): Entry {
    const keyText = sessionKeyText(key)
    const session = new MemorySession(key, this.#tag, this.#made++, this.#messagesAreNew)
    const entry: Entry = { keyText, session, list: this.#openList(key), touchedAt: 0, older: undefined, newer: undefined, rank: 0 }
    this.#entries.set(keyText, entry)
    this.#touch(entry, this.#clock.now())
    this.#bytes += session.bytes
    return entry
  }

  #openList (of: SessionListKey): SessionList {
    const key = listKeyText(of)
    const list = this.#listByKey.get(key) ?? { id: `${this.#tag}.${this.#made++}`, key, byMessage: new TouchOrder<MemorySession>() }
    this.#listByKey.set(key, list)
    return list
  }

  #makeRoomBeside (entry: Entry): void {
    while (this.size > this.#maxSessions || this.#bytes > this.#maxBytes) {
      const oldest = this.#byTouch.oldest()
      if (oldest !== undefined && oldest !== entry) this.#forget(oldest)
      else this.#forgetOldestOf(entry.session)
    }
  }

  #forgetOldestOf (session: MemorySession): void {
    const before = session.bytes
    session.forgetOldest()
    this.#bytes += session.bytes - before
  }

  #forget (entry: Entry): void {
    const { keyText, session, list } = entry
    this.#entries.delete(keyText)
    this.#byTouch.delete(entry)
    this.#bytes -= session.bytes
    list.byMessage.delete(session)
    if (list.byMessage.size === 0) this.#listByKey.delete(list.key)
    session.clear()
  }
}

/** The messages that are not kept yet, copied: what fails here leaves the store as it was. */
function freshOf (messages: readonly SessionMessage[], session: MemorySession | undefined): readonly Kept[] {
  // Most often it is one: for that a list of one, where the first push would make room for seventeen.
  const [first] = messages
  if (first !== undefined && messages.length === 1) return session?.has(first) === true ? NONE : [keptOf(first)]
  const fresh: Kept[] = []
  const seen = new Set<string>()
  for (const message of messages) {
    const identity = `${message.role}:${message.turnId}`
    if (session?.has(message) === true || seen.has(identity)) continue
    seen.add(identity)
    fresh.push(keptOf(message))
  }
  return fresh
}

/** What takes the place of answers that were broken off and are kept, but shorter. */
function longerOf (messages: readonly SessionMessage[], session: MemorySession | undefined): readonly Lengthened[] {
  if (session === undefined || messages.every(({ complete }) => complete)) return NONE
  return messages.flatMap((message) => session.longer(message) ?? [])
}

const NONE: readonly never[] = []

function listKeyText ({ owner, agentId }: SessionListKey): string {
  return JSON.stringify([owner, agentId])
}

interface Entry extends Ordered<Entry> {
  readonly keyText: string
  readonly session: MemorySession
  readonly list: SessionList
  touchedAt: number
}

/** The sessions of one owner and agent. */
interface SessionList {
  readonly id: string
  readonly key: string
  readonly byMessage: TouchOrder<MemorySession>
}
