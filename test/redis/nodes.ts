import type { Test } from 'tap'

import type { WsChannelOptions } from '../../lib/index.js'
import type { Journal } from '../../lib/journal/journal.js'
import { redisJournal, type RedisJournal } from '../../lib/journal/redis/redis-journal.js'
import type { RedisJournalOptions } from '../../lib/journal/redis/redis-journal-options.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { serve, type Host, type ServeOptions } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import type { ChannelClient } from '../helpers/channel-client.js'
import { Stage } from '../transports/stage.js'
import { Line } from './line.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer, type RedisServerOptions } from './redis-server.js'

/** One of several nodes, each with its own way to the one Redis. */
export interface Node extends Host {
  stage: Stage
  line: Line
  journal: RedisJournal
  store: SessionStore
}

export interface NodesOptions {
  redis?: RedisServerOptions
  journal?: Partial<RedisJournalOptions>
  channel?: WsChannelOptions
  fastify?: ServeOptions['fastify']
  /** What stands before a node's journal. */
  around?: (journal: Journal) => Journal
}

/** Short, so that tests need not wait; long enough for a machine that is busy. */
export const LEASE_MS = 600
export const SWEEP_MS = 50

/** Nodes with one Redis and one history. They end with the test. */
export async function startNodes (t: Test, count: number, options: NodesOptions = {}) {
  const { redis, journal, channel, fastify = {}, around = (each) => each } = options
  const server = await RedisServer.start(t, redis)
  const store = memorySessionStore()
  const nodes: Node[] = []
  for (let index = 0; index < count; index++) {
    const line = await Line.to(t, server.port)
    const client = await ioredisClient(t, server, { port: line.port })
    const own = redisJournal(client, { prefix: 'test:', leaseMs: LEASE_MS, sweepMs: SWEEP_MS, stopTimeoutMs: 200, ...journal })
    t.teardown(async () => { await own.close() })
    await own.ready()
    const stage = new Stage()
    const host = await serve(t, { agentExecutor: stage.executor, sessionStore: store, journal: around(own), fastify, ...channel })
    nodes.push({ ...host, stage, line, journal: own, store })
  }
  return { server, nodes, store }
}

/** Two nodes that are there. */
export async function two (...given: Parameters<typeof startNodes> extends [infer T, number, ...infer Rest] ? [T, ...Rest] : never) {
  const [t, ...options] = given
  const started = await startNodes(t, 2, ...options)
  return { ...started, nodes: started.nodes as [Node, Node] }
}

/** Says a tracked chat in the session `s`. */
export function chat (client: ChannelClient, id: string, more: object = {}): void {
  client.send({ type: 'chat', id, sessionId: 's', message: id, ...more })
}

/** Reads what comes until the turn has ended; what it said, and how it ended. */
export async function untilEnd (client: ChannelClient, id: string): Promise<{ text: string, end: Record<string, unknown> }> {
  let text = ''
  for (;;) {
    const frame = await client.next()
    if (frame.type === 'subscribed') {
      const turns = frame['turns'] as Array<{ id: string, content?: string }>
      text = turns.find((turn) => turn.id === id)?.content ?? text
    }
    if (frame['id'] !== id || frame.type === 'ack') continue
    if (frame['done'] === true) return { text, end: frame }
    if (frame.type === 'stream') text += String(frame['content'])
  }
}

export async function quiet (...nodes: Node[]): Promise<void> {
  for (const { app } of nodes) await eventually(() => app.channel.stats().turns === 0)
}
