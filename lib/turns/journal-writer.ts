import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Journal, NewEntry, Run } from '../journal/journal.js'
import { toError } from './within.js'

/** So much text may gather behind an append that is in flight before its run has to wait, in UTF-16 code units. */
const MAX_GATHERED_UNITS = 64 * 1024
const MAX_GATHERED_ENTRIES = 1024

/**
 * Writes a run's entries to the journal in order. While an append is in flight, what comes gathers for the next, so
 * that a journal over a network costs a round trip for many entries; one in memory answers at once and gathers nothing.
 */
export class JournalWriter {
  readonly #journal: Pick<Journal, 'append'>
  readonly #run: Run
  readonly #onFailure: (err: Error) => void
  #batch = 0
  #gathered: NewEntry[] = []
  #gatheredUnits = 0
  #inFlight: Promise<void> | undefined
  hasFailed = false

  constructor (journal: Pick<Journal, 'append'>, run: Run, onFailure: (err: Error) => void) {
    this.#journal = journal
    this.#run = run
    this.#onFailure = onFailure
  }

  get isSettled (): boolean { return this.#inFlight === undefined }

  get isFull (): boolean {
    return this.#gatheredUnits > MAX_GATHERED_UNITS || this.#gathered.length > MAX_GATHERED_ENTRIES
  }

  /** After a failure nothing more is written: what follows would have a hole before it. */
  write (entry: NewEntry): void {
    if (this.hasFailed) return
    if (this.#inFlight !== undefined) {
      this.#gathered.push(entry)
      this.#gatheredUnits += unitsOf(entry)
      return
    }
    try {
      const written = this.#journal.append(this.#run, ++this.#batch, [entry])
      if (isPromiseLike(written)) this.#inFlight = this.#commit(written)
      else if (!written) this.#fail(new Error('the right to run this turn is gone'))
    } catch (err) {
      this.#fail(toError(err))
    }
  }

  /** Settles when nothing is in flight any more. */
  async settled (): Promise<void> {
    while (this.#inFlight !== undefined) await this.#inFlight
  }

  async #commit (first: Awaitable<boolean>): Promise<void> {
    try {
      let written = await first
      while (written && this.#gathered.length > 0) {
        const entries = this.#gathered
        this.#gathered = []
        this.#gatheredUnits = 0
        written = await this.#journal.append(this.#run, ++this.#batch, entries)
      }
      this.#inFlight = undefined
      if (!written) this.#fail(new Error('the right to run this turn is gone'))
    } catch (err) {
      this.#inFlight = undefined
      this.#fail(toError(err))
    }
  }

  #fail (err: Error): void {
    if (this.hasFailed) return
    this.hasFailed = true
    this.#gathered = []
    this.#gatheredUnits = 0
    this.#onFailure(err)
  }
}

function unitsOf (entry: NewEntry): number {
  switch (entry.kind) {
    case 'text':
    case 'message': return entry.content.length
    case 'event': return entry.json.length
    case 'end': return 0
  }
}
