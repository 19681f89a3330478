import { CLOSE_CODES, type ReconnectAdvice } from '../protocol/codes.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import { elapsedMs, momentOf, type Moment } from './client-clock.js'
import { ChannelClientError } from './client-error.js'
import { Link, type ReadyFrame } from './link.js'
import type { Settings } from './options.js'
import { subprotocols } from './subprotocols.js'
import { isFinal, whyRefused } from './upgrade-refusal.js'

/** `connecting` for the first time, `open`, `reconnecting` after a loss, `closed` for good. */
export type ConnectionState = 'connecting' | 'open' | 'reconnecting' | 'closed'

export interface ConnectionEvents {
  onState: (state: ConnectionState) => void
  onReady: (ready: ReadyFrame) => void
  onFrame: (frame: ServerFrame) => void
  /** @param heard the last sign of life @param isBlamed the connection was closed for a frame that it was sent */
  onLost: (heard: Moment, isBlamed: boolean) => void
  /** An attempt failed in a way that is worth telling; there will be others. */
  onTrouble: (error: ChannelClientError) => void
  /** There will be no other connection. */
  onEnd: (error: ChannelClientError) => void
}

/** A connection that has lived so long was a good one: what ends it is the first failure. */
const GOOD_MS = 5_000

/** A link to the server, made again whenever it is lost, as the table of close codes says. */
export class Connection {
  readonly #settings: Settings
  readonly #events: ConnectionEvents
  #state: ConnectionState = 'connecting'
  #link: Link | undefined
  #openedAt: Moment | undefined
  #failures = 0
  /** The token of the last attempt. */
  #token: string | undefined
  #isRejected = false
  /** When to come back, as the server has said. */
  #hintMs = 0
  /** So many attempts with a WebSocket have come to nothing, one after another. */
  #blocked = 0
  #isFallback = false
  /** Counts attempts: an answer to an older one comes too late. */
  #attempt = 0
  #cancelWait: (() => void) | undefined

  constructor (settings: Settings, events: ConnectionEvents) {
    this.#settings = settings
    this.#events = events
  }

