import { memoryJournal, type Journal, type MemoryJournalOptions } from '../../lib/index.js'
import { bodyHash } from '../../lib/protocol/body-hash.js'
import { Feed } from '../../lib/transports/feed.js'
import { Feeds } from '../../lib/transports/feeds.js'
import { LOST, type FrameSource } from '../../lib/transports/frame-source.js'
import type { Outbox } from '../../lib/transports/outbox.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, TurnBench, ticks } from '../helpers/turn-bench.js'
import { Stage } from './stage.js'

export const PLACE = { sessionId: KEY.sessionId }
export const ofTurn = (id: string) => ({ ...PLACE, id })

export function open (journalOptions: MemoryJournalOptions = {}, journal?: Journal) {
  const [clock, stage] = [new ManualClock(), new Stage()]
  const bench = new TurnBench(stage.executor, {
    clock, journal: journal ?? memoryJournal({ clock, ...journalOptions }), limits: { idleTimeoutMs: 600_000 }
  })
  const failures: unknown[] = []
  const done = { turns: 0 }
  const makeFeed = (): Feed => new Feed(KEY, {
    engine: bench.engine, wake () {}, onTurnDone () { done.turns++ }, onFailure (err, text) { failures.push([String(err), text]) }
  })
  const start = async (id: string): Promise<void> => {
    const chat = { key: KEY, isNamed: true, turnId: id, message: id, bodyHash: bodyHash({ message: id }) }
    const started = await bench.engine.startOnce(chat, () => {})
    if (!started.accepted) throw new Error('refused')
    await ticks()
  }
  return { clock, stage, bench, failures, done, makeFeed, start }
}

export function read (feed: FrameSource, isBehind = false): unknown {
  const frame = feed.next(isBehind)
  return typeof frame === 'string' ? JSON.parse(frame) as unknown : frame
}

export function readAll (feed: FrameSource, isBehind = false): unknown[] {
  const frames: unknown[] = []
  for (let frame = read(feed, isBehind); frame !== undefined; frame = read(feed, isBehind)) {
    frames.push(frame)
    if (frame === LOST) break
  }
  return frames
}

export async function following (opened: ReturnType<typeof open>): Promise<{ feed: Feed, epoch: string }> {
  const feed = opened.makeFeed()
  await feed.subscribe(undefined, undefined)
  return { feed, epoch: feed.position.epoch }
}

/** The feeds of a connection that reads when it is told to. */
export function connection (opened: ReturnType<typeof open>) {
  const [sources, replies, failures]: [FrameSource[], unknown[], unknown[]] = [[], [], []]
  let requests = 0
  const outbox = {
    add (source: FrameSource) { sources.push(source) },
    remove (source: FrameSource) { sources.splice(sources.indexOf(source), 1) },
    wake () {}
  }
  const feeds = new Feeds({
    identity: { owner: KEY.owner },
    outbox: outbox as unknown as Outbox,
    reply (frame) { replies.push(typeof frame === 'string' ? JSON.parse(frame) : frame) },
    onRequest (change) { requests += change },
    onFailure (err, text) { failures.push([String(err), text]) }
  }, { hasRoom: () => true, large: (task) => task() }, {
    engine: opened.bench.engine,
    limits: { maxSubscriptions: 10, retryAfterMs: 1_000 }
  })
  const ask = async (task: () => void): Promise<unknown[]> => {
    task()
    await eventually(() => requests === 0)
    return replies.splice(0)
  }
  const chat = (id: string, more: object = {}) => ask(() => { feeds.chat({ type: 'chat', id, message: id, ...more }, KEY) })
  return { feeds, replies, chat, ask, failures, told: () => sources.flatMap((source) => readAll(source)) }
}
