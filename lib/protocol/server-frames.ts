import { Type, type Static, type TSchema } from '@sinclair/typebox'

import { ERROR_CODES, type ErrorCode } from './codes.js'
import { FINISH_REASONS, MAX_NAME_LENGTH } from './names.js'

const Name = Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH })
const Seq = Type.Integer({ minimum: 0, description: 'Position in the session\'s journal' })
const Metadata = Type.Record(Type.String(), Type.Unknown())

// Unions and not `enum`: that is a word of JSON Schema which TypeBox itself does not check.
export const FinishReasonSchema = Type.Union(FINISH_REASONS.map((reason) => Type.Literal(reason)))

const ErrorCodeSchema = Type.Unsafe<ErrorCode>(Type.Union(Object.keys(ERROR_CODES).map((code) => Type.Literal(code))))

export const Usage = Type.Object({
  inputTokens: Type.Integer({ minimum: 0 }),
  outputTokens: Type.Integer({ minimum: 0 }),
  totalTokens: Type.Optional(Type.Integer({ minimum: 0 })),
  reasoningTokens: Type.Optional(Type.Integer({ minimum: 0 })),
  cachedInputTokens: Type.Optional(Type.Integer({ minimum: 0 }))
}, { description: 'What the turn cost, as the agent reported it' })
export type Usage = Static<typeof Usage>

/** One message of a session's history: on the wire, in REST answers and in the session store alike. */
export const SessionMessage = Type.Object({
  role: Type.Union([Type.Literal('user'), Type.Literal('assistant')]),
  content: Type.String(),
  turnId: Name,
  at: Type.Integer({ description: 'Milliseconds since 1970-01-01T00:00:00Z' }),
  complete: Type.Boolean({ description: 'false for an answer that was cut off' }),
  metadata: Type.Optional(Metadata)
})
export type SessionMessage = Static<typeof SessionMessage>

/** What frames of a tracked turn, and all frames of a feed, have after the fields of the plain ones. */
const tracked = {
  id: Type.Optional(Name),
  sessionId: Type.Optional(Name),
  seq: Type.Optional(Seq)
}

const trackedEnd = {
  finishReason: Type.Optional(FinishReasonSchema),
  usage: Type.Optional(Usage)
}

const RunningTurn = Type.Object({
  id: Name,
  status: Type.Union([Type.Literal('running'), Type.Literal('queued')]),
  message: Type.String(),
  metadata: Type.Optional(Metadata),
  content: Type.Optional(Type.String({ description: 'The turn\'s text so far; replaces what the client has of it' }))
})

/** What a server can send, by `type`. */
export const serverFrameSchemas = {
  stream: Type.Object({
    type: Type.Literal('stream'),
    agentId: Name,
    content: Type.String(),
    done: Type.Boolean(),
    ...tracked,
    ...trackedEnd
  }, { title: 'stream', description: 'A piece of the answer; the last is empty and done' }),

  message: Type.Object({
    type: Type.Literal('message'),
    agentId: Name,
    content: Type.String(),
    done: Type.Boolean(),
    ...tracked,
    ...trackedEnd
  }, { title: 'message', description: 'A whole message; not done when more of the turn follows' }),

  error: Type.Object({
    type: Type.Literal('error'),
    agentId: Type.Optional(Name),
    code: ErrorCodeSchema,
    message: Type.String(),
    retryable: Type.Boolean(),
    retryAfterMs: Type.Optional(Type.Integer({ minimum: 0 })),
    details: Type.Optional(Type.Object({
      path: Type.String({ description: 'JSON pointer of the first fault' }),
      rule: Type.String({ description: 'What it broke' })
    })),
    done: Type.Optional(Type.Literal(true)),
    ...tracked,
    ...trackedEnd
  }, { title: 'error', description: 'A refused frame, or the end of a failed turn' }),

  pong: Type.Object({
    type: Type.Literal('pong'),
    id: Type.Optional(Name)
  }, { title: 'pong', description: 'Answer to ping' }),

  ack: Type.Object({
    type: Type.Literal('ack'),
    id: Name,
    agentId: Name,
    sessionId: Name,
    status: Type.Union([Type.Literal('started'), Type.Literal('queued'), Type.Literal('duplicate')]),
    position: Type.Optional(Type.Integer({ minimum: 1, description: 'Place in the queue' })),
    epoch: Name,
    seq: Seq,
    content: Type.Optional(Type.String({ description: 'A duplicate\'s text so far; replaces what the client has of it' }))
  }, { title: 'ack', description: 'What became of a tracked chat, before any other frame of it' }),

  event: Type.Object({
    type: Type.Literal('event'),
    agentId: Name,
    id: Type.Optional(Name),
    sessionId: Name,
    seq: Seq,
    name: Name,
    data: Type.Unknown()
  }, { title: 'event', description: 'Neither text nor an end' }),

  subscribed: Type.Object({
    type: Type.Literal('subscribed'),
    id: Type.Optional(Name),
    agentId: Name,
    sessionId: Name,
    epoch: Name,
    seq: Seq,
    recovered: Type.Boolean(),
    turns: Type.Array(RunningTurn)
  }, { title: 'subscribed', description: 'A cut: only what follows this position comes after it' }),

  unsubscribed: Type.Object({
    type: Type.Literal('unsubscribed'),
    id: Type.Optional(Name),
    agentId: Name,
    sessionId: Name
  }, { title: 'unsubscribed', description: 'Answer to unsubscribe' }),

  cancelled: Type.Object({
    type: Type.Literal('cancelled'),
    id: Type.Optional(Name),
    agentId: Name,
    sessionId: Type.Optional(Name),
    turns: Type.Array(Name)
  }, { title: 'cancelled', description: 'Answer to cancel; the turns\' own ends follow' }),

  history: Type.Object({
    type: Type.Literal('history'),
    id: Type.Optional(Name),
    agentId: Name,
    sessionId: Name,
    messages: Type.Array(SessionMessage, { description: 'Oldest first' }),
    before: Type.Optional(Type.String({ description: 'Cursor of the page before this one' }))
  }, { title: 'history', description: 'Answer to history' }),

  ready: Type.Object({
    type: Type.Literal('ready'),
    protocol: Type.String(),
    connectionId: Name,
    journal: Type.String({ description: 'New whenever once-only claims may have been lost' }),
    maxPayload: Type.Integer({ description: 'Largest client frame, in bytes' }),
    maxFrameBytes: Type.Integer({ description: 'Largest server frame, in bytes' }),
    heartbeatMs: Type.Integer(),
    types: Type.Array(Type.String(), { description: 'Client frame types of the host\'s own' })
  }, { title: 'ready', description: 'First frame, for clients that took the subprotocol' }),

  reconnect: Type.Object({
    type: Type.Literal('reconnect'),
    reason: Type.String(),
    afterMs: Type.Integer({ minimum: 0 })
  }, { title: 'reconnect', description: 'This connection is about to be closed' })
} satisfies Record<string, TSchema>

export type ServerFrameType = keyof typeof serverFrameSchemas
export type ServerFrameOf<T extends ServerFrameType> = Static<typeof serverFrameSchemas[T]>
export type ServerFrame = { [T in ServerFrameType]: ServerFrameOf<T> }[ServerFrameType]
