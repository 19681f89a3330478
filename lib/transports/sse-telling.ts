import type { FastifyReply } from 'fastify'

import type { Position } from '../journal/journal.js'
import type { ClientFrame } from '../protocol/client-frames.js'
import type { ErrorCode } from '../protocol/codes.js'
import { encode, errorFrame } from '../protocol/encode.js'
import { TURN_STARTED } from '../protocol/names.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import { cutOff } from './answer-over.js'
import { beginEvents, HEARTBEAT } from './event-stream.js'
import type { Identity } from './identity.js'
import { Reading, type Teller } from './reading.js'
import { Refusal } from './refusal.js'
import { ResponseSink } from './response-sink.js'
import { refusalOf } from './rest-errors.js'
import type { RestTools } from './rest-tools.js'

/** Credentials about to expire are told of so long before. */
const EXPIRY_NOTICE_MS = 30_000

/** What is asked for, by whom. */
export interface SseAsk {
  identity: Identity
  frame: ClientFrame
  /** The frame's `id` was made here. */
  hasOwnId: boolean
}

/**
 * Tells what a request asked for as server-sent events. A chat's `ack` and `turn-started` are held back until there is a
 * first word: what fails before that is answered by a status of its own.
 */
export class SseTelling implements Teller {
  readonly sink: ResponseSink
  readonly owner: string
  /** Settles when the answer has begun or its client is gone, and rejects with the refusal that is the answer instead. */
  readonly begun: Promise<void>
  readonly #reply: FastifyReply
  readonly #ask: SseAsk
  readonly #tools: RestTools
  readonly #reading: Reading
  #state: 'silent' | 'telling' | 'ending' | 'over' = 'silent'
  // Set by the promise itself, which calls back at once.
  #onBegun!: () => void
  #onRefused!: (refusal: Refusal) => void
  #held = ''
  #hasToldEnd = false
  #isDraining = false
  #isToldOfExpiry = false
  #hasSaid = false
  #saidAt: number

  constructor (reply: FastifyReply, ask: SseAsk, tools: RestTools) {
    this.#reply = reply
    this.#ask = ask
    this.#tools = tools
    this.owner = ask.identity.owner
    this.sink = new ResponseSink(reply.raw)
    this.begun = new Promise((resolve, reject) => {
      this.#onBegun = resolve
      this.#onRefused = reject
    })
    this.#saidAt = tools.clock.now()
    this.#reading = new Reading(ask.identity, ask.hasOwnId, this, tools)
  }

  start (): void {
    this.#reading.start(this.#ask.frame)
  }

