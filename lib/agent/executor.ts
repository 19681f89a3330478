import type { FastifyBaseLogger } from 'fastify'

import type { Awaitable } from '../awaitable.js'
import type { FinishReason } from '../protocol/names.js'
import type { SessionMessage, Usage } from '../protocol/server-frames.js'

/**
 * The host's agent: gets a turn and answers it.
 *
 * A returned string is the whole answer. Anything that can be iterated (a generator, an async generator, an array, a
 * web `ReadableStream`) is streamed as it yields. What is thrown ends the turn with `AGENT_ERROR`; its text is logged
 * and not sent, unless it is an {@link AgentError}.
 */
export type Executor = (turn: Turn) => Awaitable<Answer>

export type Answer = string | AsyncIterable<Part> | Iterable<Part> | ReadableStream<Part> | FullStreamAnswer

/** What `streamText` of the AI SDK returns, as it is; what becomes of its parts says `AgentEvents`. */
export interface FullStreamAnswer {
  readonly fullStream: AsyncIterable<{ type: string }>
}

/** One agent of several. */
export interface AgentDefinition {
  execute: Executor
  /** For people: shown in the list of agents. */
  description?: string | undefined
  /** What a chat's `metadata` must be: a TypeBox schema or any JSON Schema. Without one anything goes. */
  metadata?: object | undefined
}

/** One executor for whatever agent a chat names, or one per agent id: then another id is `AGENT_NOT_FOUND`. */
export type AgentExecutor = Executor | Readonly<Record<string, Executor | AgentDefinition>>

/** One question, as the executor sees it. */
export interface Turn {
  /** The chat's own id where it had one, else made by the server. */
  readonly id: string
  readonly agentId: string
  readonly sessionId: string
  /** Whose session it is: what `identify` said. */
  readonly owner: string
  /** What `identify` gave along: JSON. */
  readonly context: unknown
  readonly message: string
  readonly metadata: Record<string, unknown> | undefined
  /** Fires when nobody wants the rest: time-out, cancel, shutdown. Its `reason` is an `Error`. */
  readonly signal: AbortSignal
  /** The host's logger, with `agentId`, `sessionId` and `turnId` bound. */
  readonly log: FastifyBaseLogger
  /**
   * What was said in this session before this turn, oldest first.
   * @param options.limit at most so many messages, by default 50
   * @throws when the session store fails
   */
  history(options?: { limit?: number | undefined }): Promise<SessionMessage[]>
  /**
   * Waits for something that takes as long as it takes, such as a person's approval: meanwhile only the turn's total
   * time-out runs. Rejects when the turn is stopped.
   */
  waitFor<T>(promise: PromiseLike<T>): Promise<T>
}

/** What an executor yields. A string is text. */
export type Part = string | TextPart | MessagePart | EventPart | MetadataPart | FinishPart

export interface TextPart {
  type: 'text'
  content: string
}

/** A whole message of its own, beside the streamed text. */
export interface MessagePart {
  type: 'message'
  content: string
}

/** Neither text nor an end: a name of `AgentEvents`, such as `reasoning` or `tool-output`, or one of the host's own. */
export interface EventPart {
  type: 'event'
  /** At most 128 UTF-16 code units, and not `turn-started`, which is the channel's own. */
  name: string
  /** Anything that JSON can say. */
  data?: unknown
}

/**
 * What the agent wants to know in the session's next turn: kept with the answer, also with one that is cut off, and found
 * in `history()`. The last one counts. The channel shows it to no client; a route of the host's that reads the session
 * store has to leave it out. One of more than `maxAnswerBytes` of JSON is not kept, which the log says.
 */
export interface MetadataPart {
  type: 'metadata'
  /** Anything that JSON can say. */
  metadata: Record<string, unknown>
}

/** Says how the turn ended and what it cost. Iteration goes on; the turn ends when the iterable does. */
export interface FinishPart {
  type: 'finish'
  finishReason?: FinishReason | undefined
  usage?: Usage | undefined
}

/** Thrown by an executor whose `message` the client may read, up to 1,000 UTF-16 code units of it. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
}

/** Thrown by an executor that serves many agents, for an `agentId` that it does not know. */
export class AgentNotFoundError extends Error {
  override readonly name = 'AgentNotFoundError'

  constructor (agentId: string) {
    super(`no agent named ${JSON.stringify(agentId)}`)
  }
}
