import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'

import type { OutboxSocket } from './outbox-tools.js'

/** The body of an answer over HTTP, as an outbox writes it. */
export class ResponseSink implements OutboxSocket {
  /** Its bytes are no WebSocket's. */
  readonly isDirect = false
  readonly #response: ServerResponse

  constructor (response: ServerResponse) {
    this.#response = response
  }

  get bufferedBytes (): number { return this.#response.writableLength }

  /** As that of a socket: shrinks also while one large text is on its way. */
  get unsentBytes (): number {
    const handle: unknown = Reflect.get(Object(this.#response.socket), '_handle')
    const queued: unknown = Reflect.get(Object(handle), 'writeQueueSize')
    return this.#response.writableLength + (typeof queued === 'number' ? queued : 0)
  }

  send (text: string, written: () => void): void {
    this.#response.write(text, written)
  }

  /** A server that is being closed would wait for its client to hang up. */
  hangUpWhenDone (): void {
    const { httpVersionMajor, socket } = this.#response.req
    // Over HTTP/2 it is not the answer's alone; `inject` has none.
    if (httpVersionMajor === 1 && socket instanceof Socket) this.#response.once('finish', () => { socket.destroySoon() })
  }

  batch (send: () => void): void {
    this.#response.cork()
    try {
      send()
    } finally {
      this.#response.uncork()
    }
  }
}
