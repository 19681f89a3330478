import type { SessionKey } from '../protocol/session-key.js'
import { cursorOf, positionOf } from './cursor.js'
import { longerAnswer } from './longer-answer.js'
import type { MessagePage, PageRequest, SessionMessage } from './session-store.js'
import { BlockText } from '../block-text.js'
import type { Ordered } from '../touch-order.js'

// Rough costs in V8 on 64 bits, measured over 10,000 sessions of 1 and of 100 short messages. Text is counted with two
// bytes a unit, which is what it takes unless all of it is Latin-1; outside the heap, by the room that was made for it.
const BYTES_PER_SESSION = 1_536
const BYTES_PER_MESSAGE = 320
/** The times of messages are counted from here: for 24 days such a number lies in the message itself, and is no object. */
const START = Date.now()

/**
 * Of a session that goes with its connection, what is longer stands outside the heap, in UTF-16 code units: it would be young when it
 * is forgotten, and held by what is old, and so become old itself (measured with 1,000 answers of 4 KB at a time: 7 MiB each time).
 */
const LONG_UNITS = 1_024

/** The messages of one session, by position: each one's is one above that of the message before it. */
export class MemorySession implements Ordered<MemorySession> {
  readonly sessionId: string
  /** The session's part of the estimate. */
  bytes: number
  older: MemorySession | undefined
  newer: MemorySession | undefined
  rank = 0
  /** Position of the oldest message kept. */
  #start = 0
  /** Where that is in the messages: before it there is nothing. */
  #head = 0
  #messages: Array<Kept | undefined> = []
  /** The first message of each turn, which leads to the others; none where no message comes twice. */
  readonly #firstByTurn: Map<string, Kept> | undefined
  /** That of the turn whose message was added last: most often what comes next is of the same. */
  #lastFirst: Kept | undefined
  readonly #tag: string
  readonly #number: number

  /**
   * @param tag of the store, and the number of the session in it: together they are its id
   * @param messagesAreNew no message will come again: none is looked for
   */
  constructor (key: SessionKey, tag: string, number: number, messagesAreNew: boolean) {
    this.#tag = tag
    this.#number = number
    this.#firstByTurn = messagesAreNew ? undefined : new Map()
    this.sessionId = key.sessionId
    this.bytes = emptySessionBytes(key)
  }

  get size (): number {
    return this.#messages.length - this.#head
  }

  /** Most often nobody asks for it: a text of its own would be more than what it is made of. */
  get id (): string {
    return `${this.#tag}.${this.#number}`
  }

  /** When its newest message was written. */
  get updatedAt (): number {
    const newest = this.#messages.at(-1)
    return newest === undefined ? 0 : START + newest.since
  }

  has (message: SessionMessage): boolean {
    return this.#find(message) !== undefined
  }

  /** What is kept of the message's turn and role, and what the message makes of it, if it is longer. */
  longer (message: SessionMessage): Lengthened | undefined {
    const kept = this.#find(message)
    const longer = kept && longerAnswer(messageOf(kept), message)
    return longer && { kept, longer: keptOf(longer) }
  }

  lengthen ({ kept, longer: { content, bytes } }: Lengthened): void {
    this.bytes += bytes - kept.bytes
    Object.assign(kept, { content, bytes })
  }

