import type { Entry, Wake } from '../journal/journal.js'
import type { ChatFrame } from '../protocol/client-frames.js'
import { ERROR_CODES } from '../protocol/codes.js'
import { TURN_STARTED } from '../protocol/names.js'
import { sessionKey, type SessionKey } from '../protocol/session-key.js'
import type { TurnFollower } from '../turns/follow.js'
import { newUuid } from '../uuid.js'
import { FailedTurn, WrongField } from './completion-errors.js'
import { historyOf } from './completion-request.js'
import type { GivenMessage } from './completion-schemas.js'
import type { Identity } from './identity.js'
import { askPermission } from './permission.js'
import { Refusal } from './refusal.js'
import type { RestTools } from './rest-tools.js'

/** What such a turn is asked by. */
export interface TurnAsk {
  /** As a client would say it over a socket: with an `id`, and with a `sessionId` where it is to be kept. */
  chat: ChatFrame & { id: string, agentId: string }
  /** What was said before, where no session is named. */
  given: GivenMessage[]
}

/** The turn of a completion. Whoever asked is all who wants it: it ends with them, and so does a session that is not kept. */
export class CompletionTurn {
  readonly #ask: TurnAsk
  readonly #identity: Identity
  readonly #tools: RestTools
  readonly #key: SessionKey
  readonly #isNamed: boolean
  #follower: TurnFollower | undefined
  #hasStarted = false
  #hasEnded = false
  #isClosed = false

  constructor (ask: TurnAsk, identity: Identity, tools: RestTools) {
    this.#ask = ask
    this.#identity = identity
    this.#tools = tools
    const { agentId, sessionId } = ask.chat
    this.#isNamed = sessionId !== undefined
    this.#key = sessionKey(identity.owner, agentId, sessionId ?? `completion-${newUuid()}`)
  }

  /**
   * @param wake called when there is something new
   * @throws Refusal (rejects); it is closed all the same by `close`
   */
  async start (wake: Wake): Promise<void> {
    const { engine, clock } = this.#tools
    const { chat, given } = this.#ask
    await askPermission(chat, this.#identity, this.#tools)
    if (given.length > 0) await engine.remember(this.#key, historyOf(given, clock.date()))
    // Nobody is there any more who would wait for it.
    if (this.#isUnread()) return this.#stop()
    const { message, metadata } = chat
    const started = await engine.startTurn({
      key: this.#key, isNamed: this.#isNamed, turnId: chat.id, message, metadata, context: this.#identity.context, isForReaders: true
    }, wake)
    if (!started.accepted) {
      const { code, retryAfterMs, details } = started
      if (details !== undefined) throw new WrongField(details.path, details.rule)
      throw new Refusal(code, retryAfterMs === undefined ? {} : { retryAfterMs })
    }
    this.#follower = started.follower
    if (this.#isUnread()) this.#stop()
    else wake(true)
  }

  /**
   * @param isBehind whether its reader is
   * @returns `lost` for a turn that can no longer be told
   * @throws Refusal for one that failed
   */
  next (isBehind: boolean): Entry | 'lost' | undefined {
    const entry = this.#follower?.next(isBehind)
    if (entry === 'lost') return entry
    if (entry?.kind === 'event') this.#hasStarted ||= entry.name === TURN_STARTED
    if (entry?.kind !== 'end') return entry
    this.#hasEnded = true
    const { error } = entry.end
    if (error === undefined) return entry
    const { code, text = ERROR_CODES[code].message } = error
    // One that has only waited may be asked for again.
    throw this.#hasStarted ? new FailedTurn(code, { text }) : new Refusal(code, { text })
  }

  /** Nobody reads it any more. */
  close (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stop()
  }

  #isUnread (): boolean { return this.#isClosed }

  #stop (): void {
    this.#follower?.close()
    const { engine, log } = this.#tools
    const stopped = this.#isNamed ? this.#cancel() : engine.endUnnamed(this.#key)
    stopped.catch((err: unknown) => {
      const { owner, agentId } = this.#key
      log.error({ err, owner, agentId }, 'the turn of a completion could not be ended')
    })
  }

  async #cancel (): Promise<void> {
    if (this.#follower === undefined || this.#hasEnded) return
    await this.#tools.engine.cancel(this.#key, true, this.#ask.chat.id)
  }
}
