// Whole frames as a client gets them, of the agent `main`; of the session `s` and the turn `a` where nothing else is said.
import { ERROR_CODES, type ErrorCode } from '../../lib/protocol/codes.js'
import type { Frame } from '../helpers/channel-client.js'

interface Place {
  id?: string
  sessionId?: string
}

function tracked (seq: number, { id = 'a', sessionId = 's' }: Place): object {
  return { id, sessionId, seq }
}

export function piece (content: string, seq: number, place: Place = {}): Frame {
  return { type: 'stream', agentId: 'main', content, done: false, ...tracked(seq, place) }
}

/** A whole message; more of the turn follows. */
export function whole (content: string, seq: number, place: Place = {}): Frame {
  return { type: 'message', agentId: 'main', content, done: false, ...tracked(seq, place) }
}

export function event (name: string, data: unknown, seq: number, { id = 'a', sessionId = 's' }: Place = {}): Frame {
  return { type: 'event', agentId: 'main', id, sessionId, seq, name, data }
}

export function turnStarted (message: string, seq: number, place: Place = {}): Frame {
  return event('turn-started', { message }, seq, place)
}

export function end (seq: number, place: Place = {}, finishReason = 'stop'): Frame {
  return { type: 'stream', agentId: 'main', content: '', done: true, ...tracked(seq, place), finishReason }
}

/** The end of a turn that is read, or was returned, as one message. */
export function wholeEnd (content: string, seq: number, place: Place = {}, finishReason = 'stop'): Frame {
  return { type: 'message', agentId: 'main', content, done: true, ...tracked(seq, place), finishReason }
}

export function failedEnd (code: ErrorCode, seq: number, place: Place = {}): Frame {
  const { message, retryable } = ERROR_CODES[code]
  return { type: 'error', agentId: 'main', code, message, retryable, done: true, ...tracked(seq, place), finishReason: 'error' }
}

/** A frame that was refused. */
export function refused (code: ErrorCode, more: object = {}): Frame {
  const { message, retryable } = ERROR_CODES[code]
  return { type: 'error', code, message, retryable, ...more }
}

/** A plain chat that was refused. */
export function plainRefused (code: ErrorCode, more: object = {}): Frame {
  return refused(code, { agentId: 'main', done: true, ...more })
}

export function ack (status: 'started' | 'duplicate', epoch: unknown, seq: number, more: Place & { content?: string } = {}): Frame {
  const { id = 'a', sessionId = 's', ...rest } = more
  return { type: 'ack', id, agentId: 'main', sessionId, status, epoch, seq, ...rest }
}

export function queued (position: number, epoch: unknown, seq: number, { id = 'a', sessionId = 's' }: Place = {}): Frame {
  return { type: 'ack', id, agentId: 'main', sessionId, status: 'queued', position, epoch, seq }
}

export function subscribed (epoch: unknown, seq: number, recovered: boolean, turns: object[] = [], more: object = {}): Frame {
  return { type: 'subscribed', agentId: 'main', sessionId: 's', epoch, seq, recovered, turns, ...more }
}

/** A turn of a `subscribed`. */
export function running (message: string, content?: string, id = 'a'): object {
  return { id, status: 'running', message, ...(content === undefined ? {} : { content }) }
}

export function waiting (message: string, id: string): object {
  return { id, status: 'queued', message }
}

export function plainPiece (content: string): Frame {
  return { type: 'stream', agentId: 'main', content, done: false }
}

export function plainEnd (): Frame {
  return { type: 'stream', agentId: 'main', content: '', done: true }
}
