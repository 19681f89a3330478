import { performance } from 'node:perf_hooks'

/** Something that is to be sent a little later, with what comes until then. */
export interface Waiting {
  pumpIfWaiting(): void
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
   * @param writtenAt when something of it was written last, by `performance.now()`
   */
  takes (waiting: Waiting, writtenAt: number): boolean {
    // The time of the process, and not the clock that a test may have stopped: this delays, and decides nothing.
    if (performance.now() - writtenAt >= this.#ms) return false
    if (this.#waiting.push(waiting) === 1) setTimeout(() => { this.#release() }, this.#ms).unref()
    return true
  }

  #release (): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) one.pumpIfWaiting()
  }
}
