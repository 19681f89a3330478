import type { Usage } from '../protocol/server-frames.js'

type Count = keyof Usage
/** What a model reported of one call; what it did not report may be anything that is no number. */
export type Counts = Partial<Record<Count, number | null | undefined>>

/** What the calls of a turn have cost together. */
export class UsageSum {
  readonly #sums: Partial<Record<Count, number>> = {}

  add (counts: Counts): void {
    for (const [name, count] of Object.entries(counts) as Array<[Count, number | null | undefined]>) {
      if (typeof count === 'number') this.#sums[name] = (this.#sums[name] ?? 0) + count
    }
  }

  /** `undefined` unless both directions were reported. */
  get usage (): Usage | undefined {
    const { inputTokens, outputTokens } = this.#sums
    return inputTokens === undefined || outputTokens === undefined ? undefined : { ...this.#sums, inputTokens, outputTokens }
  }
}
