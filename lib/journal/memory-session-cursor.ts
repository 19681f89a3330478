import { entrySize, textSize } from './entry-ring.js'
import type { Entry, SessionCursor, TextReader, TurnIds, TurnView, Wake } from './journal.js'
import { forgottenText, textBefore, WAITS, type Distance, type MemoryTurn, type SessionReader } from './memory-turn.js'
import type { SessionLog } from './session-log.js'

/** A reader's place in a session in memory: of all its turns, or of some. */
export class MemorySessionCursor implements SessionCursor, SessionReader {
  readonly epoch: string
  seq: number
  /** The ring's size sum at that entry. */
  through = 0
  turns: TurnIds | undefined
  readonly #log: SessionLog
  readonly #wake: Wake
  readonly #quarterRing: Distance
  /** The turn whose text was read last, and how much of it, in UTF-16 code units. */
  #turn: MemoryTurn | undefined
  #textRead = 0
  #isAsleep = false
  #isLost = false

  /** @param seq the last entry that the reader knows: held, or just before one that is, or the newest */
  constructor (log: SessionLog, seq: number, turns: TurnIds | undefined, wake: Wake, quarterRing: Distance) {
    this.#log = log
    this.epoch = log.epoch
    this.seq = seq
    this.turns = turns
    this.#wake = wake
    this.#quarterRing = quarterRing
    this.#findPlace()
    log.addReader(this)
  }

  /** Whether entries of that turn are given. */
  isFor (turnId: string | undefined): boolean {
    return this.turns === undefined || (turnId !== undefined && this.turns.has(turnId))
  }

  isIn (turn: MemoryTurn): boolean { return this.#turn === turn }

  next (mergeUnits: number): Entry | 'lost' | undefined {
    if (this.#isLost) return undefined
    const entry = this.#read(mergeUnits)
    if (entry === undefined) this.#isAsleep = true
    // Whoever has lost its place reads no more, and keeps no run waiting.
    if (entry === 'lost') this.close()
    else this.#hasMoved()
    return entry
  }

  nextTexts (reader: TextReader): boolean {
    const turn = this.#turn
    if (turn === undefined || this.#isLost || this.#log.isForgotten || !this.isFor(turn.turnId)) return false
    const { turnId } = turn
    const { ring } = this.#log
    const before = this.seq
    for (let isWanted = true; isWanted;) {
      const content = ring.textAt(this.seq + 1, turnId)
      if (content === undefined) break
      this.seq++
      this.through += textSize(content)
      this.#textRead += content.length
      isWanted = reader.takeText(content, turnId, this.seq)
    }
    if (this.seq === before) return false
    this.#hasMoved()
    return true
  }

  wake (isUrgent: boolean, isMuch: boolean, isForAll: boolean): void {
    if (!this.#isAsleep && !isForAll) return
    this.#isAsleep = false
    this.#wake(isUrgent, isMuch)
  }

  view (turnId: string): TurnView | undefined {
    const turn = this.#log.isForgotten ? undefined : this.#log.find(turnId)
    if (turn === undefined) return undefined
    const length = this.#textBefore(turn)
    if (length === undefined) return undefined
    const text = turn.text.toString()
    return { text: text.slice(0, length), end: turn.end !== undefined && turn.endSeq <= this.seq ? turn.end : undefined }
  }

  close (): void {
    this.#isLost = true
    this.#log.removeReader(this)
    this.#log.running?.resumeIfRead(this.#quarterRing)
  }

  #hasMoved (): void {
    const { running } = this.#log
    if (running?.isPaused === true && this.isFor(running.turnId)) running.resumeIfNear(this, this.#quarterRing)
  }

  #read (mergeUnits: number): Entry | 'lost' | undefined {
    if (this.#log.isForgotten) return 'lost'
    if (this.seq + 1 < this.#log.ring.first) {
      const entry = this.#beyondTail()
      if (entry !== undefined) return entry
    }
    const entry = this.#fromRing()
    return entry?.kind === 'text' && mergeUnits > 0 ? this.#merged(entry, mergeUnits) : entry
  }

  #fromRing (): Entry | undefined {
    const { ring } = this.#log
    for (let entry = ring.entryAt(this.seq + 1); entry !== undefined; entry = ring.entryAt(this.seq + 1)) {
      this.#pass(entry)
      if (this.isFor(entry.turnId)) return entry
    }
    return undefined
  }

  /** Text pieces of one turn that follow each other, as one piece under the seq of the last. */
  #merged (first: Extract<Entry, { kind: 'text' }>, mergeUnits: number): Entry {
    const { ring } = this.#log
    let { content, seq } = first
    for (let entry = ring.entryAt(this.seq + 1); entry !== undefined; entry = ring.entryAt(this.seq + 1)) {
      if (this.isFor(entry.turnId)) {
        if (entry.kind !== 'text' || entry.turnId !== first.turnId || content.length + entry.content.length > mergeUnits) break
        content += entry.content
        seq = entry.seq
      }
      this.#pass(entry)
    }
    return { kind: 'text', content, turnId: first.turnId, seq }
  }

  /** An entry that the ring holds. */
  #pass (entry: Entry): void {
    this.seq = entry.seq
    this.through += entrySize(entry)
    if (entry.turnId === undefined) return
    if (entry.turnId !== this.#turn?.turnId) {
      // A chat that was withdrawn meanwhile has an end and no text: what is being told is another turn.
      if (entry.kind === 'end') return
      this.#turn = this.#turnOf(entry.turnId, entry.seq)
      this.#textRead = this.#turn === undefined ? 0 : textBefore(this.#turn, entry.seq)
    }
    if (entry.kind === 'text') this.#textRead += entry.content.length
    // Else whoever only listens would hold on to the last answer, which the session has forgotten.
    if (entry.kind === 'end') this.#turn = undefined
  }

  /** What comes next is no longer in the ring. Where only text is missing, it is kept with its turn. */
  #beyondTail (): Entry | 'lost' | undefined {
    if (this.#isMissingMore()) return 'lost'
    const { ring } = this.#log
    const turn = this.#turn
    const content = turn !== undefined && this.isFor(turn.turnId) ? this.#catchUp(turn) : ''
    if (turn !== undefined && content !== '') return { kind: 'text', content, turnId: turn.turnId, seq: this.seq }
    this.seq = ring.first - 1
    this.#findPlace()
    return undefined
  }

  /** One step of the text that was missed. An entry is never cut in two: its halves would have one seq. */
  #catchUp (turn: MemoryTurn): string {
    const to = forgottenText(turn)
    const last = this.#log.ring.first - 1
    const { seq } = this
    let content = ''
    for (let step = turn.textStep(this.#textRead, to); step !== undefined; step = turn.textStep(this.#textRead, to)) {
      content += step.content
      this.#textRead += step.content.length
      this.seq = Math.max(seq, Math.min(step.seq, last))
      if (this.seq > seq) break
    }
    if (this.seq === last) this.#findDistance()
    return content
  }

  /** Something is gone for this reader that is kept nowhere. */
  #isMissingMore (): boolean {
    if (this.turns === undefined) return this.#turn === undefined || this.#log.forgottenSeq > this.seq
    for (const turnId of this.turns) {
      const turn = this.#log.find(turnId)
      if (turn === undefined || turn.forgottenSeq > this.seq) return true
    }
    return false
  }

