import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager'
import { BaseChatModel } from '@langchain/core/language_models/chat_models'
import type { ChatModelStreamEvent, ContentBlockDelta } from '@langchain/core/language_models/event'
import { AIMessageChunk, type BaseMessage, type ToolCallChunk } from '@langchain/core/messages'
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

  nextSource (signal: AbortSignal | undefined): Source {
    const source = this.#sources.shift()
    if (source === undefined) throw new Error('the model was called once too often')
    source.heed(signal)
    return source
  }

  async _generate (): Promise<ChatResult> {
    throw new Error('this model only streams')
  }

  override async * _streamResponseChunks (
    _messages: BaseMessage[], { signal }: this['ParsedCallOptions'], run?: CallbackManagerForLLMRun
  ): AsyncGenerator<ChatGenerationChunk> {
    const source = this.nextSource(signal)
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      const message = chunkOf(piece)
      if (message === undefined) continue
      const chunk = new ChatGenerationChunk({ message, text: message.text })
      yield chunk
      // As the models of the integrations do.
      await run?.handleLLMNewToken(message.text, undefined, undefined, undefined, undefined, { chunk })
    }
  }
}

/** One that tells its answer by blocks. */
export class BlocksModel extends SourceModel {
  override async * _streamChatModelEvents (
    _messages: BaseMessage[], { signal }: this['ParsedCallOptions']
  ): AsyncGenerator<ChatModelStreamEvent> {
    const source = this.nextSource(signal)
    let index = -1
    yield { event: 'message-start', id: 'm1' }
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      if ('begin' in piece) index++
      yield * blockEventsOf(piece, index)
    }
  }
}

function blockEventsOf (piece: Piece, index: number): ChatModelStreamEvent[] {
  const delta = (of: ContentBlockDelta): ChatModelStreamEvent[] => [{ event: 'content-block-delta', index, delta: of }]
  if ('text' in piece) return delta({ type: 'text-delta', text: piece.text })
  if ('reasoning' in piece) return delta({ type: 'reasoning-delta', reasoning: piece.reasoning })
  if ('begin' in piece) return [{ event: 'content-block-start', index, content: { type: 'tool_call_chunk', ...piece.begin } }]
  if ('input' in piece) return delta({ type: 'tool-call-delta', args: piece.input.text })
  if ('whole' in piece) {
    const { id, name, text } = piece.whole
    return [{ event: 'content-block-finish', index, content: { type: 'tool_call', id, name, args: JSON.parse(text) as object } }]
  }
  const reasons = { stop: 'stop', length: 'length', 'tool-calls': 'tool_use', 'content-filter': 'content_filter' } as const
  return [{ event: 'message-finish', reason: reasons[piece.end], usage: LANGCHAIN_USAGE }]
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
    usage_metadata: LANGCHAIN_USAGE
  })
}

const LANGCHAIN_USAGE = {
  input_tokens: USAGE.inputTokens,
  output_tokens: USAGE.outputTokens,
  total_tokens: USAGE.totalTokens,
  output_token_details: { reasoning: USAGE.reasoningTokens },
  input_token_details: { cache_read: USAGE.cachedInputTokens }
}
