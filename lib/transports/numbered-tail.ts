import { bytesOf } from './frame-bytes.js'

const ZERO = 0x30
const MOST_INT32 = 0x7fff_ffff

/**
 * The end of frames that are numbered: a text, a number and a closing brace, as bytes. The next number is mostly the one
 * before plus 1, and then one digit is changed: writing all of them anew took as long as the text of a short piece.
 */
export class NumberedTail {
  readonly #text: string
  readonly #firstDigit: number
  #bytes: Uint8Array
  #number = 0

  constructor (text: string) {
    this.#text = text
    this.#firstDigit = bytesOf(text).length
    this.#bytes = this.#written(0)
  }

  /** The bytes with this number in them, until they are asked for again. */
  at (number: number): Uint8Array {
    const more = number - this.#number
    if (more < 0 || more > MOST_INT32 || !this.#add(more)) this.#bytes = this.#written(number)
    this.#number = number
    return this.#bytes
  }

  /** As one adds on paper, from the last digit on. `false`: it takes a digit more. */
  #add (more: number): boolean {
    const bytes = this.#bytes
    let carry = more
    for (let i = bytes.length - 2; carry > 0 && i >= this.#firstDigit; i--) {
      const sum = (bytes[i] ?? ZERO) - ZERO + carry
      carry = sum / 10 | 0
      bytes[i] = ZERO + sum - carry * 10
    }
    return carry === 0
  }

  #written (number: number): Uint8Array {
    return bytesOf(`${this.#text}${number}}`)
  }
}
