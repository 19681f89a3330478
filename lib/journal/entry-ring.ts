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
 * Rough cost of an entry beside the characters of its strings, in bytes: what holds it. Measured on Node 20: about 40 for text
 * in a ring that is full, and 240 in one of two with that ring; 90–120 for others.
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
  #lone: Kept
  #loneAt = 0
  // Whose text was written last, and the first entry of it: from there on all text is that turn's.
  #turnFrom = Infinity
  #turnId: string | undefined
  /** The turns before it of which text may be held, in their order. */
  #turnsBefore: TextOfTurn[] = NO_TURNS
  readonly #limits: RingLimits
  /**
   * What is held, in blocks of BLOCK entries and as many times; one that is empty again becomes the last. Of an entry of text, which
   * most are, there is no object: it would live for as long as the ring holds it, and be copied twice by the garbage collection
   * meanwhile. So would one array for all of them, each time that it is outgrown. And each is one item next to others: of a ring
   * that is full the oldest, which have to go, are not in the processor's cache.
   */
  #blocks: Field[][] = NO_BLOCKS
  /** Where the first block in use stands among them. */
  #head = 0
  /** The number that its first place is for. Of no meaning while an entry lies alone. */
  #base = 0
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
    const kept = this.#keptAt(seq)
    if (typeof kept !== 'string') return kept
    return { kind: 'text', content: kept, turnId: this.#turnIdAt(seq), seq }
  }

  /** What an entry says, where it is held and is text of that turn. */
  textAt (seq: number, turnId: string): string | undefined {
    if (!this.holds(seq)) return undefined
    const kept = this.#keptAt(seq)
    return typeof kept === 'string' && this.#turnIdAt(seq) === turnId ? kept : undefined
  }

  holds (seq: number): boolean {
    return seq >= this.first && seq <= this.top
  }

  /** Size of an entry that is held. */
  sizeAt (seq: number): number {
    return keptSize(this.#keptAt(seq))
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
      const kept = this.#keptAt(each)
      if (typeof kept === 'string' && this.#turnIdAt(each) === turnId) units += kept.length
    }
    return units
  }

  /** @param at in milliseconds; kept in whole ones */
  push (entry: NewEntry, turnId: string | undefined, seq: number, at: number): void {
    if (this.size >= this.#limits.maxEntries) this.#trimOne()
    // Whose text there was is of no meaning any more.
    if (this.size === 0) this.#turnFrom = Infinity
    if (entry.kind === 'text') {
      this.through += textSize(entry.content)
      if (turnId !== this.#turnId || this.#turnFrom === Infinity) this.#enterTurn(turnId, seq)
      this.#keep(seq, entry.content, Math.floor(at))
    } else {
      this.through += sizeOf(entry)
      this.#keep(seq, numbered(entry, turnId, seq), Math.floor(at))
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

  #keep (seq: number, kept: Kept, at: number): void {
    if (this.size === 0) {
      this.first = seq
      this.#isLone = true
      this.#lone = kept
      this.#loneAt = at
    } else {
      if (this.#isLone) this.#joinLone()
      if (seq - this.#base === (this.#blocks.length - this.#head) * BLOCK) this.#blocks.push(newBlock())
      this.#put(seq, kept, at)
    }
    this.top = seq
  }

  #put (seq: number, kept: Kept, at: number): void {
    const block = this.#blockOf(seq)
    block[placeOf(seq)] = kept
    block[BLOCK + placeOf(seq)] = at
  }

  /** It is no longer the only one. */
  #joinLone (): void {
    this.#base = this.first - this.first % BLOCK
    // Not by `push`, which makes room for 17.
    if (this.#blocks.length === 0) this.#blocks = [newBlock()]
    this.#put(this.first, this.#lone, this.#loneAt)
    this.#clearLone()
  }

  #clearLone (): void {
    this.#isLone = false
    this.#lone = undefined
  }

  /** Of an entry that is held. */
  #keptAt (seq: number): Kept {
    if (this.#isLone) return this.#lone
    const kept = this.#blockOf(seq)[placeOf(seq)]
    return typeof kept === 'number' ? undefined : kept
  }

  /** Of an entry that is held, and does not lie alone. */
  #blockOf (seq: number): Field[] {
    return this.#blocks[this.#head + ((seq - this.#base) >> BLOCK_BITS)] ?? NO_BLOCK
  }

  #atOfFirst (): number {
    if (this.#isLone) return this.#loneAt
    const at = this.#blockOf(this.first)[BLOCK + placeOf(this.first)]
    return typeof at === 'number' ? at : NaN
  }

  /** From that entry on text is of another turn. */
  #enterTurn (turnId: string | undefined, seq: number): void {
    if (this.#turnFrom === Infinity) this.#turnsBefore = NO_TURNS
    else this.#noteTurnBefore(seq)
    this.#turnFrom = seq
    this.#turnId = turnId
  }

  #noteTurnBefore (end: number): void {
    while ((this.#turnsBefore[0]?.end ?? Infinity) <= this.first) this.#turnsBefore.shift()
    const before = { end, turnId: this.#turnId }
    // The first push would make room for seventeen.
    if (this.#turnsBefore.length === 0) this.#turnsBefore = [before]
    else this.#turnsBefore.push(before)
  }

  /** Of an entry of text that is held. */
  #turnIdAt (seq: number): string | undefined {
    // Most is asked of the turn that is being written.
    return seq >= this.#turnFrom ? this.#turnId : this.#turnBefore(seq)
  }

  #turnBefore (seq: number): string | undefined {
    let [low, high] = [0, this.#turnsBefore.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (seq < (this.#turnsBefore[middle]?.end ?? 0)) high = middle
      else low = middle + 1
    }
    return this.#turnsBefore[low]?.turnId
  }

  #trimOne (): void {
    const { first } = this
    const kept = this.#keptAt(first)
    if (this.#isLone) {
      this.#clearLone()
    } else {
      this.#blockOf(first)[placeOf(first)] = undefined
      if (placeOf(first) === BLOCK - 1) this.#passBlock()
    }
    this.first++
    this.#forgotten += keptSize(kept)
    if (typeof kept === 'object') this.#owner?.onForgotten(kept)
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

/** Entries in a block, a power of two: a division for each entry would be felt. */
const BLOCK_BITS = 3
const BLOCK = 1 << BLOCK_BITS
/** So many places of passed blocks may be left before the others. */
const LEAST_PASSED = 8
/** Frozen: a block that many rings wrote to would tell one session what another has said. */
const NO_BLOCK = Object.freeze<Field[]>([]) as Field[]
const NO_BLOCKS = Object.freeze<Field[][]>([]) as Field[][]
const NO_TURNS = Object.freeze<TextOfTurn[]>([]) as TextOfTurn[]

/** What is kept of an entry: of text what it says, others as they are; nothing where none is held. */
type Kept = string | OtherEntry | undefined

/** Of a block the first half is what is kept, and the second when it was written: whole numbers, which below 2^31 lie in it. */
type Field = Kept | number

type OtherEntry = Exclude<Entry, { kind: 'text' }>

/** Whose text it is before an entry, from where that of the turn before it ends. */
interface TextOfTurn {
  readonly end: number
  readonly turnId: string | undefined
}

/** One object shape for each kind: a spread was a fifth of the time of a burst. */
function numbered (entry: Exclude<NewEntry, { kind: 'text' }>, turnId: string | undefined, seq: number): OtherEntry {
  switch (entry.kind) {
    case 'message': return { kind: 'message', content: entry.content, turnId, seq }
    case 'event': return { kind: 'event', name: entry.name, json: entry.json, turnId, seq }
    case 'end': return { kind: 'end', end: entry.end, turnId, seq }
  }
}

function newBlock (): Field[] {
  return new Array<Field>(2 * BLOCK)
}

/** Where in its block an entry stands. */
function placeOf (seq: number): number {
  return seq & (BLOCK - 1)
}

function keptSize (kept: Kept): number {
  if (typeof kept === 'string') return textSize(kept)
  return kept === undefined ? 0 : sizeOf(kept)
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

export function textSize (text: string): number {
  return ENTRY_OVERHEAD + 2 * text.length
}
