import type { Clock } from '../clock.js'

/** What has frames left that it has read. */
export interface LateReader {
  /** Handles them until {@link ReadSlices.isOver}. Must not throw. */
  readOn(): void
}

/** So long frames are handled in one run of the event loop, in milliseconds. */
const SLICE_MS = 5

/**
 * Shares the event loop between what is asked and what runs. The loop hands over all that it has read at once: after a
 * reconnect of everybody it would begin a thousand turns before the pieces of those that run had theirs (measured: pieces
 * were up to 350 ms late then, with slices up to 100).
 */
export class ReadSlices {
  readonly #clock: Pick<Clock, 'now'>
  /** When the slice of this run of the loop ends, once a frame has begun it. */
  #end: number | undefined
  readonly #waiting = new Set<LateReader>()

  constructor (clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Whether the next frame has to wait for another run of the loop. */
  isOver (now: number): boolean {
    if (this.#end !== undefined) return now >= this.#end
    this.#end = now + SLICE_MS
    setImmediate(() => { this.#next() })
    return false
  }

  /** In the next run of the loop it reads on, after those that wait already. */
  wait (reader: LateReader): void {
    this.#waiting.add(reader)
  }

  /** Whoever has had its part of the slice and waits again comes behind those that the slice was too short for. */
  #next (): void {
    this.#end = undefined
    for (const reader of this.#waiting) {
      if (this.isOver(this.#clock.now())) return
      this.#waiting.delete(reader)
      reader.readOn()
    }
  }
}
