import { setImmediate as tick } from 'node:timers/promises'

import type { Test } from 'tap'

import { agentsOf } from '../../lib/agent/agents.js'
import type { AgentExecutor } from '../../lib/agent/executor.js'
import type { Clock } from '../../lib/clock.js'
import type { Entry, Journal, TurnEnd } from '../../lib/journal/journal.js'
import { memoryJournal, type MemoryJournalOptions } from '../../lib/journal/memory-journal.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { Engine, type Chat, type EngineLimits, type EngineTools, type Started } from '../../lib/turns/engine.js'
import type { TurnFollower } from '../../lib/turns/follow.js'
import { deferred } from './deferred.js'
import { eventually } from './eventually.js'
import { ManualClock } from './manual-clock.js'
import { recordingLog } from './recording-log.js'
import { SlowJournal } from './slow-journal.js'

export const LIMITS: EngineLimits = {
  onBusy: 'queue',
  onDisconnect: 'continue',
  disconnectGraceMs: 10_000,
  maxQueuedTurns: 10,
  cancelGraceMs: 5_000,
  firstPartTimeoutMs: 60_000,
  idleTimeoutMs: 30_000,
  turnTimeoutMs: 600_000,
  storeTimeoutMs: 4_000,
  journalTimeoutMs: 3_000,
  slowConsumerTimeoutMs: 20_000,
  maxAnswerBytes: 100_000,
  maxEventBytes: 1_000,
  maxTurns: 100,
  maxTurnsPerOwner: 50,
  maxQueuedBytes: 100_000,
  retryAfterMs: 1_000
}

export interface BenchOptions<C extends Clock> {
  clock?: C
  journal?: Journal
  store?: SessionStore
  limits?: Partial<EngineLimits>
  tools?: Partial<EngineTools>
}

/** An engine with everything around it, and readers that count how often a turn ends. */
export class TurnBench<C extends Clock = ManualClock> {
  readonly clock: C
  readonly journal: Journal
  readonly store: SessionStore
  readonly log = recordingLog()
  readonly engine: Engine
  readonly readers: Reader[] = []
  #count = 0

  constructor (executor: AgentExecutor, options: BenchOptions<C> = {}) {
    this.clock = options.clock ?? new ManualClock() as Clock as C
    this.journal = options.journal ?? memoryJournal({ clock: this.clock })
    this.store = options.store ?? memorySessionStore()
    this.engine = new Engine({
      agents: agentsOf(executor),
      named: { journal: this.journal, store: this.store },
      unnamed: { journal: memoryJournal({ clock: this.clock }), store: memorySessionStore() },
      limits: { ...LIMITS, ...options.limits },
      clock: this.clock,
      log: this.log,
      ...options.tools
    })
  }

  /** A chat that is accepted, and somebody who reads its turn. */
  async start (chat: Partial<Chat> = {}, reader = new Reader()): Promise<Reader> {
    const started = await this.offer(chat, () => { reader.wake() })
    if (!started.accepted) throw new Error(`refused: ${started.code}`)
    reader.follow(started)
    this.readers.push(reader)
    return reader
  }

  async offer (chat: Partial<Chat> = {}, wake = (): void => {}): Promise<Started> {
    const turnId = `t${++this.#count}`
    return await this.engine.startTurn({ key: KEY, isNamed: true, turnId, message: 'hello', ...chat }, wake)
  }

  /** What the session remembers. */
  async said (key: SessionKey = KEY): Promise<Array<[role: string, content: string, complete: boolean]>> {
    const { messages } = await this.store.messages(key, { limit: 100 })
    return messages.map(({ role, content, complete }) => [role, content, complete])
  }

  /** Settles when no turn is live and the session is free again. */
  async idle (): Promise<void> {
    await eventually(() => this.engine.stats().turns === 0)
    await ticks(5)
  }

  texts (level: string): string[] {
    return this.log.lines.filter((line) => line.level === level).map((line) => line.text)
  }

  /** Nothing is left behind, and every turn had one end. */
  async finish (t: Test): Promise<void> {
    await this.idle()
    for (const reader of this.readers) {
      reader.read()
      t.equal(reader.ends.length, 1, `one end of ${reader.turnId}`)
    }
    t.strictSame(this.engine.stats(), { turns: 0, runningTurns: 0 })
    if (this.clock instanceof ManualClock) {
      await this.journal.forget(KEY)
      t.equal(this.clock.pending, 0, 'no timer is left')
    }
  }
}

/** What goes the same way with a journal in memory and with one that answers later is tested with both. */
export const JOURNALS: ReadonlyArray<readonly [kind: string, make: (options: MemoryJournalOptions) => Journal]> = [
  ['in memory', (options) => memoryJournal(options)],
  ['that answers later', (options) => new SlowJournal(options)]
]

export const KEY: SessionKey = { owner: 'ann', agentId: 'main', sessionId: 's1' }

/** Reads a turn, as it comes or (lazy) when it is told to. */
export class Reader {
  turnId = ''
  position = -1
  follower: TurnFollower | undefined
  readonly entries: Entry[] = []
  readonly ended = deferred<TurnEnd>()
  isLost = false
  wakes = 0
  #waiting: Array<{ isMet: () => boolean, resolve: () => void }> = []
  readonly #isLazy: boolean

  constructor ({ isLazy = false } = {}) {
    this.#isLazy = isLazy
  }

  get ends (): TurnEnd[] { return this.entries.flatMap((entry) => entry.kind === 'end' ? [entry.end] : []) }
  get text (): string { return this.entries.map((entry) => entry.kind === 'text' ? entry.content : '').join('') }
  /** What came, short: `turn-started` left out. */
  get short (): string[] { return this.entries.map(shortOf).filter((text) => text !== 'event turn-started') }

  follow (started: Extract<Started, { accepted: true }>): void {
    this.turnId = started.turnId
    this.position = started.position
    this.follower = started.follower
    if (!this.#isLazy) this.read()
  }

  wake (): void {
    this.wakes++
    if (!this.#isLazy) this.read()
  }

  read (max = Infinity): void {
    for (let count = 0; count < max; count++) {
      const entry = this.follower?.next(false)
      if (entry === 'lost') this.isLost = true
      if (entry === undefined || entry === 'lost') break
      this.entries.push(entry)
      if (entry.kind === 'end') this.ended.resolve(entry.end)
    }
    this.#waiting = this.#waiting.filter(({ isMet, resolve }) => {
      if (!isMet()) return true
      resolve()
      return false
    })
  }

  /** Settles when that many entries were read. */
  async until (count: number): Promise<void> {
    if (this.entries.length >= count) return
    await new Promise<void>((resolve) => {
      this.#waiting.push({ isMet: () => this.entries.length >= count, resolve })
    })
  }
}

/** Lets what is due in the event loop happen. */
export async function ticks (count = 3): Promise<void> {
  for (let done = 0; done < count; done++) await tick()
}

/** An entry in a few words. */
export function shortOf (entry: Entry): string {
  switch (entry.kind) {
    case 'text':
    case 'message': return `${entry.kind} ${entry.content}`
    case 'event': return `event ${entry.name}`
    case 'end': return entry.end.error === undefined ? `end ${entry.end.finishReason}` : `end ${entry.end.error.code}`
  }
}
