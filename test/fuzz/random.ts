/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number from 0 to `end` - 1. */
  below (end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * end)
  }

  /** True so many times in a thousand. */
  perMille (times: number): boolean {
    return this.below(1_000) < times
  }

  pick<T> (items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0]
  }

  bytes (length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }
}
