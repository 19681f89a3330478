import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { TurnEnd } from '../journal/journal.js'
import type { AnswerRecord } from './answer-record.js'
import type { JournalWriter } from './journal-writer.js'
import { failedEnd } from './turn-end.js'
import type { TurnHistory } from './turn-history.js'

export interface TurnEndingOwner {
  /** A failure of ours or of the store. */
  onFailure (err: unknown, text: string): void
}

/** Keeps the answer of a turn, then writes its end: an end is never seen without its answer. */
export class TurnEnding {
  readonly #record: AnswerRecord
  readonly #writer: JournalWriter
  readonly #history: TurnHistory
  readonly #owner: TurnEndingOwner

  constructor (record: AnswerRecord, writer: JournalWriter, history: TurnHistory, owner: TurnEndingOwner) {
    this.#record = record
    this.#writer = writer
    this.#history = history
    this.#owner = owner
  }

  /**
   * Never rejects; at once where journal and store answer at once.
   * @returns how the turn ended, if the journal could not be told
   */
  write (decided: TurnEnd): Awaitable<TurnEnd | undefined> {
    try {
      const rest = this.#record.rest()
      if (rest !== '') this.#writer.add({ kind: 'text', content: rest })
      const settled = this.#writer.settle()
      const kept = isPromiseLike(settled) ? settled.then(() => this.#keepAnswer(decided)) : this.#keepAnswer(decided)
      if (!isPromiseLike(kept)) return this.#writeEnd(kept)
      return kept.then((end) => this.#writeEnd(end)).then(undefined, (err: unknown) => this.#failed(err))
    } catch (err) {
      return this.#failed(err)
    }
  }

  /** @returns how the turn ends: otherwise than was decided where the answer cannot be kept */
  #keepAnswer (decided: TurnEnd): Awaitable<TurnEnd> {
    const [content, metadata] = [this.#record.answer(this.#writer.messages), this.#record.metadata()]
    if (content === '' && metadata === undefined) return decided
    // What had gathered when the journal failed is missing in it.
    const isComplete = isWellEnded(decided) && !this.#writer.hasFailed
    try {
      const kept = this.#history.keepAnswer(content, isComplete, metadata)
      return isPromiseLike(kept) ? kept.then(() => decided, (err: unknown) => this.#notKept(err, decided)) : decided
    } catch (err) {
      return this.#notKept(err, decided)
    }
  }

  #notKept (err: unknown, decided: TurnEnd): TurnEnd {
    this.#owner.onFailure(err, 'the session store failed to keep an answer')
    return isWellEnded(decided) ? failedEnd('STORE_UNAVAILABLE') : decided
  }

  #writeEnd (end: TurnEnd): Awaitable<TurnEnd | undefined> {
    this.#writer.add({ kind: 'end', end })
    const settled = this.#writer.settle()
    return isPromiseLike(settled) ? settled.then(() => this.#unwritten()) : this.#unwritten()
  }

  #unwritten (): TurnEnd | undefined {
    if (!this.#writer.hasFailed) return undefined
    return failedEnd(this.#writer.isFenced ? 'TURN_LOST' : 'STORE_UNAVAILABLE')
  }

  #failed (err: unknown): TurnEnd {
    this.#owner.onFailure(err, 'a turn could not be ended')
    return failedEnd('INTERNAL')
  }
}

function isWellEnded ({ error, finishReason }: TurnEnd): boolean {
  return error === undefined && finishReason !== 'aborted'
}
