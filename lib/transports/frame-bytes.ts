/** Frames are written into slabs of so many bytes; one that needs more gets memory of its own. */
const SLAB_BYTES = 64 * 1024
/** A slab with less room than this is not begun with. */
const LEAST_ROOM = 2 * 1024
/** Slabs that are kept for later when what was in them has been sent. */
const MAX_FREE_SLABS = 32
/** Up to so many UTF-16 code units a loop is faster than a call into the runtime. */
const SHORT_UNITS = 48
/** And up to so many bytes. */
const MOST_COPIED = 24
const LONG_UNITS = 4 * 1024
/** FIN and opcode 1, RFC 6455 section 5.2. */
const FINAL_TEXT = 0x81
const LONGEST_HEADER = 10
/** One code unit as JSON: `\u001f`. */
const MOST_BYTES_PER_UNIT = 6
const ESCAPED = /["\\\u0000-\u001f]/
const [QUOTE, BACKSLASH] = [0x22, 0x5c]
/** Payloads of fewer bytes have a header of two (RFC 6455, section 5.2). */
const MEDIUM_BYTES = 126
const EMPTY = Buffer.alloc(0)
/**
 * Copies bytes. Called as a method of a `Buffer` it is looked up each time: V8 does not inline what it finds behind that prototype.
 * Measured on Node 20: a tracked burst is a tenth faster so.
 */
const { set: copyInto } = Uint8Array.prototype // eslint-disable-line @typescript-eslint/unbound-method
/** Behind one chunk mostly nothing follows. */
export const NO_MORE: readonly never[] = []

/** Text that all frames of a kind begin or end with, as bytes. */
export function bytesOf (text: string): Uint8Array {
  return Buffer.from(text)
}

/** One frame of this text, by itself. */
export function frameBytes (payload: string): Buffer {
  single ??= new FrameBatch()
  single.text(payload)
  const taken = single.take()
  const bytes = Buffer.concat(taken.chunks)
  taken.sent()
  return bytes
}

let single: FrameBatch | undefined

/** Where frames lie. */
export type FrameMemory = Pick<Uint8Array, 'buffer' | 'byteOffset' | 'length'>

/** Memory in which frames lie next to each other; used again when all of them have been sent. */
class Slab {
  readonly bytes: Buffer
  /** Writes that are on their way out of it. */
  pending = 0
  /** It is being written to. */
  isOpen = true

  constructor (size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
  }

  /** One of the writes out of it is done. */
  sent (): void {
    this.pending--
    this.release()
  }

  release (): void {
    if (this.pending > 0 || this.isOpen || this.bytes.length !== SLAB_BYTES || freeSlabs.length >= MAX_FREE_SLABS) return
    freeSlabs.push(this)
  }
}

const freeSlabs: Slab[] = []

function openSlab (size: number): Slab {
  const slab = size > SLAB_BYTES ? new Slab(size) : freeSlabs.pop() ?? new Slab(SLAB_BYTES)
  slab.isOpen = true
  return slab
}

/** Frames that are to be sent, as few buffers. */
export class FramesTaken {
  /** Mostly it is one chunk in one slab, and no array is made. */
  first: Buffer = EMPTY
  #rest: Buffer[] | undefined
  #slab: Slab | undefined
  #otherSlabs: Slab[] | undefined

  get rest (): readonly Buffer[] { return this.#rest ?? NO_MORE }

  get chunks (): Buffer[] { return [this.first, ...this.rest] }

  /** @param slab in which they lie, unless it is another's memory */
  add (chunk: Buffer, slab?: Slab): void {
    if (this.first.length === 0) this.first = chunk
    else (this.#rest ??= []).push(chunk)
    if (slab === undefined) return
    slab.pending++
    if (this.#slab === undefined) this.#slab = slab
    else (this.#otherSlabs ??= []).push(slab)
  }

  /** To be called once they have been sent: their memory is used again. */
  sent (): void {
    this.#slab?.sent()
    for (const slab of this.#otherSlabs ?? NO_MORE) slab.sent()
  }
}

/**
 * WebSocket text frames as a server sends them, unmasked and in one piece each (RFC 6455, section 5.2), gathered for one
 * write. `ws` makes two buffers and a write of every frame; here a frame costs its bytes.
 */
export class FrameBatch {
  /** Bytes that {@link take} would hand out. */
  size = 0
  /** When there are so many bytes in it, it is to be written. */
  limit = Infinity
  /** How many were added to it, ever. */
  frames = 0
  /** Chunks that are closed and have not been taken. */
  #taken: FramesTaken | undefined
  #slab = openSlab(SLAB_BYTES)
  /** Where what has not been taken begins, and where it ends. */
  #start = 0
  #at = 0
  /** The last chunk, where it lies in memory of others. */
  #borrowed: { from: ArrayBufferLike, start: number, end: number } | undefined

  /** A frame of this text, which has no lone surrogates. */
  text (payload: string): void {
    const { length } = payload
    // A guess would take three times the memory of a long text.
    const most = length > SLAB_BYTES / 4 ? Buffer.byteLength(payload) : length * 3
    const { start, header } = this.#begin(most, length)
    this.#end(start, header, writeText(this.#slab.bytes, payload, start + header))
  }

  /**
   * A frame of a string in JSON between `head` and `tail`.
   * @param content its lone surrogates are escaped, as by `JSON.stringify`
   */
  piece (head: Uint8Array, content: string, tail: Uint8Array): void {
    const around = head.length + tail.length
    // Of a long text it is found out how much it is: the most it may be is several slabs.
    const long = content.length > LONG_UNITS ? JSON.stringify(content).slice(1, -1) : undefined
    const most = long === undefined ? content.length * MOST_BYTES_PER_UNIT : Buffer.byteLength(long)
    const { start, header } = this.#begin(around + most, around + likelyBytes(content, MEDIUM_BYTES - around))
    const { bytes } = this.#slab
    copyInto.call(bytes, head, start + header)
    const begin = start + header + head.length
    const at = long === undefined ? writeJsonString(bytes, content, begin) : writeText(bytes, long, begin)
    copyTail(tail, bytes, at)
    this.#end(start, header, at + tail.length)
  }

  /** A frame that lies in another's memory, which must not change any more. */
  borrow ({ buffer, byteOffset, length }: FrameMemory): void {
    this.frames++
    this.size += length
    const last = this.#borrowed
    if (last !== undefined && last.from === buffer && last.end === byteOffset) {
      last.end += length
      return
    }
    this.#closeChunk(this.#taken ??= new FramesTaken())
    this.#borrowed = { from: buffer, start: byteOffset, end: byteOffset + length }
  }

  /** What was written since the last call. */
  take (): FramesTaken {
    const taken = this.#taken ?? new FramesTaken()
    this.#taken = undefined
    this.#closeChunk(taken)
    this.size = 0
    return taken
  }

  /** The frame that was written since the last call, for others to borrow. Its memory is not used again: they may take their time. */
  lend (): FrameMemory {
    const slab = this.#slab
    const lent = { buffer: slab.bytes.buffer, byteOffset: this.#start, length: this.#at - this.#start }
    slab.pending++
    this.#start = this.#at
    this.size = 0
    return lent
  }

  /** Room for a frame of at most `most` bytes of payload; most likely it has `likely`, and is moved when its header does not fit. */
  #begin (most: number, likely: number): { start: number, header: number } {
    if (this.#borrowed !== undefined) this.#closeChunk(this.#taken ??= new FramesTaken())
    if (this.#at + LONGEST_HEADER + most > this.#slab.bytes.length) this.#openSlab(LONGEST_HEADER + most)
    return { start: this.#at, header: headerBytes(likely) }
  }

  /** Writes the header of the frame whose payload ends at `at`. */
  #end (start: number, guessed: number, at: number): void {
    const { bytes } = this.#slab
    const length = at - start - guessed
    const header = headerBytes(length)
    if (header !== guessed) bytes.copyWithin(start + header, start + guessed, at)
    writeHeader(bytes, start, length)
    this.#at = start + header + length
    this.frames++
    this.size += header + length
  }

  #openSlab (size: number): void {
    this.#closeChunk(this.#taken ??= new FramesTaken())
    this.#slab.isOpen = false
    this.#slab.release()
    this.#slab = openSlab(size)
    this.#start = this.#at = 0
  }

  #closeChunk (taken: FramesTaken): void {
    const borrowed = this.#borrowed
    if (borrowed !== undefined) {
      this.#borrowed = undefined
      taken.add(Buffer.from(borrowed.from, borrowed.start, borrowed.end - borrowed.start))
    }
    if (this.#at === this.#start) return
    const slab = this.#slab
    taken.add(slab.bytes.subarray(this.#start, this.#at), slab)
    this.#start = this.#at
    if (slab.bytes.length - this.#at >= LEAST_ROOM) return
    slab.isOpen = false
    this.#slab = openSlab(SLAB_BYTES)
    this.#start = this.#at = 0
  }
}

/** A few bytes are copied faster than anybody is asked to. */
function copyTail (tail: Uint8Array, bytes: Buffer, at: number): void {
  const { length } = tail
  if (length > MOST_COPIED) return copyInto.call(bytes, tail, at)
  for (let i = 0; i < length; i++) bytes[at + i] = tail[i] as number
}

/**
 * How many bytes a text has, as far as it matters: looked at closely only where a short one may be shorter than `border` or not.
 * Of what has to be escaped it is less than the truth.
 */
function likelyBytes (text: string, border: number): number {
  const { length } = text
  if (length >= border || 3 * length < border || length > SHORT_UNITS) return length
  let bytes = length
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    // Two halves of a character are four bytes.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return bytes
}

function headerBytes (length: number): number {
  if (length < MEDIUM_BYTES) return 2
  return length < 65_536 ? 4 : 10
}

function writeHeader (bytes: Buffer, at: number, length: number): void {
  bytes[at] = FINAL_TEXT
  if (length < MEDIUM_BYTES) {
    bytes[at + 1] = length
  } else if (length < 65_536) {
    bytes[at + 1] = 126
    bytes[at + 2] = length >> 8
    bytes[at + 3] = length & 0xff
  } else {
    bytes[at + 1] = 127
    bytes.writeUInt16BE(0, at + 2)
    bytes.writeUIntBE(length, at + 4, 6)
  }
}

function writeText (bytes: Buffer, text: string, at: number): number {
  return at + bytes.write(text, at)
}

/** The content of a JSON string, without its quotes. Answers where it ends. */
function writeJsonString (bytes: Buffer, text: string, start: number): number {
  if (text.length <= SHORT_UNITS) {
    const end = writeShort(bytes, text, start)
    if (end !== undefined) return end
  } else if (!ESCAPED.test(text) && text.isWellFormed()) {
    return writeText(bytes, text, start)
  }
  return writeText(bytes, JSON.stringify(text).slice(1, -1), start)
}

/** UTF-8 (RFC 3629); `undefined` for what has to be escaped. */
function writeShort (bytes: Buffer, text: string, start: number): number | undefined {
  let at = start
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) {
      if (unit < 0x20 || unit === QUOTE || unit === BACKSLASH) return undefined
      bytes[at++] = unit
    } else if (unit < 0x800) {
      bytes[at++] = 0xc0 | unit >> 6
      bytes[at++] = 0x80 | unit & 0x3f
    } else if (unit >= 0xd800 && unit < 0xe000) {
      const point = text.codePointAt(i++) ?? 0
      // A half of a character by itself.
      if (point < 0x10000) return undefined
      bytes[at++] = 0xf0 | point >> 18
      bytes[at++] = 0x80 | point >> 12 & 0x3f
      bytes[at++] = 0x80 | point >> 6 & 0x3f
      bytes[at++] = 0x80 | point & 0x3f
    } else {
      bytes[at++] = 0xe0 | unit >> 12
      bytes[at++] = 0x80 | unit >> 6 & 0x3f
      bytes[at++] = 0x80 | unit & 0x3f
    }
  }
  return at
}
