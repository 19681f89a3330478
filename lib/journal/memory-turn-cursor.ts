import { entrySize } from './entry-ring.js'
import type { Entry, TurnCursor, Wake } from './journal.js'
import { firstHeld, textBefore, WAITS, type Distance, type KeptMessage, type MemoryTurn, type TurnReader } from './memory-turn.js'

/** A reader's place in one turn in memory. */
export class MemoryTurnCursor implements TurnCursor, TurnReader {
  // What every entry touches stands together.
  /** The last entry read. */
  seq = 0
  /** The ring's size sum at that entry. */
  through = 0
  #isAsleep = false
  readonly #wake: Wake
  #textRead = 0
  #hasEnd = false
  readonly #turn: MemoryTurn
  nextCursor: TurnReader | undefined
  #messagesRead = 0
  readonly #quarterRing: Distance

  constructor (turn: MemoryTurn, wake: Wake, quarterRing: Distance) {
    this.#turn = turn
    this.#wake = wake
    this.#quarterRing = quarterRing
    if (turn.startSeq !== WAITS) this.moveTo(turn.startSeq, turn.startThrough)
    this.nextCursor = turn.firstCursor
    turn.firstCursor = this
  }

  next (): Entry | 'lost' | undefined {
    const turn = this.#turn
    if (this.#hasEnd) return undefined
    const entry = turn.startSeq === WAITS ? undefined : this.#read(turn)
    if (turn.isPaused) turn.resumeIfNear(this, this.#quarterRing)
    if (entry === undefined || entry.kind === 'end') turn.log.onRead(this.seq)
    if (entry !== undefined) return entry
    if (turn.isForgotten) return 'lost'
    this.#isAsleep = true
    return undefined
  }

  moveTo (seq: number, through: number): void {
    this.seq = seq
    this.through = through
  }

  wake (isUrgent: boolean, isMuch: boolean, isForAll: boolean): void {
    if (!this.#isAsleep && !isForAll) return
    this.#isAsleep = false
    this.#wake(isUrgent, isMuch)
  }

  text (): string {
    return this.#turn.text.toString()
  }

  close (): void {
    if (this.#turn.firstCursor === this) this.#turn.firstCursor = this.nextCursor
    else for (const cursor of this.#turn.readers()) if (cursor.nextCursor === this) cursor.nextCursor = this.nextCursor
    this.#turn.resumeIfRead(this.#quarterRing)
    this.#turn.log.onLeft(this.#turn)
  }

  #read (turn: MemoryTurn): Entry | undefined {
    return this.seq + 1 < turn.log.ring.first ? this.#beyondTail(turn) : this.#fromRing(turn)
  }

  #fromRing (turn: MemoryTurn): Entry | undefined {
    const { ring } = turn.log
    for (let entry = ring.entryAt(this.seq + 1); entry !== undefined; entry = ring.entryAt(this.seq + 1)) {
      this.seq++
      this.through += entrySize(entry)
      if (entry.turnId !== turn.turnId) continue
      if (entry.kind === 'text') this.#textRead += entry.content.length
      if (entry.kind === 'message') this.#messagesRead++
      if (entry.kind === 'end') this.#hasEnd = true
      return entry
    }
    return undefined
  }

  /** What comes next is no longer in the ring: text, whole messages and the end are kept; events are passed over. */
  #beyondTail (turn: MemoryTurn): Entry | undefined {
    const { turnId, log: { ring: { first } } } = turn
    const held = firstHeld(turn)
    const message = this.#forgottenMessage(turn)
    const step = turn.textStep(this.#textRead, message?.textBefore ?? (held === undefined ? turn.text.length : textBefore(turn, held)))
    if (step !== undefined) {
      this.#textRead += step.content.length
      this.#passTo(Math.max(this.seq, Math.min(step.seq, (message?.seq ?? first) - 1)))
      return { kind: 'text', content: step.content, turnId, seq: this.seq }
    }
    if (message !== undefined) {
      this.#messagesRead++
      this.#passTo(message.seq)
      return { kind: 'message', content: message.content, turnId, seq: message.seq }
    }
    if (turn.end !== undefined && held === undefined) {
      this.#hasEnd = true
      return { kind: 'end', end: turn.end, turnId, seq: turn.endSeq }
    }
    this.#passTo(first - 1)
    return this.#fromRing(turn)
  }

  /** An entry that the ring has forgotten. */
  #passTo (seq: number): void {
    this.seq = seq
    const { ring } = this.#turn.log
    if (seq === ring.first - 1) this.through = ring.throughAt(seq)
  }

  /** The next whole message, where the ring has forgotten it. */
  #forgottenMessage ({ messages, log }: MemoryTurn): KeptMessage | undefined {
    const message = messages?.[this.#messagesRead]
    return message !== undefined && message.seq < log.ring.first ? message : undefined
  }
}
