import type { RawData, WebSocket } from 'ws'

import type { ClientFrameOf } from '../protocol/client-frames.js'
import type { CloseName } from '../protocol/codes.js'
import type { Decoded, Refusal } from '../protocol/decode.js'
import { encode, errorFrame, type ErrorExtra } from '../protocol/encode.js'
import { SUBPROTOCOL } from '../protocol/names.js'
import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.js'
import { toError } from '../turns/within.js'
import { newUuid } from '../uuid.js'
import type { Allowances } from './allowance.js'
import type { Asker } from './asker.js'
import type { Coalescer } from './coalescer.js'
import { frameBytes } from './frame-bytes.js'
import { Heartbeat, type HeartbeatLimits } from './heartbeat.js'
import type { Identity } from './identity.js'
import { readFrame } from './frame-reader.js'
import { Inbox, type FrameHandler } from './inbox.js'
import { Outbox } from './outbox.js'
import type { OutboxEvents } from './outbox-tools.js'
import type { ReadSlices } from './read-slices.js'
import { Requests, type RequestsLimits, type RequestsTools } from './requests.js'
import { ChannelSocket } from './socket.js'
import type { ConnectionFacts } from './websocket-route.js'

export interface ConnectionLimits extends HeartbeatLimits, RequestsLimits {
  maxPendingReplyBytes: number
  maxPendingRequests: number
  highWaterBytes: number
  slowConsumerTimeoutMs: number
  closeTimeoutMs: number
}

/** What all connections of a channel share. */
export interface ConnectionTools extends RequestsTools {
  decode: (data: Buffer) => Decoded
  limits: ConnectionLimits
  /** What follows a write of a connection waits here for what comes next. */
  coalescer: Coalescer
  /** Whose turn it is to be heard, and for how long. */
  slices: ReadSlices
  /** What a `ready` frame says, but for the connection's own id. */
  ready: Omit<ServerFrameOf<'ready'>, 'type' | 'protocol' | 'connectionId'>
  onClosed: (connection: Connection) => void
}

/** Credentials about to expire are told of so long before. */
const EXPIRY_NOTICE_MS = 30_000
const PONG = encode({ type: 'pong' })
const PONG_BYTES = frameBytes(PONG)
/** How clients without an `id` write it: what is known need not be parsed. */
const PING = Buffer.from('{"type":"ping"}')
const PONGED: Decoded = { ok: true, frame: { type: 'ping' } }

/** One socket: reads frames, asks the engine, and lets the outbox send what the turns say. */
export class Connection implements Asker, OutboxEvents, FrameHandler {
  readonly id = newUuid()
  readonly identity: Identity
  readonly #tools: ConnectionTools
  readonly facts: ConnectionFacts
  readonly #allowances: Allowances
  readonly #socket: ChannelSocket
  readonly #inbox: Inbox
  readonly outbox: Outbox
  readonly #heartbeat: Heartbeat
  // Made with the first frame: most connections of a large service are silent at any one time.
  #requests: Requests | undefined
  #state: 'open' | 'draining' | 'closing' | 'closed' = 'open'
  #pendingRequests = 0
  /** Called when the peer has taken enough of its replies. */
  #onRoom: Array<() => void> = []
  #isToldOfExpiry = false

  constructor (
    socket: WebSocket, identity: Identity, facts: ConnectionFacts, allowances: Allowances, tools: ConnectionTools
  ) {
    this.identity = identity
    this.#tools = tools
    this.facts = facts
    this.#allowances = allowances
    this.#socket = new ChannelSocket(socket, facts.stream)
    this.#heartbeat = new Heartbeat(this.#socket, tools.limits, tools.clock.now())
    this.#inbox = new Inbox(this.#socket, this, tools)
    this.outbox = new Outbox(this.#socket, tools.limits, tools.clock, this, tools.coalescer)
    this.#listen(socket)
    if (facts.subprotocol) {
      this.reply({ type: 'ready', protocol: SUBPROTOCOL, connectionId: this.id, ...tools.ready })
    }
  }

  /** Ends the connection, unless it is ending; every ending of ours goes through here. Answers whether it did. */
  close (name: CloseName): boolean {
    if (!this.isOpen()) return false
    // What is left to say when a drain has no more time is said all the same: the ends are the last of it.
    if (name === 'DRAIN') this.outbox.flush()
    if (!this.isOpen()) return false
    this.outbox.sendReplies()
    this.#socket.close(name)
    this.#letGo(name === 'TOO_SLOW' ? 0 : this.#tools.limits.slowConsumerTimeoutMs)
    return true
  }

  /** Nothing more is said or heard: the peer has so long to take what was said, and then to answer the close. */
  #letGo (patienceMs: number): void {
    this.#state = 'closing'
    this.#requests?.close()
    this.outbox.close()
    this.#pauseOrResume()
    this.#inbox.close()
    this.#cutOffIfSilent(this.#tools.clock.now() + patienceMs, this.#socket.unsentBytes)
  }

