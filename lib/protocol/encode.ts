import { CLOSE_CODES, ERROR_CODES, type CloseName, type ErrorCode } from './codes.js'
import type { ServerFrame, ServerFrameOf } from './server-frames.js'

/** The bytes of a server frame, as text. Keys stand in the order in which they were set. */
export function encode (frame: ServerFrame): string {
  return JSON.stringify(frame)
}

/** What stands behind the content of a piece. */
export const NOT_DONE = ',"done":false'

/** A piece of an answer: what is sent most. Its head is made once for an agent by {@link streamHead}. */
export function encodeStreamPiece (head: string, content: string): string {
  return `${head}${JSON.stringify(content)}${NOT_DONE}}`
}

/** The same in a feed; its tail is made once for a turn by {@link trackedTail}. */
export function encodeTrackedPiece (head: string, content: string, tail: string, seq: number): string {
  return `${head}${JSON.stringify(content)}${NOT_DONE}${tail}${seq}}`
}

/** What the frames of one turn are said to be of, each as JSON: made once for all of them. */
export interface TurnNames {
  agentId: string
  sessionId: string
  /** `undefined` for what belongs to no turn. */
  id: string | undefined
}

// Written out by hand: most tracked turns have one of each, and as objects they cost several times as much.

/** @param json the event's data, as JSON text */
export function encodeEvent ({ agentId, sessionId, id }: TurnNames, seq: number, name: string, json: string): string {
  const turn = id === undefined ? '' : `,"id":${id}`
  return `{"type":"event","agentId":${agentId}${turn},"sessionId":${sessionId},"seq":${seq},"name":${JSON.stringify(name)},"data":${json}}`
}

/** The `ack` of a chat that has just been taken, and waits for nothing. */
export function encodeStarted ({ agentId, sessionId, id = '' }: TurnNames, epoch: string, seq: number): string {
  const place = `"epoch":${JSON.stringify(epoch)},"seq":${seq}`
  return `{"type":"ack","id":${id},"agentId":${agentId},"sessionId":${sessionId},"status":"started",${place}}`
}

/** The end of a turn of which its pieces have told everything. */
export function encodeStreamEnd ({ agentId, sessionId, id = '' }: TurnNames, seq: number, finishReason: string): string {
  const turn = `"id":${id},"sessionId":${sessionId},"seq":${seq},"finishReason":${JSON.stringify(finishReason)}`
  return `{"type":"stream","agentId":${agentId},"content":"","done":true,${turn}}`
}

/** @param agentId as JSON */
export function streamHead (agentId: string): string {
  return `{"type":"stream","agentId":${agentId},"content":`
}

export function trackedTail ({ id = '', sessionId }: Pick<TurnNames, 'id' | 'sessionId'>): string {
  return `,"id":${id},"sessionId":${sessionId},"seq":`
}

/** An `error` frame: text and advice come from the table of codes, and only an agent may put its own text. */
export function errorFrame (code: ErrorCode, extra: ErrorExtra = {}): ServerFrameOf<'error'> {
  const { agentId, text, done, ...rest } = extra
  return {
    type: 'error',
    ...(agentId === undefined ? {} : { agentId }),
    code,
    message: text ?? ERROR_CODES[code].message,
    retryable: ERROR_CODES[code].retryable,
    ...(done === true ? { done } : {}),
    ...rest
  }
}

export interface ErrorExtra extends Partial<Omit<ServerFrameOf<'error'>, 'type' | 'code' | 'message' | 'retryable'>> {
  /** In place of the table's text: what an agent's own error says. */
  text?: string | undefined
}

/** Code and reason of a close, as `ws` takes them. */
export function closeArguments (name: CloseName): [code: number, reason: string] {
  return [CLOSE_CODES[name].code, CLOSE_CODES[name].reason]
}
