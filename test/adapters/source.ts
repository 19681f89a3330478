import { setImmediate } from 'node:timers/promises'

import { deferred, type Deferred } from '../helpers/deferred.js'

/** What a model says, whatever the SDK calls it. */
export type Piece =
  | { text: string }
  | { reasoning: string }
  | { begin: { id: string, name: string } }
  | { input: { id: string, text: string } }
  | { whole: { id: string, name: string, text: string } }
  | { end: 'stop' | 'length' | 'content-filter' | 'tool-calls' }

export const USAGE = { inputTokens: 3, outputTokens: 5, totalTokens: 8, reasoningTokens: 1, cachedInputTokens: 2 }

/** The provider behind an SDK: says its pieces one by one, when it is asked, and writes down what happens to it. */
export class Source {
  /** `pull` for each piece that it was asked for, and `abort`. */
  readonly seen: string[] = []
  readonly #pieces: Iterator<Piece>
  readonly #failure: unknown
  readonly #aborted = deferred<never>()
  #held: { after: number, gate: Deferred<void> } | undefined

  /** @param failure thrown in place of the end */
  constructor (pieces: Iterable<Piece>, failure?: unknown) {
    this.#pieces = pieces[Symbol.iterator]()
    this.#failure = failure
    this.#aborted.promise.catch(() => { /* nobody may be waiting for a piece */ })
  }

  get pulls (): number { return this.seen.filter((what) => what === 'pull').length }

  /** From then on it does not answer until it is released. */
  holdAfter (pulls: number): void {
    this.#held = { after: pulls, gate: deferred() }
  }

  release (): void {
    this.#held?.gate.resolve()
  }

  /** An abort ends it as it ends a request: nothing more comes. */
  heed (signal: AbortSignal | null | undefined): void {
    signal?.addEventListener('abort', () => {
      this.seen.push('abort')
      this.#aborted.reject(signal.reason as Error)
    }, { once: true })
  }

  async next (): Promise<Piece | undefined> {
    this.seen.push('pull')
    await Promise.race([this.#aborted.promise, this.#ready()])
    const step = this.#pieces.next()
    if (step.done !== true) return step.value
    if (this.#failure !== undefined) throw this.#failure as Error
    return undefined
  }

  /** A provider answers from the network: never in the same run of the event loop. */
  async #ready (): Promise<void> {
    const held = this.#held
    await setImmediate()
    if (held !== undefined && this.pulls > held.after) await held.gate.promise
  }

  /** Its pieces as an SDK's own, for who pulls them. Nothing is read ahead. */
  stream<Item> (encode: (piece: Piece) => Item[], atEnd: Item[] = []): ReadableStream<Item> {
    return new ReadableStream<Item>({
      pull: async (controller) => {
        let items: Item[] = []
        for (let isOver = false; items.length === 0 && !isOver;) {
          const piece = await this.next()
          isOver = piece === undefined
          items = piece === undefined ? atEnd : encode(piece)
          for (const item of items) controller.enqueue(item)
          if (isOver) controller.close()
        }
      }
    }, { highWaterMark: 0 })
  }
}

export function * texts (...pieces: string[]): Generator<Piece> {
  for (const text of pieces) yield { text }
  yield { end: 'stop' }
}

export function * endless (): Generator<Piece> {
  for (let number = 1; ; number++) yield { text: `${number} ` }
}
