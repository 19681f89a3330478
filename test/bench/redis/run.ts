/**
 * The benchmark over Redis: `npm run bench:redis [-- --rounds 5 --only two-nodes]`. Redis and every node are processes of their own; what
 * is compared takes turns, round by round. Loopback only.
 */
import process from 'node:process'
import { parseArgs } from 'node:util'

import { Redis } from 'ioredis'
import type { Test } from 'tap'

import { RedisServer } from '../../redis/redis-server.js'
import { median, ratiosOf } from '../statistics.js'
import { liveMemory } from './live-memory.js'
import { checkOrder, pacedTurns, twoNodes, type Measured, type Scale, type Target } from './loads.js'
import type { NodeKind } from './node-kinds.js'
import { startNode } from './nodes.js'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, only: { type: 'string' }, smoke: { type: 'boolean', default: false } } })

const FULL: Scale = { windowMs: 2_000, rate: 5_000, turnRate: 50, sessions: 20, pieces: 1_000, live: 1_000, liveSlowly: 50, slowlyMs: 10 }
const SMOKE: Scale = { windowMs: 100, rate: 200, turnRate: 50, sessions: 2, pieces: 50, live: 3, liveSlowly: 2, slowlyMs: 2 }
/** A target that does not answer ends the run. */
const MAX_MEASURE_MS = 60_000

interface Load {
  kinds: NodeKind[]
  /** How the others are compared with the first. */
  by: 'ratio' | 'difference'
  measure: (target: Target) => Promise<Measured>
  rounds?: number
  /** It begins with a Redis in which nothing is: what was said before expires while it counts. */
  isFresh?: boolean
}

const scale = values.smoke ? SMOKE : FULL
const { rate, windowMs } = scale
const JOURNALS: NodeKind[] = ['memory journal', 'Redis journal']
const ALL: NodeKind[] = ['Redis journal', 'resumable-stream', 'Socket.IO']
const LOADS: Record<string, Load> = {
  'added, turns of 50 pieces/s': { kinds: JOURNALS, by: 'difference', measure: pacedTurns(scale) },
  'added, one turn': { kinds: JOURNALS, by: 'difference', measure: pacedTurns({ rate, turnRate: rate, windowMs }) },
  'two-nodes, pieces ready at once': { kinds: ALL, by: 'ratio', measure: twoNodes(scale, 'at once') },
  'two-nodes, each in a run of the event loop': { kinds: ALL, by: 'ratio', measure: twoNodes(scale, 'one by one') },
  'two-nodes, paced': { kinds: ALL, by: 'difference', measure: pacedNodes() },
  'memory, pieces ready at once': { kinds: ['Redis journal'], by: 'ratio', measure: liveMemory(scale, 'at once'), rounds: 1, isFresh: true },
  'memory, pieces one by one': { kinds: ['Redis journal'], by: 'ratio', measure: liveMemory(scale, 'slowly'), rounds: 1, isFresh: true }
}

const ends: Array<() => unknown> = []
// Of a test no more is needed here.
const owner = { teardown: (end: () => unknown) => { ends.unshift(end) } } as unknown as Test
const targetByKind = new Map<NodeKind, Target>()
try {
  const chosen = Object.entries(LOADS).filter(([name]) => values.only === undefined || name.startsWith(values.only))
  if (chosen.length === 0) throw new RangeError(`--only: the beginning of one of ${Object.keys(LOADS).join(' · ')}`)
  for (const [name, load] of chosen) await run(name, load)
} finally {
  for (const end of ends) await end()
}
process.exit()

function pacedNodes (): Load['measure'] {
  const { turnRate, pieces } = scale
  return twoNodes({ ...scale, sessions: Math.round(rate / turnRate), pieces: Math.min(pieces, turnRate) }, 1_000 / turnRate)
}

async function run (name: string, { kinds, by, measure, rounds: enough, isFresh = false }: Load): Promise<void> {
  const rounds = values.smoke ? 1 : Math.min(Number(values.rounds), enough ?? Infinity)
  const measured = new Map<NodeKind, Measured[]>(kinds.map((kind) => [kind, []]))
  await Promise.all(kinds.map(async (kind) => {
    if (isFresh || !targetByKind.has(kind)) targetByKind.set(kind, await start(kind))
  }))
  // The first round warms up.
  for (let round = values.smoke || rounds === 1 ? 0 : -1; round < rounds; round++) {
    for (const kind of kinds) {
      const target = targetByKind.get(kind)
      if (target === undefined) continue
      const result = await inTime(`${name}, ${kind}`, measure(target))
      if (round >= 0) measured.get(kind)?.push(result)
    }
  }
  print(`${name} (${rounds} ${rounds === 1 ? 'round' : 'rounds'})`, measured, by)
}

async function start (kind: NodeKind): Promise<Target> {
  const server = await RedisServer.start(owner)
  const config = { kind, redisPort: server.port, isBuilt: !values.smoke }
  // A journal in memory has no other node.
  const nodes = await Promise.all((kind === 'memory journal' ? [config] : [config, config]).map(startNode))
  const redis = new Redis(server.port, '127.0.0.1')
  ends.unshift(async () => {
    redis.disconnect()
    await Promise.all(nodes.map((node) => node.stop()))
  })
  const [speaker, listener = speaker] = nodes
  if (speaker === undefined || listener === undefined) throw new Error('there is no node')
  const target = { kind, speaker, listener, redis }
  if (listener !== speaker) await inTime(`the check of ${kind}`, checkOrder(target))
  return target
}

async function inTime<T> (what: string, work: Promise<T>): Promise<T> {
  const limit = setTimeout(() => { throw new Error(`${what}: not done in ${MAX_MEASURE_MS} ms`) }, MAX_MEASURE_MS)
  try {
    return await work
  } finally {
    clearTimeout(limit)
  }
}

function print (title: string, measured: Map<NodeKind, Measured[]>, by: Load['by']): void {
  console.log(`\n## ${title}`)
  const [first = []] = measured.values()
  for (const [kind, results] of measured) {
    const cells = Object.keys(results[0] ?? {}).map((metric) => {
      const [own, others] = [results, first].map((all) => all.map((result) => result[metric] ?? NaN)) as [number[], number[]]
      const compared = results === first || others.some(Number.isNaN) ? [] : by === 'ratio' ? ratiosOf(own, others) : own.map((value, round) => value - (others[round] ?? NaN))
      const sign = by === 'ratio' ? '× ' : '+ '
      const spread = `${figure(Math.min(...compared))}–${figure(Math.max(...compared))}`
      return `${metric} ${figure(median(own))}${compared.length === 0 ? '' : ` (${sign}${figure(median(compared))}, ${spread})`}`
    })
    console.log(`- ${kind}: ${cells.join('; ')}`)
  }
}

function figure (value: number): string {
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}
