import type { ErrorCode } from '../protocol/codes.js'
import type { ServerFrameOf } from '../protocol/server-frames.js'

/** What only a client can say, beside the codes that a server sends. */
const CLIENT_CODES = {
  OUTCOME_UNKNOWN: 'It may have been done: the history of the session can tell',
  CONNECTION_LOST: 'The server could not be reached in time; nothing was sent',
  CONNECTION_REFUSED: 'The server does not want this connection',
  UNAUTHORIZED: 'The credentials are not accepted',
  TIMEOUT: 'The server did not answer in time',
  TOO_BIG: 'The server takes no frame of this size',
  WEBSOCKET_ONLY: 'Frames of this type go over a WebSocket only',
  TEXT_CHANGED: 'The server tells another text than before',
  CLOSED: 'The client is closed'
} as const

export type ClientErrorCode = ErrorCode | keyof typeof CLIENT_CODES

/** Every way in which something of this client fails, by its `code`. */
export class ChannelClientError extends Error {
  override readonly name = 'ChannelClientError'
  readonly code: ClientErrorCode
  /** The same may be asked again; of a turn that has failed: under another id. */
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  /** Where a refused frame is wrong. */
  readonly details: ServerFrameOf<'error'>['details']
  /** The HTTP status of an upgrade that was refused, or the close code of a connection that has ended. */
  readonly status: number | undefined

  constructor (code: ClientErrorCode, about: ErrorAbout = {}) {
    super(about.message ?? (CLIENT_CODES as Partial<Record<ClientErrorCode, string>>)[code] ?? code, about)
    this.code = code
    this.retryable = about.retryable ?? code === 'CONNECTION_LOST'
    this.retryAfterMs = about.retryAfterMs
    this.details = about.details
    this.status = about.status
  }
}

/** What a server says no with. */
export function errorOf ({ code, ...about }: ServerFrameOf<'error'>): ChannelClientError {
  return new ChannelClientError(code, about)
}

export interface ErrorAbout extends Partial<Pick<ServerFrameOf<'error'>, 'message' | 'retryable' | 'retryAfterMs' | 'details'>> {
  status?: number
  cause?: unknown
}
