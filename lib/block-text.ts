/** The smallest block has 2 to the power of this, in bytes: 1 KiB. Each size is twice the one before. */
const LEAST_BITS = 10
/** The largest, in the same way, 16 KiB: what is longer has more of them. */
const MOST_BITS = 14
/** A further block is at most so much of the text, a quarter, or the smallest: more would be room that nobody needs. */
const GROWTH_BITS = 2
/** Blocks that nobody uses are kept for the next up to so many bytes in all; others are left to the garbage collection. */
const MOST_FREE_BYTES = 8 * 1024 * 1024
/** In UTF-8, of a UTF-16 code unit. */
const MAX_UNIT_BYTES = 3

/**
 * A text outside the heap, which grows. It stands in blocks of bytes that others use again as soon as it is forgotten: a block
 * outlives the young generation, and left to the garbage collection it would be held until the next full one, which may be
 * minutes away (measured with 1,000 texts of 4 KB at once, again and again: 5 MiB more each time).
 */
export class BlockText {
  /** How many bytes it has in UTF-8. */
  bytes = 0
  /** The last block: its first `#filled` bytes are text. */
  #open: Buffer = EMPTY
  #filled = 0
  /** The block before it, which leads to those before that. */
  #full: FullBlock | undefined

  /** @param text well-formed: half a character becomes U+FFFD */
  append (text: string): void {
    // Most often there is room whatever it is.
    if (MAX_UNIT_BYTES * text.length <= this.#open.length - this.#filled) this.#write(text)
    else this.#appendLong(text)
  }

  /** The bytes of its blocks. */
  get room (): number {
    let room = this.#open.length
    for (let full = this.#full; full !== undefined; full = full.before) room += full.block.length
    return room
  }

  /** Nobody reads it any more: it is empty. */
  forget (): void {
    if (this.#open !== EMPTY) giveBlock(this.#open)
    for (let full = this.#full; full !== undefined; full = full.before) giveBlock(full.block)
    this.#open = EMPTY
    this.#full = undefined
    this.#filled = this.bytes = 0
  }

  toString (): string {
    if (this.#full === undefined) return this.#open.toString('utf8', 0, this.#filled)
    const whole = Buffer.allocUnsafe(this.bytes)
    let at = this.bytes - this.#filled
    this.#open.copy(whole, at, 0, this.#filled)
    for (let full = this.#full as FullBlock | undefined; full !== undefined; full = full.before) {
      at -= full.filled
      full.block.copy(whole, at, 0, full.filled)
    }
    return whole.toString()
  }

  #appendLong (text: string): void {
    let rest = text
    for (let left = Buffer.byteLength(text); left > this.#open.length - this.#filled;) {
      if (this.#filled < this.#open.length) {
        const { read, written } = UTF8.encodeInto(rest, this.#open.subarray(this.#filled))
        this.#filled += written
        this.bytes += written
        rest = rest.slice(read)
        left -= written
      }
      this.#addBlock(left)
    }
    this.#write(rest)
  }

  /** There is room for it. */
  #write (text: string): void {
    const written = this.#open.write(text, this.#filled)
    this.#filled += written
    this.bytes += written
  }

  #addBlock (needed: number): void {
    if (this.#filled > 0) this.#full = { block: this.#open, filled: this.#filled, before: this.#full }
    this.#open = takeBlock(Math.max(this.bytes, needed) >> GROWTH_BITS)
    this.#filled = 0
  }
}

/** It holds whole characters. */
interface FullBlock {
  readonly block: Buffer
  readonly filled: number
  readonly before: FullBlock | undefined
}

const EMPTY = Buffer.alloc(0)
const UTF8 = new TextEncoder()

/** What is free, by size. */
const free: Buffer[][] = Array.from({ length: MOST_BITS - LEAST_BITS + 1 }, () => [])
let freeBytes = 0

/** The largest block of no more than so many bytes, or the smallest. What is in it may be anything. */
function takeBlock (bytes: number): Buffer {
  const bits = Math.min(MOST_BITS, Math.max(LEAST_BITS, bitsOf(bytes)))
  const block = free[bits - LEAST_BITS]?.pop()
  // Not a part of Node's pool: one block that is kept would keep all that stands beside it.
  if (block === undefined) return Buffer.allocUnsafeSlow(1 << bits)
  freeBytes -= block.length
  return block
}

/** @param block one that was taken, which nobody knows any more */
function giveBlock (block: Buffer): void {
  const alike = free[bitsOf(block.length) - LEAST_BITS]
  while (freeBytes + block.length > MOST_FREE_BYTES) {
    // What is needed now is most likely of the size of what is given: others have to go.
    const dropped = mostFreeBut(alike)?.pop()
    if (dropped === undefined) return
    freeBytes -= dropped.length
  }
  alike?.push(block)
  freeBytes += block.length
}

/** The free blocks of another size which take the most room, if there are any. */
function mostFreeBut (alike: Buffer[] | undefined): Buffer[] | undefined {
  let [most, mostBytes]: [Buffer[] | undefined, number] = [undefined, 0]
  for (const blocks of free) {
    const bytes = blocks.length * (blocks[0]?.length ?? 0)
    if (blocks !== alike && bytes > mostBytes) [most, mostBytes] = [blocks, bytes]
  }
  return most
}

/** Of the largest power of two that is no more than that. */
function bitsOf (bytes: number): number {
  return 31 - Math.clz32(bytes)
}
