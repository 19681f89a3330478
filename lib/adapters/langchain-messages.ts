import type { AIMessage, AIMessageChunk, BaseMessage, ToolMessage, UsageMetadata } from '@langchain/core/messages'

import { agentEvent } from '../agent/agent-event.js'
import type { EventPart, Part } from '../agent/executor.js'
import type { UsageSum } from '../agent/usage-sum.js'
import type { FinishReason } from '../protocol/names.js'
import { finishReasonOf } from './finish-reason.js'
import { ToolInputs } from './tool-inputs.js'

/** Where the integrations of the providers put the word for an answer's end. */
const FINISH_FIELDS = ['finish_reason', 'stop_reason', 'finishReason']

/** Reads messages and chunks of them. */
export class LangChainMessages {
  readonly #sum: UsageSum
  readonly #tools = new ToolInputs()
  #messageId: string | undefined
  finishReason: FinishReason | undefined

  constructor (sum: UsageSum) {
    this.#sum = sum
  }

  take (message: BaseMessage): Part[] {
    if (isModels(message)) return this.#partsOf(message)
    return isTools(message) ? [...this.end(), toolResult(message)] : []
  }

  /** How the message ended and what it cost; what a chunk tells of that is of this chunk alone. */
  note (message: BaseMessage): void {
    if (!isModels(message)) return
    const word = finishWordOf(message)
    if (word !== undefined) this.finish(word)
    // Its type says that a message of unknown structure has none.
    this.countUsage(Reflect.get(message, 'usage_metadata') as Partial<UsageMetadata> | undefined ?? {})
  }

  countUsage (usage: Partial<UsageMetadata>): void {
    this.#sum.add(countsOf(usage))
  }

  finish (word: string): void {
    this.finishReason = finishReasonOf(word)
  }

  /** What is open is whole. */
  end (): Part[] {
    return this.#tools.closeAll()
  }

  #partsOf (message: AIMessage | AIMessageChunk): Part[] {
    const parts = this.#isNext(message.id) ? this.end() : []
    parts.push(...reasoningOf(message))
    if (message.text !== '') parts.push(message.text)
    parts.push(...this.#callsOf(message))
    return finishWordOf(message) === undefined ? parts : [...parts, ...this.end()]
  }

  #isNext (id: string | undefined): boolean {
    // Not every chunk has the id of its message.
    if (id === undefined || id === this.#messageId) return false
    this.#messageId = id
    return true
  }

  #callsOf (message: AIMessage | AIMessageChunk): EventPart[] {
    const chunks = 'tool_call_chunks' in message ? message.tool_call_chunks : undefined
    if (chunks !== undefined && chunks.length > 0) {
      return chunks.flatMap(({ index, id, name, args }) => this.#tools.write(index ?? 0, { toolCallId: id, toolName: name, text: args }))
    }
    return (message.tool_calls ?? []).flatMap(({ id, name, args }, index) => [
      ...this.#tools.write(index, { toolCallId: id, toolName: name }),
      ...this.#tools.close(index, args)
    ])
  }
}

/** By the mark that the package puts on its messages for this purpose: the class is there only for who loads it. */
const MESSAGE_MARK = Symbol.for('langchain.message')

export function isMessage (item: unknown): item is BaseMessage {
  return typeof item === 'object' && item !== null && MESSAGE_MARK in item
}

export function isTools (item: unknown): item is ToolMessage {
  return isMessage(item) && item.type === 'tool'
}

function isModels (message: BaseMessage): message is AIMessage | AIMessageChunk {
  return message.type === 'ai'
}

/** @param call where it is known by another id */
export function toolResult ({ tool_call_id: toolCallId, name: toolName = '', status, content }: ToolMessage, call = { toolCallId, toolName }): EventPart {
  return status === 'error' ? agentEvent('tool-error', call) : agentEvent('tool-output', { ...call, output: content })
}

function reasoningOf (message: AIMessage | AIMessageChunk): EventPart[] {
  const id = message.id ?? ''
  const told: unknown = message.additional_kwargs['reasoning_content']
  const texts = message.contentBlocks.flatMap((block) => block.type === 'reasoning' ? [block.reasoning] : [])
  if (texts.length === 0 && typeof told === 'string') texts.push(told)
  return texts.filter((text) => text !== '').map((text) => agentEvent('reasoning', { id, text }))
}

function finishWordOf ({ response_metadata: told, additional_kwargs: also }: BaseMessage): string | undefined {
  const words = [told, also].flatMap((fields) => FINISH_FIELDS.map((field): unknown => (fields as Record<string, unknown>)[field]))
  return words.find((word): word is string => typeof word === 'string' && word !== '')
}

function countsOf (usage: Partial<UsageMetadata>) {
  return {
    inputTokens: usage.input_tokens,
    outputTokens: usage.output_tokens,
    totalTokens: usage.total_tokens,
    reasoningTokens: usage.output_token_details?.reasoning,
    cachedInputTokens: usage.input_token_details?.cache_read
  }
}
