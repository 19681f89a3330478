import type { SessionKey } from '../protocol/session-key.js'
import type { Ordered } from '../touch-order.js'
import { newSerialId } from '../uuid.js'
import { EntryRing, type RingLimits, type RingOwner } from './entry-ring.js'
import type { Entry, JournalStats, OpenTurn } from './journal.js'
import type { MemoryTurn, SessionReader, TurnLog } from './memory-turn.js'

export interface SessionLogLimits extends RingLimits {
  /** What the reader of a turn has read is not kept for others, whatever they were told: there will be none. */
  forgetsRead: boolean
}

/** What a memory journal knows of one session: its entries, who waits, who runs, and who reads. */
export class SessionLog implements TurnLog, RingOwner, Ordered<SessionLog> {
  // What every piece touches stands together.
  readonly ring: EntryRing
  #cursors: Set<SessionReader> | undefined
  readonly #forgetsRead: boolean
  readonly key: SessionKey
  /** The key as text. */
  readonly text: string
  #epoch: string | undefined
  /** What waits. A new list at each change: one that grows by `push` would make room for seventeen. */
  queue: readonly MemoryTurn[] = NOTHING
  running: MemoryTurn | undefined
  /** The last entry that the ring has forgotten, text not counted: before it nothing can be told. */
  forgottenSeq = 0
  isForgotten = false
  /** Nobody finds it any more: the next of its name is another. */
  isDropped = false
  /** It was spent a short while ago, and may be in use again. */
  isAside = false
  /** Somebody knows a place in the session, and may come back to it. */
  isTold: boolean
  usedAt = 0
  older: SessionLog | undefined
  newer: SessionLog | undefined
  rank = 0
  /** What of `bytes` the journal has counted. */
  countedBytes = 0
  readonly #maxEndedUnits: number
  // Turns whose ends the ring still holds: who reads or asks for them may need their text. The last of them stands by itself:
  // most often there is no other, and nothing is put into a map to be taken out again.
  #lastEnded: MemoryTurn | undefined
  /** Those before it, in their order. */
  #endedById: Map<string, MemoryTurn> | undefined
  #endedUnits = 0
  readonly #onSpent: ((log: SessionLog) => void) | undefined

  /**
   * @param epoch where it has one, which others know
   * @param onSpent called when it has become spent, also while an end is being written
   */
  constructor (key: SessionKey, text: string, limits: SessionLogLimits, epoch?: string, onSpent?: (log: SessionLog) => void) {
    this.key = key
    this.text = text
    this.#epoch = epoch
    this.isTold = epoch !== undefined
    this.#onSpent = onSpent
    this.#maxEndedUnits = limits.maxBytes / 2
    this.#forgetsRead = limits.forgetsRead
    this.ring = new EntryRing(limits, this)
  }

  get epoch (): string {
    return this.#epoch ??= newSerialId()
  }

