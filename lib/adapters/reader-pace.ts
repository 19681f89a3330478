import { setImmediate } from 'node:timers/promises'

import type { PartIterator } from '../agent/answer.js'
import { iteratorOf, type Stream } from '../agent/read-stream.js'

/** So many pieces a model may be asked for before the reader is found waiting once more. */
const AHEAD = 16

/**
 * Holds a producer up that would run ahead of its reader. The reader may be found waiting while there is something for it
 * on the way; only one that still waits in the next run of the event loop has nothing left.
 */
export class ReaderPace {
  #allowance = AHEAD
  #reads = 0
  #isWaiting = false
  #onWait: Array<() => void> = []

  /** The reader's side. */
  watched<Item> (stream: Stream<Item>): AsyncIterable<Item> {
    return {
      [Symbol.asyncIterator]: () => {
        const iterator = iteratorOf(stream)
        return { next: () => this.#read<Item>(iterator), return: async () => await closed(iterator) }
      }
    }
  }

  /** The producer's side: what a stream says, each piece when the reader has come near to it. */
  held<Item> (stream: ReadableStream<Item>): ReadableStream<Item> {
    const reader = stream.getReader()
    return new ReadableStream<Item>({
      pull: async (controller) => {
        await this.mayGoOn()
        const step = await reader.read()
        if (step.done) controller.close()
        else controller.enqueue(step.value)
      },
      cancel: (reason) => reader.cancel(reason)
    }, { highWaterMark: 0 })
  }

  /** The producer's side, where it is asked before each piece. */
  async mayGoOn (): Promise<void> {
    while (this.#allowance === 0) {
      if (!this.#isWaiting) await new Promise<void>((resolve) => { this.#onWait.push(resolve) })
      const reads = this.#reads
      await setImmediate()
      if (this.#isWaiting && this.#reads === reads) this.#allowance = AHEAD
    }
    this.#allowance--
  }

  async #read<Item> (iterator: PartIterator): Promise<IteratorResult<Item, undefined>> {
    this.#reads++
    this.#isWaiting = true
    for (const wake of this.#onWait.splice(0)) wake()
    try {
      // What was opened is a stream of these.
      return await iterator.next() as IteratorResult<Item, undefined>
    } finally {
      this.#isWaiting = false
    }
  }
}

async function closed (iterator: PartIterator): Promise<IteratorResult<never, undefined>> {
  await iterator.return?.()
  return { done: true, value: undefined }
}
