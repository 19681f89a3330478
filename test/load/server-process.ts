// A server in a process of its own, whose memory is nobody else's. Run by `startServer`; answers one message at a time.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import process from 'node:process'

import Fastify from 'fastify'
import { WebSocketServer } from 'ws'

import { memoryJournal, wsChannel, type Executor, type SessionStore, type WsChannelOptions } from '../../lib/index.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import type { MemoryReport, ServerCommand, ServerConfig, ServerReply } from './servers.js'

const config = JSON.parse(process.argv[2] ?? '{}') as ServerConfig
let yielded = 0
const released = deferred()

/** `pieces` pieces of 100 bytes, all of them ready at once. */
const burst: Executor = function * () {
  const piece = 'x'.repeat(100)
  for (let i = 0; i < config.pieces; i++) {
    yielded++
    yield piece
  }
}

/** Says something, and the rest once it is released. */
const held: Executor = async function * () {
  yield 'begun'
  await released.promise
  yield 'ended'
}

/** A history that is kept elsewhere. */
const elsewhere: SessionStore = {
  append () {}, messages: () => ({ messages: [] }), turn: () => [], list: () => ({ sessions: [] }), delete: () => false
}

const clock = new ManualClock()
const sessions = config.kind === 'sessions' ? await startSessions() : undefined
const target = sessions ?? (config.kind === 'bare' ? await startBare() : await startChannel())
process.on('message', (command: ServerCommand) => {
  answer(command).catch((err: unknown) => { throw err })
})
send({ port: target.port })

async function answer (command: ServerCommand): Promise<void> {
  switch (command) {
    case 'memory': return send({ memory: await measure() })
    case 'cpu': return send({ cpuMs: usedMs() })
    case 'yielded': return send({ yielded })
    case 'stats': return send({ stats: target.stats() })
    case 'release': released.resolve(); return send({})
    case 'run': await sessions?.run(); return send({})
    // Longer than entries and claims are kept.
    case 'trim': clock.advance(600_000); return send({})
    case 'close': {
      const start = performance.now()
      await target.close()
      send({ closedMs: performance.now() - start })
      return process.disconnect()
    }
  }
}

async function startChannel () {
  const app = Fastify()
  const options: WsChannelOptions = { ...config.options, agentExecutor: { burst, held } }
  app.register(wsChannel, options)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    port: (app.server.address() as AddressInfo).port,
    stats: () => ({ ...app.channel.stats() }),
    close: () => app.close()
  }
}

/** Sessions without sockets, whose time is turned by `trim`. */
async function startSessions () {
  const app = Fastify()
  const limits = { maxSessions: 1_000_000, maxTotalBytes: 2 ** 32, maxClaims: 1_000_000 }
  const options = { clock, journal: memoryJournal({ clock, ...limits }), sessionStore: elsewhere, agentExecutor: () => 'x'.repeat(200) }
  app.register(wsChannel, options)
  await app.ready()
  const followed: Array<Promise<unknown>> = []
  let rounds = 0
  return {
    port: 0,
    stats: () => ({ ...app.channel.stats() }),
    async run () {
      const round = rounds++
      for (let i = 0; i < config.sessions; i++) {
        const session = { owner: 'anonymous', sessionId: `round ${round}, session ${i}` }
        if (i % 10 === 0) followed.push(follow(app.channel.follow(session)))
        await app.channel.startTurn({ ...session, id: 'turn', message: 'hello' })
        if (i % 1_000 === 999) await eventually(() => app.channel.stats().turns === 0)
      }
      await eventually(() => app.channel.stats().turns === 0)
    },
    async close () {
      await app.close()
      await Promise.all(followed)
    }
  }
}

async function follow (frames: AsyncIterable<unknown>): Promise<void> {
  for await (const frame of frames) if (frame === undefined) break
}

/** What everything is compared with: `ws` alone, with the heartbeat that its own documentation shows. */
async function startBare () {
  const http = createServer()
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false })
  const alive = new WeakSet<object>()
  wss.on('connection', (socket) => {
    alive.add(socket)
    socket.on('pong', () => { alive.add(socket) })
    socket.on('error', () => {})
    socket.on('message', (data) => { socket.send(data) })
  })
  const timer = setInterval(() => {
    for (const socket of wss.clients) {
      if (!alive.delete(socket)) socket.terminate()
      else socket.ping()
    }
  }, 25_000)
  await new Promise<void>((resolve) => { http.listen(0, '127.0.0.1', 1024, resolve) })
  return {
    port: (http.address() as AddressInfo).port,
    stats: () => ({ connections: wss.clients.size }),
    async close () {
      clearInterval(timer)
      for (const socket of wss.clients) socket.terminate()
      await new Promise((resolve) => { http.close(resolve) })
    }
  }
}

async function measure (): Promise<MemoryReport> {
  // Twice, with the loop run between: finalizers and weak references need it.
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}

function usedMs (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function send (reply: ServerReply): void {
  process.send?.(reply)
}
