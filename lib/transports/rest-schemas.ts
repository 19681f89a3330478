import { Type, type Static, type TObject, type TSchema } from '@sinclair/typebox'

import { clientFrameSchemas, type FrameLimits } from '../protocol/client-frames.js'
import { MAX_NAME_LENGTH, NAME_PATTERN } from '../protocol/names.js'
import { serverFrameSchemas, SessionMessage } from '../protocol/server-frames.js'
import { JOURNAL_HEADER } from './journal-gate.js'
import { HOST_REFUSAL_BODY, REFUSAL_BODY } from './refusal.js'

/** Items of a page without a `limit`, */
export const PAGE_LIMIT = 50
/** and at most. */
const MAX_PAGE_LIMIT = 200
/** An epoch, a colon and a number. */
const MAX_EVENT_ID_LENGTH = MAX_NAME_LENGTH + 18

const name = (description: string) => Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, description })
const cursor = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description }))

export const AGENT_PARAMS = Type.Object({ agentId: name('The agent') })

export const SESSION_PARAMS = Type.Object({ agentId: name('The agent'), sessionId: name('The session') })

export const PAGE_QUERY = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE_LIMIT, default: PAGE_LIMIT, description: 'Items, at most' })),
  before: cursor('A cursor from an earlier page: what came before that')
})

export const EVENTS_QUERY = Type.Object({
  lastEventId: Type.Optional(Type.String({
    maxLength: MAX_EVENT_ID_LENGTH,
    description: 'As the header `Last-Event-ID`, which wins: for a first request of a browser, which cannot set it'
  }))
})

export const EVENTS_HEADERS = Type.Object({
  'last-event-id': Type.Optional(Type.String({
    maxLength: MAX_EVENT_ID_LENGTH, description: '`<epoch>:<seq>`: everything up to there is known to the client'
  }))
})

export const CHAT_HEADERS = Type.Object({
  'idempotency-key': Type.Optional(name('The chat\'s `id`, which the body may have instead: sent again, the chat is the same')),
  prefer: Type.Optional(Type.String({
    description: '`respond-async`: who follows the session is answered as soon as its chat is accepted, where the answer is JSON'
  }))
})

/** What every route takes. */
export const JOURNAL_HEADERS = Type.Object({
  [JOURNAL_HEADER]: Type.Optional(Type.String({
    description: 'The `channel.journal` under which alone the request is meant: a chat sent again could run twice under another'
  }))
})

/** A chat as a frame has it, without what the path says. */
export function chatBody (limits: FrameLimits): TObject {
  return Type.Omit(clientFrameSchemas(limits).chat, ['type', 'agentId'], { title: 'Chat', description: 'Starts a turn' })
}

export function cancelBody (limits: FrameLimits): TSchema {
  const { turnId } = clientFrameSchemas(limits).cancel.properties
  return Type.Object({ turnId }, { title: 'Cancel', description: 'Which turn: without one, all of the session' })
}

const CHANNEL = Type.Pick(serverFrameSchemas.ready, ['protocol', 'journal', 'maxPayload', 'maxFrameBytes', 'heartbeatMs'], {
  description: 'What a socket is told by `ready`'
})
export type ChannelFacts = Static<typeof CHANNEL>

export const AGENTS = Type.Object({
  agents: Type.Array(Type.Object({ agentId: Type.String(), description: Type.Optional(Type.String()) })),
  channel: CHANNEL
}, { description: 'The agents, and the channel' })

export const ANSWER = Type.Object({
  ...serverFrameSchemas.message.properties,
  done: Type.Literal(true),
  messages: Type.Optional(Type.Array(Type.String(), { description: 'Whole messages of the turn that came before its end' }))
}, { title: 'Answer', description: 'The answer as a whole; where the chat names a session, as its tracked `message`' })

const { ack, stream, message, error } = serverFrameSchemas

export const ACCEPTED = Type.Object({
  ...ack.properties,
  end: Type.Optional(Type.Union([stream, message, error], { description: 'How a chat ended that was sent before: the last frame of its turn' }))
}, { title: 'Accepted', description: 'What became of the chat, as its `ack`; its turn is told to whoever follows the session' })

export const SESSIONS = Type.Object({
  sessions: Type.Array(Type.Object({
    sessionId: Type.String(),
    updatedAt: Type.Integer({ description: 'When its newest message was said: milliseconds since 1970-01-01T00:00:00Z' })
  }), { description: 'Newest first' }),
  before: Type.Optional(Type.String({ description: 'Cursor of the page before this one' }))
}, { description: 'The sessions' })

export const MESSAGES = Type.Object({
  messages: Type.Array(SessionMessage, { description: 'Oldest first' }),
  before: Type.Optional(Type.String({ description: 'Cursor of the page before this one' }))
}, { description: 'What was said' })

export const CANCELLED = Type.Object({
  turns: Type.Array(Type.String(), { description: 'Ids of the turns that were stopped' })
}, { description: 'They are stopped; whoever follows them is told their ends' })

export const FORGOTTEN = Type.Null({ description: 'There is no such session any more' })

const EVENTS = Type.String({ description: 'Server-sent events without a name; the `data` of each is a server frame of the socket\'s protocol' })

/** One answer as JSON or as events. */
export function answers (description: string, schemas: { json?: TSchema }): object {
  const json = schemas.json === undefined ? {} : { 'application/json': { schema: schemas.json } }
  return { description, content: { ...json, 'text/event-stream': { schema: EVENTS } } }
}

/** What each route may be refused with: by the channel, or by a hook of the host. */
export function refusals (byStatus: Readonly<Record<number, string>>): Record<number, TSchema> {
  const ours = Object.entries(byStatus).map(([status, description]): [string, TSchema] => [status, { ...REFUSAL_BODY, description }])
  const hosts = HOST_STATUSES.map((status): [string, TSchema] => [
    String(status), { ...HOST_REFUSAL_BODY, description: byStatus[status] ?? 'Refused by a hook, or by the channel' }
  ])
  return Object.fromEntries([...ours, ...hosts])
}

export const JOURNAL_REFUSED: TSchema = { ...REFUSAL_BODY, description: 'The journal is another than the one that the request names' }

const HOST_STATUSES = [401, 403, 429, 500, 503] as const
