/**
 * One table for every way in which the channel says no: the text a peer may read, whether the same frame may be sent
 * again, the HTTP status where the refusal is an answer over HTTP.
 */
export const ERROR_CODES = {
  INVALID_FRAME: { message: 'Send one JSON object per text message', retryable: false, httpStatus: 400 },
  UNKNOWN_TYPE: { message: 'No such frame type', retryable: false, httpStatus: 400 },
  VALIDATION_FAILED: { message: 'A field is wrong', retryable: false, httpStatus: 400 },
  AGENT_NOT_FOUND: { message: 'No such agent', retryable: false, httpStatus: 404 },
  TURN_NOT_FOUND: { message: 'No such turn, or nothing to cancel', retryable: false, httpStatus: 404 },
  SESSION_BUSY: { message: 'A turn of this session is running', retryable: true, httpStatus: 409 },
  QUEUE_FULL: { message: 'Too many chats wait in this session', retryable: true, httpStatus: 429 },
  ID_CONFLICT: { message: 'This id was used for another chat', retryable: false, httpStatus: 409 },
  RATE_LIMITED: { message: 'Too much at once, slow down', retryable: true, httpStatus: 429 },
  FORBIDDEN: { message: 'Not allowed', retryable: false, httpStatus: 403 },
  AGENT_ERROR: { message: 'The agent failed', retryable: true, httpStatus: 502 },
  AGENT_TIMEOUT: { message: 'The agent took too long', retryable: true, httpStatus: 504 },
  ANSWER_TOO_LARGE: { message: 'The answer is larger than allowed', retryable: false, httpStatus: 502 },
  TURN_LOST: { message: 'The server that ran this turn is gone', retryable: true, httpStatus: 502 },
  SHUTTING_DOWN: { message: 'The server is shutting down', retryable: true, httpStatus: 503 },
  STORE_UNAVAILABLE: { message: 'The session cannot be kept right now', retryable: true, httpStatus: 503 },
  INTERNAL: { message: 'The server failed', retryable: true, httpStatus: 500 }
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** What a client does when a connection ends with a close code. */
export type ReconnectAdvice = 'no' | 'yes' | 'without-that-frame' | 'back-off' | 'after-hint' | 'after-renewal'

/** Every close code the channel uses, with its reason (at most 123 bytes go on the wire) and what a client does next. */
export const CLOSE_CODES = {
  NORMAL: { code: 1000, reason: '', reconnect: 'no' },
  NOT_UTF8: { code: 1007, reason: 'text that is not UTF-8', reconnect: 'without-that-frame' },
  TOO_SLOW: { code: 1008, reason: 'reads too slowly', reconnect: 'yes' },
  TOO_BIG: { code: 1009, reason: 'message too big', reconnect: 'without-that-frame' },
  INTERNAL: { code: 1011, reason: 'the server failed', reconnect: 'back-off' },
  DRAIN: { code: 1012, reason: 'the server is shutting down', reconnect: 'after-hint' },
  BAD_FRAMES: { code: 4400, reason: 'too many bad frames', reconnect: 'no' },
  EXPIRED: { code: 4401, reason: 'credentials expired', reconnect: 'after-renewal' },
  DISCONNECTED: { code: 4403, reason: 'disconnected by the host', reconnect: 'no' },
  NO_SIGN_OF_LIFE: { code: 4408, reason: 'no sign of life', reconnect: 'yes' },
  TOO_MANY_FRAMES: { code: 4429, reason: 'too many frames', reconnect: 'back-off' }
} as const satisfies Record<string, { code: number, reason: string, reconnect: ReconnectAdvice }>

export type CloseName = keyof typeof CLOSE_CODES
