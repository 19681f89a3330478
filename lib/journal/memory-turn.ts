import type { EntryRing, Loss } from './entry-ring.js'
import type { Entry, NewEntry, Run, StoredChat, TurnCursor, TurnEnd } from './journal.js'
import { TurnText } from './turn-text.js'
import type { SessionKey } from '../protocol/session-key.js'

/**
 * One turn of a session in memory, from its acceptance on. Cursors hold on to it: an ended turn is gone from the
 * session, but stays readable to its end for whoever had begun.
 */
export class MemoryTurn implements Run {
  readonly key: SessionKey
  readonly chat: StoredChat
  readonly text = new TurnText()
  readonly cursors = new Set<MemoryTurnCursor>()
  readonly ring: EntryRing
  /** Position before the turn's first entry; `undefined` while it waits. */
  startSeq: number | undefined
  end: TurnEnd | undefined
  endSeq = 0
  lastBatch = 0
  /** A cursor before it has lost something. */
  readonly loss: Loss = { seq: 0 }
  /** Taken and not released. */
  isRunning = false
  /** The session was forgotten under the turn. */
  isForgotten = false
  #resume: (() => void) | undefined
  #pausing: Promise<void> | undefined

  constructor (key: SessionKey, chat: StoredChat, ring: EntryRing) {
    this.key = key
    this.chat = chat
    this.ring = ring
  }

  write (entry: NewEntry, at: number): void {
    const seq = this.ring.top + 1
    this.startSeq ??= seq - 1
    this.ring.push({ ...entry, turnId: this.chat.turnId, seq }, this.text.length, at, this.loss)
    if (entry.kind === 'text') this.text.append(entry.content, seq)
    if (entry.kind === 'end') {
      this.end = entry.end
      this.endSeq = seq
    }
  }

  wakeCursors (): void {
    for (const cursor of this.cursors) cursor.wake()
  }

  /** See `Journal.pace`. */
  pace (halfRing: Distance): Promise<void> | undefined {
    if (!this.#isFastestBeyond(halfRing)) return undefined
    this.#pausing ??= new Promise((resolve) => { this.#resume = resolve })
    return this.#pausing
  }

  /** Called when a cursor has moved or left. The quarter keeps a run from stopping again at its next entry. */
  resumeIfRead (quarterRing: Distance): void {
    if (this.#resume === undefined || this.#isFastestBeyond(quarterRing)) return
    this.#resume()
    this.#resume = this.#pausing = undefined
  }

  #isFastestBeyond (distance: Distance): boolean {
    if (this.cursors.size === 0 || this.end !== undefined) return false
    for (const cursor of this.cursors) {
      const entries = this.ring.top - cursor.seq
      const bytes = this.ring.through - cursor.through
      if (entries <= distance.entries && bytes <= distance.bytes) return false
    }
    return true
  }
}

export class MemoryTurnCursor implements TurnCursor {
  /** The last entry read. */
  seq = 0
  /** The ring's size sum at that entry. */
  through = 0
  #textRead = 0
  #isAsleep = false
  #hasEnd = false
  readonly #turn: MemoryTurn
  readonly #wake: () => void
  readonly #quarterRing: Distance

  constructor (turn: MemoryTurn, wake: () => void, quarterRing: Distance) {
    this.#turn = turn
    this.#wake = wake
    this.#quarterRing = quarterRing
    this.through = turn.ring.through
    this.seq = turn.ring.top
    if (turn.startSeq !== undefined) this.#startAt(turn.startSeq)
    turn.cursors.add(this)
  }

  next (): Entry | 'lost' | undefined {
    const turn = this.#turn
    if (this.#hasEnd) return undefined
    if (turn.isForgotten) return 'lost'
    if (turn.startSeq === undefined) return this.#sleep()
    if (this.seq < turn.startSeq) this.#startAt(turn.startSeq)
    const entry = this.seq + 1 < turn.ring.first ? this.#beyondTail(turn) : this.#fromRing(turn)
    turn.resumeIfRead(this.#quarterRing)
    return entry
  }

  wake (): void {
    if (!this.#isAsleep) return
    this.#isAsleep = false
    this.#wake()
  }

  text (): string {
    return this.#turn.text.toString()
  }

  close (): void {
    this.#turn.cursors.delete(this)
    this.#turn.resumeIfRead(this.#quarterRing)
  }

  #startAt (seq: number): void {
    this.seq = seq
    const { ring } = this.#turn
    const first = ring.get(seq + 1)
    this.through = first === undefined ? ring.through : first.through
  }

  #fromRing (turn: MemoryTurn): Entry | undefined {
    for (let held = turn.ring.get(this.seq + 1); held !== undefined; held = turn.ring.get(this.seq + 1)) {
      this.seq++
      this.through = held.through
      const { entry } = held
      if (entry.turnId !== turn.chat.turnId) continue
      if (entry.kind === 'text') this.#textRead = held.textBefore + entry.content.length
      if (entry.kind === 'end') this.#hasEnd = true
      return entry
    }
    return this.#sleep()
  }

  /** What comes next is no longer in the ring: the text is kept whole, and so is the end; all else is lost. */
  #beyondTail (turn: MemoryTurn): Entry | 'lost' | undefined {
    if (turn.loss.seq > this.seq) return 'lost'
    const { turnId } = turn.chat
    const { first } = turn.ring
    const held = turn.ring.get(first)
    const isHeld = held?.entry.turnId === turnId
    const step = turn.text.step(this.#textRead, isHeld ? held.textBefore : turn.text.length)
    if (step !== undefined) {
      this.#textRead += step.content.length
      this.#jumpTo(Math.min(step.seq, first - 1))
      return { kind: 'text', content: step.content, turnId, seq: this.seq }
    }
    if (turn.end !== undefined && !isHeld) {
      this.#hasEnd = true
      this.#jumpTo(turn.endSeq)
      return { kind: 'end', end: turn.end, turnId, seq: turn.endSeq }
    }
    this.#jumpTo(first - 1)
    return this.#fromRing(turn)
  }

  #jumpTo (seq: number): void {
    this.seq = seq
    this.through = this.#turn.ring.get(seq)?.through ?? this.through
  }

  #sleep (): undefined {
    this.#isAsleep = true
    return undefined
  }
}

/** How far apart two positions are. */
export interface Distance {
  entries: number
  bytes: number
}