  /** Which turn was being told at the position, and how far. */
  #findPlace (): void {
    const { ring, running } = this.#log
    this.#findDistance()
    for (let seq = this.seq + 1; seq <= ring.top; seq++) {
      const entry = ring.entryAt(seq)
      if (entry?.turnId === undefined) continue
      const turn = this.#turnOf(entry.turnId, seq)
      // The end of one that was withdrawn has no text before it; what had is kept, or cannot be told.
      if (entry.kind === 'end' && (turn === undefined || turn.startSeq === seq - 1)) continue
      this.#turn = turn
      this.#textRead = turn === undefined ? 0 : textBefore(turn, seq)
      return
    }
    this.#turn = running?.end === undefined ? running : undefined
    this.#textRead = running?.text.length ?? 0
  }

  /** The turn of an entry. One of its id that began behind it is another. */
  #turnOf (turnId: string, seq: number): MemoryTurn | undefined {
    const turn = this.#log.find(turnId)
    return turn !== undefined && turn.startSeq !== WAITS && turn.startSeq < seq ? turn : undefined
  }

  #findDistance (): void {
    this.through = this.#log.ring.throughAt(this.seq)
  }

  /** How much of the turn's text there was at the position; `undefined` when nobody knows any more. */
  #textBefore (turn: MemoryTurn): number | undefined {
    if (turn === this.#turn) return this.#textRead
    if (turn.startSeq === WAITS || turn.startSeq >= this.seq) return 0
    // Between its start and its end there is one turn at a time, which is the one that was being told.
    return turn.end !== undefined && turn.endSeq <= this.seq ? turn.text.length : undefined
  }
}
