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
  clock: Clock
  /** Of the whole channel. */
  slices: ReadSlices
}

/**
 * What a connection reads, in its order: handled at once, unless the connection is paused or others have their turn. The
 * socket is paused meanwhile; that does not keep `ws` from what it has in its hands: a small packet may hold a thousand
 * frames.
 */
export class Inbox implements LateReader {
  readonly #socket: Pick<ChannelSocket, 'pause' | 'resume'>
  readonly #handler: FrameHandler
  readonly #tools: InboxTools
  #isPaused = false
  /** Read, and not handled. */
  #late: LateFrame[] | undefined

  constructor (socket: Pick<ChannelSocket, 'pause' | 'resume'>, handler: FrameHandler, tools: InboxTools) {
    this.#socket = socket
    this.#handler = handler
    this.#tools = tools
  }

  get isPaused (): boolean { return this.#isPaused }

  /** What was read has not been handled. */
  get isBehind (): boolean { return this.#late !== undefined }

  /** Nothing is read: it is paused, or others have their turn. */
  get isStill (): boolean { return this.#isPaused || this.isBehind }

  take (data: RawData, isBinary: boolean, now: number): void {
    if (this.isStill) {
      (this.#late ??= []).push({ data, isBinary })
    } else if (this.#tools.slices.isOver(now)) {
      this.#late = [{ data, isBinary }]
      this.#socket.pause()
      this.#tools.slices.wait(this)
    } else {
      this.#handler.handle(data, isBinary, now)
    }
  }

  pause (): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  /** What was read before the pause comes first. */
  resume (): void {
    this.#isPaused = false
    process.nextTick(() => { this.#readOn(false) })
  }

  readOn (): void {
    this.#readOn(true)
  }

  /** @param isGiven whoever calls has asked whether there is time: one frame is handled, however little is left by now */
  #readOn (isGiven: boolean): void {
    const { clock, slices } = this.#tools
    for (let mayHandle = isGiven; !this.#isPaused; mayHandle = false) {
      const frame = this.#late?.[0]
      if (frame === undefined) return this.#catchUp()
      const now = clock.now()
      if (!mayHandle && slices.isOver(now)) return slices.wait(this)
      this.#late?.shift()
      this.#handler.handle(frame.data, frame.isBinary, now)
    }
  }

  #catchUp (): void {
    this.#late = undefined
    this.#socket.resume()
    this.#handler.onCaughtUp()
  }

  /** Nobody will say more: what only waits for its turn is handled now. */
  finish (): void {
    while (!this.#isPaused) {
      const frame = this.#late?.shift()
      if (frame === undefined) break
      this.#handler.handle(frame.data, frame.isBinary, this.#tools.clock.now())
    }
    this.close()
  }

  /** Nothing more is handled. The socket is read again: it would not hear the peer's answer to a close. */
  close (): void {
    this.#late = undefined
    this.#isPaused = false
    this.#socket.resume()
  }
}

interface LateFrame {
  readonly data: RawData
  readonly isBinary: boolean
}
