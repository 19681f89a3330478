import type { Clock } from '../clock.js'
import { closeBatch, mayOpenBatch, openBatch } from './batch-pool.js'
import { writeTime, type Coalescer } from './coalescer.js'
import { frameBytes, NO_MORE, type FrameBatch, type FramesTaken } from './frame-bytes.js'
import { LOST, WRITTEN, type FrameSource } from './frame-source.js'
import type { OutboxEvents, OutboxLimits, OutboxSocket } from './outbox-tools.js'
import { pumpSoon } from './pump-queue.js'

/** Where frames come from, as those who have them see it. */
export type FrameOutlet = Pick<Outbox, 'add' | 'remove' | 'wake' | 'hold' | 'release'>

/** A peer that keeps the buffer full for so long is behind: its frames may be merged until it has caught up. */
const BEHIND_AFTER_MS = 20
/** After so many frames of one source another one has its turn. */
const FRAMES_IN_TURN = 32
/** A batch of so many bytes is written, whatever follows. */
const BATCH_BYTES = 64 * 1024

/**
 * Sends what a connection's sources have, as fast as its socket takes it: the sources hold a position and no queue, so
 * what waits for a slow peer waits in the journal, once for all. Replies wait for none of that, and are counted.
 */
export class Outbox {
  // What every write touches stands together, and the rest below: of many connections nothing is in the processor's cache.
  #pumping: 'not' | 'later' | 'soon' = 'not'
  #isClosed = false
  #blockedAt: number | undefined
  readonly #coalescer: Coalescer | undefined
  #writtenAt: number | undefined
  readonly #socket: OutboxSocket
  /** Most connections have one source. */
  #source: FrameSource | undefined
  #otherSources: FrameSource[] | undefined
  /** What is being filled, where the socket takes bytes. */
  #batch: FrameBatch | undefined
  /** Bytes of replies in it. */
  #gatheredReplyBytes = 0
  /** Writes that the system has not taken yet. */
  #unwritten = 0
  /** Those that it has. */
  #writes = 0
  /** What the sources have said in this pump. */
  #said: 'nothing' | 'pieces' | 'more' = 'nothing'
  /** It was urgent since the last pump: something may have ended without a word of its source. */
  #wasUrgent = false
  #isBehind = false
  #holds = 0
  readonly #limits: OutboxLimits
  readonly #clock: Clock
  readonly #events: OutboxEvents
  /** Bytes of replies that the system has not taken yet. */
  pendingReplyBytes = 0
  #isFlushing = false
  // For the watch over stuck peers: how many writes had been taken, and what was left of the one on its way.
  #writesSeen = 0
  #unsentSeen = 0
  #stuckSince: number | undefined

  /** @param coalescer without it nothing waits for what may follow */
  constructor (socket: OutboxSocket, limits: OutboxLimits, clock: Clock, events: OutboxEvents, coalescer?: Coalescer) {
    this.#socket = socket
    this.#limits = limits
    this.#clock = clock
    this.#events = events
    this.#coalescer = coalescer
  }

