import type { FrameBatch } from './frame-bytes.js'
import type { FrameSource } from './outbox.js'
import type { PlainAnswer } from './plain-answer.js'

/**
 * The plain answers of one connection and agent, one after the other: nothing in their frames could tell them apart.
 */
export class PlainLane implements FrameSource {
  readonly #answers: PlainAnswer[] = []

  /** Answers that have not been told to their end. */
  get length (): number { return this.#answers.length }

  add (answer: PlainAnswer): void {
    this.#answers.push(answer)
  }

  next (isBehind: boolean, batch?: FrameBatch): ReturnType<FrameSource['next']> {
    const [first] = this.#answers
    if (first === undefined) return undefined
    const frame = first.next(isBehind, batch)
    if (first.isDone) {
      this.#answers.shift()
      first.onTold?.()
    }
    return frame
  }

  close (): void {
    for (const answer of this.#answers.splice(0)) answer.close()
  }
}
