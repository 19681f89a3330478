import type { FrameBatch } from './frame-bytes.js'
import type { FrameSource } from './frame-source.js'
import type { PlainAnswer } from './plain-answer.js'

/**
 * The plain answers of one connection and agent, one after the other: nothing in their frames could tell them apart.
 */
export class PlainLane implements FrameSource {
  readonly agentId: string
  /** What is told now, and what waits for its end. */
  #first: PlainAnswer | undefined
  #waiting: PlainAnswer[] | undefined

  constructor (agentId: string) {
    this.agentId = agentId
  }

  /** Answers that have not been told to their end. */
  get length (): number { return this.#first === undefined ? 0 : 1 + (this.#waiting?.length ?? 0) }

  add (answer: PlainAnswer): void {
    if (this.#first === undefined) this.#first = answer
    else (this.#waiting ??= []).push(answer)
  }

  next (isBehind: boolean, batch?: FrameBatch): ReturnType<FrameSource['next']> {
    const first = this.#first
    if (first === undefined) return undefined
    const frame = first.next(isBehind, batch)
    if (first.isDone) {
      this.#first = this.#waiting?.shift()
      first.onTold?.()
    }
    return frame
  }

  close (): void {
    this.#first?.close()
    for (const answer of this.#waiting ?? []) answer.close()
    this.#first = this.#waiting = undefined
  }
}
