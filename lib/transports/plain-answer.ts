import type { Entry, TurnEnd } from '../journal/journal.js'
import { encode, encodeStreamPiece, errorFrame, NOT_DONE, streamHead } from '../protocol/encode.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import type { TurnFollower } from '../turns/follow.js'
import { bytesOf, type FrameBatch } from './frame-bytes.js'
import { LOST, WRITTEN, type FrameSource } from './outbox.js'

const PIECE_TAIL = bytesOf(`"${NOT_DONE}}`)

/**
 * The answer to one plain chat, as frames: exactly `type, agentId, content, done`. It is made before the chat is
 * accepted, so that it has its place in the order of answers.
 */
export class PlainAnswer {
  isDone = false
  /** Called when a refusal has been told. */
  onTold: (() => void) | undefined
  readonly #agentId: string
  readonly #head: Head | undefined
  #follower: TurnFollower | undefined
  #refusal: string | undefined

  /** @param isStreamed whether text comes as it is written, or joined at the end */
  constructor (agentId: string, isStreamed: boolean) {
    this.#agentId = agentId
    this.#head = isStreamed ? headOf(agentId) : undefined
  }

  /** The chat was accepted: this is its turn. */
  follow (follower: TurnFollower): void {
    if (this.isDone) follower.close()
    else this.#follower = follower
  }

  /** The chat was refused: this is all there is to say. */
  refuse (frame: ServerFrame): void {
    this.#refusal = encode(frame)
  }

  next (isBehind: boolean, batch?: FrameBatch): ReturnType<FrameSource['next']> {
    if (this.#refusal !== undefined) {
      this.isDone = true
      return this.#refusal
    }
    for (;;) {
      const entry = this.#follower?.next(isBehind)
      if (entry === undefined) return undefined
      if (entry === 'lost') return LOST
      if (entry.kind === 'text' && batch !== undefined && this.#head !== undefined) {
        batch.piece(this.#head.bytes, entry.content, PIECE_TAIL)
        return WRITTEN
      }
      const frame = this.#frameOf(entry)
      if (frame !== undefined) return frame
    }
  }

  close (): void {
    this.isDone = true
    this.#follower?.close()
  }

  #frameOf (entry: Entry): string | undefined {
    switch (entry.kind) {
      case 'text': return this.#head && encodeStreamPiece(this.#head.text, entry.content)
      case 'message': return this.#message('message', entry.content, false)
      case 'event': return undefined
      case 'end': return this.#end(entry.end)
    }
  }

  #end (end: TurnEnd): string {
    const text = this.#head === undefined ? this.#follower?.text() ?? '' : ''
    this.close()
    const { error, content } = end
    if (error !== undefined) {
      return encode(errorFrame(error.code, { agentId: this.#agentId, done: true, text: error.text }))
    }
    if (content !== undefined) return this.#message('message', content, true)
    return this.#head === undefined ? this.#message('message', text, true) : this.#head.end
  }

  #message (type: 'message', content: string, done: boolean): string {
    return encode({ type, agentId: this.#agentId, content, done })
  }
}

/** What the pieces of an agent's answers begin with, and the frame behind the last. */
class Head {
  readonly agentId: string
  readonly text: string
  readonly bytes: Uint8Array
  readonly end: string

  constructor (agentId: string) {
    this.agentId = agentId
    this.text = streamHead(agentId)
    this.bytes = bytesOf(`${this.text}"`)
    this.end = encode({ type: 'stream', agentId, content: '', done: true })
  }
}

/** That of the answer before is mostly that of the next. */
let lastHead = new Head('')

function headOf (agentId: string): Head {
  if (lastHead.agentId !== agentId) lastHead = new Head(agentId)
  return lastHead
}
