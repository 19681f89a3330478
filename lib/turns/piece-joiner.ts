import { hasSurrogates } from './utf8-length.js'

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff

/**
 * Makes pieces of text that can each be written as UTF-8. A model's pieces may cut a character in two; written alone,
 * both halves would be lost for good.
 */
export class PieceJoiner {
  /** A high surrogate that ended the last piece. */
  #held = ''

  /** What can be passed on now; may be empty. */
  take (piece: string): string {
    if (this.#held === '' && !hasSurrogates(piece)) return piece
    if (piece === '') return ''
    let text = this.#held === '' ? piece : this.#held + piece
    this.#held = ''
    if (isHighSurrogate(text.charCodeAt(text.length - 1))) {
      this.#held = text.slice(-1)
      text = text.slice(0, -1)
    }
    return text.toWellFormed()
  }

  /** What is left at the end: a half whose other half never came. */
  rest (): string {
    const rest = this.#held.toWellFormed()
    this.#held = ''
    return rest
  }
}
