import { setImmediate as tick } from 'node:timers/promises'

import type { Answer, Executor } from '../../lib/agent/executor.js'
import { deferred, type Deferred } from './deferred.js'

/** An agent whose answers a test gives, by message. */
export class Desk {
  readonly called: string[] = []
  readonly #answers = new Map<string, Deferred<Answer>>()
  readonly executor: Executor = (turn) => {
    this.called.push(turn.message)
    return this.#at(turn.message).promise
  }

  async answer (message: string, answer: Answer): Promise<void> {
    this.#at(message).resolve(answer)
    await tick()
  }

  #at (message: string): Deferred<Answer> {
    let answer = this.#answers.get(message)
    if (answer === undefined) this.#answers.set(message, answer = deferred())
    return answer
  }
}
