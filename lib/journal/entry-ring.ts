import type { Entry } from './journal.js'

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
/** Rough cost of an entry beside its strings, in bytes: the objects that hold it. Measured at 90–130 on Node 20. */
const ENTRY_OVERHEAD = 120

/** The newest entries of one session: grows as it is used, forgets the oldest at its limits, shrinks when emptied. */
export class EntryRing {
  /** The last seq ever written. */
  top = 0
  /** The first seq still held; `top + 1` when none is. */
  first = 1
  /** Sum of all sizes ever written. */
  through = 0
  #entries: Array<Entry | undefined> = []
  /**
   * What is kept beside each entry, FIGURES numbers for one. All in one array of doubles: an object for each entry, and
   * one for each of its numbers, would live as long as it does, and was half of a burst's garbage collection.
   */
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
    if (seq < this.first || seq > this.top) return undefined
    const slot = this.#slotOf(seq)
    const entry = this.#entries[slot]
    if (entry === undefined) return undefined
    return { entry, textBefore: this.#figure(slot, 0), through: this.#figure(slot, 1), at: this.#figure(slot, 2) }
  }

  /** The same without what is kept beside it. */
  entryAt (seq: number): Entry | undefined {
    return seq < this.first || seq > this.top ? undefined : this.#entries[this.#slotOf(seq)]
  }

  /** Of an entry that is held. */
  textBefore (seq: number): number { return this.#figure(this.#slotOf(seq), 0) }

  /** Of an entry that is held. */
  throughAt (seq: number): number { return this.#figure(this.#slotOf(seq), 1) }

  push (entry: Entry, textBefore: number, at: number): void {
    if (this.size === this.#entries.length || this.size >= this.#limits.maxEntries) this.#makeRoom()
    this.through += sizeOf(entry)
    this.top = entry.seq
    const slot = this.#slotOf(entry.seq)
    this.#entries[slot] = entry
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
    if (this.size > 0 || this.#entries.length === 0) return
    this.#entries = []
    this.#figures = []
  }

  /** Forgets entries up to and including that one. */
  trimThrough (seq: number): void {
    while (this.first <= seq && this.size > 0) this.#trimOne()
  }

  /** There are as many slots as some power of two: a division for each entry would be felt. */
  #slotOf (seq: number): number {
    return seq & (this.#entries.length - 1)
  }

  #figure (slot: number, index: number): number {
    return this.#figures[slot * FIGURES + index] ?? NaN
  }

  #makeRoom (): void {
    if (this.size >= this.#limits.maxEntries) return this.#trimOne()
    const length = Math.max(8, this.#entries.length * 2)
    const entries = new Array<Entry | undefined>(length)
    // Filled with what is no integer, which makes V8 keep the numbers themselves in it.
    const figures = new Array<number>(length * FIGURES).fill(NaN)
    for (let seq = this.first; seq <= this.top; seq++) {
      const held = this.get(seq)
      if (held === undefined) continue
      const slot = seq & (length - 1)
      entries[slot] = held.entry
      figures[slot * FIGURES] = held.textBefore
      figures[slot * FIGURES + 1] = held.through
      figures[slot * FIGURES + 2] = held.at
    }
    this.#entries = entries
    this.#figures = figures
  }

  #trimOne (): void {
    const slot = this.#slotOf(this.first)
    const oldest = this.#entries[slot]
    this.#entries[slot] = undefined
    this.#forgotten = this.#figure(slot, 1)
    this.first++
    if (oldest !== undefined && oldest.kind !== 'text') this.#onForgotten(oldest)
  }
}

function sizeOf (entry: Entry): number {
  switch (entry.kind) {
    case 'text':
    case 'message': return ENTRY_OVERHEAD + 2 * entry.content.length
    case 'event': return ENTRY_OVERHEAD + 2 * entry.json.length
    case 'end': return ENTRY_OVERHEAD + 2 * (entry.end.content?.length ?? 0)
  }
}
