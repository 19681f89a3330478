import { randomUUID } from 'node:crypto'

import { systemClock, type Clock } from '../clock.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { EntryRing, type RingLimits } from './entry-ring.js'
import type { Journal, JournalStats, NewEntry, Offer, OfferTerms, Run, StoredChat, TurnCursor, TurnEnd } from './journal.js'
import { MemoryTurn, MemoryTurnCursor, type Distance } from './memory-turn.js'

export interface MemoryJournalOptions {
  /** Entries held per session. @default 1024 */
  maxEntries?: number | undefined
  /** Bytes held per session, as estimated; what a turn has answered, kept whole until it is read, is not counted. @default 524288 */
  maxBytes?: number | undefined
  /** How long an entry is held, in milliseconds. @default 300000 */
  maxAgeMs?: number | undefined
  /** Sessions held; the one unused for longest goes first, a live one never. @default 100000 */
  maxSessions?: number | undefined
  /**
   * Bytes held in all, counted as `maxBytes` is and whenever a session's turns come and go; the sessions unused for
   * longest go first, a live one never. @default 268435456
   */
  maxTotalBytes?: number | undefined
  clock?: Clock | undefined
}

/** The journal of one process: gone with it. Appends are synchronous. */
export function memoryJournal (options: MemoryJournalOptions = {}): Journal {
  return new MemoryJournal(options)
}

/** Idle sessions are looked at so often; by one timer for all of them, and by none while there is no session. */
const SWEEP_MS = 5_000

class MemoryJournal implements Journal {
  readonly id = randomUUID()
  /** The one unused for longest first. */
  readonly #sessions = new Map<string, MemorySession>()
  readonly #limits: MemoryJournalLimits
  readonly #clock: Clock
  readonly #halfRing: Distance
  readonly #quarterRing: Distance
  /** Bytes of all sessions, as they were when each was touched last. */
  #bytes = 0
  #stopSweep: (() => void) | undefined
  #isClosed = false

  constructor (options: MemoryJournalOptions) {
    this.#clock = options.clock ?? systemClock
    const { maxEntries = 1024, maxBytes = 512 * 1024, maxAgeMs = 300_000 } = options
    const { maxSessions = 100_000, maxTotalBytes = 256 * 1024 * 1024 } = options
    this.#limits = { maxEntries, maxBytes, maxAgeMs, maxSessions, maxTotalBytes }
    this.#halfRing = { entries: maxEntries / 2, bytes: maxBytes / 2 }
    this.#quarterRing = { entries: maxEntries / 4, bytes: maxBytes / 4 }
  }

  offer (key: SessionKey, chat: StoredChat, terms: OfferTerms): Offer {
    const session = this.#open(key)
    const ahead = session.queue.length + (session.running === undefined ? 0 : 1)
    if (ahead > 0 && terms.onBusy === 'reject') return { accepted: false, code: 'SESSION_BUSY' }
    const displaced = terms.onBusy === 'interrupt' ? session.queue.splice(0) : []
    const room = terms.maxQueued + (session.running === undefined ? 1 : 0)
    // Whoever interrupts is all that waits; it has room where nothing else may wait.
    if (terms.onBusy !== 'interrupt' && session.queue.length >= room) return { accepted: false, code: 'QUEUE_FULL' }
    for (const turn of displaced) this.#writeEnd(turn, terms.displacedEnd)
    session.queue.push(new MemoryTurn(key, chat, session.ring))
    this.#touch(session)
    return {
      accepted: true,
      position: ahead - displaced.length,
      epoch: session.epoch,
      seq: session.ring.top,
      displaced: displaced.map((turn) => turn.chat.turnId)
    }
  }

