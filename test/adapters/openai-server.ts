import OpenAI from 'openai'

import { USAGE, type Piece, type Source } from './source.js'

/** The client of the package, over a network that says what the sources do; of several it takes the next for each call. */
export function clientOf (encoder: () => (piece: Piece) => object[], ...sources: Source[]): OpenAI {
  let calls = 0
  const encoded = new TextEncoder()
  return new OpenAI({
    apiKey: 'none',
    maxRetries: 0,
    async fetch (_url, init) {
      const source = sources[calls++]
      if (source === undefined) throw new Error('the model was called once too often')
      source.heed(init?.signal)
      const encode = encoder()
      const line = (data: string): Uint8Array => encoded.encode(`data: ${data}\n\n`)
      const body = source.stream((piece) => encode(piece).map((item) => line(JSON.stringify(item))), [line('[DONE]')])
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
  })
}

/** Chunks of a chat completion, as servers send them that tell what a model thinks. */
export function chatChunks (): (piece: Piece) => object[] {
  const chunk = (delta: object, more: object = {}): object => ({
    id: 'm1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: null, ...more }]
  })
  return (piece) => {
    if ('text' in piece) return [chunk({ content: piece.text })]
    if ('reasoning' in piece) return [chunk({ reasoning_content: piece.reasoning })]
    if ('begin' in piece) {
      return [chunk({ tool_calls: [{ index: 0, id: piece.begin.id, type: 'function', function: { name: piece.begin.name, arguments: '' } }] })]
    }
    if ('input' in piece) return [chunk({ tool_calls: [{ index: 0, function: { arguments: piece.input.text } }] })]
    // What it has written is whole at the end of the completion, which has a chunk for the usage alone.
    if ('whole' in piece) return []
    const usage = {
      prompt_tokens: USAGE.inputTokens,
      completion_tokens: USAGE.outputTokens,
      total_tokens: USAGE.totalTokens,
      completion_tokens_details: { reasoning_tokens: USAGE.reasoningTokens },
      prompt_tokens_details: { cached_tokens: USAGE.cachedInputTokens }
    }
    return [chunk({}, { finish_reason: piece.end.replace('-', '_') }), { ...chunk({}), choices: [], usage }]
  }
}

/** Events of a response. */
export function responseEvents (): (piece: Piece) => object[] {
  let place = 0
  const at = (type: string, more: object): object => ({ type: `response.${type}`, item_id: 'm1', output_index: place, ...more })
  let hasCalls = false
  return (piece) => {
    if ('text' in piece) return [at('output_text.delta', { content_index: 0, delta: piece.text })]
    if ('reasoning' in piece) return [at('reasoning_summary_text.delta', { summary_index: 0, delta: piece.reasoning })]
    if ('begin' in piece) {
      place++
      const { id, name } = piece.begin
      return [at('output_item.added', { item: { id: 'f1', type: 'function_call', call_id: id, name, arguments: '' } })]
    }
    if ('input' in piece) return [at('function_call_arguments.delta', { delta: piece.input.text })]
    if ('whole' in piece) {
      hasCalls = true
      const { id, name, text } = piece.whole
      const item = { id: 'f1', type: 'function_call', call_id: id, name, arguments: text, status: 'completed' }
      return [at('function_call_arguments.done', { arguments: text }), at('output_item.done', { item })]
    }
    return [hasCalls ? ended('tool-calls') : ended(piece.end)]
  }
}

function ended (end: Extract<Piece, { end: unknown }>['end']): object {
  const usage = {
    input_tokens: USAGE.inputTokens,
    output_tokens: USAGE.outputTokens,
    total_tokens: USAGE.totalTokens,
    output_tokens_details: { reasoning_tokens: USAGE.reasoningTokens },
    input_tokens_details: { cached_tokens: USAGE.cachedInputTokens }
  }
  const reason = { length: 'max_output_tokens', 'content-filter': 'content_filter', stop: undefined, 'tool-calls': undefined }[end]
  if (reason === undefined) return { type: 'response.completed', response: { usage, output: [], incomplete_details: null } }
  return { type: 'response.incomplete', response: { usage, output: [], incomplete_details: { reason } } }
}