  /** Readers of the session; those of one turn are at the turn. */
  get cursors (): ReadonlySet<SessionReader> { return this.#cursors ?? NOBODY }

  addReader (reader: SessionReader): void {
    this.#cursors ??= new Set()
    this.#cursors.add(reader)
  }

  removeReader (reader: SessionReader): void {
    this.#cursors?.delete(reader)
    if (this.#cursors?.size === 0) this.#cursors = undefined
  }

  /** An estimate. */
  get bytes (): number { return this.ring.bytes + 2 * this.#endedUnits }

  /** Nobody runs, waits or reads: dropping it gives its next user a new epoch, so that nothing is confused. */
  get isIdle (): boolean {
    return this.running === undefined && this.queue.length === 0 && this.cursors.size === 0
  }

  /** Nothing is left of it that anybody could ask for. */
  get isSpent (): boolean { return this.isIdle && !this.isTold && this.ring.size === 0 }

  /** What runs, and what waits, in their order. */
  get liveTurns (): readonly MemoryTurn[] { return this.running === undefined ? this.queue : [this.running, ...this.queue] }

  /** A turn that runs, waits, or has ended and is still kept. */
  find (turnId: string): MemoryTurn | undefined {
    if (this.running?.turnId === turnId) return this.running
    if (this.queue.length > 0) {
      const waiting = this.queue.find((turn) => turn.turnId === turnId)
      if (waiting !== undefined) return waiting
    }
    return this.#lastEnded?.turnId === turnId ? this.#lastEnded : this.#endedById?.get(turnId)
  }

  /** How many read that turn, of those who read it alone and those who read the session. */
  readersOf (turnId: string): number {
    let count = [...this.find(turnId)?.readers() ?? []].length
    for (const cursor of this.cursors) if (cursor.isFor(turnId)) count++
    return count
  }

  enqueue (turn: MemoryTurn): void {
    this.queue = this.queue.length === 0 ? [turn] : this.queue.concat(turn)
  }

  /** The first chat that waits, which waits no longer. */
  dequeue (): MemoryTurn | undefined {
    const first = this.queue[0]
    if (first !== undefined) this.#unqueueAt(0)
    return first
  }

  /** Takes a chat that waits out of the queue. */
  unqueue (turnId: string): MemoryTurn | undefined {
    const index = this.queue.findIndex((turn) => turn.turnId === turnId)
    if (index < 0) return undefined
    const turn = this.queue[index]
    this.#unqueueAt(index)
    return turn
  }

  /** Turns that run or wait, in their order. */
  openTurns (withText: boolean): OpenTurn[] {
    const turns: OpenTurn[] = this.queue.map(({ chat }) => ({ chat, status: 'queued' }))
    const { running } = this
    // One that has its end holds the right to run until its executor is done, and is no news to anybody.
    if (running === undefined || running.end !== undefined) return turns
    const open: OpenTurn = { chat: running.chat, status: 'running' }
    if (withText) open.text = running.text.toString()
    return [open, ...turns]
  }

  /** Keeps a turn that has just ended, for as long as its end is held and there is room; the newest always. */
  keepEnded (turn: MemoryTurn): void {
    const before = this.#lastEnded
    if (before !== undefined) (this.#endedById ??= new Map<string, MemoryTurn>()).set(before.turnId, before)
    this.#lastEnded = turn
    this.#endedUnits += turn.units
    if (this.#endedUnits <= this.#maxEndedUnits || this.#endedById === undefined) return
    for (const other of this.#endedById.values()) {
      // One that said nothing makes no room, and its end may still have to be told.
      if (other.units === 0) continue
      this.#dropEnded(other)
      if (this.#endedUnits <= this.#maxEndedUnits) return
    }
  }

  /** Tells the readers of the session, and those of the turn, that there is more. */
  wake (turn?: MemoryTurn, isUrgent = false, isMuch = false, isForAll = isUrgent): void {
    turn?.wakeCursors(isUrgent, isMuch, isForAll)
    if (this.#cursors !== undefined) for (const cursor of this.#cursors) cursor.wake(isUrgent, isMuch, isForAll)
  }

  onRead (seq: number): void {
    if (this.#cursors === undefined && (this.#forgetsRead || !this.isTold)) this.ring.trimThrough(seq)
  }

  onLeft (turn: MemoryTurn): void {
    if (turn.end !== undefined) this.#forgetUnread(turn)
    if (this.isSpent) this.#onSpent?.(this)
  }

  /** It was dropped, and nobody finds it any more. */
  clear (): void {
    // Those who read the session go on with what it holds.
    if (this.#cursors !== undefined) return
    for (const turn of this.#endedById?.values() ?? []) this.#dropEnded(turn)
    if (this.#lastEnded !== undefined) this.#dropEnded(this.#lastEnded)
  }

  #unqueueAt (index: number): void {
    this.queue = this.queue.length === 1 ? NOTHING : this.queue.toSpliced(index, 1)
  }

  onForgotten ({ seq, kind, turnId }: Entry): void {
    this.forgottenSeq = seq
    const turn = turnId === undefined ? undefined : this.find(turnId)
    if (turn === undefined) return
    turn.forgottenSeq = seq
    if (kind === 'end') this.#dropEnded(turn)
  }

  #dropEnded (turn: MemoryTurn): void {
    if (turn === this.#lastEnded) this.#lastEnded = undefined
    else if (this.#endedById?.delete(turn.turnId) !== true) return
    this.#endedUnits -= turn.units
    this.#forgetUnread(turn)
  }

  /** Nobody can begin to read what is not known here any more. */
  #forgetUnread (turn: MemoryTurn): void {
    if (typeof turn.text === 'string' || turn.firstCursor !== undefined || this.find(turn.turnId) === turn) return
    for (const cursor of this.cursors) if (cursor.isIn(turn)) return
    turn.text.forget()
  }
}

/** A list of its own for each would be felt. */
export const NOTHING: readonly never[] = []

/** Most sessions of a service have no reader of their own. */
const NOBODY: ReadonlySet<SessionReader> = new Set()

/** What journals say of the sessions that they hold. */
export function statsOf (logs: Iterable<SessionLog>, claims: number): JournalStats {
  const stats = { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims }
  for (const { ring, bytes, cursors, liveTurns } of logs) {
    stats.sessions++
    stats.entries += ring.size
    stats.bytes += bytes
    stats.cursors += cursors.size
    for (const turn of liveTurns) stats.cursors += [...turn.readers()].length
  }
  return stats
}
