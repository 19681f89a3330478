import { EventEmitter } from 'node:events'
import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

import { SUBPROTOCOL } from '../protocol/names.js'
import { readSubprotocolOffer } from './subprotocol.js'

/** One channel of a server, as far as upgrades are concerned. */
export interface UpgradeChannel {
  /** Matches the path of an upgrade to this channel. */
  readonly path: RegExp
  /** Where the channel's own `@fastify/websocket` listens; undefined where the host's is used. */
  readonly router: EventEmitter | undefined
}

/**
 * How long an upgrade that is not to a channel, and that no other listener of the host has touched, is left to them:
 * some decide asynchronously. Socket.IO waits as long before it gives up on one.
 */
const OTHERS_TURN_MS = 1000

const listenerByServer = new WeakMap<EventEmitter, UpgradeListener>()

/** Takes part in the upgrades of a server, through the one listener that all its channels share. Call the result to leave. */
export function joinUpgrades (server: EventEmitter, channel: UpgradeChannel): () => void {
  const listener = listenerByServer.get(server) ?? new UpgradeListener(server)
  listener.add(channel)
  return () => { listener.remove(channel) }
}

class UpgradeListener {
  readonly #server: EventEmitter
  readonly #channels = new Set<UpgradeChannel>()

  constructor (server: EventEmitter) {
    this.#server = server
    listenerByServer.set(server, this)
    server.prependListener('upgrade', this.#onUpgrade)
  }

  add (channel: UpgradeChannel): void {
    this.#channels.add(channel)
  }

  remove (channel: UpgradeChannel): void {
    this.#channels.delete(channel)
    if (this.#channels.size > 0) return
    listenerByServer.delete(this.#server)
    this.#server.removeListener('upgrade', this.#onUpgrade)
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const channel = this.#channelOf(request)
    if (channel !== undefined) takeBearer(request)
    // Node has taken its own listener off: a reset while hooks run would be an uncaught exception.
    socket.on('error', destroySocket)
    const errorListeners = socket.listenerCount('error')
    const settle = (isOurTurn: boolean): void => {
      if (!isUntouched(socket, errorListeners)) endAfterResponse(socket)
      else if (isOurTurn) this.#serve(request, socket, head, channel)
      else setTimeout(settle, OTHERS_TURN_MS, true).unref()
    }
    // After the other listeners, those that were added later too.
    process.nextTick(settle, channel !== undefined || this.#server.listenerCount('upgrade') === 1)
  }

  #serve (request: IncomingMessage, socket: Duplex, head: Buffer, channel: UpgradeChannel | undefined): void {
    const router = channel === undefined ? this.#anyRouter() : channel.router
    if (router === undefined || !isWebsocketUpgrade(request)) {
      serveAsPlain(this.#server, request, socket, head)
      return
    }
    router.emit('upgrade', request, socket, head)
    endAfterResponse(socket)
  }

  #channelOf (request: IncomingMessage): UpgradeChannel | undefined {
    const path = pathOf(request)
    for (const channel of this.#channels) {
      if (channel.path.test(path)) return channel
    }
    return undefined
  }

  #anyRouter (): EventEmitter | undefined {
    for (const { router } of this.#channels) {
      if (router !== undefined) return router
    }
    return undefined
  }
}

/** A pattern for the URL of a route as Fastify has it: parameters, wildcards, and what its router may be told to ignore. */
export function pathPattern (url: string, options: { caseSensitive: boolean }): RegExp {
  const segments = url.split('/').filter((segment) => segment !== '').map((segment) => {
    if (segment.includes('*')) return '.*'
    return segment.includes(':') ? '[^/]*' : segment.replace(/[^\w-]/g, '\\$&')
  })
  return new RegExp(`^/+${segments.join('/+')}/*$`, options.caseSensitive ? '' : 'i')
}

function pathOf ({ url = '' }: IncomingMessage): string {
  const path = url.replace(/[?#].*$/s, '')
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}

function isWebsocketUpgrade ({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.trim().toLowerCase() === 'websocket'
}

/** Makes of a browser's token the header that the host's hooks read, and leaves nothing of it that could be echoed. */
function takeBearer (request: IncomingMessage): void {
  const { headers } = request
  const rawHeaders = rawHeadersOf(request)
  const { offered, token } = readSubprotocolOffer(headers['sec-websocket-protocol'])
  if (!offered) return
  headers['sec-websocket-protocol'] = SUBPROTOCOL
  if (token !== undefined) headers.authorization ??= `Bearer ${token}`
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === 'sec-websocket-protocol') rawHeaders[i + 1] = SUBPROTOCOL
  }
}

/** Nobody reads the socket, has ended it, listens to it, or answers through it. */
function isUntouched (socket: Duplex, errorListeners: number): boolean {
  return !socket.destroyed && !socket.writableEnded && socket.readableFlowing === null &&
    socket.listenerCount('readable') === 0 && socket.listenerCount('error') === errorListeners &&
    responseOf(socket) === undefined
}

/** The response that somebody has assigned to the socket: Node keeps it there and offers no other way to ask. */
function responseOf (socket: Duplex): ServerResponse | undefined {
  const response = '_httpMessage' in socket ? socket._httpMessage : undefined
  return response instanceof ServerResponse ? response : undefined
}

/** A response to an upgrade is a refusal, and Node leaves the socket open behind it: `close()` would wait for ever. */
function endAfterResponse (socket: Duplex): void {
  const response = responseOf(socket)
  if (response === undefined) return
  if (!response.headersSent) response.shouldKeepAlive = false
  if (response.writableFinished) endSocket(socket)
  else response.once('finish', () => { endSocket(socket) })
}

function endSocket (socket: Duplex): void {
  if (socket.destroyed) return
  // What the client has sent early must be read: destroying a socket with unread bytes resets the connection, and the
  // client may lose the answer.
  socket.resume()
  socket.end(() => { socket.destroy() })
}

/** To be called by whoever makes a WebSocket of the socket: from then on errors are the WebSocket's. */
export function handOverErrors (socket: Duplex): void {
  socket.removeListener('error', destroySocket)
}

function destroySocket (this: Duplex): void {
  this.destroy()
}

/**
 * HTTP lets a server ignore an upgrade that it does not want (RFC 9110, section 7.8): the request is put back into the
 * socket without its wish, and the server reads it again, body and all.
 */
function serveAsPlain (server: EventEmitter, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  // The server listens to errors again, and the next upgrade of this connection would add another of ours.
  handOverErrors(socket)
  socket.unshift(Buffer.concat([requestHead(request), head]))
  // One that came in by a secondary server (`localhost` has two addresses) goes back to that.
  const owner = 'server' in socket && socket.server instanceof EventEmitter ? socket.server : server
  owner.emit('encrypted' in socket && socket.encrypted === true ? 'secureConnection' : 'connection', socket)
}

function requestHead (request: IncomingMessage): Buffer {
  const rawHeaders = rawHeadersOf(request)
  let head = `${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/${request.httpVersion}\r\n`
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    const value = withoutUpgrade(name.toLowerCase(), rawHeaders[i + 1] ?? '')
    if (value !== undefined) head += `${name}: ${value}\r\n`
  }
  // As Node's parser has decoded it.
  return Buffer.from(`${head}\r\n`, 'latin1')
}

/** The `injectWS` of @fastify/websocket has a plain object for a request, without them. */
function rawHeadersOf (request: IncomingMessage): string[] {
  return 'rawHeaders' in request ? request.rawHeaders : []
}

function withoutUpgrade (name: string, value: string): string | undefined {
  if (name === 'upgrade') return undefined
  if (name !== 'connection') return value
  const options = value.split(',').filter((option) => option.trim().toLowerCase() !== 'upgrade')
  return options.length === 0 ? undefined : options.join(',')
}
