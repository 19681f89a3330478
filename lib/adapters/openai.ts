import type { ChatCompletionChunk } from 'openai/resources/chat/completions'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'

import type { Executor, Part, Turn } from '../agent/executor.js'
import type { Stream } from '../agent/read-stream.js'
import { UsageSum } from '../agent/usage-sum.js'
import type { Awaitable } from '../awaitable.js'
import type { FinishReason } from '../protocol/names.js'
import { callOf, streamExecutor, streamOf, type AdapterOptions, type SdkCall, type Translator } from './adapter.js'
import { ChatChunks } from './openai-chat.js'
import { ResponseEvents } from './openai-responses.js'
import { isOwnPart } from './own-part.js'

export type { AdapterOptions, SdkCall } from './adapter.js'

/** What the streams of chat completions and of responses yield; parts of the host's own may come between. */
export type OpenAIItem = ChatCompletionChunk | ResponseStreamEvent | Part

/**
 * An agent of the `openai` package, by chat completions or by responses. `open` returns the stream, or is a generator
 * that calls the model more than once, runs tools in between, and yields both what the model streams and parts of its
 * own: `fromOpenAI(({ messages, signal }) => openai.chat.completions.create({ model, messages, stream: true }, { signal }))`.
 */
export function fromOpenAI (open: (call: SdkCall, turn: Turn) => Awaitable<Stream<OpenAIItem>>, options: AdapterOptions = {}): Executor {
  return streamExecutor(async (turn) => await streamOf(open(await callOf(turn, options), turn)), () => new OpenAIItems(), options)
}

class OpenAIItems implements Translator<OpenAIItem> {
  readonly #usage = new UsageSum()
  readonly #chat = new ChatChunks(this.#usage)
  readonly #responses = new ResponseEvents(this.#usage)
  #last: { readonly finishReason: FinishReason | undefined } | undefined

  take (item: OpenAIItem): Part[] {
    if (isOwnPart(item)) return [item]
    if (!('choices' in item)) {
      this.#last = this.#responses
      return this.#responses.take(item)
    }
    this.#last = this.#chat
    return this.#chat.take(item)
  }

  end (): Part[] {
    const rest = this.#chat.end()
    if (this.#last === undefined) return rest
    // A server that stops in the middle may leave the end out.
    return [...rest, { type: 'finish', finishReason: this.#last.finishReason ?? 'other', usage: this.#usage.usage }]
  }
}