  /** Ends the socket itself. */
  terminate (): void {
    this.#socket.terminate()
  }

  /** Is closed as soon as nothing that it follows runs. */
  drain (): void {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    this.#tellToReconnect('the server is shutting down')
    this.#closeIfDrained()
  }

  /** Signs of life, stuck readers, credentials: one timer looks at all connections. */
  watch (now: number, date: number, isLate: boolean): void {
    if (this.isOpen() && this.#socket.isClosing) this.#onClosing()
    if (!this.isOpen()) return
    const { expiresAt } = this.identity
    if (this.outbox.isStuck(now, this.#tools.limits.slowConsumerTimeoutMs)) {
      this.#log('info', undefined, 'a connection reads too slowly')
      this.close('TOO_SLOW')
    } else if (expiresAt !== undefined && date >= expiresAt) {
      this.close('EXPIRED')
    } else {
      if (expiresAt !== undefined && date >= expiresAt - EXPIRY_NOTICE_MS) this.#tellOfExpiry()
      // After a pause of the whole process the peer's answers wait to be read: nobody is judged before they are.
      if (!isLate) this.#watchLife(now)
    }
  }

  onPumped (): void {
    this.#requests?.settle()
    this.#closeIfDrained()
  }

  onReplyWritten (): void {
    this.#pauseOrResume()
  }

  onFailure (err: unknown, text: string): void {
    this.#log('error', err, text)
  }

  onSourceFailed (err: unknown): void {
    this.#log('error', err, 'a connection could not be told what it follows')
    this.close('INTERNAL')
  }

  onLost (): void {
    this.#log('info', undefined, 'a connection fell too far behind a turn')
    this.close('TOO_SLOW')
  }

  #end (name: CloseName): void {
    this.close(name)
  }

  /**
   * A peer that does not answer a close would keep its socket for as long as it likes. Its time begins when it has been
   * sent what it was told before the close: the system takes that in jumps, with long pauses where the link is slow.
   */
  #cutOffIfSilent (deadline: number, unsent: number): void {
    const { clock, limits } = this.#tools
    clock.after(limits.closeTimeoutMs, () => {
      if (this.#state === 'closed') return
      const left = this.#socket.unsentBytes
      const isSilent = left === 0 && unsent === 0
      if (isSilent || clock.now() >= deadline) this.#socket.terminate()
      else this.#cutOffIfSilent(deadline, left)
    })
  }

  #openRequests (): Requests {
    return this.#requests ??= new Requests(this, this.#tools)
  }

