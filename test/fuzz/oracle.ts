import { isDeepStrictEqual } from 'node:util'

/** What the limits of the channel under test are. */
export interface OracleLimits {
  maxPayload: number
  maxMessageLength: number
  maxMetadataBytes: number
}

/** The type of frame that the host under test has defined: `text`, and a `count` if it likes. */
export const HOST_TYPE = 'note'

/** What a message from a client is, by the protocol: written from its text, without the decoder. */
export type Verdict =
  | { kind: 'close', code: 1007 | 1009 }
  | { kind: 'bad', codes: readonly string[], id?: string, plainChat?: { agentId?: string } }
  | { kind: 'good', frame: Fields & { type: string } }

export type Fields = Record<string, unknown>

export function judge (data: Buffer, isBinary: boolean, limits: OracleLimits): Verdict {
  if (data.length > limits.maxPayload) return { kind: 'close', code: 1009 }
  if (isBinary) return { kind: 'bad', codes: ['INVALID_FRAME'] }
  const text = textOf(data)
  if (text === undefined) return { kind: 'close', code: 1007 }
  const value = valueOf(text)
  if (!isFields(value)) return { kind: 'bad', codes: ['INVALID_FRAME'] }
  const codes = codesOf(value, limits)
  return codes.length === 0 ? { kind: 'good', frame: goodFrame(value) } : { kind: 'bad', codes, ...senderOf(value) }
}

/** Whether a value has a key that nothing from a client may have. */
export function hasUnsafeKey (root: unknown): boolean {
  const rest = [root]
  while (rest.length > 0) {
    const value = rest.pop()
    if (typeof value !== 'object' || value === null) continue
    if (Object.hasOwn(value, '__proto__')) return true
    const held: unknown = Object.hasOwn(value, 'constructor') ? value.constructor : undefined
    if (typeof held === 'object' && held !== null && Object.hasOwn(held, 'prototype')) return true
    for (const child of Object.values(value)) rest.push(child)
  }
  return false
}

export function isMetadata (value: unknown, maxBytes: number): boolean {
  return isFields(value) && hasLevels(value, 32) && Buffer.byteLength(JSON.stringify(value)) <= maxBytes
}

export function isName (value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.length > 128 || !value.isWellFormed()) return false
  return value.split('').every((unit) => {
    const code = unit.charCodeAt(0)
    return code >= 0x20 && (code < 0x7f || code > 0x9f)
  })
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function textOf (data: Buffer): string | undefined {
  try {
    return utf8.decode(data)
  } catch {
    return undefined
  }
}

function valueOf (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** All the codes that would be right: which fault is found first is not the protocol's business. */
function codesOf (value: Fields, limits: OracleLimits): string[] {
  const codes = new Set<string>()
  if (hasUnsafeKey(value) || typeof value['type'] !== 'string') codes.add('VALIDATION_FAILED')
  if (typeof value['type'] === 'string') {
    const rules = rulesOf(limits).get(value['type'])
    if (rules === undefined) codes.add('UNKNOWN_TYPE')
    else if (!isGood(value, rules)) codes.add('VALIDATION_FAILED')
    // What a host has defined may nest anywhere.
    else if (value['type'] === HOST_TYPE && !hasLevels(value, 32)) codes.add('VALIDATION_FAILED')
  }
  return [...codes]
}

function isGood (value: Fields, rules: Rules): boolean {
  const fields = { id: optional(isName), ...rules }
  if (Object.entries(fields).some(([name, rule]) => !rule(value[name]))) return false
  return value['type'] !== 'subscribe' || value['after'] === undefined || value['epoch'] !== undefined
}

function rulesOf ({ maxMessageLength, maxMetadataBytes }: OracleLimits): Map<string, Rules> {
  const agentId = optional(isName)
  const isCount = (from: number, to: number) => (value: unknown) => Number.isInteger(value) && Number(value) >= from && Number(value) <= to
  const isText = (to: number) => (value: unknown) => typeof value === 'string' && value !== '' && value.length <= to
  return new Map<string, Rules>([
    ['ping', {}],
    ['chat', {
      agentId,
      sessionId: optional(isName),
      message: isText(maxMessageLength),
      stream: optional((value) => typeof value === 'boolean'),
      onBusy: optional((value) => value === 'queue' || value === 'reject' || value === 'interrupt'),
      metadata: optional((value) => isMetadata(value, maxMetadataBytes))
    }],
    ['cancel', { agentId, sessionId: optional(isName), turnId: optional(isName) }],
    ['subscribe', { agentId, sessionId: isName, epoch: optional(isName), after: optional(isCount(0, Infinity)) }],
    ['unsubscribe', { agentId, sessionId: isName }],
    [HOST_TYPE, { text: isText(100), count: optional(Number.isInteger) }],
    ['history', { agentId, sessionId: isName, before: optional(isText(1024)), limit: optional(isCount(1, 200)) }]
  ])
}

/** JSON has no `undefined`: a field that is not there. */
function optional (rule: Rule): Rule {
  return (value) => value === undefined || rule(value)
}

function goodFrame (value: Fields): Fields & { type: string } {
  const { message } = value
  const whole = typeof message === 'string' ? { ...value, message: message.toWellFormed() } : value
  return { ...whole, type: String(value['type']) }
}

function senderOf (value: Fields): { id?: string, plainChat?: { agentId?: string } } {
  if (isName(value['id'])) return { id: value['id'] }
  if (value['type'] !== 'chat' || value['id'] !== undefined) return {}
  return { plainChat: isName(value['agentId']) ? { agentId: value['agentId'] } : {} }
}

function hasLevels (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((child) => hasLevels(child, levels - 1))
}

function isFields (value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether a good frame, as somebody decoded it, is what was sent: every known field, and no other. */
export function isSameFrame (decoded: object, frame: Fields, limits: OracleLimits): boolean {
  const names = ['type', 'id', ...Object.keys(rulesOf(limits).get(String(frame['type'])) ?? {})]
  const known = Object.fromEntries(names.filter((name) => frame[name] !== undefined).map((name) => [name, frame[name]]))
  return isDeepStrictEqual({ ...decoded }, known)
}

type Rule = (value: unknown) => boolean
type Rules = Record<string, Rule>