  add (kept: Kept): void {
    if (this.#firstByTurn === undefined) storeOutside(kept)
    // The first push would make room for seventeen; and many sessions are of one question and its answer.
    if (this.#messages.length === 0) this.#messages = [kept]
    else if (this.#messages.length === 1) this.#messages = [this.#messages[0], kept]
    else this.#messages.push(kept)
    this.#index(kept)
    this.bytes += kept.bytes
  }

  forgetOldest (): void {
    const kept = this.#messages[this.#head]
    if (kept === undefined) return
    this.#messages[this.#head++] = undefined
    this.#start++
    if (this.#head > this.size) {
      this.#messages = this.#messages.slice(this.#head)
      this.#head = 0
    }
    this.bytes -= kept.bytes
    forget(kept)
    if (this.#firstByTurn === undefined) return
    // The oldest of the session is the oldest of its turn.
    if (this.#lastFirst === kept) this.#lastFirst = kept.next
    if (kept.next === undefined) this.#firstByTurn.delete(kept.turnId)
    else this.#firstByTurn.set(kept.turnId, kept.next)
  }

  /** It was forgotten. It may be old, and what was said last young: as long as it led there, that would become old too. */
  clear (): void {
    for (const kept of this.#messages) if (kept !== undefined) forget(kept)
    this.#messages = []
    this.#head = 0
    this.#firstByTurn?.clear()
    this.#lastFirst = undefined
  }

  page ({ limit, before }: PageRequest): MessagePage {
    const top = this.#start + this.size
    const end = before === undefined ? top : positionOf(before, this.id, top)
    const start = Math.max(this.#start, end - limit)
    const messages: SessionMessage[] = []
    for (let position = start; position < end; position++) {
      const kept = this.#messages[position - this.#start + this.#head]
      if (kept !== undefined) messages.push(messageOf(kept))
    }
    const isWhole = messages.length === 0 || start === this.#start
    return isWhole ? { messages } : { messages, before: cursorOf(this.id, start) }
  }

  turn (turnId: string): SessionMessage[] {
    if (this.#firstByTurn === undefined) return this.#messages.flatMap((kept) => kept?.turnId === turnId ? [messageOf(kept)] : [])
    const messages: SessionMessage[] = []
    for (let kept = this.#firstByTurn.get(turnId); kept !== undefined; kept = kept.next) messages.push(messageOf(kept))
    return messages
  }

  #find ({ turnId, role }: SessionMessage): Kept | undefined {
    let kept = this.#firstOf(turnId)
    while (kept !== undefined && kept.role !== role) kept = kept.next
    return kept
  }

  #index (kept: Kept): void {
    if (this.#firstByTurn === undefined) return
    let last = this.#firstOf(kept.turnId)
    this.#lastFirst = last ?? kept
    if (last === undefined) return void this.#firstByTurn.set(kept.turnId, kept)
    while (last.next !== undefined) last = last.next
    last.next = kept
  }

  #firstOf (turnId: string): Kept | undefined {
    return this.#lastFirst?.turnId === turnId ? this.#lastFirst : this.#firstByTurn?.get(turnId)
  }
}

/** A message as it is kept. Metadata is text: what is handed out is new each time, and its size is known. */
export interface Kept extends Omit<SessionMessage, 'content' | 'metadata' | 'at'> {
  content: string | BlockText
  /** When it was written, in milliseconds since {@link START}. */
  readonly since: number
  readonly metadataText: string | undefined
  bytes: number
  /** The next message of its turn. */
  next: Kept | undefined
}

/** An answer that was broken off, and what takes its place. */
export interface Lengthened {
  kept: Kept
  longer: Kept
}

export function keptOf ({ role, content, turnId, at, complete, metadata }: SessionMessage): Kept {
  const metadataText = metadata && JSON.stringify(metadata)
  const units = content.length + turnId.length + (metadataText?.length ?? 0)
  return { role, content, turnId, since: sinceOf(at), complete, metadataText, bytes: BYTES_PER_MESSAGE + 2 * units, next: undefined }
}

/** Of two numbers that are objects of their own the difference is one too, until it was rounded. */
function sinceOf (at: number): number {
  const since = at - START
  const whole = Math.floor(since)
  return whole === since ? whole : since
}

/** What a session costs before its first message. */
export function emptySessionBytes ({ owner, agentId, sessionId }: SessionKey): number {
  return BYTES_PER_SESSION + 2 * (owner.length + agentId.length + 2 * sessionId.length)
}

function storeOutside (kept: Kept): void {
  const { content } = kept
  if (typeof content !== 'string' || content.length <= LONG_UNITS || !content.isWellFormed()) return
  kept.content = new BlockText()
  kept.content.append(content)
  kept.bytes += kept.content.room - 2 * content.length
}

function forget ({ content }: Kept): void {
  if (typeof content !== 'string') content.forget()
}

function messageOf ({ role, content, turnId, since, complete, metadataText }: Kept): SessionMessage {
  const message: SessionMessage = { role, content: content.toString(), turnId, at: START + since, complete }
  // The text is what `keptOf` made of a metadata object.
  if (metadataText !== undefined) message.metadata = JSON.parse(metadataText) as Record<string, unknown>
  return message
}
