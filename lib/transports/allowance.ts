/**
 * A token bucket: so many in so long a time, and as many at once. What is over is counted too, so that whoever goes on
 * all the same can be told from one who had a busy moment.
 */
export class Allowance {
  readonly #size: number
  readonly #perMs: number
  #left: number
  #at: number

  constructor (size: number, periodMs: number, now: number) {
    this.#size = size
    this.#perMs = size / periodMs
    this.#left = size
    this.#at = now
  }

  /** Takes one; answers 0, or in how many milliseconds there is one again. */
  take (now: number): number {
    this.#left = Math.min(this.#size, this.#left + (now - this.#at) * this.#perMs)
    this.#at = now
    this.#left = Math.max(this.#left - 1, -2 * this.#size)
    return this.#left >= 0 ? 0 : Math.ceil(-this.#left / this.#perMs)
  }

  /** A whole period's worth was taken beyond what there was. */
  get isAbused (): boolean { return this.#left <= -this.#size }
}

/** What a connection may spend: of its own, and of what it shares with its owner's other connections. */
export interface Allowances {
  frames: readonly [own: Allowance, ...shared: Allowance[]]
  errors: readonly [own: Allowance, ...shared: Allowance[]]
}

/** Takes one of each; answers 0, or in how many milliseconds all have one again. */
export function spend (allowances: readonly Allowance[], now: number): number {
  let waitMs = 0
  for (const allowance of allowances) waitMs = Math.max(waitMs, allowance.take(now))
  return waitMs
}
