import { randomUUID } from 'node:crypto'

import { boundsOf } from '../bounds.js'
import { systemClock, type Clock } from '../clock.js'
import { TURN_STARTED } from '../protocol/names.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import type {
  Claimed, Followed, FollowFrom, Journal, JournalStats, NewEntry, Offer, OfferTerms, Position, Run, StoredChat, TurnCursor,
  TurnEnd, Wake
} from './journal.js'
import { MemoryClaims } from './memory-claims.js'
import { MemorySessionCursor } from './memory-session-cursor.js'
import { MemoryTurn, type Distance } from './memory-turn.js'
import { MemoryTurnCursor } from './memory-turn-cursor.js'
import { NOTHING, statsOf, type SessionLog } from './session-log.js'
import { SessionLogs } from './session-logs.js'

export interface MemoryJournalOptions {
  /** Entries held per session. @default 1024 */
  maxEntries?: number | undefined
  /**
   * Bytes of entries held per session, as estimated. Beside them a session keeps what its running turn has answered,
   * and of ended turns the last, or as many as have half as much text. @default 524288
   */
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
  /** How long a chat that is sent again is known after its turn has ended, in milliseconds. @default 300000 */
  dedupWindowMs?: number | undefined
  /**
   * Chats that can be known at once, at about 350 bytes each; above, a chat with an id is refused with `RATE_LIMITED`.
   * @default 200000
   */
  maxClaims?: number | undefined
  /** The same for one owner (`anonymous` has no such limit). @default 10000 */
  maxClaimsPerOwner?: number | undefined
  clock?: Clock | undefined
}

const DEFAULT_BOUNDS = {
  maxEntries: 1024,
  maxBytes: 512 * 1024,
  maxAgeMs: 300_000,
  maxSessions: 100_000,
  maxTotalBytes: 256 * 1024 * 1024,
  dedupWindowMs: 300_000,
  maxClaims: 200_000,
  maxClaimsPerOwner: 10_000
}

/**
 * The journal of one process: gone with it. Appends are synchronous. What was read of chats whose senders are told no position
 * (plain ones) is held no longer, as long as nobody was told one of their session.
 * @throws RangeError for a bound that is not at least 1, TypeError for an option that there is not
 */
export function memoryJournal (options: MemoryJournalOptions = {}): Journal {
  return new MemoryJournal(options, false)
}

/** The same for sessions that nobody joins later: what the reader of a turn has read is forgotten. */
export function unsharedJournal (options: MemoryJournalOptions = {}): Journal {
  return new MemoryJournal(options, true)
}

/** Idle sessions are looked at so often, by one timer for all of them; without sessions it ends at its next look, or before. */
const SWEEP_MS = 5_000

class MemoryJournal implements Journal {
  readonly id = randomUUID()
  readonly #logs: SessionLogs
  readonly #claims: MemoryClaims
  readonly #maxAgeMs: number
  readonly #clock: Clock
  readonly #halfRing: Distance
  readonly #quarterRing: Distance
  #stopSweep: (() => void) | undefined
  #isClosed = false

  constructor (options: MemoryJournalOptions, forgetsRead: boolean) {
    const bounds = boundsOf('a memory journal', DEFAULT_BOUNDS, options, ['clock'])
    this.#clock = options.clock ?? systemClock
    const { maxEntries, maxBytes, maxAgeMs, maxSessions, maxTotalBytes, dedupWindowMs, maxClaims, maxClaimsPerOwner } = bounds
    this.#maxAgeMs = maxAgeMs
    this.#logs = new SessionLogs({ maxEntries, maxBytes, maxAgeMs, maxSessions, maxTotalBytes, forgetsRead }, this.#clock)
    this.#claims = new MemoryClaims({ dedupWindowMs, maxClaims, maxClaimsPerOwner })
    this.#halfRing = { entries: maxEntries / 2, bytes: maxBytes / 2 }
    this.#quarterRing = { entries: maxEntries / 4, bytes: maxBytes / 4 }
  }

  offer (key: SessionKey, chat: StoredChat, terms: OfferTerms): Offer {
    const claimed = this.claimed(key, chat)
    if (claimed !== undefined) return { accepted: false, claimed }
    const found = this.#logs.find(key)
    const code = this.#refusal(found, key, chat, terms)
    if (code !== undefined) return { accepted: false, code }
    const log = found ?? this.#open(key)
    const isInterrupt = terms.onBusy === 'interrupt'
    const ahead = log.queue.length + (log.running === undefined ? 0 : 1)
    const displaced = isInterrupt ? log.queue : NOTHING
    if (displaced.length > 0) log.queue = NOTHING
    const turn = new MemoryTurn(chat, log)
    if (chat.bodyHash !== undefined) turn.claim = this.#claims.add(log.text, key, chat.turnId, chat.bodyHash)
    log.enqueue(turn)
    // Whoever sends a chat with an id again is told where its turn has ended.
    if (terms.isUnplaced !== true || chat.bodyHash !== undefined) log.isTold = true
    // Not before: readers that leave at once would leave nothing of the session.
    for (const turn of displaced) this.#writeEnd(turn, terms.displacedEnd)
    this.#touch(log)
    const offer: Offer = {
      accepted: true,
      position: ahead - displaced.length,
      epoch: log.epoch,
      seq: log.ring.top,
      displaced: displaced.length === 0 ? [] : displaced.map(({ turnId }) => turnId)
    }
    if (isInterrupt) log.running?.onStop?.()
    return offer
  }

