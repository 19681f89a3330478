import type { CompletionUsage } from 'openai/resources/completions'
import type { ChatCompletionChunk } from 'openai/resources/chat/completions'

import { agentEvent } from '../agent/agent-event.js'
import type { Part } from '../agent/executor.js'
import type { UsageSum } from '../agent/usage-sum.js'
import type { FinishReason } from '../protocol/names.js'
import { finishReasonOf } from './finish-reason.js'
import { ToolInputs } from './tool-inputs.js'

type Delta = ChatCompletionChunk.Choice.Delta

/** The names under which servers other than OpenAI's tell what a model thinks. */
const REASONING_FIELDS = ['reasoning_content', 'reasoning']

/** Reads the chunks of chat completions, one completion after another. */
export class ChatChunks {
  readonly #sum: UsageSum
  readonly #tools = new ToolInputs()
  #completionId: string | undefined
  #usage: CompletionUsage | null | undefined
  finishReason: FinishReason | undefined

  constructor (sum: UsageSum) {
    this.#sum = sum
  }

  take (chunk: ChatCompletionChunk): Part[] {
    const before = chunk.id === this.#completionId ? [] : this.end()
    this.#completionId = chunk.id
    // Some servers count on in every chunk.
    this.#usage = chunk.usage ?? this.#usage
    // Of several answers to one question only the first is the turn's.
    const choice = chunk.choices.find(({ index }) => index === 0)
    return choice === undefined ? before : [...before, ...this.#partsOf(choice, chunk.id)]
  }

  /** Ends the completion that was read last. */
  end (): Part[] {
    if (this.#usage) this.#sum.add(countsOf(this.#usage))
    this.#usage = undefined
    return this.#tools.closeAll()
  }

  #partsOf ({ delta, finish_reason: word }: ChatCompletionChunk.Choice, id: string): Part[] {
    const parts: Part[] = reasoningOf(delta).map((text) => agentEvent('reasoning', { id, text }))
    if (delta.content) parts.push(delta.content)
    if (delta.refusal) parts.push(delta.refusal)
    for (const { index, id, function: called } of delta.tool_calls ?? []) {
      parts.push(...this.#tools.write(index, { toolCallId: id, toolName: called?.name, text: called?.arguments }))
    }
    if (word) {
      this.finishReason = finishReasonOf(word)
      parts.push(...this.#tools.closeAll())
    }
    return parts
  }
}

function reasoningOf (delta: Delta): string[] {
  return REASONING_FIELDS
    .map((field): unknown => Reflect.get(delta, field))
    .filter((text) => typeof text === 'string' && text !== '')
    .slice(0, 1) as string[]
}

function countsOf (usage: CompletionUsage) {
  return {
    inputTokens: usage.prompt_tokens,
    outputTokens: usage.completion_tokens,
    totalTokens: usage.total_tokens,
    reasoningTokens: usage.completion_tokens_details?.reasoning_tokens,
    cachedInputTokens: usage.prompt_tokens_details?.cached_tokens
  }
}
