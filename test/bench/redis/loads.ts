import { randomUUID } from 'node:crypto'

import type { Redis } from 'ioredis'

import { percentile } from '../statistics.js'
import { isEnd, openMany } from '../speakers.js'
import { textFrame } from '../wire-client.js'
import { follow, type Follower, type Pair } from './followers.js'
import type { NodeKind } from './node-kinds.js'
import { PieceCounter } from './piece-counter.js'
import { textOf, type Asked } from './source.js'
import { since, usageOf, type Usage } from './usage.js'

/** What one round measured: times in milliseconds, the rest as its name says. */
export type Measured = Record<string, number>

/** Two nodes and the Redis that is theirs alone. */
export interface Target extends Pair {
  kind: NodeKind
  redis: Redis
}

/** How much there is to do: much for real figures, less to see that everything works. */
export interface Scale {
  /** Of each timed stretch, in milliseconds. */
  windowMs: number
  /** Pieces per second in all, where they are paced, and per turn. */
  rate: number
  turnRate: number
  /** Sessions in which turn follows on turn. */
  sessions: number
  /** Of a turn. */
  pieces: number
  /** Live sessions whose memory is measured. */
  live: number
  /** Of those whose pieces are written one by one, at this time between two. */
  liveSlowly: number
  slowlyMs: number
}

/** A turn that is paced takes so long at most. */
const MAX_TURN_MS = 2_000

/** Clients that talk to the node which runs their turns: how long the first piece takes, and how late each is. */
export function pacedTurns ({ rate, turnRate, windowMs }: Pick<Scale, 'rate' | 'turnRate' | 'windowMs'>) {
  return async ({ kind, speaker, redis }: Target): Promise<Measured> => {
    const everyMs = 1_000 / turnRate
    const asked: Asked = { pieces: Math.max(2, Math.round(Math.min(windowMs, MAX_TURN_MS) / everyMs)), ready: everyMs }
    const counter = new PieceCounter(true)
    const firsts: number[] = []
    let isOver = false
    const clients = await openMany(speaker.port, Math.max(1, Math.round(rate / turnRate)))
    const turn = async (client: typeof clients[number], sessionId: string, id: number): Promise<void> => {
      const askedAt = performance.now()
      let isBegun = false
      await new Promise<void>((resolve) => {
        client.onFrame = (bytes, start, end) => {
          const before = counter.pieces
          counter.take(bytes, start, end)
          if (!isBegun && counter.pieces > before) {
            isBegun = true
            firsts.push(performance.now() - askedAt)
          }
          if (isEnd('tracked', bytes, end)) resolve()
        }
        client.send(textFrame({ type: 'chat', id: `${id}`, sessionId, message: textOf(asked) }))
      })
    }
    const running = clients.map(async (client, index) => {
      const sessionId = nameOf(index)
      // Spread over the time of a turn, so that turns begin all the time.
      await elapse(index / clients.length * asked.pieces * everyMs)
      for (let id = 0; !isOver; id++) await turn(client, sessionId, id)
    })
    await elapse(asked.pieces * everyMs * 1.2)
    const [before, startedAt, pieces] = [await usageOf(redis), performance.now(), counter.pieces]
    counter.delays.length = firsts.length = 0
    // However slow it is, of nothing there is no median.
    do await elapse(windowMs)
    while (firsts.length === 0)
    const [done, seconds, used] = [counter.pieces - pieces, (performance.now() - startedAt) / 1_000, since(before, await usageOf(redis))]
    const [delays, begun] = [counter.delays.slice(), firsts.slice()]
    isOver = true
    await Promise.all(running)
    for (const client of clients) client.end()
    return {
      'pieces/s': done / seconds,
      'first piece p50': percentile(begun, 0.5),
      'first piece p99': percentile(begun, 0.99),
      'piece p50': percentile(delays, 0.5),
      'piece p99': percentile(delays, 0.99),
      ...(kind === 'memory journal' ? {} : perPiece(used, done))
    }
  }
}

/** Turn after turn in each session, every next one when all of the last has come to the client of the other node. */
export function twoNodes ({ windowMs, sessions, pieces }: Scale, ready: Asked['ready']) {
  const saysWhen = typeof ready === 'number'
  return async (target: Target): Promise<Measured> => {
    const followers = await followAll(target, sessions, saysWhen)
    const count = (): number => followers.reduce((sum, { counter }) => sum + counter.pieces, 0)
    let isOver = false
    const running = followers.map(async ({ turn }, index) => {
      if (saysWhen) await elapse(index / followers.length * ready)
      while (!isOver) await turn({ pieces, ready })
    })
    await elapse(windowMs / 3)
    const [before, startedAt, pieces0] = [await usageOf(target.redis), performance.now(), count()]
    for (const { counter } of followers) counter.delays.length = 0
    do await elapse(windowMs)
    while (count() === pieces0)
    const [done, seconds, used] = [count() - pieces0, (performance.now() - startedAt) / 1_000, since(before, await usageOf(target.redis))]
    const delays = followers.flatMap(({ counter }) => counter.delays)
    isOver = true
    await Promise.all(running)
    for (const { end } of followers) end()
    const late = saysWhen ? { 'piece p50': percentile(delays, 0.5), 'piece p99': percentile(delays, 0.99) } : {}
    return { 'pieces/s': done / seconds, ...late, ...perPiece(used, done) }
  }
}

/** What nothing is timed before: every piece comes, and in its order. */
export async function checkOrder (target: Target): Promise<void> {
  const [follower] = await followAll(target, 1, false)
  if (follower === undefined) return
  const { counter, turn, end } = follower
  await turn({ pieces: 100, ready: 'one by one' })
  end()
  if (counter.pieces !== 100 || !counter.isInOrder) throw new Error(`of 100 pieces ${counter.pieces} have come from ${target.kind}, or in another order`)
}

function perPiece ({ commands, bytesIn, bytesOut, cpuMs }: Usage, pieces: number): Measured {
  return {
    'commands/piece': commands / pieces,
    'bytes in/piece': bytesIn / pieces,
    'bytes out/piece': bytesOut / pieces,
    'Redis µs/piece': cpuMs * 1_000 / pieces
  }
}

async function followAll (target: Target, count: number, saysWhen: boolean): Promise<Follower[]> {
  return await Promise.all(Array.from({ length: count }, (_, index) => follow(target.kind, target, nameOf(index), saysWhen)))
}

export function nameOf (index: number): string {
  return `${randomUUID().slice(0, 8)}-${index}`
}

export function elapse (ms: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, ms) })
}
