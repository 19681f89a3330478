/**
 * Items in the order of their last touch, each of which knows its neighbours. A touch costs no memory and the same however
 * many there are; what is read is walked to from the newest.
 */
export class TouchOrder<T extends Ordered<T>> {
  #oldest: T | undefined
  #newest: T | undefined
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
    if (item === this.#newest) return
    this.delete(item)
    item.rank = this.#top++
    item.older = this.#newest
    if (this.#newest === undefined) this.#oldest = item
    else this.#newest.newer = item
    this.#newest = item
    this.#size++
  }

  delete (item: T): void {
    const { older, newer } = item
    if (older === undefined && this.#oldest !== item) return
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    item.older = item.newer = undefined
    this.#size--
  }

  oldest (): T | undefined {
    return this.#oldest
  }

  /** As they are now, the oldest first. */
  all (): T[] {
    const all: T[] = []
    for (let item = this.#oldest; item !== undefined; item = item.newer) all.push(item)
    return all
  }

  /** At most `limit` items of a lower rank than `end`, the newest first. */
  newest (limit: number, end: number): T[] {
    const found: T[] = []
    for (let item = this.#newest; item !== undefined && found.length < limit; item = item.older) {
      if (item.rank < end) found.push(item)
    }
    return found
  }

  /** Its items are not to be touched any more. */
  clear (): void {
    this.#oldest = this.#newest = undefined
    this.#size = 0
  }
}

/** What has its place in one order. */
export interface Ordered<T> {
  older: T | undefined
  newer: T | undefined
  /** Higher than that of every older item, and never given again. */
  rank: number
}
