import type { ClientRequestArgs } from 'node:http'
import type { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import { Server as TlsServer } from 'node:tls'

import type { FastifyInstance } from 'fastify'
import type { WebSocket } from 'ws'

import { MemorySocket } from './memory-socket.js'

/** What a test may say about the connection it opens. */
export interface InjectWsOptions {
  query?: Record<string, string> | undefined
  /** `host` and `origin` among them; the host is `localhost` by default. */
  headers?: Record<string, string> | undefined
  /** As the second argument of a browser's `WebSocket`. */
  protocols?: string | string[] | undefined
  /** Called before anything is sent, so that listeners are in time for what the server says at once. */
  onInit?: ((socket: WebSocket) => void) | undefined
  /** For a route whose prefix has parameters: the path with the parameters filled in. */
  path?: string | undefined
}

export type InjectWs = (options?: InjectWsOptions) => Promise<WebSocket>

/**
 * Opens a WebSocket without a network: the server reads its request from a stream in memory and does everything else as
 * for a real one.
 * @throws `Unexpected server response: <status>` when the upgrade is refused
 */
export async function injectWebsocket (
  fastify: FastifyInstance, scopeOfRoute: () => FastifyInstance, path: string, options: InjectWsOptions
): Promise<WebSocket> {
  await rootOf(fastify).ready()
  const { WebSocket: Client } = scopeOfRoute().websocketServer.options
  if (Client === undefined) throw new Error('the WebSocket server does not say which class it uses')
  const url = new URL(options.path ?? path, 'ws://localhost')
  for (const [key, value] of Object.entries(options.query ?? {})) url.searchParams.append(key, value)
  const createConnection: ClientRequestArgs['createConnection'] = () => connect(fastify)
  return new Promise((resolve, reject) => {
    const socket = new Client(url, options.protocols ?? [], {
      createConnection, perMessageDeflate: false, headers: options.headers ?? {}
    })
    options.onInit?.(socket)
    socket.once('open', () => { resolve(socket) })
    socket.once('error', reject)
  })
}

/** The `ready` of a scope boots without the `onReady` hooks, one of which is ours; only the root's runs them. */
function rootOf (fastify: FastifyInstance): FastifyInstance {
  const parent: unknown = Object.getPrototypeOf(fastify)
  return isInstance(parent) ? rootOf(parent) : fastify
}

function isInstance (value: unknown): value is FastifyInstance {
  return typeof value === 'object' && value !== null && 'ready' in value
}

function connect ({ server }: FastifyInstance): Duplex {
  const listener: EventEmitter = server
  const [near, far] = MemorySocket.pair()
  const isSecure = listener instanceof TlsServer
  // What a hook may ask a socket for; the last two are for an HTTP/2 server to fall back to HTTP/1.1.
  Object.assign(far, { remoteAddress: '127.0.0.1', remotePort: 0, encrypted: isSecure, server, alpnProtocol: false })
  listener.emit(isSecure ? 'secureConnection' : 'connection', far)
  return near
}
