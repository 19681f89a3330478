import type { ServerFrameOf } from '../protocol/server-frames.js'
import type { ClientClock } from './client-clock.js'
import { errorOf, type ChannelClientError } from './client-error.js'
import { freshId } from './options.js'

export interface FollowingTools {
  clock: ClientClock
  /** Sends a frame if the connection is ready; `false` if it is not. */
  send: (frame: object) => boolean
}

const MAX_REFUSALS = 6
const REFUSED_MS = 1_000

/** How much of a session the connection tells: all of it, or the turns only that were begun on it. */
export class Following {
  readonly #session: { agentId: string, sessionId: string }
  readonly #tools: FollowingTools
  #isWhole = false
  /** The `subscribe` that was sent last and has no answer. */
  #asked: string | undefined
  #refusals = 0
  #cancelRetry: () => void = () => {}

  constructor (session: { agentId: string, sessionId: string }, tools: FollowingTools) {
    const { agentId, sessionId } = session
    this.#session = { agentId, sessionId }
    this.#tools = tools
  }

  /** All that happens in the session is told. */
  get isWhole (): boolean { return this.#isWhole }

  /** It is to be, and what it tells then begins with an answer that has not come. */
  get isAsked (): boolean { return this.#asked !== undefined }

  /** @param position from which what was missed is to follow */
  ask (position: { epoch: string, seq: number } | undefined): void {
    const id = freshId()
    const from = position === undefined ? {} : { epoch: position.epoch, after: position.seq }
    if (this.#tools.send({ type: 'subscribe', id, ...this.#session, ...from })) this.#asked = id
  }

  /** The server has said where it begins to tell, asked or, with an older answer, again. */
  onSubscribed (id: string | undefined): void {
    this.#isWhole ||= id !== undefined
    if (id === this.#asked) this.#asked = undefined
    this.#refusals = 0
  }

  /**
   * @param retry called when it may be asked again
   * @returns what to tell if it may not be; `undefined` too for what answers something else
   */
  onRefused (frame: ServerFrameOf<'error'>, retry: () => void): { isMine: boolean, error?: ChannelClientError } {
    if (frame.id === undefined || frame.id !== this.#asked) return { isMine: false }
    const error = errorOf(frame)
    this.#asked = undefined
    if (!error.retryable || ++this.#refusals > MAX_REFUSALS) return { isMine: true, error }
    this.#cancelRetry = this.#tools.clock.after(error.retryAfterMs ?? REFUSED_MS, retry)
    return { isMine: true }
  }

  /** Goes back to what the connection has begun. */
  leave (): void {
    this.#isWhole = false
    this.#tools.send({ type: 'unsubscribe', ...this.#session })
  }

  onLost (): void {
    this.#isWhole = false
    this.#asked = undefined
    this.#cancelRetry()
  }
}
