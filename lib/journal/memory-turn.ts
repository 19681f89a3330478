import type { EntryRing } from './entry-ring.js'
import type { Claimed, EndedTurn, NewEntry, Run, StoredChat, TurnEnd } from './journal.js'
import type { Claim } from './memory-claims.js'
import { stepOf, TurnText, type TextStep } from './turn-text.js'
import type { SessionKey } from '../protocol/session-key.js'

/** The start of a turn that has none yet. */
export const WAITS = -1

/**
 * One turn of a session in memory, from its acceptance on. Cursors hold on to it: an ended turn is gone from the
 * session, but stays readable to its end for whoever had begun.
 */
export class MemoryTurn implements Run {
  // What every piece touches stands together: of many turns nothing is in the processor's cache.
  readonly log: TurnLog
  readonly turnId: string
  readonly bodyHash: string | undefined
  /** That of its chat's id, until it has its end. */
  claim: Claim | undefined
  text: TurnText | string = new TurnText()
  /** The first of its readers; each knows the next. */
  firstCursor: TurnReader | undefined
  // The place before the turn's first entry. No object of its own: one for each turn that is kept would be felt.
  /** {@link WAITS} while it waits. */
  startSeq = WAITS
  startThrough = 0
  end: TurnEnd | undefined
  lastBatch = 0
  /** What it has answered, in UTF-16 code units. */
  units = 0
  /** Taken and not released. */
  isRunning = false
  /** The turn was taken back, or its session forgotten under it. */
  isForgotten = false
  #resume: (() => void) | undefined
  #pausing: Promise<void> | undefined
  #chat: StoredChat | undefined
  endSeq = 0
  /** The last of its entries that the ring has forgotten, text not counted: that can be told all the same. */
  forgottenSeq = 0
  /** Asks whoever runs it to stop. */
  onStop: (() => boolean) | undefined
  /** Its whole messages, kept as its text is: what the ring forgets can still be told. */
  messages: KeptMessage[] | undefined

  constructor (chat: StoredChat, log: TurnLog) {
    this.log = log
    this.turnId = chat.turnId
    this.bodyHash = chat.bodyHash
    this.#chat = chat
  }

