import { Redis } from 'ioredis'

import { Random } from '../../fuzz/random.js'
import type { Frame } from '../../helpers/channel-client.js'
import { until } from '../../redis/until.js'
import type { RedisServer } from '../../redis/redis-server.js'
import type { Fleet, FleetNode } from './fleet.js'
import { Hopper, type Chat } from './hopper.js'
import { answers, replay } from './replay.js'

export interface SeedTools {
  server: RedisServer
  fleet: Fleet
  prefix: string
  leaseMs: number
}

export interface SeedReport {
  seed: number
  faults: string[]
  /** How often turns have ended in each way. */
  ends: Record<string, number>
  events: string[]
}

const SESSIONS = 4
const CHATS = 8
const EVENTS = 5
const PATIENCE_MS = 45_000
const REPLAY_MS = 10_000

/** Some sessions, whose clients go from node to node, while nodes are killed and stopped and Redis is started anew. */
export async function runNodesSeed (seed: number, { server, fleet, prefix, leaseMs }: SeedTools): Promise<SeedReport> {
  const random = new Random(seed)
  const report: SeedReport = { seed, faults: [], ends: {}, events: [] }
  const chats = new Map<string, Chat>()
  const hoppers: Hopper[] = []
  for (let index = 0; index < SESSIONS; index++) {
    const sessionId = `s${seed}-${index}`
    // One who speaks, and one who listens.
    const speaker = new Hopper(sessionId, fleet, new Random(seed * 100 + index))
    hoppers.push(speaker, new Hopper(sessionId, fleet, new Random(seed * 100 + 50 + index)))
    for (let number = 0; number < CHATS; number++) {
      const chat = chatOf(`${sessionId}-${number}`, random)
      chats.set(chat.id, chat)
      speaker.say(chat)
    }
  }
  for (let event = 0; event < EVENTS; event++) {
    await pause(random.below(leaseMs))
    for (const hopper of hoppers) if (random.perMille(300)) hopper.hop()
    await happen(random, server, fleet, leaseMs, report)
  }
  const isQuiet = async (): Promise<boolean> => {
    for (const node of fleet.nodes) await node.start()
    return hoppers.every((hopper) => hopper.isDone)
  }
  await until('all turns to end', PATIENCE_MS, isQuiet).catch(() => {
    for (const { sessionId, turns } of hoppers) {
      for (const [id, { ends, isUnseen }] of turns) if (ends.length === 0 && !isUnseen) report.faults.push(`${sessionId}: stuck: ${id}`)
    }
    if (report.faults.length === 0) report.faults.push('stuck: a chat was never acknowledged')
  })
  for (const hopper of hoppers) {
    report.faults.push(...hopper.faults)
    check(hopper, chats, report)
    hopper.close()
  }
  const unkept = new Set<string>()
  for (const { sessionId } of hoppers.filter((_, index) => index % 2 === 0)) await checkJournal(sessionId, fleet, chats, report, unkept)
  for (const hopper of hoppers) await checkKept(hopper, fleet, unkept, report)
  for (const [turnId, count] of fleet.begun) if (count > 1) report.faults.push(`once: ${turnId} was begun ${count} times`)
  await checkExpiry(server, prefix, report)
  return report
}

/** Something that happens to the service. */
async function happen (random: Random, server: RedisServer, fleet: Fleet, leaseMs: number, report: SeedReport): Promise<void> {
  const node = fleet.nodes[random.below(fleet.nodes.length)]
  if (node === undefined || !node.isUp) return
  const what = random.pick(['kill', 'kill', 'stop', 'redis', 'redis', 'hop'] as const)
  report.events.push(what)
  switch (what) {
    case 'kill': return void killed(node)
    case 'stop':
      node.pause()
      await pause(leaseMs * 1.5 + random.below(leaseMs))
      return node.resume()
    case 'redis':
      await server.kill()
      await pause(random.below(leaseMs / 2))
      return await server.launch()
    case 'hop':
  }
}

/** It comes back when its program has started again. */
async function killed (node: FleetNode): Promise<void> {
  node.kill()
  await pause(50)
  await node.start().catch(() => {
    // It died again: it is started when all is quiet.
  })
}

