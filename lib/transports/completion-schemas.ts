import { Type, type Static, type TSchema } from '@sinclair/typebox'

import { MAX_NAME_LENGTH, NAME_PATTERN } from '../protocol/names.js'

// The shapes are those of OpenAI's chat completions, as far as an agent has use for them: what else there is is ignored.

const name = (description: string) => Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, description })
/** Clients write `null` for what they do not say. */
const optional = <Schema extends TSchema>(schema: Schema) => Type.Optional(Type.Union([schema, Type.Null()]))

const TextParts = Type.Array(Type.Object({ type: Type.Literal('text'), text: Type.String() }), { description: 'Parts of other kinds are refused' })

const GivenMessage = Type.Object({
  role: Type.Union(['system', 'developer', 'user', 'assistant', 'tool', 'function'].map((role) => Type.Literal(role))),
  content: optional(Type.Union([Type.String(), TextParts]))
})
export type GivenMessage = Static<typeof GivenMessage>

/** What a completion may ask for. */
export const COMPLETION_REQUEST = Type.Object({
  model: name('The agent'),
  messages: Type.Array(GivenMessage, {
    minItems: 1,
    description: 'The last one of the user is the chat. Those beside it are the history, or nothing where a session is named, which has its own'
  }),
  stream: optional(Type.Boolean({ description: 'Whether the answer comes in events, while it is written' })),
  stream_options: optional(Type.Object({ include_usage: optional(Type.Boolean()) })),
  n: optional(Type.Literal(1)),
  metadata: optional(Type.Record(Type.String(), Type.Unknown(), { description: 'Goes to the agent as it is' })),
  sessionId: optional(name('The session in which it is said, and kept. Without one nothing is')),
  user: optional(name('The same, for clients that can say nothing else'))
}, { title: 'Completion', description: 'Asks an agent' })
export type CompletionRequest = Static<typeof COMPLETION_REQUEST>

export const COMPLETION_USAGE = Type.Object({
  prompt_tokens: Type.Integer(),
  completion_tokens: Type.Integer(),
  total_tokens: Type.Integer(),
  prompt_tokens_details: Type.Optional(Type.Object({ cached_tokens: Type.Integer() })),
  completion_tokens_details: Type.Optional(Type.Object({ reasoning_tokens: Type.Integer() }))
}, { description: 'As the agent has reported it; left out if it has not' })
export type CompletionUsage = Static<typeof COMPLETION_USAGE>

const Finish = Type.Union([Type.Literal('stop'), Type.Literal('length'), Type.Literal('content_filter')], {
  description: '`length` also for an answer that somebody has stopped'
})
export type CompletionFinish = Static<typeof Finish>

const head = { id: Type.String({ description: 'The id of the turn' }), created: Type.Integer(), model: Type.String() }

export const COMPLETION = Type.Object({
  ...head,
  object: Type.Literal('chat.completion'),
  choices: Type.Array(Type.Object({
    index: Type.Literal(0),
    message: Type.Object({ role: Type.Literal('assistant'), content: Type.String(), refusal: Type.Null() }),
    logprobs: Type.Null(),
    finish_reason: Finish
  }), { minItems: 1, maxItems: 1 }),
  usage: Type.Optional(COMPLETION_USAGE)
}, { title: 'Answer', description: 'The answer' })
export type Completion = Static<typeof COMPLETION>

/** One event of an answer that is streamed. */
export const COMPLETION_CHUNK = Type.Object({
  ...head,
  object: Type.Literal('chat.completion.chunk'),
  choices: Type.Array(Type.Object({
    index: Type.Literal(0),
    delta: Type.Object({ role: Type.Optional(Type.Literal('assistant')), content: Type.Optional(Type.String()) }),
    logprobs: Type.Null(),
    finish_reason: Type.Union([Finish, Type.Null()])
  }), { maxItems: 1, description: 'Empty in the chunk that has the usage' }),
  usage: Type.Optional(Type.Union([COMPLETION_USAGE, Type.Null()]))
}, { title: 'Chunk', description: 'A piece of the answer' })
export type CompletionChunk = Static<typeof COMPLETION_CHUNK>

export const COMPLETION_ERROR = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Type.Null()], { description: 'The field that is wrong' }),
    code: Type.Union([Type.String(), Type.Null()])
  })
})
export type CompletionError = Static<typeof COMPLETION_ERROR>

export const MODELS = Type.Object({
  object: Type.Literal('list'),
  data: Type.Array(Type.Object({
    id: Type.String(), object: Type.Literal('model'), created: Type.Integer(), owned_by: Type.String()
  }))
}, { title: 'Models', description: 'The agents, as models' })
export type Models = Static<typeof MODELS>
