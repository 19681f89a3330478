import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'

import type { ClientFrame, ChatFrame } from '../protocol/client-frames.js'
import type { Decoded } from '../protocol/decode.js'
import type { Position } from '../journal/journal.js'
import { Refusal, type RefusalBody } from './refusal.js'

/** What answers can be. */
const JSON_TYPE = 'application/json'
export const EVENTS_TYPE = 'text/event-stream'

export type AnswerType = typeof JSON_TYPE | typeof EVENTS_TYPE

/** Which of the types a client prefers; `undefined` when it takes none. */
export function preferredType<Type extends AnswerType> ({ headers }: FastifyRequest, types: readonly Type[]): Type | undefined {
  const preferred = new Negotiator({ headers }).mediaType([...types])
  return types.find((type) => type === preferred)
}

/** Whether a client does not want to wait for more than that its request was accepted (RFC 7240). */
export function prefersAck ({ headers: { prefer = '' } }: FastifyRequest): boolean {
  return String(prefer).split(',').some((preference) => preference.trim().toLowerCase() === 'respond-async')
}

/** The body of an answer to who takes none of what there is. */
export const NOT_ACCEPTABLE: RefusalBody = {
  statusCode: 406,
  code: 'NOT_ACCEPTABLE',
  error: 'Not Acceptable',
  message: `Answers here are of the types ${JSON_TYPE} or ${EVENTS_TYPE}`,
  retryable: false
}

/**
 * A frame, from what a request says: with the same limits as one that comes over a socket.
 * @throws Refusal for what would be refused there
 */
export function frameOf (decode: (data: Buffer) => Decoded, fields: { type: ClientFrame['type'], [field: string]: unknown }): ClientFrame {
  const decoded = decode(jsonOf(fields))
  if (decoded.ok && 'frame' in decoded) return decoded.frame
  if (!('refusal' in decoded)) throw new Refusal('VALIDATION_FAILED', { statusCode: 413, hint: 'larger than `maxPayload`' })
  const { code, details } = decoded.refusal
  throw new Refusal(code, details === undefined ? {} : { hint: `${details.path} ${details.rule}` })
}

/**
 * A chat: the header `Idempotency-Key` is its `id`.
 * @throws Refusal
 */
export function chatOf (decode: (data: Buffer) => Decoded, request: FastifyRequest<{ Params: { agentId: string } }>): ChatFrame {
  const { 'idempotency-key': key } = request.headers
  const body = bodyOf(request.body)
  const fields = key === undefined ? body : { ...body, id: key }
  if (body['id'] !== undefined && fields['id'] !== body['id']) {
    throw new Refusal('VALIDATION_FAILED', { hint: 'the header Idempotency-Key and /id differ' })
  }
  // What is read has the type that it was given.
  const frame = frameOf(decode, { ...fields, type: 'chat', agentId: request.params.agentId }) as ChatFrame
  if (frame.id !== undefined && frame.sessionId === undefined) {
    throw new Refusal('VALIDATION_FAILED', { hint: '/sessionId a chat with an `id` needs a session' })
  }
  return frame
}

/** @throws Refusal for a body that is no JSON object */
export function bodyOf (body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Refusal('VALIDATION_FAILED', { hint: 'the body must be a JSON object' })
  }
  return { ...body }
}

/**
 * The position that a client has got to: the `id` of the last event it has.
 * @throws Refusal for an id that is none of ours
 */
export function lastPosition (
  { headers, query }: FastifyRequest<{ Querystring: { lastEventId?: string } }>
): Position | undefined {
  const { 'last-event-id': id = query.lastEventId ?? '' } = headers
  // What an EventSource sends that has had no id yet.
  if (id === '' || typeof id !== 'string') return undefined
  const colon = id.lastIndexOf(':')
  const seq = id.slice(colon + 1)
  if (colon < 1 || !/^\d{1,15}$/.test(seq)) throw new Refusal('VALIDATION_FAILED', { hint: 'Last-Event-ID must be <epoch>:<seq>' })
  return { epoch: id.slice(0, colon), seq: Number(seq) }
}

/**
 * What the host's parser made may be anything, also what JSON cannot say, or not so deep.
 * @throws Refusal for that
 */
export function jsonOf (fields: object): Buffer {
  try {
    return Buffer.from(JSON.stringify(fields))
  } catch {
    throw new Refusal('VALIDATION_FAILED', { hint: 'more than JSON can say' })
  }
}