  add (source: FrameSource): void {
    if (this.#source === undefined) this.#source = source
    else (this.#otherSources ??= []).push(source)
    this.wake()
  }

  remove (source: FrameSource): void {
    if (source === this.#source) {
      this.#source = this.#otherSources?.shift()
      return
    }
    const index = this.#otherSources?.indexOf(source) ?? -1
    if (index >= 0) this.#otherSources?.splice(index, 1)
  }

  /**
   * What comes in one run of the event loop leaves in one write, and so does what follows a write closely.
   * @param isUrgent nothing more is waited for
   * @param isMuch it leaves behind what is being done, while what was said is still in the processor's cache
   */
  wake (isUrgent = false, isMuch = false): void {
    if (isUrgent) this.#wasUrgent = true
    if (this.#isHalted()) return
    if (isMuch) {
      this.#pumping = 'soon'
      process.nextTick(pump, this)
    } else if (isUrgent) {
      this.#pumpSoon()
    } else if (this.#pumping === 'not') {
      if (this.#coalescer?.takes(this, this.#writtenAt) === true) this.#pumping = 'later'
      else this.#pumpSoon()
    }
  }

  #pumpSoon (): void {
    if (this.#pumping === 'soon') return
    this.#pumping = 'soon'
    pumpSoon(this)
  }

  /** Takes nothing from the sources until `release` was called as often: an answer has to go before what they have. */
  hold (): void {
    this.#holds++
  }

  release (): void {
    this.#holds--
    this.wake(true)
  }

  /** Sends one frame behind what is written already, with what else comes in this run of the event loop. */
  reply (frame: string): void {
    if (this.#isClosed) return
    if (!this.#socket.isDirect) return this.#send(frame)
    if (this.#batch === undefined && !mayOpenBatch()) return this.replyBytes(frameBytes(frame))
    const batch = this.#openBatch()
    const before = batch.size
    batch.text(frame)
    const bytes = batch.size - before
    this.#gatheredReplyBytes += bytes
    this.pendingReplyBytes += bytes
    this.#pumpSoon()
  }

  /** The same for a frame that is there as bytes, where the socket takes bytes: alone, it leaves at once. */
  replyBytes (frame: Buffer): void {
    if (this.#isClosed) return
    this.pendingReplyBytes += frame.length
    if (this.#batch === undefined) return this.#write(frame, NO_MORE, frame.length)
    this.#batch.borrow(frame)
    this.#gatheredReplyBytes += frame.length
    this.#pumpSoon()
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
    this.#source = this.#otherSources = undefined
    this.#batch?.take().sent()
    this.#closeBatch()
  }

  /** Sends the replies that are gathered: what comes next is not the outbox's. */
  sendReplies (): void {
    this.#writeBatch()
    this.#closeBatch()
  }

  /** Sends all that the sources have, however much waits already. For the end of everything. */
  flush (): void {
    this.#isFlushing = this.#isBehind = true
    this.#blockedAt = undefined
    this.#drain()
  }

  /** Called soon after a `wake`, or when what follows had its time to come. */
  pump (): void {
    if (this.#pumping === 'not' || this.#isClosed) return
    this.#pumping = 'not'
    if (this.#blockedAt !== undefined || this.#holds > 0) return this.sendReplies()
    this.#drain()
    // Behind a piece its turn goes on: nothing has ended that somebody would have to see.
    if (this.#said === 'pieces' && !this.#wasUrgent) return
    this.#wasUrgent = false
    this.#events.onPumped()
  }

  /** Called when the time to wait is over; what was urgent has been sent meanwhile. */
  pumpIfWaiting (): void {
    if (this.#pumping === 'later') this.pump()
  }

  #drain (): void {
    this.#said = 'nothing'
    if (this.#socket.isDirect) this.#drainIntoBatch()
    else this.#socket.batch(() => { this.#drainSafely() })
  }

  #send (frame: string): void {
    const bytes = Buffer.byteLength(frame)
    this.pendingReplyBytes += bytes
    this.#socket.send(frame, () => {
      this.#onWritten()
      this.#onRepliesWritten(bytes)
    })
  }

  #drainIntoBatch (): void {
    this.#limit(this.#openBatch())
    this.#drainSafely()
    this.#writeBatch()
    this.#closeBatch()
  }

  #openBatch (): FrameBatch {
    this.#batch ??= openBatch()
    return this.#batch
  }

  /** Whoever has closed the connection meanwhile has closed this too. */
  #closeBatch (): void {
    if (this.#batch === undefined) return
    closeBatch(this.#batch)
    this.#batch = undefined
  }

  #writeBatch (): void {
    const batch = this.#batch
    if (batch === undefined || batch.size === 0) return
    const bytes = batch.size
    const taken = batch.take()
    const replyBytes = this.#gatheredReplyBytes
    this.#gatheredReplyBytes = 0
    // What is asked for keeps nothing waiting that comes by itself.
    if (bytes > replyBytes) this.#writtenAt = writeTime()
    this.#write(taken.first, taken.rest, replyBytes, taken)
  }

  #write (first: Buffer, rest: readonly Buffer[], replyBytes: number, taken?: FramesTaken): void {
    this.#unwritten++
    this.#socket.write?.(first, rest, () => {
      this.#unwritten--
      taken?.sent()
      this.#onWritten()
      if (replyBytes > 0) this.#onRepliesWritten(replyBytes)
    })
  }

  #onRepliesWritten (bytes: number): void {
    this.pendingReplyBytes -= bytes
    this.#events.onReplyWritten()
  }

  #drainSafely (): void {
    // Whoever pumps has others to pump, and nobody to tell: a failure would end the process.
    try {
      this.#drainAll()
    } catch (err) {
      // What came before it is told.
      this.#writeBatch()
      this.#events.onSourceFailed(err)
    }
  }

  /** Some frames of each source in turn, until all have told all or the socket is full. */
  #drainAll (): void {
    for (let hasMore = true; hasMore;) {
      hasMore = this.#source !== undefined && this.#drainSome(this.#source)
      if (this.#isHalted()) return
      for (let i = 0; i < (this.#otherSources?.length ?? 0); i++) {
        const source = this.#otherSources?.[i]
        if (source !== undefined && this.#drainSome(source)) hasMore = true
        if (this.#isHalted()) return
      }
    }
    this.#isBehind = false
  }

  #isHalted (): boolean { return this.#blockedAt !== undefined || this.#isClosed }

  /** Answers whether the source may have more. */
  #drainSome (source: FrameSource): boolean {
    const batch = this.#batch
    let sent = 0
    while (sent < FRAMES_IN_TURN) {
      if (this.#isFull(batch)) {
        this.#blockedAt = this.#clock.now()
        return false
      }
      const before = batch?.frames ?? 0
      const frame = source.next(this.#isBehind, batch)
      if (frame === undefined) return false
      if (frame === WRITTEN) {
        sent += (batch?.frames ?? 0) - before
        if (this.#said === 'nothing') this.#said = 'pieces'
        continue
      }
      sent++
      this.#said = 'more'
      if (frame === LOST) {
        this.#writeBatch()
        this.#events.onLost()
        return false
      }
      if (batch === undefined) this.#socket.send(frame, this.#onWritten)
      else batch.text(frame)
    }
    return true
  }

  /** Whether the socket's buffer is full. */
  #isFull (batch: FrameBatch | undefined): boolean {
    if (batch !== undefined && batch.size < batch.limit) return false
    // Only now it is seen how much of it the system takes.
    this.#writeBatch()
    if (batch !== undefined) this.#limit(batch)
    return !this.#isFlushing && this.#socket.bufferedBytes >= this.#limits.highWaterBytes
  }

  /** Of what is in a batch the socket knows nothing yet. */
  #limit (batch: FrameBatch): void {
    // Mostly everything has been taken, and the socket need not be asked.
    const buffered = this.#unwritten === 0 ? 0 : this.#socket.bufferedBytes
    batch.limit = Math.min(this.#limits.highWaterBytes - buffered, BATCH_BYTES)
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