  get state (): ConnectionState { return this.#state }

  get ready (): ReadyFrame | undefined { return this.#link?.ready }

  open (): void {
    void this.#connect()
  }

  /** Only while it is ready. */
  send (text: string): void {
    this.#link?.send(text)
  }

  /** There is reason to look: the network is back, the page is seen again. */
  wake (): void {
    this.#link?.check()
    if (this.#cancelWait === undefined) return
    this.#cancelWait()
    this.#failures = 0
    void this.#connect()
  }

  close (): void {
    this.#attempt++
    this.#cancelWait?.()
    this.#link?.close()
    this.#link = undefined
    this.#enter('closed')
  }

  async #connect (): Promise<void> {
    const attempt = ++this.#attempt
    this.#cancelWait = undefined
    const { token, WebSocket, fallback = WebSocket, fallbackAfter, url } = this.#settings
    // Who has just made a client is to have the time to listen to it.
    await Promise.resolve()
    if (attempt !== this.#attempt) return
    try {
      this.#token = typeof token === 'function' ? await token({ isRejected: this.#isRejected }) : token
    } catch (cause) {
      if (attempt === this.#attempt) this.#retryAfter(new ChannelClientError('UNAUTHORIZED', { cause }))
      return
    }
    if (attempt !== this.#attempt) return
    try {
      this.#isFallback = this.#blocked >= fallbackAfter
      this.#link = new Link(new (this.#isFallback ? fallback : WebSocket)(url.href, subprotocols(this.#token)), {
        ...this.#settings,
        onReady: (ready) => { this.#onReady(ready) },
        onFrame: (frame) => { this.#onFrame(frame) },
        onOver: (code) => { this.#onOver(code) }
      })
    } catch (cause) {
      this.#end(new ChannelClientError('CONNECTION_REFUSED', { cause }))
    }
  }

  #onReady (ready: ReadyFrame): void {
    this.#openedAt = momentOf(this.#settings.clock)
    this.#isRejected = false
    this.#hintMs = 0
    this.#enter('open')
    this.#events.onReady(ready)
  }

  #onFrame (frame: ServerFrame): void {
    if (frame.type === 'reconnect') this.#hintMs = frame.afterMs
    else this.#events.onFrame(frame)
  }

  #onOver (code: number): void {
    const link = this.#link
    this.#link = undefined
    if (this.#openedAt !== undefined && elapsedMs(this.#settings.clock, this.#openedAt) >= GOOD_MS) this.#failures = 0
    this.#openedAt = undefined
    if (link?.ready === undefined) this.#blocked = this.#isFallback ? 0 : this.#blocked + 1
    else if (!this.#isFallback) this.#blocked = 0
    const advice = adviceOf(code)
    if (link?.ready !== undefined) this.#events.onLost(link.heard, advice === 'without-that-frame')
    this.#enter('reconnecting')
    // Whoever was told may have closed the client.
    if (this.#isClosed()) return
    if (link?.hasOpened !== true) void this.#askWhy(code)
    else this.#follow(advice, code)
  }

  #follow (advice: ReconnectAdvice, code: number): void {
    switch (advice) {
      case 'no': return this.#end(new ChannelClientError('CONNECTION_REFUSED', { status: code }))
      case 'after-renewal': return this.#renew(code)
      case 'after-hint': return this.#wait(this.#hintMs + this.#backOffMs())
      case 'back-off': return this.#wait(this.#backOffMs())
      case 'yes':
      case 'without-that-frame': return this.#wait(this.#failures === 0 ? 0 : this.#backOffMs())
    }
  }

  async #askWhy (code: number): Promise<void> {
    const attempt = this.#attempt
    // A fallback knows the status with which it was refused.
    const refusal = code < 1_000 ? { status: code, retryAfterMs: this.#hintMs } : await whyRefused(this.#settings, this.#token)
    if (attempt !== this.#attempt) return
    if (refusal === undefined) return this.#wait(this.#backOffMs())
    const { status, retryAfterMs } = refusal
    if (status === 401) this.#renew(status)
    else if (!isFinal(status)) this.#wait(Math.max(retryAfterMs, this.#backOffMs()))
    else if (this.#isFallback || this.#settings.fallback === undefined) this.#end(new ChannelClientError('CONNECTION_REFUSED', { status }))
    else {
      this.#blocked = this.#settings.fallbackAfter
      this.#wait(0)
    }
  }

  /** Where there is another token to be had, and it was not refused in its turn. */
  #renew (status: number): void {
    const error = new ChannelClientError('UNAUTHORIZED', { status })
    if (typeof this.#settings.token !== 'function' || this.#isRejected) return this.#end(error)
    this.#isRejected = true
    this.#wait(this.#failures === 0 ? 0 : this.#backOffMs())
  }

  #retryAfter (trouble: ChannelClientError): void {
    this.#events.onTrouble(trouble)
    this.#wait(this.#backOffMs())
  }

  /** Full jitter: clients that have lost their server together do not come back together. */
  #backOffMs (): number {
    const { random, minBackOffMs, maxBackOffMs } = this.#settings
    return random() * Math.min(maxBackOffMs, minBackOffMs * 2 ** this.#failures)
  }

  #wait (ms: number): void {
    this.#failures++
    this.#cancelWait = this.#settings.clock.after(ms, () => { void this.#connect() })
  }

  #end (error: ChannelClientError): void {
    this.close()
    this.#events.onEnd(error)
  }

  #isClosed (): boolean {
    return this.#state === 'closed'
  }

  #enter (state: ConnectionState): void {
    if (state === this.#state || this.#isClosed()) return
    this.#state = state
    this.#events.onState(state)
  }
}

function adviceOf (code: number): ReconnectAdvice {
  return Object.values(CLOSE_CODES).find((row) => row.code === code)?.reconnect ?? 'back-off'
}
