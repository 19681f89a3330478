import { Redis } from 'ioredis'

import { Random } from '../../fuzz/random.js'
import { until } from '../../redis/until.js'
import type { RedisServer } from '../../redis/redis-server.js'
import type { Fleet, FleetNode } from './fleet.js'
import { Hopper, type Chat, type Told } from './hopper.js'
import { answers, replay, type Replayed } from './replay.js'

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
const CHATS_AT_ONCE = 2
const EVENTS = 5
const PATIENCE_MS = 45_000
const REPLAY_MS = 10_000
const DEAF_MS = 40

/** Some sessions, whose clients go from node to node, while nodes are killed and stopped and Redis is started anew. */
export async function runNodesSeed (seed: number, { server, fleet, prefix, leaseMs }: SeedTools): Promise<SeedReport> {
  const random = new Random(seed)
  const report: SeedReport = { seed, faults: [], ends: {}, events: [] }
  const chats = new Map<string, Chat>()
  const hoppers: Hopper[] = []
  const says: Array<() => void> = []
  for (let index = 0; index < SESSIONS; index++) {
    const sessionId = `s${seed}-${index}`
    // One who speaks, and one who listens.
    const speaker = new Hopper(sessionId, fleet, new Random(seed * 100 + index))
    hoppers.push(speaker, new Hopper(sessionId, fleet, new Random(seed * 100 + 50 + index)))
    let said = 0
    says.push(() => {
      const chat = chatOf(`${sessionId}-${said++}`, random)
      chats.set(chat.id, chat)
      speaker.say(chat)
    })
  }
  for (const say of says) for (let number = 0; number < CHATS_AT_ONCE; number++) say()
  for (let event = 0; event < EVENTS; event++) {
    await pause(random.below(leaseMs))
    for (const hopper of hoppers) if (random.perMille(300)) hopper.hop()
    await happen(random, { server, fleet, leaseMs }, report)
    for (const say of says) say()
  }
  // Also when what is published last is missed, it is told.
  if (random.perMille(500)) {
    report.events.push('deaf')
    await deafen(server, random.below(2 * leaseMs))
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
  for (let index = 0; index < hoppers.length; index += 2) await checkJournal(hoppers.slice(index, index + 2), fleet, chats, report, unkept)
  for (const hopper of hoppers) await checkKept(hopper, fleet, unkept, report)
  for (const [turnId, count] of fleet.begun) if (count > 1 && chats.has(turnId)) report.faults.push(`once: ${turnId} was begun ${count} times`)
  report.faults.push(...fleet.crashes.splice(0).map((crash) => `crash: ${crash}`))
  await checkExpiry(server, prefix, report)
  return report
}

/** Something that happens to the service. */
async function happen (random: Random, { server, fleet, leaseMs }: Omit<SeedTools, 'prefix'>, report: SeedReport): Promise<void> {
  const what = random.pick(['kill', 'kill two', 'stop', 'stop', 'stop without redis', 'redis', 'redis', 'slow redis', 'deaf', 'hop'] as const)
  const first = random.below(fleet.nodes.length)
  const [ms, leases] = [random.below(leaseMs), 1.3 * leaseMs + random.below(leaseMs * 0.7)]
  const [node, other] = [fleet.nodes[first], fleet.nodes[(first + 1) % fleet.nodes.length]]
  report.events.push(what)
  switch (what) {
    case 'kill': return killed(node)
    case 'kill two':
      killed(node)
      return killed(other)
    case 'stop':
      node?.pause()
      await pause(leases)
      return node?.resume()
    case 'stop without redis':
      // What the node hears first when it goes on is that its connections are gone.
      node?.pause()
      await restarted(server, ms / 2)
      await pause(leases)
      return node?.resume()
    case 'redis': return await restarted(server, ms / 2)
    case 'slow redis':
      // What it was told meanwhile it does when it goes on, or never.
      server.pause()
      await pause(ms)
      if (ms % 2 === 0) return server.resume()
      return await restarted(server, 0)
    case 'deaf': return await deafen(server, ms)
    case 'hop':
  }
}

async function restarted (server: RedisServer, afterMs: number): Promise<void> {
  await server.kill()
  await pause(afterMs)
  await server.launch()
}

/** For so long nodes are cut off again and again from what is published, and from that alone. */
async function deafen ({ port }: RedisServer, ms: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1')
  try {
    for (const until = Date.now() + ms; Date.now() < until; await pause(DEAF_MS)) await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  } finally {
    client.disconnect()
  }
}

/** It comes back when its program has started again, while more happens. */
function killed (node: FleetNode | undefined): void {
  node?.kill()
  void node?.start().catch(() => {
    // It died again: it is started when all is quiet.
  })
}

function chatOf (id: string, random: Random): Chat {
  // Long enough for a node to be stopped, and to come back, while the session goes on.
  const count = 1 + random.below(random.pick([20, 100, 300]))
  const pauseMs = random.pick([0, 8, 15])
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

/**
 * All that the journal holds, read from its start: turns run one after another, each has one end, nothing follows it, nobody else
 * has written into it, and all that readers were told is there.
 */
async function checkJournal (
  readers: readonly Hopper[], fleet: Fleet, chats: Map<string, Chat>, report: SeedReport, unkept: Set<string>
): Promise<void> {
  const sessionId = readers[0]?.sessionId ?? ''
  const own = [...chats.keys()].filter((id) => id.startsWith(`${sessionId}-`))
  let replayed: Replayed = { epoch: '', entries: [] }
  let failure: unknown
  await until('the journal to be read', REPLAY_MS, async () => {
    try {
      replayed = await replay(fleet.nodes[0]?.url ?? '', sessionId)
      // What a node could not end is ended when its lease has run out.
      const ended = new Set(replayed.entries.filter((frame) => frame['done'] === true).map((frame) => frame['id']))
      failure = own.filter((id) => !ended.has(id))
      return ended.size === own.length
    } catch (err) {
      failure = err
      await fleet.nodes[0]?.start()
      return false
    }
  }).catch(() => { report.faults.push(`${sessionId}: stuck: the journal cannot be read, or has turns without an end: ${String(failure)}`) })
  const texts = new Map<string, string>()
  const ended = new Set<string>()
  const whatBySeq = new Map<number, Omit<Told, 'epoch'>>()
  let seq = 0
  let running: string | undefined
  for (const frame of replayed.entries) {
    const id = String(frame['id'])
    if (frame.type === 'event') {
      if (running !== undefined) report.faults.push(`${sessionId}: order: in the journal ${id} starts while ${running} runs`)
      running = id
    } else if (running === id && frame['done'] === true) running = undefined
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
    whatBySeq.set(seq, { seq, id, what: frame['done'] === true ? `end ${String(frame['code'] ?? frame['finishReason'])}` : frame.type, text })
    if (isWhole ? text !== whole : !whole.startsWith(text)) {
      report.faults.push(`${sessionId}: text: in the journal of ${id}: ${differenceOf(text, whole)}`)
      texts.set(id, whole.slice(0, text.length))
    }
  }
  for (const reader of readers) checkTold(reader, replayed.epoch, whatBySeq, texts, report)
}

/** No entry was told that the journal does not hold. One that keeps all that it has confirmed is never made anew. */
function checkTold (
  { sessionId, told, epochs }: Hopper, epoch: string, whatBySeq: Map<number, Omit<Told, 'epoch'>>, texts: Map<string, string>, { faults }: SeedReport
): void {
  const top = [...whatBySeq.keys()].at(-1) ?? 0
  for (const each of epochs) if (each !== epoch) faults.push(`${sessionId}: told: a reader was in the journal ${each}, there is ${epoch}`)
  for (const { epoch: toldIn, ...entry } of told) {
    if (toldIn !== epoch) continue
    const { seq, id, what, text } = entry
    const held = whatBySeq.get(seq)
    // Neighbouring pieces may have been read as one.
    const isHeld = held === undefined ? what === 'stream' && seq < top : held.id === id && held.what === what
    const isTextRight = what !== 'stream' || (held === undefined ? texts.get(id)?.startsWith(text) === true : held.text === text)
    if (!isHeld || !isTextRight) {
      return void faults.push(`${sessionId}: told: ${quoted(entry)}, the journal has ${quoted(held)} of ${top}`)
    }
  }
}

function quoted (entry: object | undefined): string {
  return JSON.stringify(entry ?? null).slice(0, 300)
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
