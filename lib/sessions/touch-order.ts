/**
 * Items in the order of their last touch. A touch leaves a hole where the item was; the holes are swept out when they
 * outnumber the items, which keeps every step O(1) in the long run. (The keys of a `Map` have such an order too, but
 * asking it for the first one walks over all of its holes each time.)
 */
export class TouchOrder<T extends Ordered<T>> {
  #slots: Slot<T>[] = []
  #head = 0
  #top = 0
  #size = 0

  get size (): number {
    return this.#size
  }

  /** Above the rank of every item. */
  get top (): number {
    return this.#top
  }

  touch (item: T): void {
    if (item.slot !== undefined && item.slot === this.#slots[this.#slots.length - 1]) return
    this.delete(item)
    item.slot = { item, rank: this.#top++, taken: true }
    this.#slots.push(item.slot)
    this.#size++
  }

  delete (item: T): void {
    const { slot } = item
    if (slot === undefined) return
    slot.taken = false
    item.slot = undefined
    this.#size--
    if (this.#slots.length > 2 * this.#size + 8) this.#sweep()
  }

  oldest (): T | undefined {
    while (this.#slots[this.#head]?.taken === false) this.#head++
    return this.#slots[this.#head]?.item
  }

  /** At most `limit` items of a lower rank than `end`, the newest first. */
  newest (limit: number, end: number): Slot<T>[] {
    const found: Slot<T>[] = []
    for (let index = this.#indexOf(end) - 1; index >= this.#head && found.length < limit; index--) {
      const slot = this.#slots[index]
      if (slot?.taken === true) found.push(slot)
    }
    return found
  }

  clear (): void {
    for (const slot of this.#slots) {
      slot.taken = false
      slot.item.slot = undefined
    }
    this.#size = 0
    this.#sweep()
  }

  #indexOf (rank: number): number {
    let low = 0
    let high = this.#slots.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#slots[middle]?.rank ?? Infinity) < rank) low = middle + 1
      else high = middle
    }
    return low
  }

  #sweep (): void {
    this.#slots = this.#slots.filter((slot) => slot.taken)
    this.#head = 0
  }
}

/** What knows its place in one order. */
export interface Ordered<T> {
  slot: Slot<T> | undefined
}

export interface Slot<T> {
  item: T
  /** Higher than that of every slot before it, and never given again. */
  rank: number
  /** False once the item is elsewhere, or gone. */
  taken: boolean
}
