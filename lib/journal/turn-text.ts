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
/**
 * The room that is made for bytes at first, in a block of Node's pool that others share: one of its own costs more than what is
 * in it. A turn that is all that is left there holds 8 KiB.
 */
const SHARED_BYTES = 512
/** What came at once and is longer becomes bytes when it ends, in UTF-16 code units. */
const MOST_STRING_UNITS = 512
/** A text that outgrows that is copied into a block of its own, of at least so many bytes. */
const OWN_BYTES = 1_024
/**
 * Further blocks stand beside that, each half as long as all before it, and no longer than this: what is outgrown and copied
 * would be held until it is collected (measured with 1,000 turns of 4 KB: 9 MiB of buffers, and 5 without).
 */
const MOST_BYTES = 16_384

/**
 * The whole text of one turn, kept in blocks of bytes outside the heap. Pieces that were kept would outlive the young
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
  /** The last block of what is not sealed yet: its first `#filled` bytes are text, and what follows is `#loose`. */
  #open: Buffer = EMPTY
  #filled = 0
  /** The blocks before it, in order, and how many bytes they are. Each holds whole characters. */
  #full: readonly Buffer[] = NONE
  #fullBytes = 0
  #blocks: Block[] | undefined

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
    // A short one is smaller as a string, and what is kept for long must not hold what others have shared with it. A longer one
    // keeps the room that is left, a quarter of it: most are forgotten soon, and a copy would be one more until then.
    if (this.#open.length <= SHARED_BYTES && this.#fullBytes === 0) {
      this.#loose = this.#openText()
      this.#open = EMPTY
      this.#filled = 0
    }
    // A string that was joined is kept as its pieces, 32 bytes each, until somebody reads a character of it.
    this.#loose.charCodeAt(0)
    return this.#loose.length === this.length ? this.#loose : this
  }

  /** What follows offset `from`, up to `to` or the end of its block, and the last entry that it covers. */
  step (from: number, to: number): TextStep | undefined {
    if (from >= to) return undefined
    const block = this.#blocks?.[this.#blockAt(from)]
    const content = block?.utf8.toString() ?? this.#openText()
    const blockFrom = block?.from ?? this.length - this.#openLength
    const step = content.slice(from - blockFrom, to - blockFrom)
    return step === '' ? undefined : { content: step, seq: block?.seq ?? this.#openSeq }
  }

  toString (): string {
    return this.#blocks === undefined ? this.#openText() : this.#blocks.map(({ utf8 }) => utf8.toString()).join('') + this.#openText()
  }

  #add (text: string, seq: number): void {
    this.#loose += text
    this.#openLength += text.length
    this.#openSeq = seq
    this.length += text.length
  }

  #pack (): void {
    // Most often there is room whatever it is.
    const isRoomy = this.#filled + MAX_UNIT_BYTES * this.#loose.length <= this.#open.length
    if (!isRoomy) this.#makeRoom(Buffer.byteLength(this.#loose))
    this.#filled += this.#open.write(this.#loose, this.#filled)
    this.#loose = ''
    this.#looseTimes = 0
  }

  #makeRoom (needed: number): void {
    if (this.#filled + needed <= this.#open.length) return
    if (this.#open.length <= SHARED_BYTES && this.#fullBytes === 0) return this.#makeFirstRoom(this.#filled + needed)
    this.#full = this.#full.concat(this.#packed())
    this.#fullBytes += this.#filled
    this.#filled = 0
    this.#open = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(this.#fullBytes >> 1, MOST_BYTES)))
  }

  #makeFirstRoom (needed: number): void {
    const open = needed <= SHARED_BYTES ? Buffer.allocUnsafe(SHARED_BYTES) : Buffer.allocUnsafeSlow(Math.max(needed, OWN_BYTES))
    this.#open.copy(open, 0, 0, this.#filled)
    this.#open = open
  }

  #seal (): void {
    // Without room that is left, and no part of a block that others share.
    const utf8 = Buffer.allocUnsafeSlow(this.#fullBytes + this.#filled + Buffer.byteLength(this.#loose))
    let at = 0
    for (const full of this.#full) at += full.copy(utf8, at)
    at += this.#open.copy(utf8, at, 0, this.#filled)
    utf8.write(this.#loose, at)
    this.#blocks ??= []
    this.#blocks.push({ utf8, from: this.length - this.#openLength, to: this.length, seq: this.#openSeq })
    this.#open = EMPTY
    this.#full = NONE
    this.#loose = ''
    this.#filled = this.#fullBytes = this.#openLength = this.#looseTimes = 0
  }

  #packed (): Buffer {
    return this.#open.subarray(0, this.#filled)
  }

  #openText (): string {
    if (this.#fullBytes > 0) return Buffer.concat([...this.#full, this.#packed()]).toString() + this.#loose
    return this.#filled === 0 ? this.#loose : this.#packed().toString() + this.#loose
  }

  /** Index of the sealed block that holds offset `from`, or the number of blocks when the open one does. */
  #blockAt (from: number): number {
    let low = 0
    let high = this.#blocks?.length ?? 0
    while (low < high) {
      const middle = (low + high) >> 1
      const block = this.#blocks?.[middle]
      if (block !== undefined && block.to <= from) low = middle + 1
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

const EMPTY = Buffer.alloc(0)
const NONE: readonly never[] = []
/** In UTF-8. */
const MAX_UNIT_BYTES = 3

function isHighSurrogate (unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

interface Block {
  readonly utf8: Buffer
  /** Where it begins and ends in the turn's text, in UTF-16 code units. */
  readonly from: number
  readonly to: number
  /** The last entry that it covers. */
  readonly seq: number
}
