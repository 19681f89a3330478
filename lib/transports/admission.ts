import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

import { handOverErrors } from './upgrade-listener.js'

/**
 * An admitted upgrade that is no WebSocket yet. However it ends, its peer is either taken or released, and that once:
 * the client may vanish before the handshake, or its handshake be refused, and nobody but the socket hears of either.
 */
export class Admission<Peer> {
  readonly #peer: Peer
  readonly #response: ServerResponse
  readonly #socket: Socket
  readonly #release: () => void

  private constructor (peer: Peer, response: ServerResponse, socket: Socket, release: (peer: Peer) => void) {
    this.#peer = peer
    this.#response = response
    this.#socket = socket
    this.#release = () => { release(peer) }
    socket.once('close', this.#release)
  }

  /** Undefined, and the peer released, where the client went away while it was being admitted. */
  static start<Peer> (
    peer: Peer, response: ServerResponse, release: (peer: Peer) => void
  ): Admission<Peer> | undefined {
    const { socket } = response
    if (socket !== null && !socket.destroyed) return new Admission(peer, response, socket, release)
    release(peer)
    return undefined
  }

  /** What the WebSocket is spoken over: with `injectWS` of @fastify/websocket, nothing the request knows of. */
  get stream (): Socket {
    return this.#socket
  }

  /** Ends the admission in favour of the WebSocket, and cuts all that ties its socket to the request. */
  take (): Peer {
    const socket = this.#socket
    socket.removeListener('close', this.#release)
    handOverErrors(socket)
    this.#response.detachSocket(socket)
    // Fastify keeps the request there for hooks on `onTimeout`, which a WebSocket never has.
    if ('_meta' in socket) {
      socket.removeAllListeners('timeout')
      socket._meta = undefined
    }
    return this.#peer
  }
}
