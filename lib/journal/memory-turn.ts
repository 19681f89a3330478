import { entrySize, type EntryRing } from './entry-ring.js'
import type { Claimed, EndedTurn, Entry, NewEntry, Run, StoredChat, TurnCursor, TurnEnd, Wake } from './journal.js'
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
  text: TurnText | string = new TurnText()
  /** The first of its readers; each knows the next. */
  firstCursor: MemoryTurnCursor | undefined
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
  /** The session was forgotten under the turn. */
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

  endedBy ({ content, ...end }: TurnEnd): EndedTurn {
    return { end, isWhole: content !== undefined, epoch: this.log.epoch, seq: this.endSeq }
  }

  * readers (): Iterable<MemoryTurnCursor> {
    for (let cursor = this.firstCursor; cursor !== undefined; cursor = cursor.nextCursor) yield cursor
  }

  /** @param isForAll also those who have not read all that there was */
  wakeCursors (isUrgent = true, isMuch = false, isForAll = true): void {
    // One that closes itself when it is woken still knows the next.
    for (let cursor = this.firstCursor; cursor !== undefined; cursor = cursor.nextCursor) cursor.wake(isUrgent, isMuch, isForAll)
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

export class MemoryTurnCursor implements TurnCursor {
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
  /** The next reader of the turn. */
  nextCursor: MemoryTurnCursor | undefined
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

/** The first entry of the turn that is still held. Before it there may be ends of others, which were withdrawn. */
function firstHeld ({ log, turnId, startSeq, end, endSeq }: MemoryTurn): number | undefined {
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
interface KeptMessage {
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
