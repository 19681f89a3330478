import type { ChatModelStreamEvent } from '@langchain/core/language_models/event'
import type { BaseMessage } from '@langchain/core/messages'
import type { StreamEvent } from '@langchain/core/types/stream'

import { isEventName } from '../agent/answer.js'
import type { Executor, Part, Turn } from '../agent/executor.js'
import type { Stream } from '../agent/read-stream.js'
import { UsageSum } from '../agent/usage-sum.js'
import type { Awaitable } from '../awaitable.js'
import { callOf, streamExecutor, streamOf, type AdapterOptions, type SdkCall, type Translator } from './adapter.js'
import { LangChainBlocks } from './langchain-blocks.js'
import { LangChainEvents } from './langchain-events.js'
import { isMessage, LangChainMessages } from './langchain-messages.js'
import { isOwnPart } from './own-part.js'
import { ReaderPace } from './reader-pace.js'

export type { AdapterOptions, SdkCall } from './adapter.js'

/**
 * What a runnable's `stream` yields (strings, messages, and of a graph also pairs: a message and its metadata, or the name
 * of a mode and what that tells), and what `streamEvents` yields; parts of the host's own may come between.
 */
export type LangChainItem =
  | BaseMessage
  | StreamEvent
  | ChatModelStreamEvent
  | readonly [message: BaseMessage, metadata: object]
  | readonly [mode: string, told: unknown]
  | Part

/** What is given to the runnable: `runnable.stream(messages, config)`, where the configuration is all but the messages. */
export interface LangChainCall extends SdkCall {
  /** Has models wait for who reads the turn; `streamEvents` would read them to their ends, whoever follows. */
  callbacks: PaceHandler[]
}

/** A handler of LangChain's callbacks. */
export interface PaceHandler {
  readonly name: string
  readonly awaitHandlers: boolean
  handleLLMNewToken(): Promise<void>
}

/**
 * An agent of LangChain: `fromLangChain(({ messages, ...config }) => model.stream(messages, config))`, or for the events of
 * tools `fromLangChain(({ messages, ...config }) => agent.streamEvents({ messages }, { version: 'v2', ...config }))`.
 */
export function fromLangChain (
  open: (call: LangChainCall, turn: Turn) => Awaitable<Stream<LangChainItem>>, options: AdapterOptions = {}
): Executor {
  return streamExecutor(async (turn) => {
    const pace = new ReaderPace()
    const handler = { name: 'fastify-ws-channel', awaitHandlers: true, handleLLMNewToken: async () => { await pace.mayGoOn() } }
    const { stream } = await streamOf(open({ ...await callOf(turn, options), callbacks: [handler] }, turn))
    return { stream: pace.watched(stream) }
  }, () => new LangChainItems(), options)
}

class LangChainItems implements Translator<LangChainItem> {
  readonly #usage = new UsageSum()
  readonly #messages = new LangChainMessages(this.#usage)
  readonly #events = new LangChainEvents(this.#messages)
  readonly #blocks = new LangChainBlocks(this.#messages)

  take (item: LangChainItem): Part[] {
    if (isOwnPart(item)) return [item]
    if (isPair(item)) return this.#takePair(item)
    if (!isEvent(item)) return this.#takeMessage(item)
    return 'run_id' in item ? this.#events.take(item) : this.#blocks.take(item)
  }

  end (): Part[] {
    const { finishReason } = this.#messages
    return [...this.#messages.end(), { type: 'finish', finishReason, usage: this.#usage.usage }]
  }

  #takePair ([first, second]: readonly [unknown, unknown]): Part[] {
    if (typeof first !== 'string') return this.#takeMessage(first)
    if (first === 'messages' && isPair(second)) return this.#takeMessage(second[0])
    return isEventName(first) ? [{ type: 'event', name: first, data: second }] : []
  }

  #takeMessage (item: unknown): Part[] {
    if (!isMessage(item)) {
      throw new TypeError('the stream yielded no message: give `fromLangChain` a runnable that ends with a model or in text, ' +
        'of a graph the mode `messages`, or its `streamEvents`')
    }
    this.#messages.note(item)
    return this.#messages.take(item)
  }
}

function isEvent (item: unknown): item is StreamEvent | ChatModelStreamEvent {
  return typeof item === 'object' && item !== null && 'event' in item
}

function isPair (item: unknown): item is readonly [unknown, unknown] {
  return Array.isArray(item) && item.length === 2
}
