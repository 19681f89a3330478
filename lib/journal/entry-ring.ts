import type { Entry, NewEntry } from './journal.js'

export interface RingLimits {
  maxEntries: number
  maxBytes: number
}

export interface RingOwner {
  /** An entry that is no text is gone. */
  onForgotten (entry: Entry): void
}

/**
 * Rough cost of an entry beside the characters of its strings, in bytes: what holds it. Measured on Node 20: about 50 for text
 * in a ring that is full, and 250 in one of two with that ring; 110–120 for others.
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
  /** Sum of the sizes of all that was forgotten. */
  #forgotten = 0
  // An entry that is the only one lies here: where a reader forgets what it has read, there is no other.
  #isLone = false
  #loneText: string | undefined
  #loneRest: Field
  #loneAt = 0
  /** The first text of the turn whose text was written last, and that turn. */
  #headSeq = 0
  #headTurnId: string | undefined
  readonly #limits: RingLimits
  /**
   * What is held, in blocks of BLOCK entries; one that is empty again becomes the last. FIELDS items for each entry stand next
   * to each other: what is far apart takes its time to come from memory. Of an entry of text, which most are, there is no
   * object: it would live for as long as the ring holds it, and be copied twice by the garbage collection meanwhile. So would
   * one array for all of them, each time that it is outgrown.
   */
  #blocks: Field[][] = NO_BLOCKS
  /** Where the first block in use stands among them. */
  #head = 0
  /** The number that its first place is for. Of no meaning while an entry lies alone. */
  #base = 0
  /** The turn of the text whose first was forgotten last. */
  #cutTurnId: string | undefined
  readonly #owner: RingOwner | undefined

  constructor (limits: RingLimits, owner?: RingOwner) {
    this.#limits = limits
    this.#owner = owner
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
    let text: Field = this.#loneText
    let rest = this.#loneRest
    if (!this.#isLone) {
      // Looked up once: each reader does this for each entry.
      const block = this.#blockOf(seq)
      const place = placeOf(seq)
      text = block[place + TEXT]
      rest = block[place + REST]
    }
    if (typeof text === 'string') return { kind: 'text', content: text, turnId: this.#turnIdOf(rest), seq }
    return typeof rest === 'object' ? rest : undefined
  }

  holds (seq: number): boolean {
    return seq >= this.first && seq <= this.top
  }

  /** Size of an entry that is held. */
  sizeAt (seq: number): number {
    const content = this.#field(seq, TEXT)
    if (typeof content === 'string') return textSize(content)
    const rest = this.#field(seq, REST)
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
      const content = this.#field(each, TEXT)
      if (typeof content === 'string' && this.#turnIdOf(this.#field(each, REST)) === turnId) units += content.length
    }
    return units
  }

  /** @param at in milliseconds; kept in whole ones */
  push (entry: NewEntry, turnId: string | undefined, seq: number, at: number): void {
    if (this.size >= this.#limits.maxEntries) this.#trimOne()
    if (entry.kind === 'text') {
      this.through += textSize(entry.content)
      this.#keep(seq, entry.content, this.#isOfHead(turnId) ? this.#headSeq : this.#newHead(turnId, seq), Math.floor(at))
    } else {
      this.through += sizeOf(entry)
      this.#keep(seq, undefined, numbered(entry, turnId, seq), Math.floor(at))
    }
    while (this.size > 1 && this.bytes > this.#limits.maxBytes) this.#trimOne()
  }

  /** Forgets entries written before `at`. */
  trimOlderThan (at: number): void {
    const since = Math.floor(at)
    if (this.size > 0 && this.#atOfFirst() >= since) return
    while (this.size > 0 && this.#atOfFirst() < since) this.#trimOne()
    if (this.size === 0) this.#dropBlocks()
  }

  /** Forgets entries up to and including that one. */
  trimThrough (seq: number): void {
    while (this.first <= seq && this.size > 0) this.#trimOne()
    // Kept, they would be old, and each entry young: that is noted one by one for the garbage collection.
    if (this.size === 0) this.#dropBlocks()
  }

  #keep (seq: number, text: string | undefined, rest: Field, at: number): void {
    if (this.size === 0) {
      this.first = seq
      this.#isLone = true
      this.#loneText = text
      this.#loneRest = rest
      this.#loneAt = at
    } else {
      if (this.#isLone) this.#joinLone()
      if (seq - this.#base === (this.#blocks.length - this.#head) * BLOCK) this.#blocks.push(newBlock())
      this.#put(seq, text, rest, at)
    }
    this.top = seq
  }

  #put (seq: number, text: string | undefined, rest: Field, at: number): void {
    const block = this.#blockOf(seq)
    const place = placeOf(seq)
    block[place + TEXT] = text
    block[place + REST] = rest
    block[place + AT] = at
  }

  /** It is no longer the only one. */
  #joinLone (): void {
    this.#base = this.first - this.first % BLOCK
    // Not by `push`, which makes room for 17.
    if (this.#blocks.length === 0) this.#blocks = [newBlock()]
    this.#put(this.first, this.#loneText, this.#loneRest, this.#loneAt)
    this.#clearLone()
  }

  #clearLone (): void {
    this.#isLone = false
    this.#loneText = this.#loneRest = undefined
  }

  /** Of an entry that is held. */
  #field (seq: number, field: typeof TEXT | typeof REST): Field {
    if (!this.#isLone) return this.#blockOf(seq)[placeOf(seq) + field]
    return field === TEXT ? this.#loneText : this.#loneRest
  }

  /** Of an entry that is held. */
  #blockOf (seq: number): Field[] {
    return this.#blocks[this.#head + ((seq - this.#base) >> BLOCK_BITS)] ?? NO_BLOCK
  }

  #atOfFirst (): number {
    if (this.#isLone) return this.#loneAt
    const at = this.#blockOf(this.first)[placeOf(this.first) + AT]
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
    // Most is asked of the turn that is being written.
    if (rest === this.#headSeq) return this.#headTurnId
    if (typeof rest !== 'number') return typeof rest === 'string' ? rest : undefined
    if (rest < this.first) return this.#cutTurnId
    const head = this.#field(rest, REST)
    return typeof head === 'string' ? head : undefined
  }

  #trimOne (): void {
    const { first } = this
    let text: Field = this.#loneText
    let rest = this.#loneRest
    if (this.#isLone) {
      this.#clearLone()
    } else {
      // Looked up once: in a ring that is full this is done for each entry that is written.
      const block = this.#blockOf(first)
      const place = placeOf(first)
      text = block[place + TEXT]
      rest = block[place + REST]
      block[place + TEXT] = block[place + REST] = undefined
      block[place + AT] = 0
      if (first - this.#base === BLOCK - 1) this.#passBlock()
    }
    this.first++
    if (typeof text === 'string') {
      this.#forgotten += textSize(text)
      if (typeof rest !== 'number') this.#cutTurnId = this.#turnIdOf(rest)
    } else if (typeof rest === 'object') {
      this.#forgotten += sizeOf(rest)
      this.#owner?.onForgotten(rest)
    }
  }

  /** Nothing of the first block is held any more. */
  #passBlock (): void {
    this.#base += BLOCK
    this.#blocks.push(this.#blocks[this.#head] ?? NO_BLOCK)
    this.#blocks[this.#head++] = NO_BLOCK
    // To shift them one by one would be felt where there are thousands.
    if (this.#head < LEAST_PASSED || 2 * this.#head < this.#blocks.length) return
    this.#blocks = this.#blocks.slice(this.#head)
    this.#head = 0
  }

  #dropBlocks (): void {
    this.#blocks = NO_BLOCKS
    this.#head = 0
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
/** Entries in a block, a power of two: a division for each entry would be felt. */
const BLOCK_BITS = 3
const BLOCK = 1 << BLOCK_BITS
/** So many places of passed blocks may be left before the others. */
const LEAST_PASSED = 8
/** Frozen: a block that many rings wrote to would tell one session what another has said. */
const NO_BLOCK = Object.freeze<Field[]>([]) as Field[]
const NO_BLOCKS = Object.freeze<Field[][]>([]) as Field[][]

type Field = string | number | OtherEntry | undefined

type OtherEntry = Exclude<Entry, { kind: 'text' }>

function newBlock (): Field[] {
  return new Array<Field>(BLOCK * FIELDS)
}

/** Where in its block an entry stands. */
function placeOf (seq: number): number {
  return (seq & (BLOCK - 1)) * FIELDS
}

/** One object shape for each kind: a spread was a fifth of the time of a burst. */
function numbered (entry: Exclude<NewEntry, { kind: 'text' }>, turnId: string | undefined, seq: number): OtherEntry {
  switch (entry.kind) {
    case 'message': return { kind: 'message', content: entry.content, turnId, seq }
    case 'event': return { kind: 'event', name: entry.name, json: entry.json, turnId, seq }
    case 'end': return { kind: 'end', end: entry.end, turnId, seq }
  }
}

/** What an entry takes of a ring's bytes. */
export function entrySize (entry: Entry): number {
  return entry.kind === 'text' ? textSize(entry.content) : sizeOf(entry)
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