function chatOf (id: string, random: Random): Chat {
  // Long enough for a node to be stopped, and to come back, while the session goes on.
  const count = 1 + random.below(random.pick([10, 60, 250]))
  const pauseMs = random.pick([0, 6, 15])
  return { id, message: `${count} ${pauseMs} ${id}`, text: Array.from({ length: count }, (_, index) => `${id}:${index} `).join('') }
}

/** What a reader was told: the text exact, or an end that says that it is not. */
function check ({ turns, sessionId }: Hopper, chats: Map<string, Chat>, { ends, faults }: SeedReport): void {
  for (const [id, { text, ends: [end] }] of turns) {
    const whole = chats.get(id)?.text ?? ''
    if (end === undefined) continue
    ends[end] = (ends[end] ?? 0) + 1
    const isRight = end === 'stop' ? text === whole : whole.startsWith(text)
    if (!isRight) faults.push(`${sessionId}: text: ${id} ended with ${end} and was told as ${differenceOf(text, whole)}`)
  }
}

/** All that the journal holds, read from its start: each turn has one end, nothing follows it, and nobody else has written into it. */
async function checkJournal (
  sessionId: string, fleet: Fleet, chats: Map<string, Chat>, report: SeedReport, unkept: Set<string>
): Promise<void> {
  let entries: Frame[] = []
  let failure: unknown
  await until('the journal to be read', REPLAY_MS, async () => {
    try {
      entries = await replay(fleet.nodes[0]?.url ?? '', sessionId)
      return true
    } catch (err) {
      failure = err
      await fleet.nodes[0]?.start()
      return false
    }
  }).catch(() => { report.faults.push(`${sessionId}: stuck: the journal cannot be read: ${String(failure)}`) })
  const texts = new Map<string, string>()
  const ended = new Set<string>()
  let seq = 0
  for (const frame of entries) {
    const id = String(frame['id'])
    if (Number(frame['seq']) <= seq) report.faults.push(`${sessionId}: order: in the journal ${JSON.stringify(frame)} after ${seq}`)
    seq = Number(frame['seq'])
    if (ended.has(id)) report.faults.push(`${sessionId}: ends: in the journal ${JSON.stringify(frame)} after the end`)
    if (frame['done'] === true) ended.add(id)
    // The history could not be kept either.
    if (frame['code'] === 'STORE_UNAVAILABLE') unkept.add(id)
    else if (frame.type === 'stream') texts.set(id, (texts.get(id) ?? '') + String(frame['content']))
    const whole = chats.get(id)?.text ?? ''
    const isWhole = frame['done'] === true && frame['finishReason'] === 'stop'
    const text = texts.get(id) ?? ''
    if (isWhole ? text !== whole : !whole.startsWith(text)) {
      report.faults.push(`${sessionId}: text: in the journal of ${id}: ${differenceOf(text, whole)}`)
      texts.set(id, whole.slice(0, text.length))
    }
  }
}

/** What a reader was told is in the history: nothing is told that could be lost. */
async function checkKept ({ sessionId, turns }: Hopper, fleet: Fleet, unkept: ReadonlySet<string>, { faults }: SeedReport): Promise<void> {
  let kept = new Map<string, string>()
  await until('the history to be read', REPLAY_MS, async () => {
    try {
      kept = await answers(fleet.nodes[0]?.url ?? '', sessionId)
      return true
    } catch {
      await fleet.nodes[0]?.start()
      return false
    }
  })
  for (const [id, { text, ends }] of turns) {
    if (unkept.has(id) || ends.includes('STORE_UNAVAILABLE')) continue
    const answer = kept.get(id) ?? ''
    if (!answer.startsWith(text)) faults.push(`${sessionId}: kept: ${id} was told as ${differenceOf(text, answer)}`)
  }
}

async function checkExpiry ({ port }: RedisServer, prefix: string, { faults }: SeedReport): Promise<void> {
  const client = new Redis(port, '127.0.0.1')
  try {
    for await (const keys of client.scanStream({ match: `${prefix}*`, count: 500 }) as AsyncIterable<string[]>) {
      for (const key of keys) if (await client.pttl(key) === -1) faults.push(`expiry: ${key} stays for good`)
    }
  } finally {
    client.disconnect()
  }
}

function differenceOf (text: string, whole: string): string {
  let at = 0
  while (at < text.length && text[at] === whole[at]) at++
  return `${text.length} of ${whole.length} units, not the same from ${at}: ${JSON.stringify(text.slice(at, at + 60))}`
}

function pause (ms: number): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, ms) })
}
