import { isUtf8 } from 'node:buffer'

import { clientFrameSchemas, type ClientFrame, type FrameLimits } from './client-frames.js'
import type { ErrorCode } from './codes.js'
import { MAX_NAME_LENGTH, NAME_PATTERN } from './names.js'
import type { HostFrame, HostFrameShape } from './host-frame.js'
import { compileCheck, type Fault } from './schema-check.js'

export interface DecodeLimits extends FrameLimits {
  /** Largest frame, in bytes. */
  maxPayload: number
  /** Largest `metadata`, in bytes of its JSON. */
  maxMetadataBytes: number
}

/** Why a frame was refused: the code, where the first fault is, and what is known of the frame all the same. */
export interface Refusal {
  code: ErrorCode
  details?: Fault
  /** The frame's own `id`, to be given back. */
  id?: string
  /** Set when the frame is a plain chat, whose sender waits for a `done`; the agent that it named, if it did. */
  plainChat?: { agentId?: string }
}

export type Decoded =
  | { ok: true, frame: ClientFrame }
  /** Of a type that the host has defined. */
  | { ok: true, hostFrame: HostFrame }
  | { ok: false, refusal: Refusal }
  /** Not a message that the protocol answers: the connection is closed with this code. */
  | { ok: false, close: 'TOO_BIG' | 'NOT_UTF8' }

/** How deep `metadata`, or the frame of a host-defined type, may nest, itself included. */
const MAX_LEVELS = 32
/** A fault's path names keys that the client chose; what is sent back stays short. */
const MAX_PATH_LENGTH = 256

const nameRegExp = new RegExp(NAME_PATTERN)

/**
 * Makes the decoder of a channel: the schemas are compiled once. It never throws, whatever the bytes are.
 * @param hostTypes the types that the host has defined
 */
export function createDecoder (
  limits: DecodeLimits, hostTypes: ReadonlyMap<string, HostFrameShape> = new Map()
): (data: Buffer) => Decoded {
  const shapes = new Map<string, Shape>()
  for (const [type, schema] of Object.entries(clientFrameSchemas(limits))) {
    shapes.set(type, { check: compileCheck(schema), fields: new Set(Object.keys(schema.properties)) })
  }

  return function decode (data) {
    if (data.byteLength > limits.maxPayload) return { ok: false, close: 'TOO_BIG' }
    if (!isUtf8(data)) return { ok: false, close: 'NOT_UTF8' }
    const raw = parseObject(data)
    if (raw === undefined) return refuse({ code: 'INVALID_FRAME' })

    if (isPlainest(raw, shapes.get('chat'))) return { ok: true, frame: wellFormed(raw) }
    const unsafe = findUnsafeKey(raw)
    if (unsafe !== undefined) return refuse({ ...fault(unsafe, 'a key that is not allowed'), ...whoSent(raw) })
    const hostType = typeof raw['type'] === 'string' ? hostTypes.get(raw['type']) : undefined
    if (hostType !== undefined) return decodeHostFrame(raw, hostType)
    const refusal = firstFault(raw, shapes, limits)
    if (refusal !== undefined) return refuse({ ...refusal, ...whoSent(raw) })
    return { ok: true, frame: knownFields(raw, shapes) }
  }
}

function parseObject (data: Buffer): JsonObject | undefined {
  let value: unknown
  try {
    value = JSON.parse(data.toString('utf8'))
  } catch {
    return undefined
  }
  return isObject(value) && !Array.isArray(value) ? value : undefined
}

function firstFault (raw: JsonObject, shapes: Map<string, Shape>, limits: DecodeLimits): Refusal | undefined {
  const type = raw['type']
  if (typeof type !== 'string') return fault('/type', 'expected a string')
  const shape = shapes.get(type)
  if (shape === undefined) return { code: 'UNKNOWN_TYPE', details: { path: '/type', rule: 'no such type' } }
  const details = shape.check(raw)
  if (details !== undefined) return { code: 'VALIDATION_FAILED', details }
  if (type === 'chat') return metadataFault(raw['metadata'], limits.maxMetadataBytes)
  // The schema cannot say that one field needs another: TypeBox does not compile `dependentRequired`.
  if (type === 'subscribe' && raw['after'] !== undefined && raw['epoch'] === undefined) {
    return fault('/epoch', '`after` needs the `epoch` that it belongs to')
  }
  return undefined
}

function decodeHostFrame (raw: JsonObject, shape: HostFrameShape): Decoded {
  if (raw['id'] !== undefined && ownName(raw, 'id') === undefined) return refuse(fault('/id', 'expected a name'))
  // Before the check: a schema may refer to itself, and its validator recurse.
  const details = isDeeperThan(raw, MAX_LEVELS) ? { path: '', rule: `at most ${MAX_LEVELS} levels` } : undefined
  if (details !== undefined) return refuse({ code: 'VALIDATION_FAILED', details, ...whoSent(raw) })
  const read = shape.read(raw)
  return 'frame' in read
    ? { ok: true, hostFrame: read.frame }
    : refuse({ ...fault(read.fault.path, read.fault.rule), ...whoSent(raw) })
}

