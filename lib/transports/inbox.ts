import type { RawData } from 'ws'

import type { Clock } from '../clock.js'
import type { LateReader, ReadSlices } from './read-slices.js'
import type { ChannelSocket } from './socket.js'

/** Whoever handles what was read. */
export interface FrameHandler {
  /** Must not throw. */
  handle(data: RawData, isBinary: boolean, now: number): void
  /** All that had to wait is handled. Must not throw. */
  onCaughtUp(): void
}

export interface InboxTools {
  clock: Pick<Clock, 'now'>
  /** Of the whole channel. */
  slices: ReadSlices
}

/** Where so many frames of one connection wait, or so many bytes, its socket is read no further: at once that may be megabytes. */
const MOST_WAITING = 16
const MOST_WAITING_BYTES = 64 * 1024

/**
 * What a connection reads, in its order: handled when the event loop has read all that there is, or later, where the connection
 * is paused or others have their turn. Then the socket is paused too; that does not keep `ws` from what it has in its hands: a
 * small packet may hold a thousand frames.
 */
export class Inbox implements LateReader {
  readonly #socket: Pick<ChannelSocket, 'pause' | 'resume'>
  readonly #handler: FrameHandler
  readonly #tools: InboxTools
  #isPaused = false
  /** The slices will call. */
  #isWaiting = false
  /** The socket is not read, for the sake of others. */
  #isHeld = false
  #isClosed = false
  // Read, and not handled; each knows the next. Most often it is one.
  #first: LateFrame | undefined
  #last: LateFrame | undefined
  #count = 0
  #bytes = 0

  constructor (socket: Pick<ChannelSocket, 'pause' | 'resume'>, handler: FrameHandler, tools: InboxTools) {
    this.#socket = socket
    this.#handler = handler
    this.#tools = tools
  }

  get isPaused (): boolean { return this.#isPaused }

  /** What was read has not been handled. */
  get isBehind (): boolean { return this.#first !== undefined }

  /** Nothing is read, or nothing of it handled: it is paused, or waits for its turn. */
  get isStill (): boolean { return this.#isPaused || this.#isHeld || this.isBehind }

  take (data: RawData, isBinary: boolean): void {
    if (this.#isClosed) return
    const frame: LateFrame = { data, isBinary, next: undefined }
    if (this.#last === undefined) this.#first = frame
    else this.#last.next = frame
    this.#last = frame
    this.#count++
    this.#bytes += sizeOf(data)
    if (this.#count >= MOST_WAITING || this.#bytes >= MOST_WAITING_BYTES) this.hold()
    if (!this.#isPaused) this.#wait()
  }

  pause (): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  /** What was read before the pause comes first. */
  resume (): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    // Until then it is not read.
    this.#isHeld = true
    this.#wait()
  }

  hold (): void {
    if (this.#isHeld || this.#isClosed) return
    this.#isHeld = true
    this.#socket.pause()
  }

  readOn (now: number): void {
    this.#isWaiting = false
    if (this.#isClosed) return
    const { clock, slices } = this.#tools
    while (!this.#isPaused) {
      const frame = this.#shift()
      if (frame === undefined) return this.#catchUp()
      this.#handler.handle(frame.data, frame.isBinary, now)
      if (this.#first === undefined) continue
      now = clock.now()
      if (slices.isOver(now)) return this.#waitLonger()
    }
  }

  /** Nobody will say more: what only waits for its turn is handled now. */
  finish (): void {
    while (!this.#isPaused) {
      const frame = this.#shift()
      if (frame === undefined) break
      this.#handler.handle(frame.data, frame.isBinary, this.#tools.clock.now())
    }
    this.close()
  }

  /** Nothing more is handled. The socket is read again: it would not hear the peer's answer to a close. */
  close (): void {
    this.#isClosed = true
    this.#first = this.#last = undefined
    this.#isPaused = this.#isHeld = false
    this.#socket.resume()
  }

  #wait (): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#tools.slices.wait(this)
  }

  #waitLonger (): void {
    if (this.#isPaused) return
    this.hold()
    this.#wait()
  }

  #shift (): LateFrame | undefined {
    const first = this.#first
    if (first === undefined) return undefined
    this.#count--
    this.#bytes -= sizeOf(first.data)
    this.#first = first.next
    if (this.#first === undefined) this.#last = undefined
    return first
  }

  #catchUp (): void {
    if (this.#isHeld) {
      this.#isHeld = false
      this.#socket.resume()
    }
    this.#handler.onCaughtUp()
  }
}

interface LateFrame {
  readonly data: RawData
  readonly isBinary: boolean
  next: LateFrame | undefined
}

function sizeOf (data: RawData): number {
  return Array.isArray(data) ? data.reduce((sum, { byteLength }) => sum + byteLength, 0) : data.byteLength
}
