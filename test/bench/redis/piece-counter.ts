import { sharedNow } from '../agents.js'
import { MARK } from './source.js'

const [ZERO, NINE, END] = ['0', '9', MARK].map((character) => character.charCodeAt(0)) as [number, number, number]

/** Counts pieces in bytes, whatever they are wrapped in, and however they are cut. */
export class PieceCounter {
  /** Pieces that have come. */
  pieces = 0
  /** Each has the number of those before it. */
  isInOrder = true
  /** How late each of them was, in milliseconds, where they say when they were due. */
  readonly delays: number[] = []
  readonly #saysWhen: boolean
  #number = 0

  constructor (saysWhen: boolean) {
    this.#saysWhen = saysWhen
  }

  take (bytes: Buffer, start = 0, end = bytes.length): void {
    for (let at = start; at < end; at++) {
      const byte = bytes[at] ?? 0
      if (byte >= ZERO && byte <= NINE) this.#number = this.#number * 10 + byte - ZERO
      else {
        if (byte === END) this.#count()
        this.#number = 0
      }
    }
  }

  #count (): void {
    if (this.#number !== this.pieces++) this.isInOrder = false
    if (this.#saysWhen) this.delays.push(sharedNow() - this.#number / 1_000)
  }
}
