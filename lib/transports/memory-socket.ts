import { Duplex } from 'node:stream'

/**
 * One end of a connection without a network. It behaves as a TCP socket does: ending one end ends the other when it has
 * read everything, destroying one cuts the other off, and who writes waits until the other end reads. What is written
 * arrives in a later turn of the event loop: `ws` leaves a timer behind when an answer comes while it is still writing.
 */
export class MemorySocket extends Duplex {
  #peer: MemorySocket | undefined
  #peerWaits: (() => void) | undefined

  static pair (): [MemorySocket, MemorySocket] {
    const one = new MemorySocket()
    const other = new MemorySocket()
    one.#peer = other
    other.#peer = one
    return [one, other]
  }

  override _read (): void {
    const goOn = this.#peerWaits
    this.#peerWaits = undefined
    goOn?.()
  }

  override _write (chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    setImmediate(() => { this.#peer?.receive(chunk, done) })
  }

  override _final (done: (error?: Error | null) => void): void {
    setImmediate(() => {
      this.#peer?.push(null)
      done()
    })
  }

  override _destroy (error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.writableFinished) this.#peer?.destroy()
    this._read()
    done(error)
  }

  /** Called by the other end, which goes on when this one wants more. */
  receive (chunk: Buffer, done: () => void): void {
    if (this.destroyed || this.push(chunk)) done()
    else this.#peerWaits = done
  }
}
