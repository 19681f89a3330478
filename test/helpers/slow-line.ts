import { setImmediate as tick } from 'node:timers/promises'

import type { Awaitable } from '../../lib/awaitable.js'
import type { Random } from '../fuzz/random.js'

/** Calls that take a random number of ticks before they have their effect, and again before they answer. */
export class SlowLine {
  readonly #random: Random
  /** The effect of the last call of each name: the next waits for it. */
  readonly #lastByName = new Map<string, Promise<unknown>>()

  constructor (random: Random) {
    this.#random = random
  }

  /** Calls of one name have their effects in the order of the calls. Their answers come as they may. */
  async call<T> (name: string, work: () => Awaitable<T>): Promise<T> {
    const before = this.#lastByName.get(name)
    const effect = (async () => {
      await before
      await this.#pause()
      return work()
    })()
    this.#lastByName.set(name, effect.catch(() => undefined))
    try {
      return await effect
    } finally {
      await this.#pause()
    }
  }

  async #pause (): Promise<void> {
    for (let ticks = this.#random.below(3); ticks > 0; ticks--) await tick()
  }
}
