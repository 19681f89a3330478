import type { Entry, TurnEnd } from '../journal/journal.js'
import { encode, encodeStreamPiece, errorFrame, NOT_DONE } from '../protocol/encode.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import type { TurnFollower } from '../turns/follow.js'
import { bytesOf, type FrameBatch } from './frame-bytes.js'
import { LOST, WRITTEN, type FrameSource } from './frame-source.js'
import { streamHeadOf, type StreamHead } from './stream-head.js'

const PIECE_TAIL = bytesOf(`"${NOT_DONE}}`)

/**
 * The answer to one plain chat, as frames: exactly `type, agentId, content, done`. It is made before the chat is
 * accepted, so that it has its place in the order of answers.
 */
export class PlainAnswer {
  // What every piece touches stands together.
  isDone = false
  readonly #head: StreamHead | undefined
  #follower: TurnFollower | undefined
  #refusal: string | undefined
  readonly #agentId: string
  /** Called when a refusal has been told. */
  onTold: (() => void) | undefined

  /** @param isStreamed whether text comes as it is written, or joined at the end */
  constructor (agentId: string, isStreamed: boolean) {
    this.#agentId = agentId
    this.#head = isStreamed ? streamHeadOf(agentId) : undefined
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
    return this.#head === undefined ? this.#message('message', text, true) : endOf(this.#agentId)
  }

  #message (type: 'message', content: string, done: boolean): string {
    return encode({ type, agentId: this.#agentId, content, done })
  }
}

/** The frame behind the last piece of an agent's answers: that of the answer before is mostly that of the next. */
let lastEnd = { agentId: '', text: '' }

function endOf (agentId: string): string {
  if (lastEnd.agentId !== agentId) lastEnd = { agentId, text: encode({ type: 'stream', agentId, content: '', done: true }) }
  return lastEnd.text
}
