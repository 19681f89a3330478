import { CLOSE_CODES, ERROR_CODES, type CloseName, type ErrorCode } from './codes.js'
import type { ServerFrame, ServerFrameOf } from './server-frames.js'

/** The bytes of a server frame, as text. Keys stand in the order in which they were set. */
export function encode (frame: ServerFrame): string {
  return JSON.stringify(frame)
}

/** A piece of a plain answer: what is sent most. Its head is made once for a turn by {@link streamHead}. */
export function encodeStreamPiece (head: string, content: string): string {
  return `${head}${JSON.stringify(content)},"done":false}`
}

export function streamHead (agentId: string): string {
  return `{"type":"stream","agentId":${JSON.stringify(agentId)},"content":`
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

export interface ErrorExtra extends Pick<ServerFrameOf<'error'>, 'agentId' | 'details' | 'retryAfterMs' | 'id' | 'done'> {
  /** In place of the table's text: what an agent's own error says. */
  text?: string | undefined
}

/** Code and reason of a close, as `ws` takes them. */
export function closeArguments (name: CloseName): [code: number, reason: string] {
  return [CLOSE_CODES[name].code, CLOSE_CODES[name].reason]
}
