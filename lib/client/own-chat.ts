import type { BusyPolicy } from '../protocol/names.js'
import type { ServerFrameOf } from '../protocol/server-frames.js'
import { afterAwake, elapsedMs, momentOf, type ClientClock, type Moment } from './client-clock.js'
import { ChannelClientError, errorOf, type ClientErrorCode } from './client-error.js'
import type { OpenTurn } from './open-turn.js'

export interface OwnChatTools {
  clock: ClientClock
  turnPatienceMs: number
  resendWindowMs: number
}

export interface ChatTerms {
  onBusy?: BusyPolicy | undefined
  stream?: boolean | undefined
}

/**
 * How this client's chat and its server stand: `waiting` to be sent, `held` after a refusal until it may be sent again,
 * `sent` and not answered, `followed` when its turn is being told to its end.
 */
export type ChatState = 'waiting' | 'held' | 'sent' | 'followed'

/** Refusals that are the caller's to decide about: the server is well, and the session is busy. */
const FOR_THE_CALLER: readonly ClientErrorCode[] = ['SESSION_BUSY', 'QUEUE_FULL']
const MAX_REFUSALS = 6
const REFUSED_MS = 1_000

/** A chat of this client's own, from the first time that it is sent to its turn's end. */
export class OwnChat {
  readonly turn: OpenTurn
  /** Its text comes whole, at the end, and only on a connection that has sent the chat itself. */
  readonly isJoined: boolean
  isCancelled = false
  readonly #terms: ChatTerms
  readonly #tools: OwnChatTools
  #state: ChatState = 'waiting'
  /** It may have been accepted: by that journal, and its turn was open then. */
  #sent: { journal: string, at: Moment } | undefined
  /** An answer to it was lost, or it was accepted. */
  #isUncertain = false
  /** Everything of it up to the session's position is known here. */
  #isKnown = false
  /** And its end comes behind that. */
  #isEndAhead = false
  #refusals = 0
  #cancelPatience: () => void = () => {}
  #cancelRetry: () => void = () => {}

  constructor (turn: OpenTurn, terms: ChatTerms, tools: OwnChatTools) {
    this.turn = turn
    this.isJoined = terms.stream === false
    this.#terms = terms
    this.#tools = tools
    this.#worry()
  }

  get state (): ChatState { return this.#state }

  /** The server may have it. */
  get isSent (): boolean { return this.#sent !== undefined }

  get frame (): object {
    const { id, agentId, sessionId, message, metadata } = this.turn
    return { type: 'chat', id, agentId, sessionId, message, ...this.#terms, ...(metadata === undefined ? {} : { metadata }) }
  }

  /** What keeps it from being sent under its id: it could run a second time. */
  isForgotten (journal: string): boolean {
    const { clock, resendWindowMs } = this.#tools
    return this.#sent !== undefined && (this.#sent.journal !== journal || elapsedMs(clock, this.#sent.at) > resendWindowMs)
  }

  onSent (journal: string): void {
    this.#state = 'sent'
    this.#sent ??= { journal, at: momentOf(this.#tools.clock) }
  }

  get isKnown (): boolean { return this.#isKnown }

  /** After a reconnect, where what was missed follows: whether that has the end, and all of the text. */
  get isEndAhead (): boolean { return this.#isEndAhead && !this.isJoined }

  /** @param isEndAhead the end has not been told yet, on no connection: of a duplicate it may have been lost */
  onFollowed (isEndAhead: boolean): void {
    this.#state = 'followed'
    this.#isKnown = true
    this.#isEndAhead = isEndAhead
    this.#isUncertain = true
    this.#cancelPatience()
  }

  /** The position is another, and what it was told up to there, its end too, only the chat sent again can bring. */
  onMissed (): void {
    this.#isKnown = false
    this.#isEndAhead = false
    if (this.#state !== 'followed') return
    this.#state = 'waiting'
    this.#worry()
  }

  /**
   * The connection was lost.
   * @param heard its last sign of life: what was followed had not ended then
   */
  onLost (heard: Moment): void {
    this.#cancelRetry()
    this.#isUncertain ||= this.#state === 'sent'
    if (this.#state === 'followed') {
      if (this.#sent !== undefined) this.#sent.at = heard
      this.#worry()
    }
    this.#state = 'waiting'
  }

  /** @param retry called when it may be sent again */
  onRefused (frame: ServerFrameOf<'error'>, retry: () => void): void {
    const error = errorOf(frame)
    const isForCaller = FOR_THE_CALLER.includes(error.code)
    // A busy session is one that has looked whether it knows the chat.
    if (!this.#isUncertain || isForCaller) this.#sent = undefined
    if (!error.retryable || isForCaller || ++this.#refusals > MAX_REFUSALS) return this.fail(error)
    this.#state = 'held'
    // A server that shuts down takes it on no connection that there is now.
    if (error.code === 'SHUTTING_DOWN') return
    this.#cancelRetry = this.#tools.clock.after(error.retryAfterMs ?? REFUSED_MS, () => {
      this.#state = 'waiting'
      retry()
    })
  }

  /** Ends the turn here, as one that may have run if the chat may have been accepted. */
  fail (error: ChannelClientError): void {
    this.turn.fail(this.isSent ? new ChannelClientError('OUTCOME_UNKNOWN', { cause: error }) : error)
  }

  /** Its turn has ended. */
  close (): void {
    this.#cancelPatience()
    this.#cancelRetry()
  }

  #worry (): void {
    const { clock, turnPatienceMs } = this.#tools
    this.#cancelPatience()
    this.#cancelPatience = afterAwake(clock, turnPatienceMs, () => { this.fail(new ChannelClientError('CONNECTION_LOST')) })
  }
}
