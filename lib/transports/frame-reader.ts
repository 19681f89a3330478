import type { RawData } from 'ws'

import type { ClientFrame } from '../protocol/client-frames.js'
import type { Decoded } from '../protocol/decode.js'

const BINARY: Decoded = { ok: false, refusal: { code: 'INVALID_FRAME' } }

/** Makes of a message of `ws` a frame that this version can serve, or a refusal. */
export function readFrame (data: RawData, isBinary: boolean, decode: (bytes: Buffer) => Decoded): Decoded {
  return isBinary ? BINARY : offered(decode(toBuffer(data)))
}

/** The protocol has more frames than this version serves: those are as unknown as any other. */
function offered (decoded: Decoded): Decoded {
  if (!decoded.ok) return decoded
  const { frame } = decoded
  switch (frame.type) {
    case 'ping': return decoded
    case 'chat': return frame.id === undefined ? decoded : refusal(frame, 'VALIDATION_FAILED', '/id')
    case 'cancel':
    case 'subscribe':
    case 'unsubscribe':
    case 'history': return refusal(frame, 'UNKNOWN_TYPE', '/type')
  }
}

function refusal ({ id }: ClientFrame, code: 'VALIDATION_FAILED' | 'UNKNOWN_TYPE', path: string): Decoded {
  const details = { path, rule: 'not offered by this version' }
  return { ok: false, refusal: id === undefined ? { code, details } : { code, details, id } }
}

/** `ws` gives one Buffer, unless the host has set another `binaryType`. */
function toBuffer (data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}
