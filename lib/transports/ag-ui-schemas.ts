import { Type, type Static } from '@sinclair/typebox'

import { MAX_NAME_LENGTH, NAME_PATTERN } from '../protocol/names.js'

// The shapes are those of AG-UI's protocol, as far as an agent here has use for them: what else there is is ignored.

const TextPart = Type.Object({ type: Type.Literal('text'), text: Type.String() })

const RunMessage = Type.Object({
  role: Type.String(),
  content: Type.Optional(Type.Unknown({ description: 'Of the user\'s a text, or parts that are texts' }))
})

/** What a user says. */
export const RUN_CONTENT = Type.Union([Type.String(), Type.Array(TextPart)])
export type RunContent = Static<typeof RUN_CONTENT>

/** What starts a run. */
export const RUN_INPUT = Type.Object({
  threadId: Type.String({
    minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, description: 'The session, which has a history of its own'
  }),
  runId: Type.String({ description: 'Comes back in the events' }),
  messages: Type.Array(RunMessage, { minItems: 1, description: 'The last one is the chat: it has to be the user\'s' }),
  forwardedProps: Type.Optional(Type.Unknown({ description: 'An object: goes to the agent as the chat\'s `metadata`' })),
  state: Type.Optional(Type.Unknown({ description: 'If there is any, goes to the agent in `metadata.agUi`, as the next three' })),
  tools: Type.Optional(Type.Array(Type.Unknown())),
  context: Type.Optional(Type.Array(Type.Unknown())),
  resume: Type.Optional(Type.Array(Type.Unknown()))
}, { title: 'Run', description: 'Runs an agent' })
export type RunInput = Static<typeof RUN_INPUT>

/** One event of a run. */
export const RUN_EVENT = Type.Object({ type: Type.String() }, { title: 'Event', description: 'An event of AG-UI', additionalProperties: true })
