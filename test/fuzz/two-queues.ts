/**
 * Two queues whose items come out mixed, each queue in its own order. Where one answer would do for the heads of both,
 * it cannot be told which was meant: every possibility is followed until only one is left.
 */
export class TwoQueues<T> {
  readonly #first: T[] = []
  readonly #second: T[] = []
  #taken = 0
  /** How many of those taken may have been of the first queue. */
  #ofFirst = new Set([0])

  get open (): number {
    return this.#first.length + this.#second.length - this.#taken
  }

  /** Items of the first queue that are there for certain. */
  get openOfFirst (): T[] {
    return this.#first.slice(Math.max(...this.#ofFirst))
  }

  /** What comes next, of either. */
  get heads (): T[] {
    const first = this.#first[Math.max(...this.#ofFirst)]
    const second = this.#second[this.#taken - Math.min(...this.#ofFirst)]
    return [first, second].filter((item) => item !== undefined)
  }

  addFirst (item: T): void {
    this.#first.push(item)
  }

  addSecond (item: T): void {
    this.#second.push(item)
  }

  /** Takes a head that fits; answers whether there was one. */
  take (fits: (item: T) => boolean): boolean {
    const ofFirst = new Set<number>()
    for (const count of this.#ofFirst) {
      const first = this.#first[count]
      const second = this.#second[this.#taken - count]
      if (first !== undefined && fits(first)) ofFirst.add(count + 1)
      if (second !== undefined && fits(second)) ofFirst.add(count)
    }
    if (ofFirst.size === 0) return false
    this.#ofFirst = ofFirst
    this.#taken++
    this.#forget()
    return true
  }

  /** What every possibility has taken need not be kept. */
  #forget (): void {
    const first = Math.min(...this.#ofFirst)
    const second = this.#taken - Math.max(...this.#ofFirst)
    this.#first.splice(0, first)
    this.#second.splice(0, second)
    this.#taken -= first + second
    this.#ofFirst = new Set([...this.#ofFirst].map((count) => count - first))
  }
}
