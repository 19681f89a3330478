import type { FastifyReply } from 'fastify'

import type { ErrorCode } from '../protocol/codes.js'
import { toError } from '../turns/within.js'
import type { AnswerEvents } from './answer-events.js'
import { cutOff } from './answer-over.js'
import { CompletionTurn, type TurnAsk } from './completion-turn.js'
import { beginEvents, HEARTBEAT } from './event-stream.js'
import type { Identity } from './identity.js'
import { LOST, type FrameSource } from './frame-source.js'
import { Outbox } from './outbox.js'
import type { OutboxEvents } from './outbox-tools.js'
import { Refusal } from './refusal.js'
import { ResponseSink } from './response-sink.js'
import type { RestTools } from './rest-tools.js'
import type { Telling } from './sse-tellings.js'

/** Streams an answer in some API's events. What fails before its first word is answered by a status of its own. */
export class CompletionStream implements Telling, FrameSource, OutboxEvents {
  readonly owner: string
  readonly #reply: FastifyReply
  readonly #identity: Identity
  readonly #tools: RestTools
  readonly #turn: CompletionTurn
  readonly #events: AnswerEvents
  readonly #sink: ResponseSink
  readonly #outbox: Outbox
  #state: 'silent' | 'telling' | 'ending' | 'over' = 'silent'
  #onBegun: (() => void) | undefined
  #onRefused: ((refusal: Error) => void) | undefined
  #isDraining = false
  #hasSaid = false
  #saidAt: number

  constructor (reply: FastifyReply, identity: Identity, ask: TurnAsk, events: AnswerEvents, tools: RestTools) {
    this.#reply = reply
    this.#identity = identity
    this.owner = identity.owner
    this.#tools = tools
    this.#turn = new CompletionTurn(ask, identity, tools)
    this.#events = events
    this.#sink = new ResponseSink(reply.raw)
    this.#outbox = new Outbox(this.#sink, tools.limits, tools.clock, this)
    this.#saidAt = tools.clock.now()
  }

  /** Settles when the answer has begun or its client is gone, and rejects with the refusal that is the answer instead. */
  start (): Promise<void> {
    this.#outbox.add(this)
    this.#turn.start((isUrgent, isMuch) => { this.#outbox.wake(isUrgent, isMuch) }).catch((err: unknown) => { this.#refuse(toError(err)) })
    return new Promise((resolve, reject) => {
      this.#onBegun = resolve
      this.#onRefused = reject
    })
  }

  next (isBehind: boolean): ReturnType<FrameSource['next']> {
    while (this.#state === 'silent' || this.#state === 'telling') {
      const entry = this.#turn.next(isBehind)
      if (entry === undefined) return undefined
      if (entry === 'lost') return LOST
      const told = this.#events.of(entry)
      if (told === undefined) continue
      this.#hasSaid = true
      const start = this.#begin()
      if (start === undefined) return undefined
      if (entry.kind === 'end') this.#finish(start + told)
      else if (start + told !== '') return start + told
    }
    return undefined
  }

  /** Slow clients, credentials, silence: one timer looks at all. */
  watch (now: number, date: number): void {
    const { slowConsumerTimeoutMs, heartbeatMs } = this.#tools.limits
    if (this.#outbox.isStuck(now, slowConsumerTimeoutMs)) {
      this.#tools.log.info({ owner: this.owner }, 'a client reads its answer too slowly')
      return this.terminate()
    }
    if (date >= (this.#identity.expiresAt ?? Infinity)) {
      return this.#fail(new Refusal('FORBIDDEN', { statusCode: 401, hint: 'the credentials have expired' }))
    }
    if (this.#hasSaid) this.#saidAt = now
    this.#hasSaid = false
    if (now - this.#saidAt >= heartbeatMs) this.#beat(now)
  }

  /** Its turn ends, by the drain if not before. */
  drain (): void {
    this.#isDraining = true
  }

  close (code: ErrorCode): boolean {
    if (this.#state !== 'silent' && this.#state !== 'telling') return false
    this.#outbox.flush()
    this.#fail(new Refusal(code))
    return true
  }

  terminate (): void {
    cutOff(this.#reply)
  }

  /** The client is gone, or has all of its answer. */
  gone (): void {
    this.#turn.close()
    this.#outbox.close()
    if (this.#state === 'silent') {
      this.#reply.hijack()
      this.#onBegun?.()
    }
    this.#state = 'over'
  }

  onPumped (): void {}

  onReplyWritten (): void {}

  /** The turn has failed, or what it yielded could not be told. */
  onSourceFailed (err: unknown): void {
    if (err instanceof Refusal) return this.#fail(err)
    this.#tools.log.error({ err, owner: this.owner }, 'an answer could not be told')
    this.#fail(new Refusal('INTERNAL'))
  }

  onLost (): void {
    this.#fail(new Refusal('STORE_UNAVAILABLE'))
  }

  /** @returns what comes before everything else; `undefined` when nothing of ours can be told */
  #begin (): string | undefined {
    if (this.#state !== 'silent') return ''
    if (!beginEvents(this.#reply)) return undefined
    this.#state = 'telling'
    this.#onBegun?.()
    return this.#events.start()
  }

  #beat (now: number): void {
    this.#saidAt = now
    // What waits to be sent is a sign of life too.
    if (this.#sink.unsentBytes > 0) return
    const start = this.#begin()
    if (start !== undefined) this.#outbox.reply(start + HEARTBEAT)
  }

  #fail (refusal: Refusal): void {
    if (this.#state === 'silent') return this.#refuse(refusal)
    if (this.#state !== 'telling') return
    this.#finish(this.#events.failed(refusal))
  }

  #refuse (refusal: Error): void {
    if (this.#state !== 'silent') return
    this.#state = 'ending'
    this.#turn.close()
    this.#outbox.close()
    this.#onRefused?.(refusal)
  }

  #finish (last: string): void {
    this.#state = 'ending'
    this.#turn.close()
    this.#outbox.close()
    this.#sink.send(last, () => {})
    if (this.#isDraining) this.#sink.hangUpWhenDone()
    this.#reply.raw.end()
  }
}
