import { performance } from 'node:perf_hooks'

/** Something that is to be sent a little later, with what comes until then. */
export interface Waiting {
  pumpIfWaiting(): void
}

const PER_MS = 10

/**
 * The time of the process in tenths of a millisecond, as an integer of 32 bits that wraps around: a number with a fraction
 * would be an object of its own for each connection, which has to be fetched from memory for each piece. Not the clock that a
 * test may have stopped: this delays, and decides nothing.
 */
export function writeTime (): number {
  return (performance.now() * PER_MS) | 0
}

/** Lets what follows a write closely wait for what comes next. One timer serves all connections of a channel. */
export class Coalescer {
  readonly #ms: number
  #waiting: Waiting[] = []

  /** @param ms how long at most; 0: nothing waits */
  constructor (ms: number) {
    this.#ms = ms
  }

  /**
   * Whether it waits; then it is told when its time is over.
   * @param writtenAt when something of it was written last, by {@link writeTime}
   */
  takes (waiting: Waiting, writtenAt: number | undefined): boolean {
    if (writtenAt === undefined || ((writeTime() - writtenAt) >>> 0) >= this.#ms * PER_MS) return false
    if (this.#waiting.push(waiting) === 1) setTimeout(() => { this.#release() }, this.#ms).unref()
    return true
  }

  #release (): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) one.pumpIfWaiting()
  }
}