  /** Once the turn has ended, no more of it than its names: what was said is in the history by then, and may be large. */
  get chat (): StoredChat {
    if (this.#chat !== undefined) return this.#chat
    const names: StoredChat = { turnId: this.turnId, message: '', acceptedAt: 0 }
    if (this.bodyHash !== undefined) names.bodyHash = this.bodyHash
    return names
  }

  /** That of the session: one of each turn's own would be kept with it. */
  get key (): SessionKey { return this.log.key }

  write (entry: NewEntry, at: number): void {
    const { log: { ring }, text } = this
    const seq = ring.top + 1
    if (this.startSeq === WAITS) this.#begin()
    ring.push(entry, this.turnId, seq, at)
    if (entry.kind === 'text') {
      if (typeof text !== 'string') text.append(entry.content, seq)
      this.units += entry.content.length
    } else if (entry.kind === 'message') {
      (this.messages ??= []).push({ seq, textBefore: this.text.length, content: entry.content })
      this.units += entry.content.length
    } else if (entry.kind === 'end') {
      this.end = entry.end
      this.endSeq = seq
      this.#chat = undefined
      if (typeof text !== 'string') this.text = text.close()
      this.units += entry.end.content?.length ?? 0
    }
  }

  /**
   * What is written at once.
   * @returns whether its readers are to have it at once: its first text, or its end
   */
  writeAll (entries: readonly NewEntry[], at: number): boolean {
    const { text } = this
    const hadText = text.length > 0
    for (const entry of entries) this.write(entry, at)
    if (typeof text !== 'string' && this.end === undefined) text.pack(!hadText)
    return this.end !== undefined || (!hadText && this.text.length > 0)
  }

  /** What an offer of the same id is answered. */
  claimed (bodyHash: string): Claimed {
    if (this.bodyHash !== bodyHash) return { isSame: false }
    return { isSame: true, ended: this.end === undefined ? undefined : this.endedBy(this.end) }
  }

  endedBy (ended: TurnEnd): EndedTurn {
    const { log: { epoch }, endSeq: seq } = this
    // Most have none, and many are one object.
    if (ended.content === undefined) return { end: ended, isWhole: false, epoch, seq }
    const { content, ...end } = ended
    return { end, isWhole: true, epoch, seq }
  }

  * readers (): Iterable<TurnReader> {
    for (let cursor = this.firstCursor; cursor !== undefined; cursor = cursor.nextCursor) yield cursor
  }

  /** @param isForAll also those who have not read all that there was */
  wakeCursors (isUrgent = true, isMuch = false, isForAll = true): void {
    // One that closes itself when it is woken still knows the next.
    for (let cursor = this.firstCursor; cursor !== undefined; cursor = cursor.nextCursor) cursor.wake(isUrgent, isMuch, isForAll)
  }

  /** Whoever reads it, or waits for its readers, is told that it is lost. */
  forget (): void {
    this.isForgotten = true
    this.isRunning = false
    this.wakeCursors()
    this.resumeIfRead({ entries: Infinity, bytes: Infinity })
  }

  /** See `Journal.pace`. */
  pace (halfRing: Distance): Promise<void> | undefined {
    if (!this.#isFastestBeyond(halfRing)) return undefined
    // Its readers may wait for more to come.
    this.log.wake(this, true, true)
    this.#pausing ??= new Promise((resolve) => { this.#resume = resolve })
    return this.#pausing
  }

  /** Called when a cursor has moved: nothing but that can have changed. The quarter keeps a run from stopping again at its next entry. */
  resumeIfNear (cursor: Place, quarterRing: Distance): void {
    if (this.#resume !== undefined && (this.end !== undefined || this.#isWithin(cursor, quarterRing))) this.#goOn()
  }

  /** It waits for its readers. */
  get isPaused (): boolean { return this.#resume !== undefined }

  /** Called when a cursor has left. */
  resumeIfRead (quarterRing: Distance): void {
    if (this.#resume !== undefined && !this.#isFastestBeyond(quarterRing)) this.#goOn()
  }

  /** See `TurnText.step`. */
  textStep (from: number, to: number): TextStep | undefined {
    return stepOf(this.text, from, to, this.endSeq - 1)
  }

  #goOn (): void {
    this.#resume?.()
    this.#resume = this.#pausing = undefined
  }

  /** What another turn wrote while this one waited keeps no reader of this one behind. */
  #begin (): void {
    const { ring } = this.log
    this.startSeq = ring.top
    this.startThrough = ring.through
    for (let cursor = this.firstCursor; cursor !== undefined; cursor = cursor.nextCursor) cursor.moveTo(ring.top, ring.through)
  }

  #isFastestBeyond (distance: Distance): boolean {
    if (this.end !== undefined) return false
    let readers = 0
    const isNear = (cursor: Place): boolean => {
      readers++
      return this.#isWithin(cursor, distance)
    }
    for (const cursor of this.readers()) if (isNear(cursor)) return false
    for (const cursor of this.log.cursors) if (cursor.isFor(this.turnId) && isNear(cursor)) return false
    return readers > 0
  }

  #isWithin ({ seq, through }: Place, { entries, bytes }: Distance): boolean {
    return this.log.ring.top - seq <= entries && this.log.ring.through - through <= bytes
  }
}

/** The first entry of the turn that is still held. Before it there may be ends of others, which were withdrawn. */
export function firstHeld ({ log, turnId, startSeq, end, endSeq }: MemoryTurn): number | undefined {
  const { ring } = log
  if (end !== undefined && endSeq < ring.first) return undefined
  for (let seq = Math.max(ring.first, startSeq); seq <= ring.top; seq++) {
    if (ring.entryAt(seq)?.turnId === turnId) return seq
  }
  return undefined
}

/** How much of the turn's text precedes an entry that is held, in UTF-16 code units. */
export function textBefore (turn: MemoryTurn, seq: number): number {
  if (turn.startSeq === seq - 1) return 0
  return turn.text.length - turn.log.ring.textFrom(seq, turn.turnId)
}

/** How much of it the ring no longer holds. */
export function forgottenText (turn: MemoryTurn): number {
  const held = firstHeld(turn)
  return held === undefined ? turn.text.length : textBefore(turn, held)
}

/** A whole message, and how much of the turn's text precedes it, in UTF-16 code units. */
export interface KeptMessage {
  readonly seq: number
  readonly textBefore: number
  readonly content: string
}

/** What a turn knows of the session that it is in. */
export interface TurnLog {
  readonly key: SessionKey
  /** The session's key as text. */
  readonly text: string
  readonly epoch: string
  readonly ring: EntryRing
  readonly cursors: ReadonlySet<SessionReader>
  keepEnded (turn: MemoryTurn): void
  /** @param isForAll also those who have not read all that there was. @default isUrgent */
  wake (turn: MemoryTurn, isUrgent?: boolean, isMuch?: boolean, isForAll?: boolean): void
  /** A reader of one turn has read all that there is, up to that entry. */
  onRead (seq: number): void
  /** A reader of that turn has left. */
  onLeft (turn: MemoryTurn): void
}

/** A reader of one turn. */
export interface TurnReader extends Place {
  /** The next reader of the turn. */
  nextCursor: TurnReader | undefined
  moveTo (seq: number, through: number): void
  wake (isUrgent: boolean, isMuch: boolean, isForAll: boolean): void
}

/** A reader of a session, as far as the pace of a turn goes. */
export interface SessionReader extends Place {
  isFor (turnId: string | undefined): boolean
  /** It has begun to read that turn, and may still have to tell of it. */
  isIn (turn: MemoryTurn): boolean
  wake (isUrgent: boolean, isMuch: boolean, isForAll: boolean): void
}

/** A place in the log: an entry, and the ring's size sum up to and including it. */
export interface Place {
  seq: number
  through: number
}

/** How far apart two places are. */
export interface Distance {
  entries: number
  bytes: number
}
