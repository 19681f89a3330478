import type { ClientFrame } from '../protocol/client-frames.js'
import type { ErrorCode } from '../protocol/codes.js'
import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.js'
import type { Identity } from './identity.js'
import type { OutboxSocket } from './outbox-tools.js'
import { Reading, type Teller } from './reading.js'
import { Refusal } from './refusal.js'
import { refusalOf } from './rest-errors.js'
import type { RestTools } from './rest-tools.js'

/** The end of a turn, and the whole messages that came before it. */
export type WholeAnswer = ServerFrameOf<'message'> & { messages?: string[] }

/** The frame that answers a request, as one JSON body: of a chat, its end. */
export class WholeTelling implements Teller, OutboxSocket {
  readonly isDirect = false
  readonly bufferedBytes = 0
  readonly unsentBytes = 0
  /** `undefined` when nobody waits for it any more. */
  readonly answer: Promise<WholeAnswer | ServerFrameOf<'history' | 'cancelled' | 'ack'> | undefined>
  readonly #reading: Reading
  readonly #retryAfterMs: number
  readonly #messages: string[] = []
  // Set by the promise itself, which calls back at once.
  #onAnswer!: (answer: Awaited<WholeTelling['answer']>) => void
  #onRefused!: (refusal: Refusal) => void

  /** @param hasOwnId a chat's `id` was made here */
  constructor (identity: Identity, hasOwnId: boolean, tools: RestTools) {
    this.#retryAfterMs = tools.limits.retryAfterMs
    this.answer = new Promise((resolve, reject) => {
      this.#onAnswer = resolve
      this.#onRefused = reject
    })
    this.#reading = new Reading(identity, hasOwnId, this, tools)
  }

  get sink (): this { return this }

  start (frame: ClientFrame): void {
    this.#reading.start(frame)
  }

  /** Its client is gone. */
  abandon (): void {
    this.#onAnswer(undefined)
  }

  protected settle (answer: Awaited<WholeTelling['answer']>): void {
    this.#onAnswer(answer)
  }

  /** The answer is there, or nobody waits for it. */
  close (): void {
    this.#reading.close()
  }

  tell (frame: string): string | undefined {
    return frame
  }

  batch (send: () => void): void {
    send()
  }

  send (text: string, written: () => void): void {
    // It was made from one.
    this.#take(JSON.parse(text) as ServerFrame)
    written()
  }

  /** Without an answer: the session was forgotten meanwhile. Where there was one nobody listens to this. */
  end (): void {
    this.fail('STORE_UNAVAILABLE')
  }

  fail (code: ErrorCode): void {
    this.#onRefused(new Refusal(code, { retryAfterMs: this.#retryAfterMs }))
  }

  #take (frame: ServerFrame): void {
    switch (frame.type) {
      case 'error': return this.#onRefused(refusalOf(frame))
      case 'history':
      case 'cancelled': return this.#onAnswer(frame)
      case 'message':
      case 'stream': return frame.done ? this.#end(frame) : void this.#messages.push(frame.content)
      // Where the turn has got to is nothing to somebody who waits for its end.
      default:
    }
  }

  #end (frame: ServerFrameOf<'message'> | ServerFrameOf<'stream'>): void {
    this.#onAnswer({ ...frame, type: 'message', ...(this.#messages.length === 0 ? {} : { messages: this.#messages }) })
  }
}