  take (key: SessionKey): Run | undefined {
    const session = this.#sessions.get(sessionKeyText(key))
    if (session === undefined || session.running !== undefined) return undefined
    const turn = session.queue.shift()
    if (turn === undefined) return undefined
    session.running = turn
    turn.isRunning = true
    const { message, metadata } = turn.chat
    const data = metadata === undefined ? { message } : { message, metadata }
    turn.write({ kind: 'event', name: 'turn-started', json: JSON.stringify(data) }, this.#clock.now())
    this.#touch(session)
    turn.wakeCursors()
    return turn
  }

  append (run: Run, batch: number, entries: readonly NewEntry[]): boolean {
    const turn = turnOf(run)
    if (batch <= turn.lastBatch) return true
    if (turn.end !== undefined || !turn.isRunning) return false
    turn.lastBatch = batch
    const now = this.#clock.now()
    for (const entry of entries) turn.write(entry, now)
    turn.ring.trimOlderThan(now - this.#limits.maxAgeMs)
    turn.wakeCursors()
    return true
  }

  release (run: Run): void {
    turnOf(run).isRunning = false
    const session = this.#sessions.get(sessionKeyText(run.key))
    if (session === undefined || session.running !== run) return
    session.running = undefined
    this.#touch(session)
  }

  withdraw (key: SessionKey, turnId: string, end: TurnEnd): boolean {
    const session = this.#sessions.get(sessionKeyText(key))
    const index = session?.queue.findIndex((turn) => turn.chat.turnId === turnId) ?? -1
    const [turn] = index < 0 ? [] : session?.queue.splice(index, 1) ?? []
    if (session === undefined || turn === undefined) return false
    this.#writeEnd(turn, end)
    this.#touch(session)
    return true
  }

  followTurn (key: SessionKey, turnId: string, wake: () => void): TurnCursor | undefined {
    const session = this.#sessions.get(sessionKeyText(key))
    const isIt = (turn: MemoryTurn | undefined): boolean => turn?.chat.turnId === turnId
    const turn = isIt(session?.running) ? session?.running : session?.queue.find(isIt)
    return turn === undefined ? undefined : new MemoryTurnCursor(turn, wake, this.#quarterRing)
  }

  pace (run: Run): Promise<void> | undefined {
    return turnOf(run).pace(this.#halfRing)
  }

  forget (key: SessionKey): void {
    const session = this.#sessions.get(sessionKeyText(key))
    if (session === undefined) return
    this.#drop(session)
    for (const turn of [session.running, ...session.queue]) {
      if (turn === undefined) continue
      turn.isForgotten = true
      turn.isRunning = false
      turn.wakeCursors()
      turn.resumeIfRead({ entries: Infinity, bytes: Infinity })
    }
    this.#stopSweepIfEmpty()
  }

  stats (): JournalStats {
    const stats = { sessions: this.#sessions.size, entries: 0, bytes: 0, cursors: 0 }
    for (const { ring, running, queue } of this.#sessions.values()) {
      stats.entries += ring.size
      stats.bytes += ring.bytes
      for (const turn of running === undefined ? queue : [running, ...queue]) stats.cursors += turn.cursors.size
    }
    return stats
  }

  close (): void {
    this.#isClosed = true
    for (const session of [...this.#sessions.values()]) this.forget(session.key)
  }

  #open (key: SessionKey): MemorySession {
    if (this.#isClosed) throw new Error('the journal is closed')
    const text = sessionKeyText(key)
    let session = this.#sessions.get(text)
    if (session === undefined) {
      if (this.#sessions.size >= this.#limits.maxSessions) this.#dropOldestIdle(() => this.#sessions.size < this.#limits.maxSessions)
      session = makeSession(key, text, this.#limits)
      this.#sessions.set(text, session)
    }
    this.#stopSweep ??= this.#clock.every(SWEEP_MS, () => { this.#sweep() })
    return session
  }

  #touch (session: MemorySession): void {
    session.usedAt = this.#clock.now()
    this.#sessions.delete(session.text)
    this.#sessions.set(session.text, session)
    this.#count(session)
    if (this.#bytes > this.#limits.maxTotalBytes) this.#dropOldestIdle(() => this.#bytes <= this.#limits.maxTotalBytes)
  }

  #count (session: MemorySession): void {
    const { bytes } = session.ring
    this.#bytes += bytes - session.bytes
    session.bytes = bytes
  }

  #drop (session: MemorySession): void {
    this.#sessions.delete(session.text)
    this.#bytes -= session.bytes
  }

  #writeEnd (turn: MemoryTurn, end: TurnEnd): void {
    turn.write({ kind: 'end', end }, this.#clock.now())
    turn.wakeCursors()
  }

  /** Live sessions are touched when their turns start and end, so the stale ones are at the front. */
  #sweep (): void {
    const staleAt = this.#clock.now() - this.#limits.maxAgeMs
    for (const session of this.#sessions.values()) {
      if (session.usedAt >= staleAt) break
      session.ring.trimOlderThan(staleAt)
      this.#count(session)
      if (isIdle(session)) this.#drop(session)
    }
    this.#stopSweepIfEmpty()
  }

  #dropOldestIdle (isEnough: () => boolean): void {
    for (const session of this.#sessions.values()) {
      if (isEnough()) return
      if (isIdle(session)) this.#drop(session)
    }
    this.#stopSweepIfEmpty()
  }

  #stopSweepIfEmpty (): void {
    if (this.#sessions.size > 0) return
    this.#stopSweep?.()
    this.#stopSweep = undefined
  }
}

/** Dropping one gives its next user a new epoch: nothing is confused with what was. */
function isIdle (session: MemorySession): boolean {
  return session.running === undefined && session.queue.length === 0
}

function makeSession (key: SessionKey, text: string, limits: RingLimits): MemorySession {
  return {
    key,
    text,
    epoch: randomUUID(),
    ring: new EntryRing(limits),
    queue: [],
    running: undefined,
    usedAt: 0,
    bytes: 0
  }
}

/** Runs are made here and nowhere else. */
function turnOf (run: Run): MemoryTurn {
  if (run instanceof MemoryTurn) return run
  throw new TypeError('this run is of another journal')
}

interface MemoryJournalLimits extends RingLimits {
  maxAgeMs: number
  maxSessions: number
  maxTotalBytes: number
}

interface MemorySession {
  readonly key: SessionKey
  /** The key as text. */
  readonly text: string
  readonly epoch: string
  readonly ring: EntryRing
  readonly queue: MemoryTurn[]
  running: MemoryTurn | undefined
  usedAt: number
  /** What of `ring.bytes` is counted. */
  bytes: number
}
