import type { Entry, NewEntry } from './journal.js'

export interface RingLimits {
  maxEntries: number
  maxBytes: number
}

/**
 * Rough cost of an entry beside the characters of its strings, in bytes: what holds it. Measured on Node 20: 45 for text
 * in a ring that is full, up to twice that where it is not, 110–120 for others.
 */
const ENTRY_OVERHEAD = 120

/** The newest entries of one session: grows as it is used, forgets the oldest at its limits, shrinks when emptied. */
export class EntryRing {
  /** The last seq ever written. */
  top = 0
  /** The first seq still held; `top + 1` when none is. */
  first = 1
  /** Sum of all sizes ever written. */
  through = 0
  /**
   * What is held, FIELDS items for each entry, next to each other: what is far apart takes its time to come from memory. Of
   * an entry of text, which most are, there is no object: it would live for as long as the ring holds it, and be copied
   * twice by the garbage collection meanwhile.
   */
  #fields: Field[] = []
  /** For so many entries: some power of two, since a division for each entry would be felt. */
  #slots = 0
  readonly #limits: RingLimits
  /** Sum of the sizes of all that was forgotten. */
  #forgotten = 0
  /** The first text of the turn whose text was written last, and that turn. */
  #headSeq = 0
  #headTurnId: string | undefined
  /** The turn of the text whose first was forgotten last. */
  #cutTurnId: string | undefined
  readonly #onForgotten: (entry: Entry) => void

  /** @param onForgotten given each entry that goes and is no text */
  constructor (limits: RingLimits, onForgotten: (entry: Entry) => void = () => {}) {
    this.#limits = limits
    this.#onForgotten = onForgotten
  }

  get size (): number {
    return this.top - this.first + 1
  }

  get bytes (): number {
    return this.through - this.#forgotten
  }

