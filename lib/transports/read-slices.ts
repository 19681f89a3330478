import { AsyncResource } from 'node:async_hooks'

import type { Clock } from '../clock.js'
import { pumpBehind } from './pump-queue.js'

/** What has frames left that it has read. */
export interface LateReader {
  /** Handles what it may, one frame at least, and goes on until {@link ReadSlices.isOver}. Must not throw. */
  readOn (now: number): void
  /** Others have their turn before it: nothing more is to be read until it has had its own. */
  hold (): void
}

/** So long frames are handled in one run of the event loop, in milliseconds. */
const SLICE_MS = 5
/** So many connections are heard in one: what they set going by promises runs behind that, and no clock is asked before. */
const MOST_READERS = 64

/**
 * Shares the event loop between what is asked and what runs. The loop hands over all that it has read at once. It is handled
 * behind that, and what is to be said to it behind that: fifty times the same is done faster than fifty times everything, since
 * the code of a whole turn is more than a processor's cache holds (measured: short turns took a sixth less). And no longer
 * than a slice: after a reconnect of everybody a thousand turns would begin before the pieces of those that run had theirs
 * (measured: pieces were up to 350 ms late then, with slices up to 100).
 */
export class ReadSlices {
  readonly #clock: Pick<Clock, 'now'>
  /** What the host does in answer must not find the async context of another connection, which happened to be read first. */
  readonly #scope = new AsyncResource('fastify-ws-channel')
  #waiting: LateReader[] = []
  /** So many of the first of them are held. */
  #held = 0
  /** When the slice ends. */
  #end = 0

  constructor (clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Whether the next frame has to wait for another run of the loop. */
  isOver (now: number): boolean { return now >= this.#end }

  /** When the loop has read all that there is it reads on, after those that wait already. Once for each call. */
  wait (reader: LateReader): void {
    if (this.#waiting.push(reader) === 1) this.#runSoon()
  }

  #runSoon (): void {
    setImmediate(this.#onTurn)
    pumpBehind()
  }

  readonly #onTurn = (): void => { this.#scope.runInAsyncScope(this.#run, this) }

  /** Whoever has had its part of the slice and waits again comes behind those that the slice was too short for. */
  #run (): void {
    const readers = this.#waiting
    this.#waiting = []
    let now = this.#clock.now()
    this.#end = now + SLICE_MS
    let done = 0
    try {
      while (done < readers.length && done < MOST_READERS && (done === 0 || !this.isOver(now))) {
        readers[done++]?.readOn(now)
        now = this.#clock.now()
      }
    } finally {
      if (done < readers.length) this.#putBack(readers, done, now)
      else this.#held = 0
    }
  }

  /** Those that have to wait longer; what has come meanwhile has a run of its own, if it is the first. */
  #putBack (readers: LateReader[], done: number, now: number): void {
    const left = readers.slice(done)
    const held = Math.max(0, this.#held - done)
    // Where there was time, and only too many of them, all are heard soon enough.
    const isToHold = this.isOver(now)
    if (isToHold) for (let i = held; i < left.length; i++) left[i]?.hold()
    this.#held = isToHold ? left.length : held
    if (this.#waiting.length === 0) this.#runSoon()
    this.#waiting = left.concat(this.#waiting)
  }
}