  tell (frame: string, position: Position | undefined): string | undefined {
    this.#hasSaid = true
    const event = eventText(frame, position)
    if (this.#state === 'silent') return this.#tellFirst(frame, event)
    this.#hasToldEnd ||= isEnd(frame)
    return event
  }

  end (): void {
    const isFollowing = this.#ask.frame.type === 'subscribe'
    if (isFollowing && !this.#isDraining) return
    if (isFollowing || this.#hasToldEnd) this.#finish()
    // The session was forgotten meanwhile: the history may have the rest.
    else this.fail('STORE_UNAVAILABLE')
  }

  fail (code: ErrorCode): void {
    const { retryAfterMs } = this.#tools.limits
    if (this.#state === 'silent') return this.#refuse(new Refusal(code, { retryAfterMs }))
    this.#say(eventText(encode(errorFrame(code, { retryAfterMs })), undefined))
    this.#finish()
  }

  /** Slow clients, credentials, silence: one timer looks at all. */
  watch (now: number, date: number): void {
    const { slowConsumerTimeoutMs, heartbeatMs } = this.#tools.limits
    if (this.#reading.isStuck(now, slowConsumerTimeoutMs)) return this.#dropSlow()
    if (this.#state === 'ending') return
    const { expiresAt = Infinity } = this.#ask.identity
    if (date >= expiresAt) return this.#expire()
    if (date >= expiresAt - EXPIRY_NOTICE_MS) this.#tellOfExpiry()
    if (this.#hasSaid) this.#saidAt = now
    this.#hasSaid = false
    if (now - this.#saidAt >= heartbeatMs) this.#beat(now)
  }

  /** Ends as soon as nothing that it follows runs. */
  drain (): void {
    this.#isDraining = true
    this.#tellToReconnect('the server is shutting down')
    if (this.#reading.isIdle) this.end()
  }

  /** Ends now, with all there is to say; answers whether it did. */
  close (code: ErrorCode): boolean {
    if (this.#state === 'telling') {
      this.#reading.flush()
      this.#finish()
      return true
    }
    if (this.#state !== 'silent') return false
    this.#refuse(new Refusal(code))
    return true
  }

  /** Cuts off a client that does not take what is left. */
  terminate (): void {
    cutOff(this.#reply)
  }

  /** The client is gone, or has all of its answer. */
  gone (): void {
    this.#reading.close()
    if (this.#state === 'silent') {
      this.#reply.hijack()
      this.#onBegun()
    }
    this.#state = 'over'
  }

  #tellFirst (frame: string, event: string): string | undefined {
    const told = JSON.parse(frame) as ServerFrame
    if (told.type === 'error') {
      this.#refuse(refusalOf(told))
      return undefined
    }
    this.#held += event
    if (this.#isPreface(told)) return undefined
    this.#hasToldEnd = isEnd(frame)
    return this.#begin()
  }

  /** Nothing that anybody waits for. */
  #isPreface (frame: ServerFrame): boolean {
    if (frame.type === 'ack') return (frame.content ?? '') === ''
    return frame.type === 'event' && frame.name === TURN_STARTED && this.#ask.frame.type === 'chat'
  }

  /** @returns what was held back */
  #begin (): string | undefined {
    const held = this.#held
    this.#held = ''
    if (!beginEvents(this.#reply)) return undefined
    this.#state = 'telling'
    this.#onBegun()
    return held
  }

  #beat (now: number): void {
    this.#saidAt = now
    if (this.#state === 'silent') this.#say((this.#begin() ?? '') + HEARTBEAT)
    // What waits to be sent is a sign of life too.
    else if (this.sink.unsentBytes === 0) this.#say(HEARTBEAT)
  }

  #say (text: string): void {
    if (this.#state === 'telling') this.#reading.say(text)
  }

  #refuse (refusal: Refusal): void {
    this.#state = 'ending'
    this.#reading.close()
    this.#onRefused(refusal)
  }

  #finish (): void {
    this.#state = 'ending'
    this.#reading.close()
    if (this.#isDraining) this.sink.hangUpWhenDone()
    this.#reply.raw.end()
  }

  #dropSlow (): void {
    this.#tools.log.info({ owner: this.owner }, 'a client reads its events too slowly')
    this.terminate()
  }

  #expire (): void {
    if (this.#state === 'silent') return this.#refuse(new Refusal('FORBIDDEN', { statusCode: 401, hint: 'the credentials have expired' }))
    this.#finish()
  }

  #tellOfExpiry (): void {
    if (this.#isToldOfExpiry) return
    this.#isToldOfExpiry = true
    this.#tellToReconnect('the credentials expire')
  }

  #tellToReconnect (reason: string): void {
    const afterMs = this.#tools.limits.retryAfterMs
    this.#say(`retry: ${afterMs}\n${eventText(encode({ type: 'reconnect', reason, afterMs }), undefined)}`)
  }
}

/** One event: JSON has no line breaks, and an epoch none either. */
function eventText (frame: string, position: Position | undefined): string {
  const id = position === undefined ? '' : `id: ${position.epoch}:${position.seq}\n`
  return `${id}data: ${frame}\n\n`
}

/** What an agent says may hold the same words: most frames do not, and need not be parsed. */
function isEnd (frame: string): boolean {
  return frame.includes('"done":true') && (JSON.parse(frame) as { done?: unknown }).done === true
}
