/**
 * Sends a channel frames that are good, bad and ugly, and checks every answer against the protocol:
 * `npx tsx test/fuzz/fuzz-frames.ts --frames 1000000 --seed 1`. Loopback only; ends by itself.
 */
import { Writable } from 'node:stream'
import { setImmediate as setNextTurn } from 'node:timers'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import fastify, { type FastifyInstance } from 'fastify'

import { MAX_TIMEOUT_MS, systemClock } from '../../lib/clock.js'
import { memoryJournal, wsChannel, type ChannelStats, type Clock, type WsChannelOptions } from '../../lib/index.js'
import { fuzzAgents, fuzzAuthorize, fuzzHandler, HostNote } from './agents.js'
import { MAX_PENDING_REQUESTS } from './expectations.js'
import { FrameMaker } from './frame-maker.js'
import { HOST_TYPE, type OracleLimits } from './oracle.js'
import { Peer } from './peer.js'
import { Random } from './random.js'
import { MAX_QUEUED_TURNS, SessionViews } from './session-view.js'

export interface FuzzOptions {
  frames: number
  seed: number
  /** No frame is sent after so long. */
  limitMs: number
  connections?: number
  /**
   * Whether frames wait for the turn of others: as long as the machine makes them, nearly always, or never. What waits may be left
   * without an answer by a peer that breaks the protocol.
   */
  waiting?: 'sometimes' | 'mostly' | 'never'
}

export interface FuzzReport {
  frames: number
  answered: number
  /** Connections that the server had to close. */
  closes: number
  /** Frames whose answers were lost with their connection, as they may be. */
  cut: number
  mismatches: number
  /** The first of them. */
  faults: string[]
  /** The channel's stats when all was over. */
  stats: ChannelStats
  elapsedMs: number
  hasReachedLimit: boolean
}

/** Small, so that what is too large is cheap to make. */
const LIMITS: OracleLimits = { maxPayload: 32 * 1024, maxMessageLength: 2_000, maxMetadataBytes: 1_000 }
const NO_LIMIT = Number.MAX_SAFE_INTEGER
const NO_TIMEOUTS = { firstPartTimeoutMs: MAX_TIMEOUT_MS, idleTimeoutMs: MAX_TIMEOUT_MS, turnTimeoutMs: MAX_TIMEOUT_MS }
const FAULTS_KEPT = 20
/** Turns of connections that were cut off have so long to end, and the app has so long to close. */
const END_PATIENCE_MS = 10_000

/** How the channel sees what frames take of a turn of the event loop. */
const CLOCKS: Record<NonNullable<FuzzOptions['waiting']>, () => Clock> = {
  sometimes: () => systemClock,
  mostly: hastyClock,
  never: stillClock
}

/** At each look more time has passed than frames have in one turn. */
function hastyClock (): Clock {
  let ahead = 0
  return { ...systemClock, now: () => systemClock.now() + (ahead += 6) }
}

/** It moves on between the turns of the event loop alone. */
function stillClock (): Clock {
  let now: number | undefined
  return {
    ...systemClock,
    now () {
      if (now === undefined) setNextTurn(() => { now = undefined })
      return now ??= systemClock.now()
    }
  }
}

/** What peers differ in. */
const KINDS = [
  { query: '', protocols: [], defaults: {} },
  { query: '?sessionId=default', protocols: [], defaults: { sessionId: 'default' } },
  { query: '?agentId=words', protocols: ['agent-channel.v1'], defaults: { agentId: 'words' } },
  { query: '?agentId=slow&sessionId=other', protocols: [], defaults: { agentId: 'slow', sessionId: 'other' } }
]

export async function fuzzFrames ({ frames, seed, limitMs, connections = 8, waiting = 'sometimes' }: FuzzOptions): Promise<FuzzReport> {
  const startedAt = performance.now()
  const faults: string[] = []
  let mismatches = 0
  let sent = 0
  let hasReachedLimit = false
  const onFault = (fault: string): void => {
    if (mismatches++ < FAULTS_KEPT) faults.push(fault.slice(0, 1_000))
  }
  const takeFrame = (): boolean => {
    if (performance.now() - startedAt > limitMs) hasReachedLimit = true
    if (hasReachedLimit || sent >= frames || mismatches > 1_000) return false
    sent++
    return true
  }
  const app = await listen(onFault, CLOCKS[waiting]())
  const sessions = new SessionViews()
  const peers = Array.from({ length: connections }, (_, index) => {
    const random = new Random(seed * 1_000 + index)
    const { query, ...kind } = KINDS[index % KINDS.length] ?? { query: '', protocols: [], defaults: {} }
    const url = `ws://127.0.0.1:${portOf(app)}/api/v1/ws${query}`
    const maker = new FrameMaker(random, LIMITS)
    return new Peer({ url, ...kind, random, maker, limits: LIMITS, sessions, takeFrame, mayWait: waiting !== 'never', onFault })
  })
  await Promise.all(peers.map((peer) => peer.run()))
  const stats = await statsAtEnd(app)
  if (hasLeft(stats)) onFault(`something was left behind: ${JSON.stringify(stats)}`)
  if (!await hasClosed(app)) onFault(`the app was not closed after ${END_PATIENCE_MS} ms: ${JSON.stringify(app.channel.stats())}`)
  const [answered, closes, cut] = (['answered', 'closes', 'cut'] as const).map((count) => sum(peers.map((peer) => peer[count])))
  if (sum([answered, closes, cut]) !== sent) onFault(`${sent} frames were sent, ${sum([answered, closes, cut])} accounted for`)
  const elapsedMs = Math.round(performance.now() - startedAt)
  const counts = { frames: sent, answered: answered ?? 0, closes: closes ?? 0, cut: cut ?? 0 }
  return { ...counts, mismatches, faults, stats, elapsedMs, hasReachedLimit }
}

