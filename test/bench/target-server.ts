// One target, in a process of its own. Started by `startTarget`; what it has used it says when asked. All have loaded Fastify: what is
// compared is what a service with a REST API can do with its socket, and not what Fastify takes, which the loop on `ws` has beside it too.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'

import fastifyWebsocket from '@fastify/websocket'
import { Type } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import Fastify from 'fastify'
import { WebSocketServer, type WebSocket } from 'ws'

import type * as Library from '../../lib/index.js'
import { AGENTS, type AgentId } from './agents.js'
import type { TargetConfig, TargetReport, TargetUsage } from './targets.js'

const config = JSON.parse(process.argv[1] ?? '{}') as TargetConfig
const LARGE = 1_000_000_000

const start = { 'raw-ws': startRawWs, 'fastify-websocket': startFastifyWebsocket, channel: startChannel }[config.kind]
const server = await start()
process.on('message', (asked) => { void (asked === 'usage' ? usage() : report()).then((answer) => process.send?.(answer)) })
process.on('disconnect', () => { process.exit() })
process.send?.({ port: (server.address() as AddressInfo).port })

interface Asked {
  type: string
  agentId: AgentId
  message: string
}

/** The loop that people write. */
async function answer (socket: WebSocket, { agentId, message }: Asked): Promise<void> {
  for await (const content of AGENTS[agentId]({ message })) {
    socket.send(JSON.stringify({ type: 'stream', agentId, content, done: false }))
  }
  socket.send(JSON.stringify({ type: 'stream', agentId, content: '', done: true }))
}

async function broadcast (sockets: Set<WebSocket>, { agentId, message }: Asked): Promise<void> {
  const tell = (frame: object): void => {
    const text = JSON.stringify(frame)
    for (const socket of sockets) socket.send(text)
  }
  for await (const content of AGENTS[agentId]({ message })) tell({ type: 'stream', agentId, content, done: false })
  tell({ type: 'stream', agentId, content: '', done: true })
}

/** The heartbeat of the documentation of `ws`. */
function beat (sockets: Set<WebSocket>): (socket: WebSocket) => void {
  const alive = new WeakSet<WebSocket>()
  setInterval(() => {
    for (const socket of sockets) {
      if (!alive.delete(socket)) socket.terminate()
      else socket.ping()
    }
  }, config.heartbeatMs)
  return (socket) => {
    alive.add(socket)
    socket.on('pong', () => { alive.add(socket) })
    socket.on('error', () => {})
  }
}

async function startRawWs (): Promise<Server> {
  const http = createServer()
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false })
  const watch = beat(wss.clients)
  wss.on('connection', (socket) => {
    watch(socket)
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Asked
      if (frame.type === 'ping') socket.send(JSON.stringify({ type: 'pong' }))
      else if (frame.type === 'broadcast') void broadcast(wss.clients, frame)
      else void answer(socket, frame)
    })
  })
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', 1024, resolve) })
  return http
}

async function startFastifyWebsocket (): Promise<Server> {
  const isFrame = new Ajv().compile<Asked>(Type.Union([
    Type.Object({ type: Type.Literal('ping') }),
    Type.Object({ type: Type.Literal('chat'), agentId: Type.String(), message: Type.String({ minLength: 1, maxLength: 131_072 }) })
  ]))
  const app = Fastify()
  await app.register(fastifyWebsocket)
  const watch = beat(app.websocketServer.clients)
  app.get('/api/v1/ws', { websocket: true }, (socket) => {
    watch(socket)
    socket.on('message', (data: Buffer) => {
      const frame: unknown = JSON.parse(data.toString())
      if (!isFrame(frame)) socket.send(JSON.stringify({ type: 'error', code: 'VALIDATION_FAILED' }))
      else if (frame.type === 'ping') socket.send(JSON.stringify({ type: 'pong' }))
      else void answer(socket, frame)
    })
  })
  await app.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
  return app.server
}

async function startChannel (): Promise<Server> {
  const { memoryJournal, memorySessionStore, wsChannel } = await import(config.library) as typeof Library
  const app = Fastify()
  app.register(wsChannel, {
    agentExecutor: AGENTS,
    heartbeatMs: config.heartbeatMs,
    // The load would be refused otherwise; what is measured is not what the limits cost, which is a comparison each.
    // Sessions that are all in use would push each other out, and be made anew at each turn.
    journal: memoryJournal({ maxClaims: LARGE, maxTotalBytes: LARGE }),
    sessionStore: memorySessionStore({ maxSessions: LARGE, maxBytes: LARGE }),
    maxAnswerBytes: LARGE,
    // Nothing is merged, and so the frames can be counted.
    highWaterBytes: 16 * 1024 * 1024,
    maxFramesPerSecond: LARGE,
    maxConnections: LARGE,
    maxTurns: LARGE,
    turnTimeoutMs: 2 ** 31 - 1,
    ...config.options
  })
  await app.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
  return app.server
}

async function usage (): Promise<TargetUsage> {
  const { user, system } = process.cpuUsage()
  return { cpuMs: (user + system) / 1000, rss: process.memoryUsage.rss() }
}

async function report (): Promise<TargetReport> {
  // Twice, with the loop run between: finalizers and weak references need it.
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}
