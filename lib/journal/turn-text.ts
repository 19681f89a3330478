import { BlockText } from '../block-text.js'

/**
 * The most text that one catch-up step carries, in UTF-16 code units: at most 64 KiB of UTF-8, whatever the script.
 */
export const MERGE_UNITS = 21_845

/** How much is held as a string before it becomes bytes, in UTF-16 code units: short answers that come at once never do. */
const LOOSE_UNITS = 128
/**
 * How often it may grow before that, where an answer comes bit by bit: pieces that wait for longer live through two
 * collections, and fill the old generation.
 */
const LOOSE_TIMES = 3
/** What came at once and is longer becomes bytes when it ends, in UTF-16 code units; what is no longer in bytes, a string. */
const MOST_STRING_UNITS = 512

/**
 * The whole text of one turn, kept as bytes outside the heap. Pieces that were kept would outlive the young
 * generation, and each collection would copy some; and strings that stay among others that go leave a heap full of holes
 * (measured with 200 turns of 2.4 MiB: RSS of 6.4 MiB each).
 */
export class TurnText {
  // What every piece touches stands together.
  /** Length in UTF-16 code units. */
  length = 0
  #loose = ''
  #looseTimes = 0
  #openLength = 0
  #openSeq = 0
  /** Of what is not sealed yet what is bytes; what follows is `#loose`. */
  #packed: BlockText | undefined
  #sealed: Sealed[] | undefined

  /** @param piece well-formed: half a character becomes U+FFFD */
  append (piece: string, seq: number): void {
    if (this.#openLength > 0 && this.#openLength + piece.length > MERGE_UNITS) this.#seal()
    let rest = piece
    while (rest.length > MERGE_UNITS) {
      const cut = isHighSurrogate(rest.charCodeAt(MERGE_UNITS - 1)) ? MERGE_UNITS - 1 : MERGE_UNITS
      // An entry is covered when all of it is; what lies between it and the text before may be no entry of the reader's.
      this.#add(rest.slice(0, cut), this.#openSeq)
      this.#seal()
      rest = rest.slice(cut)
    }
    this.#add(rest, seq)
  }

  /**
   * To be called after what was written at once: one call for many pieces costs what it costs for one.
   * @param isFirst nothing was written before
   */
  pack (isFirst: boolean): void {
    if (this.#loose.length === 0) return
    if (this.#loose.length >= LOOSE_UNITS || (!isFirst && ++this.#looseTimes >= LOOSE_TIMES)) this.#pack()
  }

  /**
   * Nothing more is appended.
   * @returns what is to be kept of it
   */
  close (): TurnText | string {
    if (this.#loose.length >= LOOSE_UNITS && this.length > MOST_STRING_UNITS) this.#pack()
    // A short one is smaller as a string. A longer one keeps the room that is left: most are forgotten soon.
    if (this.#sealed === undefined && this.#packed !== undefined && this.#packed.bytes <= MOST_STRING_UNITS) {
      this.#loose = this.#openText()
      this.#packed.forget()
    }
    // A string that was joined is kept as its pieces, 32 bytes each, until somebody reads a character of it.
    this.#loose.charCodeAt(0)
    return this.#loose.length === this.length ? this.#loose : this
  }

  /** What follows offset `from`, up to `to` or the end of its block, and the last entry that it covers. */
  step (from: number, to: number): TextStep | undefined {
    if (from >= to) return undefined
    const sealed = this.#sealed?.[this.#sealedAt(from)]
    const content = sealed?.text.toString() ?? this.#openText()
    const contentFrom = sealed?.from ?? this.length - this.#openLength
    const step = content.slice(from - contentFrom, to - contentFrom)
    return step === '' ? undefined : { content: step, seq: sealed?.seq ?? this.#openSeq }
  }

  /** Nobody reads it any more: nothing of it can be told. */
  forget (): void {
    for (const { text } of this.#sealed ?? []) text.forget()
    this.#packed?.forget()
    this.#sealed = undefined
    this.#loose = ''
    this.length = this.#openLength = 0
  }

  toString (): string {
    return this.#sealed === undefined ? this.#openText() : this.#sealed.map(({ text }) => text.toString()).join('') + this.#openText()
  }

  #add (text: string, seq: number): void {
    this.#loose += text
    this.#openLength += text.length
    this.#openSeq = seq
    this.length += text.length
  }

  #pack (): BlockText {
    const packed = this.#packed ??= new BlockText()
    packed.append(this.#loose)
    this.#loose = ''
    this.#looseTimes = 0
    return packed
  }

  #seal (): void {
    const { length } = this
    const sealed = { text: this.#pack(), from: length - this.#openLength, to: length, seq: this.#openSeq }
    if (this.#sealed === undefined) this.#sealed = [sealed]
    else this.#sealed.push(sealed)
    this.#packed = undefined
    this.#openLength = 0
  }

  #openText (): string {
    return this.#packed === undefined ? this.#loose : this.#packed.toString() + this.#loose
  }

  /** Index of the sealed part that holds offset `from`, or the number of them when what is open does. */
  #sealedAt (from: number): number {
    let low = 0
    let high = this.#sealed?.length ?? 0
    while (low < high) {
      const middle = (low + high) >> 1
      const sealed = this.#sealed?.[middle]
      if (sealed !== undefined && sealed.to <= from) low = middle + 1
      else high = middle
    }
    return low
  }
}

export interface TextStep {
  content: string
  seq: number
}

/**
 * See `TurnText.step`.
 * @param seq what it says of a string, which is all of a text that has ended: the last entry before that end
 */
export function stepOf (text: TurnText | string, from: number, to: number, seq: number): TextStep | undefined {
  if (typeof text !== 'string') return text.step(from, to)
  return from >= to ? undefined : { content: text.slice(from, to), seq }
}

function isHighSurrogate (unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

interface Sealed {
  readonly text: BlockText
  /** Where it begins and ends in the turn's text, in UTF-16 code units. */
  readonly from: number
  readonly to: number
  /** The last entry that it covers. */
  readonly seq: number
}
