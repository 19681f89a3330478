import { Redis } from 'ioredis'

import { until } from '../../redis/until.js'
import type { RedisServer } from '../../redis/redis-server.js'
import type { Fleet } from './fleet.js'
import type { Chat, Hopper, Told } from './hopper.js'
import { answers, replay, type Replayed } from './replay.js'

export interface Report {
  faults: string[]
  /** How often turns have ended in each way. */
  ends: Record<string, number>
}

export interface Checked {
  hoppers: readonly Hopper[]
  chats: ReadonlyMap<string, Chat>
  server: RedisServer
  fleet: Fleet
  prefix: string
  /** So long turns may take to end when nothing more happens, in milliseconds. */
  patienceMs: number
}

const REPLAY_MS = 10_000

/** Waits until every turn has its end, and looks at all that readers were told, and at what is left. */
export async function checkAll ({ hoppers, chats, server, fleet, prefix, patienceMs }: Checked, report: Report): Promise<void> {
  const isQuiet = async (): Promise<boolean> => {
    for (const node of fleet.nodes) await node.start()
    return hoppers.every((hopper) => hopper.isDone)
  }
  await until('all turns to end', patienceMs, isQuiet).catch(() => {
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
  for (const sessionId of new Set(hoppers.map((hopper) => hopper.sessionId))) {
    await checkJournal(hoppers.filter((hopper) => hopper.sessionId === sessionId), fleet, chats, report, unkept)
  }
  for (const hopper of hoppers) await checkKept(hopper, fleet, unkept, report)
  for (const [turnId, count] of fleet.begun) if (count > 1 && chats.has(turnId)) report.faults.push(`once: ${turnId} was begun ${count} times`)
  report.faults.push(...fleet.crashes.splice(0).map((crash) => `crash: ${crash}`))
  if (report.faults.some((fault) => fault.includes('stuck'))) report.faults.push(`in Redis: ${await liveOf(server, prefix)}`)
  await checkExpiry(server, prefix, report)
}

/** What waits or runs, as Redis has it: to see what a turn without an end waits for. */
async function liveOf ({ port }: RedisServer, prefix: string): Promise<string> {
  const client = new Redis(port, '127.0.0.1')
  try {
    const live = []
    for (const key of await client.keys(`${prefix}*:s`)) {
      const { r: runs, n: node, l: leaseUntil, k: session, d: hasEnd } = await client.hgetall(key)
      const waiting = await client.lrange(key.replace(/s$/, 'q'), 0, -1)
      if (runs !== undefined || waiting.length > 0) live.push({ session, runs, node, leaseUntil, hasEnd, waiting })
    }
    const indexed = await Promise.all((await client.keys(`${prefix}*:index`)).map(async (key) => {
      return await client.type(key) === 'zset' ? await client.zrange(key, '0', '-1', 'WITHSCORES') : []
    }))
    return JSON.stringify({ live, index: indexed.flat(), time: await client.time() })
  } finally {
    client.disconnect()
  }
}

/** What a reader was told: the text exact, or an end that says that it is not. */
function check ({ turns, sessionId }: Hopper, chats: ReadonlyMap<string, Chat>, { ends, faults }: Report): void {
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
  readers: readonly Hopper[], fleet: Fleet, chats: ReadonlyMap<string, Chat>, report: Report, unkept: Set<string>
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
    const end = frame['done'] === true ? String(frame['code'] ?? frame['finishReason']) : undefined
    if (end !== undefined && !fleet.ends.has(`${id} ${end}`)) {
      report.faults.push(`${sessionId}: ends: in the journal ${id} has an end that none of its nodes gave it: ${end}`)
    }
    whatBySeq.set(seq, { seq, id, what: end === undefined ? frame.type : `end ${end}`, text })
    if (isWhole ? text !== whole : !whole.startsWith(text)) {
      report.faults.push(`${sessionId}: text: in the journal of ${id}: ${differenceOf(text, whole)}`)
      texts.set(id, whole.slice(0, text.length))
    }
  }
  for (const reader of readers) checkTold(reader, replayed.epoch, whatBySeq, texts, report)
}

/** No entry was told that the journal does not hold. One that keeps all that it has confirmed is never made anew. */
export function checkTold (
  { sessionId, told, epochs }: Pick<Hopper, 'sessionId' | 'told' | 'epochs'>, epoch: string, whatBySeq: Map<number, Omit<Told, 'epoch'>>, texts: Map<string, string>, { faults }: Pick<Report, 'faults'>
): void {
  const top = [...whatBySeq.keys()].at(-1) ?? 0
  for (const each of epochs) if (each !== epoch) faults.push(`${sessionId}: told: a reader was in the journal ${each}, there is ${epoch}`)
  for (const { epoch: toldIn, ...entry } of told) {
    if (toldIn !== epoch) continue
    const { seq, id, what, text, passedOver = [] } = entry
    const held = whatBySeq.get(seq)
    // Neighbouring pieces may have been read as one.
    const isHeld = held === undefined ? what === 'stream' && seq < top : held.id === id && held.what === what
    if (held !== undefined && held.id !== id && passedOver.includes(held.id) && held.what.startsWith('end ')) continue
    const isTextRight = what !== 'stream' || (held === undefined ? texts.get(id)?.startsWith(text) === true : held.text === text)
    if (!isHeld || !isTextRight) {
      return void faults.push(`${sessionId}: told: ${quoted(entry)}, the journal has ${quoted(held)} of ${top}`)
    }
  }
}

function quoted (entry: object | undefined): string {
  return JSON.stringify(entry ?? null).slice(0, 300)
}

/** What a reader was told is in the history, neither more nor less: nothing is told that could be lost. */
async function checkKept ({ sessionId, turns }: Hopper, fleet: Fleet, unkept: ReadonlySet<string>, { faults }: Report): Promise<void> {
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
  for (const [id, { text, ends, unwritten }] of turns) {
    if (unkept.has(id) || ends.includes('STORE_UNAVAILABLE')) continue
    const answer = kept.get(id) ?? ''
    // Who has not read a turn to its end, or up to an end that the journal holds, may have less of it.
    const isRight = ends.length > 0 && unwritten === undefined ? answer === text : answer.startsWith(text)
    if (!isRight) faults.push(`${sessionId}: kept: ${id} ended with ${ends.join()} and was told as ${differenceOf(text, answer)}`)
  }
}

async function checkExpiry ({ port }: RedisServer, prefix: string, { faults }: Report): Promise<void> {
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