  claimed (key: SessionKey, { turnId, bodyHash }: Pick<StoredChat, 'turnId' | 'bodyHash'>): Claimed | undefined {
    if (bodyHash === undefined) return undefined
    this.#claims.expire(this.#clock.now())
    const claimed = this.#claims.find(sessionKeyText(key), turnId, bodyHash)
    // A turn of a chat without an id of its own has one all the same, which followers see; and while a turn is held, its
    // entries are not to be taken for those of another.
    const turn = claimed === undefined ? this.#logs.find(key)?.find(turnId) : undefined
    return turn === undefined ? claimed : turn.claimed(bodyHash)
  }

  take (key: SessionKey, onStop: () => boolean): Run | undefined {
    const log = this.#logs.find(key)
    if (log === undefined || log.running !== undefined) return undefined
    const turn = log.dequeue()
    if (turn === undefined) return undefined
    log.running = turn
    turn.isRunning = true
    turn.onStop = onStop
    const now = this.#clock.now()
    turn.write({ kind: 'event', name: TURN_STARTED, json: startOf(turn.chat) }, now)
    this.#touch(log, now)
    log.wake(turn)
    return turn
  }

  append (run: Run, batch: number, entries: readonly NewEntry[]): boolean {
    const turn = turnOf(run)
    if (batch <= turn.lastBatch) return true
    if (turn.end !== undefined || !turn.isRunning || hasEndInside(entries)) return false
    turn.lastBatch = batch
    const now = this.#clock.now()
    const isUrgent = turn.writeAll(entries, now)
    const last = entries.at(-1)
    if (last?.kind === 'end') this.#keepEnded(turn, last.end)
    turn.log.ring.trimOlderThan(now - this.#maxAgeMs)
    turn.log.wake(turn, isUrgent, false, last?.kind === 'end')
    return true
  }

  release (run: Run, end: TurnEnd): void {
    const turn = turnOf(run)
    if (turn.isRunning && turn.end === undefined) this.#writeEnd(turn, end)
    turn.isRunning = false
    // The turn is kept as long as its end is; whoever ran it need not be.
    turn.onStop = undefined
    const log = this.#logs.find(run.key)
    if (log?.running !== turn) return
    log.running = undefined
    this.#touch(log)
    // The ring may have forgotten its end already, and only its right to run have kept it.
    log.onLeft(turn)
  }

  withdraw (key: SessionKey, turnId: string, end: TurnEnd): boolean {
    const log = this.#logs.find(key)
    const turn = log?.unqueue(turnId)
    if (log === undefined || turn === undefined) return false
    this.#writeEnd(turn, end)
    this.#touch(log)
    return true
  }

  retract (key: SessionKey, { turnId, acceptedAt, bodyHash }: StoredChat): boolean {
    const log = this.#logs.find(key)
    const turn = log?.queue.find((each) => each.turnId === turnId)
    if (log === undefined || turn === undefined || turn.claim?.isKnown === true) return false
    if (turn.chat.acceptedAt !== acceptedAt || turn.bodyHash !== bodyHash) return false
    log.unqueue(turnId)
    if (turn.claim !== undefined) this.#claims.retract(turn.claim)
    turn.forget()
    log.onLeft(turn)
    return true
  }

  cancel (key: SessionKey, turnId: string | undefined, end: TurnEnd): string[] {
    const log = this.#logs.find(key)
    if (log === undefined) return []
    const isMeant = (turn: MemoryTurn): boolean => turnId === undefined || turn.turnId === turnId
    const stopped = log.queue.filter(isMeant)
    if (stopped.length > 0) log.queue = log.queue.filter((turn) => !isMeant(turn))
    for (const turn of stopped) this.#writeEnd(turn, end)
    this.#touch(log)
    const { running } = log
    const willStop = running !== undefined && isMeant(running) && running.onStop?.() === true
    return (willStop ? [running, ...stopped] : stopped).map((turn) => turn.turnId)
  }

  publish (key: SessionKey, name: string, json: string): Position {
    const log = this.#open(key)
    log.isTold = true
    const seq = log.ring.top + 1
    const now = this.#clock.now()
    log.ring.push({ kind: 'event', name, json }, undefined, seq, now)
    log.ring.trimOlderThan(now - this.#maxAgeMs)
    this.#touch(log)
    log.wake(log.running)
    return { epoch: log.epoch, seq }
  }

  followTurn (key: SessionKey, turnId: string, wake: Wake): TurnCursor | undefined {
    // Also one that has ended, as long as it is held: whoever has sent it may come after a cancel.
    const turn = this.#logs.find(key)?.find(turnId)
    return turn === undefined ? undefined : new MemoryTurnCursor(turn, wake, this.#quarterRing)
  }

  follow (key: SessionKey, { position, turns }: FollowFrom, wake: Wake): Followed | undefined {
    if (!this.#isClosed && !this.#logs.hasRoomFor(key)) return undefined
    const log = this.#open(key)
    log.isTold = true
    const { ring, epoch } = log
    const isHeld = position?.epoch === epoch && position.seq >= ring.first - 1 && position.seq <= ring.top
    const seq = isHeld ? position.seq : ring.top
    const cursor = new MemorySessionCursor(log, seq, turns, wake, this.#quarterRing)
    // Not before it has its reader: until then it is idle, and may be what has to go.
    this.#touch(log)
    return { cursor, recovered: isHeld, turns: log.openTurns(!isHeld) }
  }

  readers (key: SessionKey, turnId: string): number {
    return this.#logs.find(key)?.readersOf(turnId) ?? 0
  }

  pace (run: Run): Promise<void> | undefined {
    return turnOf(run).pace(this.#halfRing)
  }

  forget (key: SessionKey): void {
    const log = this.#logs.find(key)
    if (log !== undefined) this.#drop(log)
    this.#stopSweepIfEmpty()
  }

  stats (): JournalStats {
    return statsOf(this.#logs.all(), this.#claims.size)
  }

  close (): void {
    this.#isClosed = true
    for (const log of this.#logs.all()) this.#drop(log)
    this.#claims.clear()
    this.#stopSweepIfEmpty()
  }

  /** Looks without making a session: a chat that is refused leaves none behind, and displaces none. */
  #refusal (
    log: SessionLog | undefined, key: SessionKey, chat: StoredChat, { onBusy, maxQueued }: OfferTerms
  ): 'SESSION_BUSY' | 'QUEUE_FULL' | 'RATE_LIMITED' | undefined {
    const isFree = log?.running === undefined
    const waiting = log?.queue.length ?? 0
    if (onBusy === 'reject' && !(isFree && waiting === 0)) return 'SESSION_BUSY'
    // Whoever interrupts is all that waits; it has room where nothing else may wait.
    if (onBusy !== 'interrupt' && waiting >= maxQueued + (isFree ? 1 : 0)) return 'QUEUE_FULL'
    return chat.bodyHash === undefined || this.#claims.hasRoom(key) ? undefined : 'RATE_LIMITED'
  }

  #open (key: SessionKey): SessionLog {
    if (this.#isClosed) throw new Error('the journal is closed')
    this.#stopSweep ??= this.#clock.every(SWEEP_MS, () => { this.#sweep() })
    return this.#logs.open(key)
  }

  #touch (log: SessionLog, now?: number): void {
    this.#logs.touch(log, now)
    this.#stopSweepIfEmpty()
  }

  #drop (log: SessionLog): void {
    this.#logs.drop(log)
    log.isForgotten = true
    for (const turn of log.liveTurns) {
      if (turn.end === undefined) this.#endClaim(turn, { finishReason: 'aborted' })
      turn.forget()
    }
    log.wake()
  }

  #writeEnd (turn: MemoryTurn, end: TurnEnd): void {
    turn.write({ kind: 'end', end }, this.#clock.now())
    this.#keepEnded(turn, end)
    turn.log.wake(turn, true)
  }

  #keepEnded (turn: MemoryTurn, end: TurnEnd): void {
    turn.log.keepEnded(turn)
    this.#endClaim(turn, end)
  }

  #endClaim (turn: MemoryTurn, end: TurnEnd): void {
    if (turn.claim !== undefined) this.#claims.end(turn.claim, turn.endedBy(end), this.#clock.now())
    turn.claim = undefined
  }

  #sweep (): void {
    const now = this.#clock.now()
    this.#claims.expire(now)
    this.#logs.dropStale(now)
    this.#stopSweepIfEmpty()
  }

  #stopSweepIfEmpty (): void {
    if (this.#logs.size > 0 || this.#claims.size > 0) return
    this.#stopSweep?.()
    this.#stopSweep = undefined
  }
}

function hasEndInside (entries: readonly NewEntry[]): boolean {
  for (let i = 0; i < entries.length - 1; i++) if (entries[i]?.kind === 'end') return true
  return false
}

/** The data of `turn-started`. In one piece: what is joined is kept as its pieces. */
function startOf ({ message, metadata }: StoredChat): string {
  return JSON.stringify(metadata === undefined ? { message } : { message, metadata })
}

/** Runs are made here and nowhere else. */
function turnOf (run: Run): MemoryTurn {
  if (run instanceof MemoryTurn) return run
  throw new TypeError('this run is of another journal')
}
