import { isDeepStrictEqual } from 'node:util'

import { Value } from '@sinclair/typebox/value'

import { DEFAULT_LIMITS } from '../../lib/options.js'
import { createDecoder } from '../../lib/protocol/decode.js'
import { hostFrameShape } from '../../lib/protocol/host-frame.js'
import { serverFrameSchemas } from '../../lib/protocol/server-frames.js'
import { lineNumber, type Transcript } from './transcript.js'
import { readable } from './transcript-placeholders.js'

/** What of a transcript's frames is not as the schemas say: those of clients that are not `bad`, and all of the server's. */
export function schemaFaults ({ lines, options = {}, types = {} }: Transcript): string[] {
  const shapes = new Map(Object.entries(types).map(([type, schema]) => [type, hostFrameShape(schema)]))
  const decode = createDecoder({ ...DEFAULT_LIMITS, ...options }, shapes)
  return lines.flatMap((line, index) => {
    if (!('frame' in line)) return []
    const frame = readable(line.frame)
    const fault = line.from === 'server'
      ? serverFrameFault(frame, Object.keys(types))
      : clientFrameFault(decode(Buffer.from(JSON.stringify(frame))).ok, line.bad === true)
    return fault === undefined ? [] : [`line ${lineNumber(index)}: ${fault}, in ${JSON.stringify(frame)}`]
  })
}

/** @param hostTypes types that the host has defined: their answers hold what it likes */
export function serverFrameFault (frame: unknown, hostTypes: readonly string[]): string | undefined {
  const type = typeof frame === 'object' && frame !== null ? Reflect.get(frame, 'type') as unknown : undefined
  if (typeof type !== 'string') return 'no frame'
  if (hostTypes.includes(type)) return undefined
  const schema = new Map(Object.entries(serverFrameSchemas)).get(type)
  if (schema === undefined) return `no such type as ${type}`
  const fault = Value.Errors(schema, frame).First()
  if (fault !== undefined) return `${fault.path}: ${fault.message}`
  // Readers of the schema would not know of a field that it does not name.
  return isDeepStrictEqual(Value.Clean(schema, structuredClone(frame)), frame) ? undefined : 'a field that no schema names'
}

function clientFrameFault (isGood: boolean, isBad: boolean): string | undefined {
  if (isGood === !isBad) return undefined
  return isGood ? 'it is said to be bad, and is not' : 'it is not said to be bad, and is'
}
