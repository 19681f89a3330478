import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager'
import type { BaseMessage } from '@langchain/core/messages'
import { AIMessageChunk, type ToolCallChunk } from '@langchain/core/messages'
import { BaseChatModel } from '@langchain/core/language_models/chat_models'
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs'

import { USAGE, type Piece, type Source } from './source.js'

/** A chat model of LangChain that says what its source does; of several it takes the next for each call. */
export class SourceModel extends BaseChatModel {
  readonly #sources: Source[]

  constructor (...sources: Source[]) {
    super({})
    this.#sources = sources
  }

  _llmType (): string { return 'source' }

  async _generate (): Promise<ChatResult> {
    throw new Error('this model only streams')
  }

  override async * _streamResponseChunks (
    _messages: BaseMessage[], { signal }: this['ParsedCallOptions'], run?: CallbackManagerForLLMRun
  ): AsyncGenerator<ChatGenerationChunk> {
    const source = this.#sources.shift()
    if (source === undefined) throw new Error('the model was called once too often')
    source.heed(signal)
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      const message = chunkOf(piece)
      if (message === undefined) continue
      yield new ChatGenerationChunk({ message, text: message.text })
      // As the models of the integrations do.
      await run?.handleLLMNewToken(message.text)
    }
  }
}

export function chunkOf (piece: Piece): AIMessageChunk | undefined {
  const chunk = (content: string, more: object = {}) => new AIMessageChunk({ id: 'm1', content, ...more })
  const call = (more: Partial<ToolCallChunk>) => chunk('', { tool_call_chunks: [{ type: 'tool_call_chunk', index: 0, ...more }] })
  if ('text' in piece) return chunk(piece.text)
  if ('reasoning' in piece) return chunk('', { additional_kwargs: { reasoning_content: piece.reasoning } })
  if ('begin' in piece) return call({ id: piece.begin.id, name: piece.begin.name, args: '' })
  if ('input' in piece) return call({ args: piece.input.text })
  // What it has written is whole when the message is.
  if ('whole' in piece) return undefined
  return chunk('', {
    response_metadata: { finish_reason: piece.end.replace('-', '_') },
    usage_metadata: {
      input_tokens: USAGE.inputTokens,
      output_tokens: USAGE.outputTokens,
      total_tokens: USAGE.totalTokens,
      output_token_details: { reasoning: USAGE.reasoningTokens },
      input_token_details: { cache_read: USAGE.cachedInputTokens }
    }
  })
}
