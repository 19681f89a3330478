import type { AddressInfo } from 'node:net'
import { setImmediate as tick } from 'node:timers/promises'
import { Writable } from 'node:stream'

import fastify, { type FastifyInstance } from 'fastify'

import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { channelRest, wsChannel } from '../../lib/index.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import type { ManualClock } from '../helpers/manual-clock.js'
import { Random } from '../fuzz/random.js'
import { Client } from './client.js'
import { narrow, type Link } from './fault-proxy.js'
import { DelayedJournal } from './journal-double.js'
import { RecordingJournal } from './recording-journal.js'
import type { Report } from './report.js'
import type { Scenario } from './scenario.js'
import { scriptedAgent } from './scripts.js'
import { Truth } from './truth.js'
import type { Chat } from './wire.js'

/** A bug, put between the channel and what it stands on. */
export interface Plant {
  journal?: (journal: Journal, random: Random) => Journal
  store?: (store: SessionStore) => SessionStore
  scenario?: (scenario: Scenario) => void
}

export const OWNERS = ['a', 'b'] as const

/** The parts of one run. */
export interface Bench {
  seed: number
  scenario: Scenario
  report: Report
  truth: Truth
  app: FastifyInstance
  clients: Client[]
  /** Chats that have an id, by owner. */
  books: ReadonlyMap<string, Map<string, Chat>>
  /** How often the executor was called, by message. */
  calls: Map<string, number>
  /** A client more, of that owner. */
  client: (owner: string, name: string, sessions: SessionKey[]) => Client
  isOver: () => boolean
  port: number
  linkByPort: Map<number, Link>
}

/** An app with a channel, and clients that are not connected yet. */
export async function openBench (
  seed: number, scenario: Scenario, report: Report, plant: Plant, clock: ManualClock, isOver: () => boolean
): Promise<Bench> {
  const truth = new Truth()
  const calls = new Map<string, number>()
  const linkByPort = new Map<number, Link>()
  const app = fastify({ forceCloseConnections: scenario.hasRest ? true : 'idle', logger: { level: 'error', stream: new ErrorLog(report) } })
  app.server.on('connection', (socket) => { narrow(socket, linkByPort) })
  const random = new Random(seed + 77)
  const recording = new RecordingJournal(memoryJournal({ ...scenario.journal, clock }), truth, report.fault.bind(report))
  const planted = plant.journal?.(recording, random) ?? recording
  const store = memorySessionStore({ clock })
  const options = {
    ...scenario.options,
    clock,
    journal: scenario.isDelayed ? new DelayedJournal(planted, random) : planted,
    sessionStore: plant.store?.(store) ?? store,
    identify: (request: { headers: Record<string, unknown> }) => String(request.headers['x-owner']),
    agentExecutor: scriptedAgent(seed, ({ message }) => { calls.set(message, (calls.get(message) ?? 0) + 1) })
  }
  app.register(wsChannel, options)
  if (scenario.hasRest) app.register(channelRest)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const books = new Map(OWNERS.map((owner) => [owner as string, new Map<string, Chat>()]))
  const client = (owner: string, name: string, sessions: SessionKey[]): Client => new Client({
    name,
    owner,
    seed,
    port,
    linkByPort,
    truth,
    report,
    isOver,
    sessions,
    chats: books.get(owner) ?? new Map<string, Chat>(),
    window: scenario.window
  })
  const clients = OWNERS.flatMap((owner) => Array.from({ length: scenario.clientsPerOwner }, (_, i) => (
    client(owner, `${owner}/${i}`, sessionsOf(owner, scenario)))))
  await Promise.all(clients.map((client) => client.start()))
  return { seed, scenario, report, truth, app, clients, books, calls, client, isOver, port, linkByPort }
}

/** Both owners have sessions of the same names. */
export function sessionsOf (owner: string, { sessionsPerOwner }: Scenario): SessionKey[] {
  const names = [['main', 's1'], ['other', 's1'], ['main', 's2']] as const
  return names.slice(0, sessionsPerOwner).map(([agentId, sessionId]) => ({ owner, agentId, sessionId }))
}

/** When all are gone nothing may be left. */
export async function checkLeftovers ({ app, report, scenario }: Bench): Promise<void> {
  const isLeft = (): boolean => {
    const { connections, turns, runningTurns, followers } = app.channel.stats()
    return connections + turns + runningTurns + followers > 0
  }
  for (const giveUpAt = performance.now() + 4_000; isLeft() && performance.now() < giveUpAt;) await tick()
  if (isLeft()) report.fault('leftovers', `${JSON.stringify(app.channel.stats())}, ${scenario.isDelayed ? 'delayed' : 'at once'}`)
}

/** Time passes with the event loop, so that what takes long costs no time. */
export async function passTime (clock: ManualClock, stepMs: number, hasEnded: () => boolean): Promise<void> {
  while (!hasEnded()) {
    clock.advance(stepMs)
    await tick()
  }
}

/** The server may log that an executor failed, and nothing else. */
class ErrorLog extends Writable {
  readonly #report: Report

  constructor (report: Report) {
    super()
    this.#report = report
  }

  override _write (line: Buffer, _encoding: string, done: () => void): void {
    const text = line.toString()
    if (!text.includes('"msg":"the executor failed"')) this.#report.fault('log', text)
    done()
  }
}
