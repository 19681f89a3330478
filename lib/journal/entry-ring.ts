import type { Entry, NewEntry } from './journal.js'

export interface RingLimits {
  maxEntries: number
  maxBytes: number
}

/** An entry, and what the ring keeps beside it. */
export interface HeldEntry {
  readonly entry: Entry
  /** How much of the turn's text precedes it, in UTF-16 code units. */
  readonly textBefore: number
  /** Sum of the sizes of all entries up to and including this one: distances between entries, in bytes. */
  readonly through: number
  readonly at: number
}

/**
 * Rough cost of an entry beside the characters of its strings, in bytes: what holds it. Measured on Node 20: 65–90 for text
 * in a ring that is full, 120–130 for others.
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
  /** Sum of the sizes of all that was forgotten. */
  #forgotten = 0
  readonly #limits: RingLimits
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

  get (seq: number): HeldEntry | undefined {
    const entry = this.entryAt(seq)
    if (entry === undefined) return undefined
    return { entry, textBefore: this.textBefore(seq), through: this.throughAt(seq), at: this.#number(seq, AT) }
  }

  /** The same without what is kept beside it. One of text is made anew each time. */
  entryAt (seq: number): Entry | undefined {
    if (seq < this.first || seq > this.top) return undefined
    const at = this.#placeOf(seq)
    const content = this.#fields[at + TEXT]
    const rest = this.#fields[at + REST]
    if (typeof content === 'string') return { kind: 'text', content, turnId: typeof rest === 'string' ? rest : undefined, seq }
    return typeof rest === 'object' ? rest : undefined
  }

  /** Of an entry that is held. */
  textBefore (seq: number): number { return this.#number(seq, TEXT_BEFORE) }

  /** Of an entry that is held. */
  throughAt (seq: number): number { return this.#number(seq, THROUGH) }

  /** @param at in milliseconds; kept in whole ones */
  push (entry: NewEntry, turnId: string | undefined, seq: number, textBefore: number, at: number): void {
    if (this.size === this.#slots || this.size >= this.#limits.maxEntries) this.#makeRoom()
    this.through += sizeOf(entry)
    this.top = seq
    const fields = this.#fields
    const place = this.#placeOf(seq)
    if (entry.kind === 'text') {
      fields[place + TEXT] = entry.content
      fields[place + REST] = turnId
    } else {
      fields[place + REST] = numbered(entry, turnId, seq)
    }
    fields[place + TEXT_BEFORE] = textBefore
    fields[place + THROUGH] = this.through
    fields[place + AT] = Math.floor(at)
    while (this.size > 1 && this.bytes > this.#limits.maxBytes) this.#trimOne()
  }

  /** Forgets entries written before `at`. */
  trimOlderThan (at: number): void {
    const since = Math.floor(at)
    if (this.size > 0 && this.#number(this.first, AT) >= since) return
    while (this.size > 0 && this.#number(this.first, AT) < since) this.#trimOne()
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

  #number (seq: number, field: number): number {
    const value = this.#fields[this.#placeOf(seq) + field]
    return typeof value === 'number' ? value : NaN
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
    this.#forgotten = this.throughAt(this.first)
    this.first++
    const rest = this.#fields[place + REST]
    this.#fields[place + TEXT] = this.#fields[place + REST] = undefined
    if (typeof rest === 'object') this.#onForgotten(rest)
  }
}

/** What an entry of text says; nothing where another is held. */
const TEXT = 0
/** Of an entry of text the turn, and others as they are. */
const REST = 1
/** What is kept beside it: see {@link HeldEntry}. Whole numbers, which below 2^31 lie in the array itself. */
const TEXT_BEFORE = 2
const THROUGH = 3
const AT = 4
const FIELDS = 5

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

function sizeOf (entry: NewEntry): number {
  switch (entry.kind) {
    case 'text':
    case 'message': return ENTRY_OVERHEAD + 2 * entry.content.length
    case 'event': return ENTRY_OVERHEAD + 2 * entry.json.length
    case 'end': return ENTRY_OVERHEAD + 2 * (entry.end.content?.length ?? 0)
  }
}
