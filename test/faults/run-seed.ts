import type { AddressInfo } from 'node:net'
import { setImmediate as tick } from 'node:timers/promises'
import { Writable } from 'node:stream'

import fastify, { type FastifyInstance } from 'fastify'

import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { wsChannel } from '../../lib/index.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { Random } from '../fuzz/random.js'
import { act } from './actions.js'
import { checkAtEnd } from './checks.js'
import { Client } from './client.js'
import { narrow, type Link } from './fault-proxy.js'
import { HostReader } from './host-reader.js'
import { DelayedJournal } from './journal-double.js'
import { RecordingJournal } from './recording-journal.js'
import { Report } from './report.js'
import { scenarioOf, type Scenario } from './scenario.js'
import { scriptedAgent } from './scripts.js'
import { Truth } from './truth.js'
import type { Chat } from './wire.js'

/** A bug, put between the channel and what it stands on. */
export interface Plant {
  journal?: (journal: Journal, random: Random) => Journal
  store?: (store: SessionStore) => SessionStore
  scenario?: (scenario: Scenario) => void
}

export interface SeedOptions {
  plant?: Plant
  trace?: (line: string) => void
  /** A run that takes longer is stuck. */
  patienceMs?: number
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
  linkByPort: Map<number, Link>
  isOver: () => boolean
}

/** Runs one seed from an app of its own to its end. Reports what it finds, and never rejects. */
export async function runSeed (seed: number, { plant = {}, trace, patienceMs = 15_000 }: SeedOptions = {}): Promise<Report> {
  const report = new Report(trace)
  const onUnhandled = (err: unknown): void => { report.fault('log', `unhandled: ${String(err)}`) }
  process.on('unhandledRejection', onUnhandled)
  process.on('uncaughtException', onUnhandled)
  try {
    await run(seed, report, plant, patienceMs)
  } catch (err) {
    report.fault('stuck', err instanceof Error ? err.stack ?? err.message : String(err))
  } finally {
    // Node tells of a rejection after the microtasks.
    await tick()
    process.off('unhandledRejection', onUnhandled)
    process.off('uncaughtException', onUnhandled)
  }
  return report
}

async function run (seed: number, report: Report, plant: Plant, patienceMs: number): Promise<void> {
  const scenario = scenarioOf(seed)
  plant.scenario?.(scenario)
  const clock = new ManualClock()
  const giveUpAt = performance.now() + patienceMs
  let hasEnded = false
  const isOver = (): boolean => performance.now() > giveUpAt
  const bench = await open(seed, scenario, report, plant, clock, isOver)
  const time = pass(clock, scenario.stepMs, () => hasEnded)
  const reader = new HostReader(bench)
  try {
    await Promise.all(bench.clients.map((client) => act(client, scenario.steps, hostOf(bench))))
    await settle(bench)
    await checkAtEnd(bench, reader)
  } finally {
    await reader.close()
    await Promise.all(bench.clients.map((client) => client.close()))
    await leftovers(bench)
    await bench.app.close()
    hasEnded = true
    await time
  }
}

async function open (seed: number, scenario: Scenario, report: Report, plant: Plant, clock: ManualClock, isOver: () => boolean): Promise<Bench> {
  const truth = new Truth()
  const calls = new Map<string, number>()
  const linkByPort = new Map<number, Link>()
  const app = fastify({ logger: { level: 'error', stream: new ErrorLog(report) } })
  app.server.on('connection', (socket) => { narrow(socket, linkByPort) })
  const random = new Random(seed + 77)
  const recording = new RecordingJournal(memoryJournal({ ...scenario.journal, clock }), truth, (fault) => { report.fault('order', fault) })
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
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const books = new Map(OWNERS.map((owner) => [owner as string, new Map<string, Chat>()]))
  const clients = OWNERS.flatMap((owner) => Array.from({ length: scenario.clientsPerOwner }, (_, i) => new Client({
    name: `${owner}/${i}`, owner, seed, port, linkByPort, truth, report, isOver,
    sessions: sessionsOf(owner, scenario), chats: books.get(owner) ?? new Map<string, Chat>(), window: scenario.window
  })))
  await Promise.all(clients.map((client) => client.start()))
  return { seed, scenario, report, truth, app, clients, books, calls, linkByPort, isOver }
}

/** Both owners have sessions of the same names. */
export function sessionsOf (owner: string, { sessionsPerOwner }: Scenario): Array<{ owner: string, agentId: string, sessionId: string }> {
  const names = [['main', 's1'], ['other', 's1'], ['main', 's2']] as const
  return names.slice(0, sessionsPerOwner).map(([agentId, sessionId]) => ({ owner, agentId, sessionId }))
}

function hostOf ({ app }: Bench): Parameters<typeof act>[2] {
  return { publish: (session, name, data) => app.channel.publish(session, name, data) }
}

/** All come back, and wait until everything is answered and told. */
async function settle (bench: Bench): Promise<void> {
  const { clients, truth, isOver, report } = bench
  await Promise.all(clients.map((client) => client.settle()))
  const isQuiet = (): boolean => clients.every(({ wire }) => wire?.isClosed === true || wire?.isQuiet === true) && truth.openTurns().length === 0
  while (!isOver()) {
    // One that was cut off while it settled comes back again.
    for (const client of clients) if (client.wire?.isClosed === true) await client.settle()
    for (const client of clients) if (client.wire !== undefined) for (const chat of client.unanswered(client.wire)) client.wire.chat(chat)
    if (isQuiet()) return
    await tick()
  }
  for (const { name, wire, recent } of clients) {
    if (wire?.isQuiet !== true) report.fault('stuck', `${name} waits for ${wire?.describe() ?? 'a connection'}; last: ${recent.slice(-8).join(' | ')}`)
  }
  for (const { key, chat } of truth.openTurns()) report.fault('stuck', `no end of ${chat.turnId} in ${JSON.stringify(key)}`)
}

async function leftovers ({ app, report, scenario }: Bench): Promise<void> {
  const isLeft = (): boolean => {
    const { connections, turns, runningTurns, followers } = app.channel.stats()
    return connections + turns + runningTurns + followers > 0
  }
  for (const giveUpAt = performance.now() + 4_000; isLeft() && performance.now() < giveUpAt;) await tick()
  if (isLeft()) report.fault('leftovers', `${JSON.stringify(app.channel.stats())}, ${scenario.isDelayed ? 'delayed' : 'at once'}`)
}

/** Time passes with the event loop, so that what takes long costs no time. */
async function pass (clock: ManualClock, stepMs: number, hasEnded: () => boolean): Promise<void> {
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