function metadataFault (metadata: unknown, maxBytes: number): Refusal | undefined {
  if (metadata === undefined) return undefined
  // Depth first: JSON.stringify recurses, and would overflow the stack on what JSON.parse took without trouble.
  if (isDeeperThan(metadata, MAX_LEVELS)) return fault('/metadata', `at most ${MAX_LEVELS} levels`)
  if (Buffer.byteLength(JSON.stringify(metadata)) > maxBytes) return fault('/metadata', `at most ${maxBytes} bytes`)
  return undefined
}

/** A chat of known fields, each of which is a text or a boolean: what is sent most. In it there is nothing to look for. */
function isPlainest (raw: JsonObject, chat: Shape | undefined): boolean {
  if (raw['type'] !== 'chat' || raw['metadata'] !== undefined || chat === undefined) return false
  for (const field in raw) if (!chat.fields.has(field)) return false
  return chat.check(raw) === undefined
}

/** Unknown fields never go any further. */
function knownFields (raw: JsonObject, shapes: Map<string, Shape>): ClientFrame {
  const frame: JsonObject = {}
  // `firstFault` has checked `type` and the shape; the compiler cannot follow that across the map.
  const { fields } = shapes.get(raw['type'] as string) as Shape
  for (const field of fields) {
    const value = raw[field]
    if (value !== undefined) frame[field] = value
  }
  return wellFormed(frame)
}

/** A lone surrogate in a message would make it unstorable in most databases. */
function wellFormed (frame: JsonObject): ClientFrame {
  const message = frame['message']
  if (typeof message === 'string' && !message.isWellFormed()) frame['message'] = message.toWellFormed()
  // Its shape was checked.
  return frame as ClientFrame
}

function whoSent (raw: JsonObject): Pick<Refusal, 'id' | 'plainChat'> {
  const id = ownName(raw, 'id')
  if (id !== undefined) return { id }
  if (raw['type'] !== 'chat' || Object.hasOwn(raw, 'id')) return {}
  const agentId = ownName(raw, 'agentId')
  return { plainChat: agentId === undefined ? {} : { agentId } }
}

function ownName (raw: JsonObject, field: string): string | undefined {
  const value = Object.hasOwn(raw, field) ? raw[field] : undefined
  return typeof value === 'string' && value.length <= MAX_NAME_LENGTH && nameRegExp.test(value) ? value : undefined
}

/** Looks at every key of the frame without recursion: 100,000 nested arrays are a valid JSON text. */
function findUnsafeKey (root: JsonObject): string | undefined {
  const open: Place[] = [{ value: root, key: '', parent: undefined }]
  for (const place of open) {
    const { value } = place
    // A frame may hold half a million items: of an array only what can have keys is looked at.
    if (Array.isArray(value)) {
      value.forEach((item: unknown, key) => { if (isObject(item)) open.push({ value: item, key, parent: place }) })
      continue
    }
    for (const key of Object.keys(value)) {
      const child = value[key]
      const isUnsafe = key === '__proto__' ||
        (key === 'constructor' && isObject(child) && Object.hasOwn(child, 'prototype'))
      if (isUnsafe) return pointerTo(key, place)
      if (isObject(child)) open.push({ value: child, key, parent: place })
    }
  }
  return undefined
}

/** The path of a key as RFC 6901 writes it. */
function pointerTo (key: string, place: Place): string {
  const keys: Array<string | number> = [key]
  for (let at = place; at.parent !== undefined; at = at.parent) keys.push(at.key)
  return keys.reverse().map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

function isDeeperThan (root: unknown, levels: number): boolean {
  let level = isObject(root) ? [root] : []
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > levels) return true
    const below: JsonObject[] = []
    for (const value of level) {
      for (const child of Object.values(value)) if (isObject(child)) below.push(child)
    }
    level = below
  }
  return false
}

function fault (path: string, rule: string): Refusal {
  return { code: 'VALIDATION_FAILED', details: { path: path.slice(0, MAX_PATH_LENGTH).toWellFormed(), rule } }
}

function refuse (refusal: Refusal): Decoded {
  return { ok: false, refusal }
}

function isObject (value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null
}

type JsonObject = Record<string, unknown>

/** An object of the frame, and the key under which its parent holds it. */
interface Place {
  value: JsonObject
  key: string | number
  parent: Place | undefined
}

interface Shape {
  check: (value: unknown) => Fault | undefined
  /** The fields the type has: everything else is dropped. */
  fields: ReadonlySet<string>
}
