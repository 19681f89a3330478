import type { Clock } from '../clock.js'
import type { Journal, Run } from '../journal/journal.js'
import type { JournalWriter } from './journal-writer.js'
import { loopTurn } from './loop-turns.js'

export interface PaceTools {
  journal: Pick<Journal, 'pace'>
  limits: { slowConsumerTimeoutMs: number }
  clock: Clock
}

/** So many parts are taken before the run looks whether its readers can follow. */
const PARTS_PER_LOOK = 128
/** So many parts are taken before the run looks at the clock. */
const PARTS_PER_SLICE_LOOK = 8
/** An executor that never waits would keep everybody else from the event loop; so long it may, and until the next look. */
const SLICE_MS = 10

/** Whether so many parts are a time to look: all others cost no more than this, and touch nothing of the pace. */
export function isLookDue (parts: number): boolean {
  return parts % PARTS_PER_SLICE_LOOK === 0
}

/**
 * Whether a look finds nothing to wait for, as mostly at the first: that needs no pace.
 * @param since when the run's parts began to come, or a little before
 * @param inTurn the turn of the event loop in which they did
 */
export function isEarly (parts: number, now: number, since: number, inTurn: number): boolean {
  return parts < PARTS_PER_LOOK && now - since < SLICE_MS && inTurn === loopTurn()
}

/** When a run has to wait: for appends to land, for its readers to catch up, for the rest of the process to have its turn. */
export class RunPace {
  readonly #run: Run
  readonly #writer: JournalWriter
  readonly #tools: PaceTools
  #sliceStart: number
  #loopTurn: number
  #waiting: { since: number, release: () => void } | undefined
  /** The readers have kept the run waiting for as long as they may. */
  #runsFree = false
  #isOver = false

  /**
   * @param since when its parts began to come, or a little before
   * @param inTurn the turn of the event loop in which they did
   */
  constructor (run: Run, writer: JournalWriter, tools: PaceTools, since = tools.clock.now(), inTurn = loopTurn()) {
    this.#run = run
    this.#writer = writer
    this.#tools = tools
    this.#sliceStart = since
    this.#loopTurn = inTurn
  }

  /** The parts that are taken from now on take from the time of all others. */
  #startSlice (): void {
    // A whole number needs no memory of its own.
    this.#sliceStart = Math.floor(this.#tools.clock.now())
    this.#loopTurn = loopTurn()
  }

  /** Whether {@link pause} has something to do after so many parts. */
  isDue (parts: number): boolean {
    return parts % PARTS_PER_LOOK === 0 || this.#isSliceOver(parts)
  }

  async pause (parts: number): Promise<void> {
    const wasFull = this.#writer.isFull
    if (wasFull) await this.#writer.settled()
    if (wasFull || parts % PARTS_PER_LOOK === 0) await this.#letReadersFollow()
    if (this.#isSliceOver(parts)) await this.#breathe()
  }

  /** The watchdog's look at a run: whether it waits for its readers. */
  watch (now: number): boolean {
    if (this.#waiting === undefined) return false
    if (now - this.#waiting.since >= this.#tools.limits.slowConsumerTimeoutMs) {
      this.#runsFree = true
      this.#waiting.release()
    }
    return true
  }

  /** The turn is over: nothing is waited for any more. */
  release (): void {
    this.#isOver = true
    this.#waiting?.release()
  }

  #isSliceOver (parts: number): boolean {
    if (!isLookDue(parts)) return false
    // Where the loop has turned its executor has waited, and the others had their time.
    if (loopTurn() !== this.#loopTurn) this.#startSlice()
    return this.#tools.clock.now() - this.#sliceStart >= SLICE_MS
  }

  async #letReadersFollow (): Promise<void> {
    const pace = this.#tools.journal.pace(this.#run)
    if (pace === undefined) this.#runsFree = false
    else if (!this.#runsFree && !this.#isOver) await this.#waitFor(pace)
  }

  async #waitFor (pace: Promise<void>): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting = { since: this.#tools.clock.now(), release: resolve }
      void pace.then(resolve)
    })
    this.#waiting = undefined
  }

  /** Lets the rest of the process run. */
  async #breathe (): Promise<void> {
    await new Promise((resolve) => { setImmediate(resolve) })
    this.#startSlice()
  }
}
