import type { Entry, OpenTurn, Position, TurnEnd } from '../journal/journal.js'
import {
  encode, encodeEvent, encodeStarted, encodeStreamEnd, encodeTrackedPiece, errorFrame, NOT_DONE, trackedTail, type TurnNames
} from '../protocol/encode.js'
import type { ServerFrameOf } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { FrameBatch } from './frame-bytes.js'
import { NumberedTail } from './numbered-tail.js'
import { streamHeadOf, type StreamHead } from './stream-head.js'

/** What a feed's frames look like: those of plain answers, and after their fields `id`, `sessionId` and `seq`. */
export class FeedFrames {
  readonly #agentId: string
  readonly #sessionId: string
  readonly #head: StreamHead
  // Most frames are of the turn that the frame before was of.
  #turnId: string | undefined
  #names: TurnNames
  #tail = ''
  #tailBytes: NumberedTail | undefined

  constructor ({ agentId, sessionId }: SessionKey) {
    this.#agentId = agentId
    this.#sessionId = sessionId
    this.#head = streamHeadOf(agentId)
    this.#names = { agentId: this.#head.name, sessionId: JSON.stringify(sessionId), id: undefined }
  }

  piece ({ content, turnId = '', seq }: EntryOf<'text'>): string {
    this.#enterTurn(turnId)
    return encodeTrackedPiece(this.#head.text, content, this.#tail, seq)
  }

  /** Adds the frame of an entry, as bytes. */
  write (batch: FrameBatch, entry: SharedEntry): void {
    if (entry.kind === 'text') this.writePiece(batch, entry.content, entry.turnId ?? '', entry.seq)
    else batch.text(entry.kind === 'message' ? this.message(entry) : this.event(entry))
  }

  /** Adds that of a piece. */
  writePiece (batch: FrameBatch, content: string, turnId: string, seq: number): void {
    this.#enterTurn(turnId)
    this.#tailBytes ??= new NumberedTail(`"${NOT_DONE}${this.#tail}`)
    batch.piece(this.#head.bytes, content, this.#tailBytes.at(seq))
  }

  message ({ content, turnId = '', seq }: EntryOf<'message'>): string {
    return encode({ type: 'message', agentId: this.#agentId, content, done: false, ...this.#tracked(turnId, seq) })
  }

  event ({ name, json, turnId, seq }: EntryOf<'event'>): string {
    this.#enterTurn(turnId)
    return encodeEvent(this.#names, seq, name, json)
  }

  /** @param joined the turn's whole text, for a reader that was sent no pieces of it */
  end (turnId: string, end: TurnEnd, seq: number, joined?: string): string {
    const { finishReason, usage, error, content = joined } = end
    if (error === undefined && usage === undefined && content === undefined) {
      this.#enterTurn(turnId)
      return encodeStreamEnd(this.#names, seq, finishReason)
    }
    const agentId = this.#agentId
    const tracked = { ...this.#tracked(turnId, seq), finishReason, ...(usage === undefined ? {} : { usage }) }
    if (error !== undefined) return encode(errorFrame(error.code, { agentId, text: error.text, done: true, ...tracked }))
    if (content === undefined) return encode({ type: 'stream', agentId, content: '', done: true, ...tracked })
    return encode({ type: 'message', agentId, content, done: true, ...tracked })
  }

  /** Of a chat that has just been taken, and waits for nothing. */
  started (id: string, { epoch, seq }: Position): string {
    this.#enterTurn(id)
    return encodeStarted(this.#names, epoch, seq)
  }

  ack (
    id: string, { status, position, epoch, seq, content }: Pick<ServerFrameOf<'ack'>, 'status' | 'position' | 'epoch' | 'seq' | 'content'>
  ): ServerFrameOf<'ack'> {
    return {
      type: 'ack',
      id,
      agentId: this.#agentId,
      sessionId: this.#sessionId,
      status,
      ...(position === undefined ? {} : { position }),
      epoch,
      seq,
      ...(content === undefined ? {} : { content })
    }
  }

  subscribed (
    { epoch, seq }: { epoch: string, seq: number }, recovered: boolean, turns: OpenTurn[], id: string | undefined
  ): ServerFrameOf<'subscribed'> {
    return {
      type: 'subscribed',
      ...(id === undefined ? {} : { id }),
      agentId: this.#agentId,
      sessionId: this.#sessionId,
      epoch,
      seq,
      recovered,
      turns: turns.map(openTurn)
    }
  }

  #enterTurn (turnId: string | undefined): void {
    if (turnId === this.#turnId) return
    const { agentId, sessionId } = this.#names
    this.#turnId = turnId
    this.#names = { agentId, sessionId, id: turnId === undefined ? undefined : JSON.stringify(turnId) }
    this.#tail = trackedTail(this.#names)
    this.#tailBytes = undefined
  }

  #tracked (id: string, seq: number): { id: string, sessionId: string, seq: number } {
    return { id, sessionId: this.#sessionId, seq }
  }
}

function openTurn ({ chat: { turnId, message, metadata }, status, text }: OpenTurn): ServerFrameOf<'subscribed'>['turns'][number] {
  return {
    id: turnId,
    status,
    message,
    ...(metadata === undefined ? {} : { metadata }),
    ...(text === undefined ? {} : { content: text })
  }
}

/** What all readers of a session are told in the same way; an end may come with the whole text. */
export type SharedEntry = EntryOf<'text'> | EntryOf<'message'> | EntryOf<'event'>

export type EntryOf<Kind extends Entry['kind']> = Extract<Entry, { kind: Kind }>
