import type { RawData } from 'ws'

import type { Decoded } from '../protocol/decode.js'

const BINARY: Decoded = { ok: false, refusal: { code: 'INVALID_FRAME' } }

/** Makes of a message of `ws` a frame, or a refusal. */
export function readFrame (data: RawData, isBinary: boolean, decode: (bytes: Buffer) => Decoded): Decoded {
  return isBinary ? BINARY : decode(toBuffer(data))
}

/** `ws` gives one Buffer, unless the host has set another `binaryType`. */
function toBuffer (data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}
