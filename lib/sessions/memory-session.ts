import type { SessionKey } from '../protocol/session-key.js'
import { cursorOf, positionOf } from './cursor.js'
import type { MessagePage, PageRequest, SessionMessage } from './session-store.js'

// Rough costs in V8 on 64 bits, measured over 10,000 sessions of 1 and of 100 short messages. Text is counted with two
// bytes a unit, which is what it takes unless all of it is Latin-1.
const BYTES_PER_SESSION = 1_536
const BYTES_PER_MESSAGE = 320

/** The messages of one session, by position: each one's is one above that of the message before it. */
export class MemorySession {
  readonly id: string
  readonly sessionId: string
  /** The session's part of the estimate. */
  bytes: number
  updatedAt = 0
  /** Position of the oldest message kept. */
  #start = 0
  /** Position after the newest message. */
  #end = 0
  readonly #keptByPosition = new Map<number, Kept>()
  readonly #keptByTurn = new Map<string, Kept[]>()

  constructor (key: SessionKey, id: string) {
    this.id = id
    this.sessionId = key.sessionId
    this.bytes = emptySessionBytes(key)
  }

  get size (): number {
    return this.#keptByPosition.size
  }

  has ({ turnId, role }: SessionMessage): boolean {
    return this.#keptByTurn.get(turnId)?.some((kept) => kept.message.role === role) ?? false
  }

  add (kept: Kept): void {
    const { turnId, at } = kept.message
    this.#keptByPosition.set(this.#end++, kept)
    const ofTurn = this.#keptByTurn.get(turnId)
    if (ofTurn === undefined) this.#keptByTurn.set(turnId, [kept])
    else ofTurn.push(kept)
    this.bytes += kept.bytes
    this.updatedAt = at
  }

  forgetOldest (): void {
    const kept = this.#keptByPosition.get(this.#start)
    if (kept === undefined) return
    this.#keptByPosition.delete(this.#start++)
    // The oldest of the session is the oldest of its turn.
    const ofTurn = this.#keptByTurn.get(kept.message.turnId)
    ofTurn?.shift()
    if (ofTurn?.length === 0) this.#keptByTurn.delete(kept.message.turnId)
    this.bytes -= kept.bytes
  }

  page ({ limit, before }: PageRequest): MessagePage {
    const end = before === undefined ? this.#end : positionOf(before, this.id, this.#end)
    const start = Math.max(this.#start, end - limit)
    const messages: SessionMessage[] = []
    for (let position = start; position < end; position++) {
      const kept = this.#keptByPosition.get(position)
      if (kept !== undefined) messages.push(messageOf(kept))
    }
    const isWhole = messages.length === 0 || start === this.#start
    return isWhole ? { messages } : { messages, before: cursorOf(this.id, start) }
  }

  turn (turnId: string): SessionMessage[] {
    return (this.#keptByTurn.get(turnId) ?? []).map(messageOf)
  }
}

/** A message as it is kept. Metadata is text: what is handed out is new each time, and its size is known. */
export interface Kept {
  readonly message: SessionMessage
  readonly metadataText: string | undefined
  readonly bytes: number
}

export function keptOf ({ role, content, turnId, at, complete, metadata }: SessionMessage): Kept {
  const metadataText = metadata && JSON.stringify(metadata)
  const units = content.length + turnId.length + (metadataText?.length ?? 0)
  return { message: { role, content, turnId, at, complete }, metadataText, bytes: BYTES_PER_MESSAGE + 2 * units }
}

/** What a session costs before its first message. */
export function emptySessionBytes ({ owner, agentId, sessionId }: SessionKey): number {
  return BYTES_PER_SESSION + 2 * (owner.length + agentId.length + 2 * sessionId.length)
}

function messageOf ({ message, metadataText }: Kept): SessionMessage {
  if (metadataText === undefined) return { ...message }
  // The text is what `keptOf` made of a metadata object.
  return { ...message, metadata: JSON.parse(metadataText) as Record<string, unknown> }
}