async function listen (onFault: (fault: string) => void, clock: Clock): Promise<FastifyInstance> {
  const app = fastify({ logger: { level: 'error', stream: new ErrorLog(onFault) } })
  const options: WsChannelOptions & { clock: Clock } = {
    clock,
    ...LIMITS,
    maxQueuedTurns: MAX_QUEUED_TURNS,
    maxPendingRequests: MAX_PENDING_REQUESTS,
    agentExecutor: fuzzAgents(LIMITS, onFault),
    authorize: fuzzAuthorize,
    maxFramesPerSecond: NO_LIMIT,
    maxErrorsPerMinute: NO_LIMIT,
    maxTurnsPerConnection: NO_LIMIT,
    maxSubscriptions: NO_LIMIT,
    // A long run must not outlive what it has said.
    journal: memoryJournal({ dedupWindowMs: NO_LIMIT, maxClaims: NO_LIMIT }),
    maxTurns: NO_LIMIT,
    // A clock may run far ahead.
    ...NO_TIMEOUTS,
    // Nothing runs any more when the app is closed.
    drainTimeoutMs: 1_000
  }
  await app.register(wsChannel, options)
  app.channel.define(HOST_TYPE, { schema: HostNote, handler: fuzzHandler(onFault) })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app
}

/** The server finds fault only with the host's `authorize` and handler, where they fail as they are told to. */
class ErrorLog extends Writable {
  readonly #onFault: (fault: string) => void

  constructor (onFault: (fault: string) => void) {
    super()
    this.#onFault = onFault
  }

  override _write (line: Buffer, _encoding: string, done: () => void): void {
    const text = line.toString()
    if (!text.includes('(`authorize`)') && !text.includes('told to throw')) this.#onFault(`logged: ${text}`)
    done()
  }
}

async function statsAtEnd (app: FastifyInstance): Promise<ChannelStats> {
  const deadline = performance.now() + END_PATIENCE_MS
  while (hasLeft(app.channel.stats()) && performance.now() < deadline) await setImmediate()
  return app.channel.stats()
}

async function hasClosed (app: FastifyInstance): Promise<boolean> {
  // It keeps the process alive too, which the channel's timers do not.
  let giveUp: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => { giveUp = setTimeout(resolve, END_PATIENCE_MS, false) })
  const closed = await Promise.race([app.close().then(() => true), late])
  clearTimeout(giveUp)
  return closed
}

function hasLeft ({ connections, turns, runningTurns, followers }: ChannelStats): boolean {
  return connections + turns + runningTurns + followers > 0
}

function portOf (app: FastifyInstance): number {
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on a port')
  return address.port
}

function sum (numbers: Array<number | undefined>): number {
  return numbers.reduce<number>((total, number) => total + (number ?? 0), 0)
}

function waitingOf (text: string): NonNullable<FuzzOptions['waiting']> {
  if (text === 'sometimes' || text === 'mostly' || text === 'never') return text
  throw new RangeError(`--waiting is sometimes, mostly or never, not ${text}`)
}

async function main (): Promise<void> {
  const { values } = parseArgs({
    options: {
      frames: { type: 'string', default: '20000' },
      seed: { type: 'string', default: '1' },
      'limit-ms': { type: 'string', default: '600000' },
      waiting: { type: 'string', default: 'never' }
    }
  })
  const [frames, seed, limitMs] = [values.frames, values.seed, values['limit-ms']].map(Number)
  let failures = 0
  process.on('unhandledRejection', (err) => {
    failures++
    console.error('unhandled', err)
  })
  process.on('uncaughtException', (err) => {
    console.error('crashed', err)
    process.exit(1)
  })
  const report = await fuzzFrames({ frames: frames ?? 0, seed: seed ?? 0, limitMs: limitMs ?? 0, waiting: waitingOf(values.waiting) })
  // An unhandled rejection is told of after the microtasks.
  await setImmediate()
  for (const fault of report.faults) console.log(fault)
  const limit = report.hasReachedLimit ? `stopped by its limit of ${limitMs} ms` : `limit ${limitMs} ms`
  console.log(`took ${report.elapsedMs} ms (${limit}); cut off with their connection: ${report.cut}; at the end ${JSON.stringify(report.stats)}`)
  const mismatches = report.mismatches + failures
  console.log(`frames=${report.frames} answered=${report.answered} closes=${report.closes} mismatches=${mismatches} seed=${seed}`)
  // Whatever was left behind must not keep it alive.
  process.exit(mismatches === 0 ? 0 : 1)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
