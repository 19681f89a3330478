import type { Position } from '../journal/journal.js'
import type { ClientFrame } from '../protocol/client-frames.js'
import type { ErrorCode } from '../protocol/codes.js'
import { encode } from '../protocol/encode.js'
import type { ServerFrame } from '../protocol/server-frames.js'
import { toError } from '../turns/within.js'
import { newUuid } from '../uuid.js'
import { Feed } from './feed.js'
import type { Identity } from './identity.js'
import type { FrameSource } from './frame-source.js'
import { Outbox } from './outbox.js'
import type { OutboxEvents, OutboxLimits, OutboxSocket } from './outbox-tools.js'
import { Requests, type RequestsLimits, type RequestsTools } from './requests.js'

export interface ReadingLimits extends RequestsLimits, OutboxLimits {}

export interface ReadingTools extends RequestsTools {
  limits: ReadingLimits
}

/** Tells a client what its request asked for. */
export interface Teller {
  /** Where the texts go, as fast as it takes them. */
  readonly sink: OutboxSocket
  /**
   * A frame, in its order; answers the text to send for it, if any.
   * @param position up to where the frame leads in its session, if it does
   */
  tell (frame: string, position: Position | undefined): string | undefined
  /** What was asked for is answered; of what it has begun there may be more. */
  onAnswered? (): void
  /** Nothing more will come. */
  end (): void
  /** No more can be told. */
  fail (code: ErrorCode): void
}

/**
 * One request over HTTP: a connection that says one frame. What answers the frames of a socket answers it, and what pumps
 * a socket pumps it: the same rules, positions and limits.
 */
export class Reading implements OutboxEvents {
  readonly #teller: Teller
  readonly #tools: ReadingTools
  readonly #identity: Identity
  readonly #outbox: Outbox
  readonly #requests: Requests
  readonly #sources = new Map<FrameSource, FrameSource>()
  #pending = 0
  /** Of what was told last. */
  #epoch: string | undefined
  #isOpen = true

  /** @param hasOwnIds the frame's `id` was made here: nobody can send it again */
  constructor (identity: Identity, hasOwnIds: boolean, teller: Teller, tools: ReadingTools) {
    this.#teller = teller
    this.#tools = tools
    this.#identity = identity
    this.#outbox = new Outbox(teller.sink, tools.limits, tools.clock, this)
    this.#requests = new Requests({
      id: newUuid(),
      identity,
      facts: { agentId: undefined, sessionId: undefined },
      hasOwnIds,
      outbox: {
        add: (source) => { this.#add(source) },
        remove: (source) => { this.#remove(source) },
        wake: (isUrgent, isMuch) => { this.#outbox.wake(isUrgent, isMuch) },
        hold: () => { this.#outbox.hold() },
        release: () => { this.#outbox.release() }
      },
      isOpen: () => this.#isOpen,
      reply: (frame) => { this.#reply(frame) },
      room: () => undefined,
      onRequest: (change) => {
        this.#pending += change
        if (this.#pending === 0) this.#teller.onAnswered?.()
        this.#endIfDone()
      },
      onFailure: (err, text) => { this.#log('error', err, text) }
    }, tools)
  }

  /** There is nothing that is still to be told, or asked for. */
  get isIdle (): boolean { return this.#pending === 0 && this.#requests.isIdle }

  start (frame: ClientFrame): void {
    this.#requests.take(frame)
  }

  /** Sends a text out of order, behind what is written already. */
  say (text: string): void {
    this.#outbox.reply(text)
  }

  /** Whether the client has taken nothing of what waits for it for `ms`. To be asked now and then. */
  isStuck (now: number, ms: number): boolean {
    return this.#outbox.isStuck(now, ms)
  }

  /** Sends all there is, however much waits already. */
  flush (): void {
    this.#outbox.flush()
  }

  /** Nobody listens any more: the turns of named sessions go on. */
  close (): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#requests.close()
    this.#requests.endOwnSessions()
    this.#outbox.close()
  }

  onPumped (): void {
    this.#requests.settle()
    this.#endIfDone()
  }

  /** A client that says one frame is not kept from saying more. */
  onReplyWritten (): void {}

  onSourceFailed (err: unknown): void {
    this.#log('error', err, 'a request could not be told what it follows')
    this.#teller.fail('INTERNAL')
  }

  onLost (): void {
    this.#log('info', undefined, 'a request fell too far behind a turn')
    this.#teller.fail('STORE_UNAVAILABLE')
  }

  #endIfDone (): void {
    if (this.#isOpen && this.isIdle) this.#teller.end()
  }

  #reply (frame: ServerFrame | string): void {
    const told = typeof frame === 'string' ? JSON.parse(frame) as ServerFrame : frame
    const text = this.#tell(typeof frame === 'string' ? frame : encode(frame), this.#positionOf(told))
    if (text !== undefined) this.#outbox.reply(text)
  }

  #add (source: FrameSource): void {
    const told: FrameSource = { next: (isBehind) => this.#next(source, isBehind) }
    this.#sources.set(source, told)
    this.#outbox.add(told)
  }

  #remove (source: FrameSource): void {
    const told = this.#sources.get(source)
    if (told !== undefined) this.#outbox.remove(told)
    this.#sources.delete(source)
  }

  #next (source: FrameSource, isBehind: boolean): ReturnType<FrameSource['next']> {
    while (this.#isOpen) {
      const frame = source.next(isBehind)
      if (typeof frame !== 'string') return frame
      const text = this.#tell(frame, source instanceof Feed ? source.position : undefined)
      if (text !== undefined) return text
    }
    return undefined
  }

  #tell (frame: string, position: Position | undefined): string | undefined {
    this.#epoch = position?.epoch
    return this.#teller.tell(frame, position)
  }

  /** The end of a turn that was over before its chat was sent again comes with an `ack`, which says of which epoch it is. */
  #positionOf (frame: ServerFrame): Position | undefined {
    if ('epoch' in frame) return { epoch: frame.epoch, seq: frame.seq }
    return this.#epoch === undefined || !('seq' in frame) ? undefined : { epoch: this.#epoch, seq: frame.seq }
  }

  #log (level: 'info' | 'error', thrown: unknown, text: string): void {
    const about = { owner: this.#identity.owner }
    this.#tools.log[level](thrown === undefined ? about : { err: toError(thrown), ...about }, text)
  }
}
