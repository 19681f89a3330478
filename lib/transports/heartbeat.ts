import type { ChannelSocket } from './socket.js'

export interface HeartbeatLimits {
  heartbeatMs: number
  pongTimeoutMs: number
}

/** Pings a peer now and then, and knows whether it still gives a sign of life. */
export class Heartbeat {
  readonly #socket: ChannelSocket
  readonly #limits: HeartbeatLimits
  #seenAt: number
  #pingedAt: number
  /** A long message, or a pong behind one, may take a while to come: its bytes are a sign of life too. */
  #bytesSeen = 0

  constructor (socket: ChannelSocket, limits: HeartbeatLimits, now: number) {
    this.#socket = socket
    this.#limits = limits
    this.#seenAt = this.#pingedAt = now
  }

  /** The peer was heard; or it is not read, and what it may have said waits in the system. */
  see (now: number): void {
    this.#seenAt = now
  }

  /** Pings when it is time to. `false`: a ping was not answered in time. */
  beat (now: number): boolean {
    const { heartbeatMs, pongTimeoutMs } = this.#limits
    const sinceMs = now - this.#pingedAt
    if (this.#seenAt < this.#pingedAt && !this.#hasReadMore()) return sinceMs < pongTimeoutMs
    if (sinceMs < heartbeatMs) return true
    this.#pingedAt = now
    this.#bytesSeen = this.#socket.bytesRead
    this.#socket.ping()
    return true
  }

  /** Asked only while a ping is unanswered: most connections are idle, and it is the system that counts. */
  #hasReadMore (): boolean {
    return this.#socket.bytesRead !== this.#bytesSeen
  }
}
