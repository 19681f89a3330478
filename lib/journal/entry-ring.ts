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

const FIGURES = 3
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
   * What entries of text, which most are, say; `undefined` where another is held, or none. Of these there is no object: it
   * would live for as long as the ring holds it, and be copied twice by the garbage collection meanwhile.
   */
  #texts: Array<string | undefined> = []
  /** Of an entry of text the turn, and others as they are. */
  #rest: Array<string | OtherEntry | undefined> = []
  /** What is kept beside each entry, FIGURES numbers for one. All in one array of doubles, for the same reason. */
  #figures: number[] = []
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
    const slot = this.#slotOf(seq)
    return { entry, textBefore: this.#figure(slot, 0), through: this.#figure(slot, 1), at: this.#figure(slot, 2) }
  }

  /** The same without what is kept beside it. One of text is made anew each time. */
  entryAt (seq: number): Entry | undefined {
    if (seq < this.first || seq > this.top) return undefined
    const slot = this.#slotOf(seq)
    const content = this.#texts[slot]
    const rest = this.#rest[slot]
    if (content !== undefined) return { kind: 'text', content, turnId: typeof rest === 'string' ? rest : undefined, seq }
    return typeof rest === 'string' ? undefined : rest
  }

  /** Of an entry that is held. */
  textBefore (seq: number): number { return this.#figure(this.#slotOf(seq), 0) }

  /** Of an entry that is held. */
  throughAt (seq: number): number { return this.#figure(this.#slotOf(seq), 1) }

  push (entry: NewEntry, turnId: string | undefined, seq: number, textBefore: number, at: number): void {
    if (this.size === this.#texts.length || this.size >= this.#limits.maxEntries) this.#makeRoom()
    this.through += sizeOf(entry)
    this.top = seq
    const slot = this.#slotOf(seq)
    if (entry.kind === 'text') {
      this.#texts[slot] = entry.content
      this.#rest[slot] = turnId
    } else {
      this.#rest[slot] = numbered(entry, turnId, seq)
    }
    const figures = this.#figures
    figures[slot * FIGURES] = textBefore
    figures[slot * FIGURES + 1] = this.through
    figures[slot * FIGURES + 2] = at
    while (this.size > 1 && this.bytes > this.#limits.maxBytes) this.#trimOne()
  }

  /** Forgets entries written before `at`. */
  trimOlderThan (at: number): void {
    if (this.size > 0 && this.#figure(this.#slotOf(this.first), 2) >= at) return
    while (this.size > 0 && this.#figure(this.#slotOf(this.first), 2) < at) this.#trimOne()
    if (this.size > 0 || this.#texts.length === 0) return
    this.#texts = []
    this.#rest = []
    this.#figures = []
  }

  /** Forgets entries up to and including that one. */
  trimThrough (seq: number): void {
    while (this.first <= seq && this.size > 0) this.#trimOne()
  }

  /** There are as many slots as some power of two: a division for each entry would be felt. */
  #slotOf (seq: number): number {
    return seq & (this.#texts.length - 1)
  }

  #figure (slot: number, index: number): number {
    return this.#figures[slot * FIGURES + index] ?? NaN
  }

  #makeRoom (): void {
    if (this.size >= this.#limits.maxEntries) return this.#trimOne()
    const length = Math.max(8, this.#texts.length * 2)
    const texts = new Array<string | undefined>(length)
    const rest = new Array<string | OtherEntry | undefined>(length)
    // Filled with what is no integer, which makes V8 keep the numbers themselves in it.
    const figures = new Array<number>(length * FIGURES).fill(NaN)
    for (let seq = this.first; seq <= this.top; seq++) {
      const from = this.#slotOf(seq)
      const to = seq & (length - 1)
      texts[to] = this.#texts[from]
      rest[to] = this.#rest[from]
      for (let index = 0; index < FIGURES; index++) figures[to * FIGURES + index] = this.#figure(from, index)
    }
    this.#texts = texts
    this.#rest = rest
    this.#figures = figures
  }

  #trimOne (): void {
    const slot = this.#slotOf(this.first)
    this.#forgotten = this.#figure(slot, 1)
    this.first++
    const isText = this.#texts[slot] !== undefined
    const rest = this.#rest[slot]
    this.#texts[slot] = this.#rest[slot] = undefined
    if (!isText && typeof rest === 'object') this.#onForgotten(rest)
  }
}

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