  #listen (socket: WebSocket): void {
    const onLife = (): void => { this.#heartbeat.see(this.#tools.clock.now()) }
    socket.on('message', (data, isBinary) => { this.#inbox.take(data, isBinary) })
    socket.on('ping', onLife)
    socket.on('pong', onLife)
    // Too big, not UTF-8, no frame at all: `ws` closes with the right code by itself.
    socket.on('error', (err) => {
      this.#log('info', err, 'a client broke the WebSocket protocol, or is gone')
      this.#onClosing()
    })
    socket.on('close', () => { this.#onClosed() })
  }

  /** Who says no more has said what waits for its turn. */
  #onClosing (): void {
    if (!this.isOpen()) return
    this.#inbox.finish()
    if (this.isOpen()) this.#letGo(0)
  }

  #onClosed (): void {
    this.#inbox.finish()
    this.#state = 'closed'
    this.#requests?.close()
    this.#requests?.endOwnSessions()
    this.outbox.close()
    this.#tools.onClosed(this)
  }

  /** What is thrown would keep others from being heard, and may end the process: nothing may leave here. */
  handle (data: RawData, isBinary: boolean, now: number): void {
    if (!this.isOpen()) return
    this.#heartbeat.see(now)
    try {
      const decoded = isPing(data, isBinary) ? PONGED : readFrame(data, isBinary, this.#tools.decode)
      if ('close' in decoded) return this.#end(decoded.close)
      const waitMs = this.#allowances.takeFrame(now)
      // What others of its owner have spent is refused, and no reason to close this one.
      if (this.#allowances.frames.isAbused) return this.#end('TOO_MANY_FRAMES')
      if (!decoded.ok) this.#refuseBadFrame(decoded.refusal, now)
      else if (waitMs > 0) this.#refuseForRate(decoded, waitMs)
      else if ('hostFrame' in decoded) this.#openRequests().takeHostFrame(decoded.hostFrame)
      else if (decoded.frame.type === 'ping') this.#pong(decoded.frame)
      else this.#openRequests().take(decoded.frame)
    } catch (err) {
      this.#log('error', err, 'a frame could not be handled')
      this.reply(errorFrame('INTERNAL'))
    }
  }

  onCaughtUp (): void {
    this.#closeIfDrained()
  }

  #pong (frame: ClientFrameOf<'ping'>): void {
    if (frame.id !== undefined) this.reply({ type: 'pong', id: frame.id })
    else if (this.#socket.isDirect) this.outbox.replyBytes(PONG_BYTES)
    else this.outbox.reply(PONG)
    this.#pauseOrResume()
  }

  #refuseBadFrame ({ code, details, id, plainChat }: Refusal, now: number): void {
    if (this.#allowances.takeError(now) > 0) return this.#end('BAD_FRAMES')
    const extra: ErrorExtra = {}
    if (details !== undefined) extra.details = details
    if (id !== undefined) extra.id = id
    if (plainChat === undefined) this.reply(errorFrame(code, extra))
    else this.#openRequests().refuseInOrder({ type: 'chat', ...plainChat }, code, extra)
  }

  #refuseForRate (decoded: Extract<Decoded, { ok: true }>, retryAfterMs: number): void {
    const frame = 'hostFrame' in decoded ? { type: decoded.hostFrame.type, id: decoded.hostFrame.id } : decoded.frame
    this.#openRequests().refuseInOrder(frame, 'RATE_LIMITED', { retryAfterMs })
  }

  reply (frame: ServerFrame | string): void {
    this.outbox.reply(typeof frame === 'string' ? frame : encode(frame))
    this.#pauseOrResume()
  }

  onRequest (change: 1 | -1): void {
    this.#pendingRequests += change
    this.#pauseOrResume()
    this.#closeIfDrained()
  }

  /** Whoever asks faster than answers get out is not heard until they are. */
  #pauseOrResume (): void {
    const { maxPendingReplyBytes, maxPendingRequests } = this.#tools.limits
    const isTooMuch = this.outbox.pendingReplyBytes > maxPendingReplyBytes ||
      this.#pendingRequests > maxPendingRequests
    if (this.#onRoom.length > 0 && this.#hasRoom()) for (const tell of this.#onRoom.splice(0)) tell()
    if (isTooMuch === this.#inbox.isPaused || !this.isOpen()) return
    if (isTooMuch) this.#inbox.pause()
    else this.#inbox.resume()
  }

  /** Settles when the peer has taken enough of its replies for one more that may be large. */
  room (): Promise<void> | undefined {
    if (this.#hasRoom()) return undefined
    return new Promise((resolve) => { this.#onRoom.push(resolve) })
  }

  #hasRoom (): boolean {
    return !this.isOpen() || this.outbox.pendingReplyBytes <= this.#tools.limits.maxPendingReplyBytes
  }

  #watchLife (now: number): void {
    if (this.#inbox.isStill) this.#heartbeat.see(now)
    if (!this.#heartbeat.beat(now)) this.close('NO_SIGN_OF_LIFE')
  }

  #tellOfExpiry (): void {
    if (this.#isToldOfExpiry) return
    this.#isToldOfExpiry = true
    this.#tellToReconnect('the credentials expire')
  }

  /** A plain client knows no such frame. */
  #tellToReconnect (reason: string): void {
    if (!this.facts.subprotocol && this.#requests?.isBeyondPlain !== true) return
    this.reply({ type: 'reconnect', reason, afterMs: this.#tools.limits.retryAfterMs })
  }

  /** What was read before is answered, also where it waits for its turn. */
  #closeIfDrained (): void {
    if (this.#state !== 'draining' || this.#inbox.isBehind) return
    if (this.#pendingRequests === 0 && this.#requests?.isIdle !== false) this.close('DRAIN')
  }

  isOpen (): boolean {
    return this.#state === 'open' || this.#state === 'draining'
  }

  #log (level: 'info' | 'error', thrown: unknown, text: string): void {
    const about = { connectionId: this.id, owner: this.identity.owner }
    this.#tools.log[level](thrown === undefined ? about : { err: toError(thrown), ...about }, text)
  }
}

function isPing (data: RawData, isBinary: boolean): boolean {
  return !isBinary && data instanceof Buffer && data.length === PING.length && data.equals(PING)
}
