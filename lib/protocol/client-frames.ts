import { Type, type Static, type TSchema } from '@sinclair/typebox'

import { BUSY_POLICIES, MAX_NAME_LENGTH, NAME_PATTERN } from './names.js'

/** The limits that a channel's options put into its schemas. */
export interface FrameLimits {
  /** Longest `message` of a chat, in UTF-16 code units. */
  maxMessageLength: number
}

/** What a client can send, by `type`. The limits are part of the schemas, so that the documents show the real ones. */
export function clientFrameSchemas (limits: FrameLimits) {
  return {
    chat: Type.Object({
      type: Type.Literal('chat'),
      id: Type.Optional(name('Makes the chat tracked, and names its turn')),
      agentId: optionalAgentId(),
      sessionId: Type.Optional(sessionId()),
      message: Type.String({ minLength: 1, maxLength: limits.maxMessageLength }),
      stream: Type.Optional(Type.Boolean({ default: true, description: 'false: whole messages only' })),
      onBusy: Type.Optional(Type.Union(BUSY_POLICIES.map((policy) => Type.Literal(policy)), {
        description: 'What happens while another turn of the session runs'
      })),
      metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown(), {
        description: 'Goes to the agent as it is'
      }))
    }, { title: 'chat', description: 'Starts a turn' }),

    ping: Type.Object({
      type: Type.Literal('ping'),
      id: Type.Optional(name('Given back in the answer'))
    }, { title: 'ping', description: 'Answered by pong, also while turns run' }),

    cancel: Type.Object({
      type: Type.Literal('cancel'),
      id: Type.Optional(name('Given back in the answer')),
      turnId: Type.Optional(name('The turn to stop')),
      agentId: optionalAgentId(),
      sessionId: Type.Optional(sessionId())
    }, { title: 'cancel', description: 'Stops a turn, or every running and queued turn of the session' }),

    subscribe: Type.Object({
      type: Type.Literal('subscribe'),
      id: Type.Optional(name('Given back in the answer')),
      agentId: optionalAgentId(),
      sessionId: sessionId(),
      epoch: Type.Optional(name('The epoch that `after` belongs to')),
      after: Type.Optional(Type.Integer({ minimum: 0, description: 'The last seq this client has' }))
    }, { title: 'subscribe', description: 'Follows a whole session', dependentRequired: { after: ['epoch'] } }),

    unsubscribe: Type.Object({
      type: Type.Literal('unsubscribe'),
      id: Type.Optional(name('Given back in the answer')),
      agentId: optionalAgentId(),
      sessionId: sessionId()
    }, { title: 'unsubscribe', description: 'Goes back to this connection\'s own turns' }),

    history: Type.Object({
      type: Type.Literal('history'),
      id: Type.Optional(name('Given back in the answer')),
      agentId: optionalAgentId(),
      sessionId: sessionId(),
      before: Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description: 'A cursor from an earlier page' })),
      limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 }))
    }, { title: 'history', description: 'Asks what was said' })
  } satisfies Record<string, TSchema>
}

type ClientFrameSchemas = ReturnType<typeof clientFrameSchemas>

export type ClientFrameType = keyof ClientFrameSchemas
export type ClientFrameOf<T extends ClientFrameType> = Static<ClientFrameSchemas[T]>
export type ClientFrame = { [T in ClientFrameType]: ClientFrameOf<T> }[ClientFrameType]
export type ChatFrame = ClientFrameOf<'chat'>

function name (description: string) {
  return Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, description })
}

function optionalAgentId () {
  return Type.Optional(name('The agent; by default the connection\'s, else `main`'))
}

function sessionId () {
  return name('The session; chats of one session share its history and run one after another')
}
