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

/** How much may be spent: frames in a second, bad ones in a minute. */
export interface AllowanceSizes {
  frames: number
  errors: number
}

/** What a connection may spend: of its own, and of what it shares with its owner's other connections. */
export class Allowances {
  readonly frames: Allowance
  // Made with the first bad frame: most clients send none.
  #errors: Allowance | undefined
  readonly #sizes: AllowanceSizes
  readonly #shared: Allowances | undefined

  constructor (sizes: AllowanceSizes, now: number, shared?: Allowances) {
    this.#sizes = sizes
    this.#shared = shared
    this.frames = new Allowance(sizes.frames, 1_000, now)
  }

  /** Takes one frame of its own, and of what is shared; answers 0, or in how many milliseconds there is one of both again. */
  takeFrame (now: number): number {
    const waitMs = this.frames.take(now)
    return this.#shared === undefined ? waitMs : Math.max(waitMs, this.#shared.takeFrame(now))
  }

  /** The same for a bad frame. */
  takeError (now: number): number {
    const waitMs = (this.#errors ??= new Allowance(this.#sizes.errors, 60_000, now)).take(now)
    return this.#shared === undefined ? waitMs : Math.max(waitMs, this.#shared.takeError(now))
  }
}