  /** One of text is made anew each time. */
  entryAt (seq: number): Entry | undefined {
    if (!this.holds(seq)) return undefined
    const place = this.#placeOf(seq)
    const content = this.#fields[place + TEXT]
    const rest = this.#fields[place + REST]
    if (typeof content === 'string') return { kind: 'text', content, turnId: this.#turnIdOf(rest), seq }
    return typeof rest === 'object' ? rest : undefined
  }

  holds (seq: number): boolean {
    return seq >= this.first && seq <= this.top
  }

  /** Size of an entry that is held. */
  sizeAt (seq: number): number {
    const place = this.#placeOf(seq)
    const content = this.#fields[place + TEXT]
    if (typeof content === 'string') return textSize(content)
    const rest = this.#fields[place + REST]
    return typeof rest === 'object' ? sizeOf(rest) : 0
  }

  /**
   * Sum of the sizes of all entries up to and including that one, which is held or just before the first that is: distances
   * between entries, in bytes. Adds them up.
   */
  throughAt (seq: number): number {
    // From the nearer end: most ask for the newest.
    let through = this.through
    if (2 * seq > this.first + this.top) {
      for (let each = this.top; each > seq; each--) through -= this.sizeAt(each)
      return through
    }
    through = this.#forgotten
    for (let each = this.first; each <= seq; each++) through += this.sizeAt(each)
    return through
  }

  /** How much text of that turn is held from that entry on, in UTF-16 code units. Adds it up. */
  textFrom (seq: number, turnId: string): number {
    let units = 0
    for (let each = Math.max(seq, this.first); each <= this.top; each++) {
      const place = this.#placeOf(each)
      const content = this.#fields[place + TEXT]
      if (typeof content === 'string' && this.#turnIdOf(this.#fields[place + REST]) === turnId) units += content.length
    }
    return units
  }

  /** @param at in milliseconds; kept in whole ones */
  push (entry: NewEntry, turnId: string | undefined, seq: number, at: number): void {
    if (this.size === this.#slots || this.size >= this.#limits.maxEntries) this.#makeRoom()
    this.top = seq
    const fields = this.#fields
    const place = this.#placeOf(seq)
    if (entry.kind === 'text') {
      this.through += textSize(entry.content)
      fields[place + TEXT] = entry.content
      fields[place + REST] = this.#isOfHead(turnId) ? this.#headSeq : this.#newHead(turnId, seq)
    } else {
      this.through += sizeOf(entry)
      fields[place + REST] = numbered(entry, turnId, seq)
    }
    fields[place + AT] = Math.floor(at)
    while (this.size > 1 && this.bytes > this.#limits.maxBytes) this.#trimOne()
  }

  /** Forgets entries written before `at`. */
  trimOlderThan (at: number): void {
    const since = Math.floor(at)
    if (this.size > 0 && this.#atOfFirst() >= since) return
    while (this.size > 0 && this.#atOfFirst() < since) this.#trimOne()
    if (this.size > 0 || this.#slots === 0) return
    this.#fields = []
    this.#slots = 0
  }

  /** Forgets entries up to and including that one. */
  trimThrough (seq: number): void {
    while (this.first <= seq && this.size > 0) this.#trimOne()
  }

  #placeOf (seq: number): number {
    return (seq & (this.#slots - 1)) * FIELDS
  }

  #atOfFirst (): number {
    const at = this.#fields[this.#placeOf(this.first) + AT]
    return typeof at === 'number' ? at : NaN
  }

  #isOfHead (turnId: string | undefined): boolean {
    return this.#headSeq > 0 && this.#headTurnId === turnId
  }

  #newHead (turnId: string | undefined, seq: number): string | undefined {
    this.#headSeq = seq
    this.#headTurnId = turnId
    return turnId
  }

  /** @param rest what is kept of an entry of text */
  #turnIdOf (rest: Field): string | undefined {
    if (typeof rest !== 'number') return typeof rest === 'string' ? rest : undefined
    if (rest < this.first) return this.#cutTurnId
    const head = this.#fields[this.#placeOf(rest) + REST]
    return typeof head === 'string' ? head : undefined
  }

  #makeRoom (): void {
    if (this.size >= this.#limits.maxEntries) return this.#trimOne()
    const slots = Math.max(8, this.#slots * 2)
    const fields = new Array<Field>(slots * FIELDS)
    for (let seq = this.first; seq <= this.top; seq++) {
      const from = this.#placeOf(seq)
      const to = (seq & (slots - 1)) * FIELDS
      for (let field = 0; field < FIELDS; field++) fields[to + field] = this.#fields[from + field]
    }
    this.#fields = fields
    this.#slots = slots
  }

  #trimOne (): void {
    const place = this.#placeOf(this.first)
    this.#forgotten += this.sizeAt(this.first)
    const isText = this.#fields[place + TEXT] !== undefined
    const rest = this.#fields[place + REST]
    if (isText && typeof rest !== 'number') this.#cutTurnId = this.#turnIdOf(rest)
    this.first++
    this.#fields[place + TEXT] = this.#fields[place + REST] = undefined
    if (typeof rest === 'object') this.#onForgotten(rest)
  }
}

/** What an entry of text says; nothing where another is held. */
const TEXT = 0
/**
 * Of the first text of a turn the turn, of more its number: one reference less to follow and to note for the garbage
 * collection. Others as they are.
 */
const REST = 1
/** When it was written. Whole numbers, which below 2^31 lie in the array itself. */
const AT = 2
const FIELDS = 3

type Field = string | number | OtherEntry | undefined

type OtherEntry = Exclude<Entry, { kind: 'text' }>

/** One object shape for each kind: a spread was a fifth of the time of a burst. */
function numbered (entry: Exclude<NewEntry, { kind: 'text' }>, turnId: string | undefined, seq: number): OtherEntry {
  switch (entry.kind) {
    case 'message': return { kind: 'message', content: entry.content, turnId, seq }
    case 'event': return { kind: 'event', name: entry.name, json: entry.json, turnId, seq }
    case 'end': return { kind: 'end', end: entry.end, turnId, seq }
  }
}

function sizeOf (entry: Exclude<NewEntry, { kind: 'text' }>): number {
  switch (entry.kind) {
    case 'message': return textSize(entry.content)
    case 'event': return textSize(entry.json)
    case 'end': return textSize(entry.end.content ?? '')
  }
}

function textSize (text: string): number {
  return ENTRY_OVERHEAD + 2 * text.length
}
