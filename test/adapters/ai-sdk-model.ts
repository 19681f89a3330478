import type { LanguageModelV3StreamPart } from '@ai-sdk/provider'
import { MockLanguageModelV3 } from 'ai/test'

import { USAGE, type Piece, type Source } from './source.js'

export type ModelPart = LanguageModelV3StreamPart

/** A model of the AI SDK that says what its source does; of several it takes the next for each call. */
export function modelOf (...sources: Source[]): MockLanguageModelV3 {
  let calls = 0
  return new MockLanguageModelV3({
    async doStream ({ abortSignal }) {
      const source = sources[calls++]
      if (source === undefined) throw new Error('the model was called once too often')
      source.heed(abortSignal)
      return { stream: source.stream(encoder()) }
    }
  })
}

export function failingModel (failure: Error): MockLanguageModelV3 {
  return new MockLanguageModelV3({ async doStream () { throw failure } })
}

/** The parts of one call: its blocks of text and of reasoning have beginnings and ends. */
function encoder (): (piece: Piece) => ModelPart[] {
  let open: 'text' | 'reasoning' | undefined
  const block = (next: typeof open): ModelPart[] => {
    if (next === open) return []
    const before = open
    open = next
    return [
      ...before === undefined ? [] : [{ type: `${before}-end` as const, id: 'm1' }],
      ...next === undefined ? [] : [{ type: `${next}-start` as const, id: 'm1' }]
    ]
  }
  return (piece) => {
    if ('text' in piece) return [...block('text'), { type: 'text-delta', id: 'm1', delta: piece.text }]
    if ('reasoning' in piece) return [...block('reasoning'), { type: 'reasoning-delta', id: 'm1', delta: piece.reasoning }]
    return [...block(undefined), otherPart(piece)]
  }
}

function otherPart (piece: Exclude<Piece, { text: string } | { reasoning: string }>): ModelPart {
  if ('begin' in piece) return { type: 'tool-input-start', id: piece.begin.id, toolName: piece.begin.name }
  if ('input' in piece) return { type: 'tool-input-delta', id: piece.input.id, delta: piece.input.text }
  if ('whole' in piece) {
    return { type: 'tool-call', toolCallId: piece.whole.id, toolName: piece.whole.name, input: piece.whole.text }
  }
  const { inputTokens, outputTokens, reasoningTokens, cachedInputTokens } = USAGE
  return {
    type: 'finish',
    finishReason: { unified: piece.end, raw: piece.end },
    usage: {
      inputTokens: { total: inputTokens, noCache: inputTokens - cachedInputTokens, cacheRead: cachedInputTokens, cacheWrite: 0 },
      outputTokens: { total: outputTokens, text: outputTokens - reasoningTokens, reasoning: reasoningTokens }
    }
  }
}
