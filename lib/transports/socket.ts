import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import type { WebSocket } from 'ws'

import { closeArguments } from '../protocol/encode.js'
import type { CloseName } from '../protocol/codes.js'
import { NO_MORE } from './frame-bytes.js'

/** A whole frame: final, a ping, without payload (RFC 6455, 5.5.2). */
const PING = Buffer.from([0x89, 0])

/** All that the channel does with a WebSocket, and no more. */
export class ChannelSocket {
  readonly #socket: WebSocket
  readonly #stream: Duplex
  /**
   * Frames may be written to the stream itself: `ws` writes each of its own in one step, and between two of them so may
   * others. It does not where it compresses, and what is no socket of the system may have its own way to write.
   */
  readonly isDirect: boolean

  constructor (socket: WebSocket, stream: Duplex) {
    this.#socket = socket
    this.#stream = stream
    this.isDirect = stream instanceof Socket && socket.extensions === ''
  }

  /** Bytes that were sent and that the system has not taken yet. */
  get bufferedBytes (): number { return this.#socket.bufferedAmount }

  /**
   * What the peer has not taken, for the watch over its progress: shrinks also while one large frame is on its way,
   * which `bufferedBytes` does not. Node's own socket time-outs look at the handle's queue in the same way.
   */
  get unsentBytes (): number {
    const { bufferedAmount } = this.#socket
    // Most peers have taken everything, and the system need not be asked.
    if (bufferedAmount === 0) return 0
    const handle: unknown = Reflect.get(this.#stream, '_handle')
    const queued: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'writeQueueSize') : undefined
    return bufferedAmount + (typeof queued === 'number' ? queued : 0)
  }

  /** Bytes that came in, of whole messages or not; 0 where nobody counts them. */
  get bytesRead (): number {
    const bytes: unknown = Reflect.get(this.#stream, 'bytesRead')
    return typeof bytes === 'number' ? bytes : 0
  }

  /** The peer has closed it, or broken the protocol; `ws` tells only once the socket has ended. */
  get isClosing (): boolean { return this.#socket.readyState === this.#socket.CLOSING }

  /** @param written called when the system has taken the frame, or never will */
  send (frame: string, written: () => void): void {
    this.#socket.send(frame, written)
  }

  /**
   * Writes whole frames, `first` and what follows it, where the socket is direct.
   * @param written called when the system has taken them, or never will
   */
  write (first: Buffer, rest: readonly Buffer[], written: () => void): void {
    // Behind a frame that says 'close' nothing may follow.
    if (this.#socket.readyState !== this.#socket.OPEN) return process.nextTick(written)
    const last = rest.at(-1)
    if (last === undefined) {
      this.#stream.write(first, written)
      return
    }
    this.#stream.cork()
    this.#stream.write(first)
    for (const chunk of rest.slice(0, -1)) this.#stream.write(chunk)
    this.#stream.write(last, written)
    this.#stream.uncork()
  }

  /** What is sent meanwhile leaves in one write. */
  batch (send: () => void): void {
    this.#stream.cork()
    try {
      send()
    } finally {
      this.#stream.uncork()
    }
  }

  /** Stops reading; TCP makes the peer stop writing. */
  pause (): void { this.#socket.pause() }

  resume (): void { this.#socket.resume() }

  ping (): void {
    // By `ws` it would be two buffers and a write of its own making for each: of many idle connections that is all there is.
    if (this.isDirect) this.write(PING, NO_MORE, ignoreFailure)
    else this.#socket.ping(ignoreFailure)
  }

  close (name: CloseName): void { this.#socket.close(...closeArguments(name)) }

  terminate (): void { this.#socket.terminate() }
}

/** A ping to a socket that is going away; its `close` event tells. Without a callback `ws` would throw. */
function ignoreFailure (): void {}
