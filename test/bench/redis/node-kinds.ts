// What carries pieces from one node to the clients of another.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

import { Redis } from 'ioredis'

import type * as Library from '../../../lib/index.js'
import type * as RedisLibrary from '../../../lib/redis.js'
import { askedOf, piecesOf } from './source.js'

export interface NodeConfig {
  kind: NodeKind
  redisPort: number
  /** The channel as it is built, and not its sources, which are compiled in another way. */
  isBuilt: boolean
}

export type NodeKind = keyof typeof NODE_KINDS

export interface BenchNode {
  server: Server
  /** Gets ready to say something under a name. */
  prepare: (name: string, text: string) => Promise<void>
  /** Says it, to whoever follows on any node. */
  say: (name: string, text: string) => Promise<void>
}

const LARGE = 1_000_000_000
/** A turn that waits behind this is there only to be kept. */
const HELD_MS = 2 ** 31 - 1

export const NODE_KINDS = { 'memory journal': memoryNode, 'Redis journal': redisNode, 'resumable-stream': resumableNode, 'Socket.IO': socketNode }

async function memoryNode ({ isBuilt }: NodeConfig): Promise<BenchNode> {
  const library = await libraryOf(isBuilt)
  return await channelNode(library, library.memoryJournal({ maxClaims: LARGE }))
}

async function redisNode ({ isBuilt, redisPort }: NodeConfig): Promise<BenchNode> {
  const { redisJournal } = await (isBuilt ? import(built('redis.js')) as Promise<typeof RedisLibrary> : import('../../../lib/redis.js'))
  const journal = redisJournal(connect(redisPort), { prefix: 'bench:' })
  await journal.ready()
  return await channelNode(await libraryOf(isBuilt), journal)
}

async function channelNode ({ wsChannel }: typeof Library, journal: Library.Journal): Promise<BenchNode> {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.register(wsChannel, {
    journal,
    async * agentExecutor ({ message, signal }) {
      const asked = askedOf(message)
      yield * piecesOf(asked)
      if (asked.isHeld === true) await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
    },
    // The load would be refused otherwise, or what is counted merged.
    maxAnswerBytes: LARGE,
    highWaterBytes: 16 * 1024 * 1024,
    maxFramesPerSecond: LARGE,
    maxConnections: LARGE,
    maxTurns: LARGE,
    maxTurnsPerOwner: LARGE,
    firstPartTimeoutMs: HELD_MS,
    idleTimeoutMs: HELD_MS,
    turnTimeoutMs: HELD_MS
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    server: app.server,
    async prepare () {},
    async say (sessionId, text) { await app.channel.startTurn({ owner: 'anonymous', sessionId, message: text }) }
  }
}

/** A stream goes on as soon as somebody has begun to read it on another node: what was said before would come as one. */
async function resumableNode ({ redisPort }: NodeConfig): Promise<BenchNode> {
  const { createResumableStreamContext } = await import('resumable-stream/ioredis')
  const context = createResumableStreamContext({ waitUntil: null, publisher: connect(redisPort), subscriber: connect(redisPort) })
  const goByName = new Map<string, () => void>()
  return {
    server: await httpServer((request, response) => {
      void context.resumeExistingStream((request.url ?? '').slice(1)).then(async (stream) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
        for await (const piece of stream ?? []) response.write(piece)
        response.end()
      })
    }),
    async prepare (name, text) {
      const going = new Promise<void>((resolve) => { goByName.set(name, resolve) })
      const said = piecesOf(askedOf(text))
      const pieces = Symbol.iterator in said ? said[Symbol.iterator]() : said[Symbol.asyncIterator]()
      await context.createNewResumableStream(name, () => new ReadableStream<string>({
        async pull (controller) {
          await going
          const next = await pieces.next()
          if (next.done === true) controller.close()
          else controller.enqueue(next.value)
        }
      }))
    },
    async say (name) {
      goByName.get(name)?.()
      goByName.delete(name)
    }
  }
}

/** Whoever connects with a name is told what is said under it. */
async function socketNode ({ redisPort }: NodeConfig): Promise<BenchNode> {
  const [{ createAdapter }, socketIo] = await Promise.all([import('@socket.io/redis-streams-adapter'), import('socket.io')])
  const server = await httpServer((_request, response) => { response.writeHead(404).end() })
  // So much that nothing is cut off which a node has still to read.
  const io = new socketIo.Server(server, { adapter: createAdapter(connect(redisPort), { maxLen: 1_000_000, onlyPlaintext: true }) })
  io.on('connection', (socket) => { void socket.join(String(socket.handshake.query['name'])) })
  return {
    server,
    async prepare () {},
    async say (name, text) { void emitAll(name, text) }
  }

  async function emitAll (name: string, text: string): Promise<void> {
    for await (const piece of piecesOf(askedOf(text))) io.to(name).emit('piece', piece)
  }
}

function connect (port: number): Redis {
  return new Redis({ port, host: '127.0.0.1' })
}

async function httpServer (listener: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  return server
}

/** What users install: `npm run build` has made it. */
async function libraryOf (isBuilt: boolean): Promise<typeof Library> {
  return await (isBuilt ? import(built('index.js')) as Promise<typeof Library> : import('../../../lib/index.js'))
}

function built (file: string): string {
  return new URL(`../../../dist/${file}`, import.meta.url).href
}
