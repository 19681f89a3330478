import { CLOSE_CODES } from '../../protocol/codes.js'
import type { ServerFrameOf } from '../../protocol/server-frames.js'
import { Listeners } from '../listeners.js'
import { freshId, type ClientWebSocket } from '../options.js'
import { HttpRefusal, type ChannelHttp } from './channel-http.js'
import { SseSession, type SaidFrame, type SessionAsk } from './sse-session.js'

/** No server has said why. */
const ABNORMAL = 1006

interface SocketEvents {
  open: object
  message: { data: string }
  close: { code: number }
  error: object
}

/**
 * A WebSocket as the client sees it: what it is sent it asks over HTTP, and what is answered it says as the channel would
 * over a socket. Its close code is the HTTP status where it was not let in.
 */
export class SseSocket implements ClientWebSocket {
  readonly #http: ChannelHttp
  readonly #listeners = new Listeners<SocketEvents>()
  readonly #sessionByKey = new Map<string, SseSession>()
  /** The server wants to get rid of it. */
  #isLeaving = false
  #isOver = false

  constructor (http: ChannelHttp) {
    this.#http = http
    void this.#open()
  }

  addEventListener (type: keyof SocketEvents, listener: (event: object) => void): void {
    this.#listeners.on(type, listener)
  }

  send (data: string): void {
    // A client of ours has written it.
    const frame = JSON.parse(data) as SessionAsk
    switch (frame.type) {
      case 'ping': return this.#ask(frame, () => this.#ping())
      case 'history': return this.#ask(frame, () => this.#tellHistory(frame))
      case 'chat':
      case 'cancel':
      case 'subscribe':
      case 'unsubscribe': return this.#session(frame).take(frame)
      default: return queueMicrotask(() => { this.#refuseHostFrame(frame) })
    }
  }

  /** Says nothing more. */
  close (): void {
    this.#isOver = true
    this.#http.close()
  }

  async #open (): Promise<void> {
    try {
      const facts = await this.#http.facts()
      if (this.#isOver) return
      this.#listeners.tell('open', {})
      this.#say({ type: 'ready', connectionId: freshId(), types: [], ...facts })
    } catch (err) {
      if (!(err instanceof HttpRefusal)) return this.#end(ABNORMAL)
      if (err.retryAfterMs !== undefined) this.#say({ type: 'reconnect', reason: err.message, afterMs: err.retryAfterMs })
      this.#end(err.status)
    }
  }

  async #ping (): Promise<void> {
    await this.#http.facts()
    this.#say({ type: 'pong' })
  }

  async #tellHistory ({ id, agentId, sessionId, limit, before }: SessionAsk): Promise<void> {
    const page = await this.#http.ask(`${pathOf(agentId, sessionId)}/messages`, { query: { limit, before } })
    // As its schema has it.
    this.#say({ type: 'history', id, agentId, sessionId, ...page as Pick<ServerFrameOf<'history'>, 'messages' | 'before'> })
  }

  #refuseHostFrame ({ id, type }: SessionAsk): void {
    const message = `A frame of the type ${type} goes over a WebSocket only`
    this.#say({ type: 'error', id, code: 'WEBSOCKET_ONLY', message, retryable: false })
  }

  #ask (frame: SessionAsk, task: () => Promise<void>): void {
    task().catch((err: unknown) => { this.#onFailed(frame, err) })
  }

  #session (frame: SessionAsk): SseSession {
    const { agentId, sessionId } = frame
    const key = JSON.stringify([agentId, sessionId])
    let session = this.#sessionByKey.get(key)
    if (session === undefined) {
      session = new SseSession({
        http: this.#http,
        path: pathOf(agentId, sessionId),
        say: (frame) => { this.#say(frame) },
        onFailed: (frame, err) => { this.#onFailed(frame, err) },
        onLeaving: () => { this.#isLeaving = true },
        onStreamLost: () => { this.#onStreamLost() },
        onIdle: () => {
          this.#sessionByKey.delete(key)
          if (this.#isLeaving) this.#leaveIfDone()
        }
      })
      this.#sessionByKey.set(key, session)
    }
    return session
  }

  #onFailed (frame: SessionAsk, err: unknown): void {
    if (!(err instanceof HttpRefusal)) return this.#end(ABNORMAL)
    const { status, code, message, isRetryable, retryAfterMs } = err
    if (status === 401) return this.#end(CLOSE_CODES.EXPIRED.code)
    if (status === 412) return this.#onOtherJournal(frame)
    if (code === undefined && status >= 500) return this.#end(ABNORMAL)
    const isBusy = code === undefined && status === 429
    this.#say({
      type: 'error',
      id: frame.id,
      code: code ?? (isBusy ? 'RATE_LIMITED' : 'CONNECTION_REFUSED'),
      message,
      retryable: isRetryable || isBusy,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs })
    })
    if (code !== 'SHUTTING_DOWN') return
    if (retryAfterMs !== undefined) this.#say({ type: 'reconnect', reason: message, afterMs: retryAfterMs })
    this.#isLeaving = true
    this.#leaveIfDone()
  }

  /** Another server, or the same begun anew: a chat that it was sent was not taken. */
  #onOtherJournal ({ type, id }: SessionAsk): void {
    if (type === 'chat') this.#say({ type: 'error', id, code: 'SHUTTING_DOWN', message: 'Another server', retryable: true })
    this.#end(ABNORMAL)
  }

  #onStreamLost (): void {
    if (this.#isLeaving) this.#leaveIfDone()
    else this.#end(ABNORMAL)
  }

  /** A server that shuts down tells to their ends the turns that are followed. */
  #leaveIfDone (): void {
    for (const session of this.#sessionByKey.values()) if (session.isOpen) return
    this.#end(CLOSE_CODES.DRAIN.code)
  }

  #say (frame: SaidFrame): void {
    if (!this.#isOver) this.#listeners.tell('message', { data: JSON.stringify(frame) })
  }

  #end (code: number): void {
    if (this.#isOver) return
    this.close()
    this.#listeners.tell('close', { code })
  }
}

function pathOf (agentId: string, sessionId: string): string {
  return `agents/${encodeURIComponent(agentId)}/sessions/${encodeURIComponent(sessionId)}`
}
