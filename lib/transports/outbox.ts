import type { Clock } from '../clock.js'
import type { ChannelSocket } from './socket.js'

/** Said in place of a frame: the peer can no longer be told what comes next. */
export const LOST = Symbol('lost')

/** Something that has frames to send, and says `wake` when it has more. */
export interface FrameSource {
  /**
   * The next frame; `undefined` when there is none yet; {@link LOST}, after which there is nothing more.
   * @param isBehind whether the peer reads more slowly than frames are made
   */
  next(isBehind: boolean): string | typeof LOST | undefined
}

export interface OutboxLimits {
  /** Above so many unsent bytes nothing more is taken from the sources. */
  highWaterBytes: number
}

/** A peer that keeps the buffer full for so long is behind: its frames may be merged until it has caught up. */
const BEHIND_AFTER_MS = 20
/** So many frames of one source are sent before another source has its turn. */
const FRAMES_IN_TURN = 32

/**
 * Sends what a connection's sources have, as fast as its socket takes it: the sources hold a position and no queue, so
 * what waits for a slow peer waits in the journal, once for all. Replies go out at once and are counted.
 */
export class Outbox {
  /** Bytes of replies that the system has not taken yet. */
  pendingReplyBytes = 0
  readonly #socket: ChannelSocket
  readonly #limits: OutboxLimits
  readonly #clock: Clock
  readonly #events: OutboxEvents
  readonly #sources: FrameSource[] = []
  #isScheduled = false
  #isClosed = false
  #holds = 0
  #isFlushing = false
  #blockedAt: number | undefined
  #isBehind = false
  // Progress, for the watch over stuck peers: writes that the system has taken, and what is left of the one on its way.
  #writes = 0
  #writesSeen = 0
  #unsentSeen = 0
  #stuckSince: number | undefined

  constructor (socket: ChannelSocket, limits: OutboxLimits, clock: Clock, events: OutboxEvents) {
    this.#socket = socket
    this.#limits = limits
    this.#clock = clock
    this.#events = events
  }

  add (source: FrameSource): void {
    this.#sources.push(source)
    this.wake()
  }

  remove (source: FrameSource): void {
    const index = this.#sources.indexOf(source)
    if (index >= 0) this.#sources.splice(index, 1)
  }

  /** What comes in one run of the event loop leaves in one write. */
  wake (): void {
    if (this.#isScheduled || this.#blockedAt !== undefined || this.#isClosed) return
    this.#isScheduled = true
    process.nextTick(pump, this)
  }

  /** Takes nothing from the sources until `release` was called as often: an answer has to go before what they have. */
  hold (): void {
    this.#holds++
  }

  release (): void {
    this.#holds--
    this.wake()
  }

  /** Sends one frame now, behind what is written already. */
  reply (frame: string): void {
    if (this.#isClosed) return
    const bytes = Buffer.byteLength(frame)
    this.pendingReplyBytes += bytes
    this.#socket.send(frame, () => {
      this.pendingReplyBytes -= bytes
      this.#onWritten()
      this.#events.onReplyWritten()
    })
  }

  /** Whether the peer has taken nothing of what waits for it for `ms`. To be asked now and then. */
  isStuck (now: number, ms: number): boolean {
    const unsent = this.#socket.unsentBytes
    const hasMoved = this.#writes !== this.#writesSeen || unsent < this.#unsentSeen
    this.#unsentSeen = unsent
    if (unsent === 0 || hasMoved) {
      this.#writesSeen = this.#writes
      this.#stuckSince = undefined
      return false
    }
    this.#stuckSince ??= now
    return now - this.#stuckSince >= ms
  }

  close (): void {
    this.#isClosed = true
    this.#sources.length = 0
  }

  /** Sends all that the sources have, however much waits already. For the end of everything. */
  flush (): void {
    this.#isFlushing = this.#isBehind = true
    this.#blockedAt = undefined
    this.#socket.batch(() => { this.#drain() })
  }

  /** Called by the next tick after a `wake`. */
  pump (): void {
    this.#isScheduled = false
    if (this.#isClosed || this.#blockedAt !== undefined || this.#holds > 0) return
    this.#socket.batch(() => { this.#drain() })
    this.#events.onPumped()
  }

  #drain (): void {
    // In the next tick a failure would end the process.
    try {
      this.#drainAll()
    } catch (err) {
      this.#events.onFailed(err)
    }
  }

  /** Some frames of each source in turn, until all have told all or the socket is full. */
  #drainAll (): void {
    for (let hasMore = true; hasMore;) {
      hasMore = false
      for (let i = 0; i < this.#sources.length; i++) {
        const source = this.#sources[i]
        if (source !== undefined && this.#drainSome(source)) hasMore = true
        if (this.#blockedAt !== undefined || this.#isClosed) return
      }
    }
    this.#isBehind = false
  }

  /** Answers whether the source may have more. */
  #drainSome (source: FrameSource): boolean {
    for (let sent = 0; sent < FRAMES_IN_TURN; sent++) {
      if (!this.#isFlushing && this.#socket.bufferedBytes >= this.#limits.highWaterBytes) {
        this.#blockedAt = this.#clock.now()
        return false
      }
      const frame = source.next(this.#isBehind)
      if (frame === undefined) return false
      if (frame === LOST) {
        this.#events.onLost()
        return false
      }
      this.#socket.send(frame, this.#onWritten)
    }
    return true
  }

  readonly #onWritten = (): void => {
    this.#writes++
    if (this.#blockedAt === undefined || this.#socket.bufferedBytes > this.#limits.highWaterBytes / 2) return
    if (this.#clock.now() - this.#blockedAt >= BEHIND_AFTER_MS) this.#isBehind = true
    this.#blockedAt = undefined
    this.wake()
  }
}

function pump (outbox: Outbox): void {
  outbox.pump()
}

export interface OutboxEvents {
  /** All that could be sent now, is. */
  onPumped(): void
  /** The system has taken a reply. */
  onReplyWritten(): void
  /** A source has failed. */
  onFailed(err: unknown): void
  /** A source cannot tell what comes next. */
  onLost(): void
}
