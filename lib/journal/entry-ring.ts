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
  #slots: Array<HeldEntry | undefined> = []
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
    const oldest = this.get(this.first)
    return oldest === undefined ? 0 : this.through - oldest.through + sizeOf(oldest.entry)
  }

  get (seq: number): HeldEntry | undefined {
    if (seq < this.first || seq > this.top) return undefined
    return this.#slots[seq % this.#slots.length]
  }

  push (entry: Entry, textBefore: number, at: number): void {
    if (this.size === this.#slots.length) this.#makeRoom()
    this.through += sizeOf(entry)
    this.top = entry.seq
    this.#slots[entry.seq % this.#slots.length] = { entry, textBefore, through: this.through, at }
    while (this.size > 1 && this.bytes > this.#limits.maxBytes) this.#trimOne()
  }

  /** Forgets entries written before `at`. */
  trimOlderThan (at: number): void {
    for (let oldest = this.get(this.first); oldest !== undefined && oldest.at < at; oldest = this.get(this.first)) {
      this.#trimOne()
    }
    if (this.size === 0) this.#slots = []
  }

  #makeRoom (): void {
    if (this.size >= this.#limits.maxEntries) return this.#trimOne()
    const slots = new Array<HeldEntry | undefined>(Math.min(Math.max(8, this.size * 2), this.#limits.maxEntries))
    for (let seq = this.first; seq <= this.top; seq++) slots[seq % slots.length] = this.get(seq)
    this.#slots = slots
  }

  #trimOne (): void {
    const index = this.first % this.#slots.length
    const oldest = this.#slots[index]
    this.#slots[index] = undefined
    this.first++
    if (oldest !== undefined && oldest.entry.kind !== 'text') this.#onForgotten(oldest.entry)
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
