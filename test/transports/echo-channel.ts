import { once } from 'node:events'
import { connect, type Server, type Socket } from 'node:net'

import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { WebSocket, type ClientOptions, type RawData } from 'ws'

import {
  registerWebsocketRoute, type ConnectionFacts, type WebsocketRoute, type WebsocketRouteHandlers, type WebsocketRouteOptions
} from '../../lib/transports/websocket-route.js'

/** A channel that sends back what it gets, and remembers who came. */
export class EchoHandlers implements WebsocketRouteHandlers<number> {
  admitted = 0
  checked = 0
  readonly accepted: Array<{ socket: WebSocket, peer: number, facts: ConnectionFacts }> = []
  readonly released: number[] = []

  admit (): Promise<number> | number {
    return ++this.admitted
  }

  check (): void {
    this.checked++
  }

  accept (socket: WebSocket, peer: number, facts: ConnectionFacts): void {
    this.accepted.push({ socket, peer, facts })
    socket.on('error', () => {})
    socket.on('message', (data, isBinary) => { socket.send(data, { binary: isBinary }) })
  }

  release (peer: number): void {
    this.released.push(peer)
  }
}

export function addEcho (
  fastify: FastifyInstance, options: Partial<WebsocketRouteOptions> = {}, handlers: WebsocketRouteHandlers<number> = new EchoHandlers()
): WebsocketRoute {
  return registerWebsocketRoute(fastify, { path: '/ws', maxPayload: 65536, ...options }, handlers)
}

/** On a free port, until the test ends. */
export async function listen (t: Test, app: FastifyInstance): Promise<number> {
  t.teardown(async () => { await app.close() })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return portOf(app)
}

export function portOf (app: FastifyInstance): number {
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on a port')
  return address.port
}

/** An open socket, or a rejection that has the status of the refusal. */
export async function open (port: number, path = '/ws', protocols: string[] = [], options: ClientOptions = {}): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options)
  await once(socket, 'open')
  return socket
}

export async function echo (socket: WebSocket, text: string): Promise<string> {
  const answer = message(socket)
  socket.send(text)
  return await answer
}

/** The next message. */
export async function message (socket: WebSocket): Promise<string> {
  return await new Promise((resolve) => {
    socket.once('message', (data) => { resolve(textOf(data)) })
  })
}

export function textOf (data: RawData): string {
  return Buffer.isBuffer(data) ? data.toString() : ''
}

export async function close (socket: WebSocket): Promise<void> {
  const ended = closed(socket)
  socket.close()
  await ended
}

/** The code and the reason with which a socket is closed. */
export async function closed (socket: WebSocket): Promise<[code: number, reason: string]> {
  return await new Promise((resolve) => {
    socket.once('close', (code, reason) => { resolve([code, reason.toString()]) })
  })
}

export const HANDSHAKE = {
  host: '127.0.0.1',
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
}

export function requestText (line: string, headers: Record<string, string>, body = ''): string {
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${line} HTTP/1.1\r\n${fields.join('')}\r\n${body}`
}

/** Sends an upgrade that is to be refused; resolves with all that came when the server has ended the connection. */
export async function refused (port: number, path: string, headers: Record<string, string> = {}): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(requestText(`GET ${path}`, { ...HANDSHAKE, ...headers }))
  return await everythingFrom(socket)
}

export async function everythingFrom (socket: Socket): Promise<string> {
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => { text += chunk })
  await once(socket, 'close')
  return text
}

/** Follows the connections of a server, so that a test can wait until none is left. */
export class Connections {
  #count = 0
  #onNone: (() => void) | undefined

  constructor (server: Server) {
    server.on('connection', (socket: Socket & { isCounted?: boolean }) => {
      // A request that is put back announces its connection again.
      if (socket.isCounted === true) return
      socket.isCounted = true
      this.#count++
      socket.once('close', () => {
        if (--this.#count === 0) this.#onNone?.()
      })
    })
  }

  async none (): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => { this.#onNone = resolve })
  }
}

export async function countConnections (server: Server): Promise<number> {
  return await new Promise((resolve, reject) => {
    server.getConnections((error, count) => {
      if (error === null) resolve(count)
      else reject(error)
    })
  })
}
