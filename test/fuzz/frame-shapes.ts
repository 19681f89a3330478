import type { Fields } from './oracle.js'

/** Section 6 of the protocol: the codes that a fuzz run can meet, and whether the same frame may be sent again. */
const RETRYABLE = new Map<unknown, boolean>([
  ['INVALID_FRAME', false], ['UNKNOWN_TYPE', false], ['VALIDATION_FAILED', false], ['AGENT_NOT_FOUND', false], ['FORBIDDEN', false],
  ['TURN_NOT_FOUND', false], ['ID_CONFLICT', false], ['SESSION_BUSY', true], ['QUEUE_FULL', true], ['AGENT_ERROR', true], ['INTERNAL', true]
])

/** Keys in the order in which they have to stand; what stands in brackets may be missing. */
const KEYS = new Map<unknown, RegExp>([
  ['pong', /^type(,id)?$/],
  ['stream', /^type,agentId,content,done(,id,sessionId,seq(,finishReason)?)?$/],
  ['message', /^type,agentId,content,done(,id,sessionId,seq(,finishReason)?)?$/],
  ['error', /^type(,agentId,code,message,retryable,done|,code,message,retryable)(,details)?(,retryAfterMs)?(,id)?(,sessionId,seq,finishReason)?$/],
  ['ack', /^type,id,agentId,sessionId,status(,position)?,epoch,seq(,content)?$/],
  ['event', /^type,agentId,id,sessionId,seq,name,data$/],
  ['subscribed', /^type(,id)?,agentId,sessionId,epoch,seq,recovered,turns$/],
  ['unsubscribed', /^type(,id)?,agentId,sessionId$/],
  ['cancelled', /^type(,id)?,agentId(,sessionId)?,turns$/],
  ['history', /^type(,id)?,agentId,sessionId,messages(,before)?$/],
  ['note', /^type(,id)?,data$/]
])

/** What is wrong with the frame by itself. */
export function shapeFault (frame: Fields): string | undefined {
  if (KEYS.get(frame['type'])?.test(Object.keys(frame).join()) !== true) return 'not the keys of a frame, or not in their order'
  if ('seq' in frame && !isCount(frame['seq'])) return 'no position'
  if ('seq' in frame && 'done' in frame && frame['done'] !== 'finishReason' in frame) return 'an end, and not why, or a reason before the end'
  if (frame['type'] === 'ack') return ackFault(frame)
  if (frame['type'] !== 'error') return undefined
  if (RETRYABLE.get(frame['code']) !== frame['retryable']) return 'a code that was not to come, or wrong advice'
  if (typeof frame['message'] !== 'string' || frame['message'] === '') return 'no text'
  if (frame['code'] === 'VALIDATION_FAILED' && !isDetails(frame['details'])) return 'no details'
  return undefined
}

function ackFault ({ status, position, content }: Fields): string | undefined {
  if ((status === 'queued') !== (position !== undefined)) return 'a position, and not in the queue, or none in it'
  if (position !== undefined && !(isCount(position) && position > 0)) return 'a place in the queue before the first'
  return (status === 'duplicate') === (typeof content === 'string') ? undefined : 'a text so far of no duplicate, or none of one'
}

function isCount (value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0
}

function isDetails (value: unknown): boolean {
  const { path, rule } = Object(value) as Fields
  return typeof path === 'string' && /^(\/|$)/.test(path) && path.length <= 256 && typeof rule === 'string' && rule !== ''
}
