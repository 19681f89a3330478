import type { LanguageModelUsage, ModelMessage, TextStreamPart, ToolSet } from 'ai'

import type { AgentEvents } from '../protocol/agent-events.js'
import { agentEvent } from './agent-event.js'
import type { EventPart, FinishPart, FullStreamAnswer, MetadataPart, Part, Turn } from './executor.js'
import { readStream } from './read-stream.js'
import { sdkFailure } from './sdk-failure.js'
import { UsageSum } from './usage-sum.js'

/** What `streamText` of the AI SDK returns, as far as it is read here. The versions 5 to 7 have it. */
export interface FullStreamResult extends FullStreamAnswer {
  /** The version 7 has the messages of all steps here, and in `response` those of the last alone. */
  readonly responseMessages?: PromiseLike<ModelMessage[]>
  readonly response?: PromiseLike<{ messages: ModelMessage[] }>
}

type AiSdkPart = TextStreamPart<ToolSet>
type PartOf<Type extends AiSdkPart['type']> = Extract<AiSdkPart, { type: Type }>

/** An executor's answer; where that is a result of `streamText`, its parts. */
export function inParts (answer: unknown, turn: Pick<Turn, 'signal' | 'log'>): unknown {
  const isFullStream = typeof answer === 'object' && answer !== null && 'fullStream' in answer
  // Whatever else it is, it is read as such a result is: the getter, which splits the stream, is left for that.
  return isFullStream ? fullStreamParts(answer as FullStreamResult, turn) : answer
}

async function * fullStreamParts (result: FullStreamResult, turn: Pick<Turn, 'signal' | 'log'>): AsyncGenerator<Part, void> {
  const reader = new FullStreamReader(turn)
  yield * reader.read(result)
  const messages = await reader.messagesOf(result)
  if (messages.length > 0) yield keptMessages(messages)
  yield reader.finish()
}

/** The messages that a later turn needs, as the answer's metadata. */
export function keptMessages (modelMessages: readonly ModelMessage[]): MetadataPart {
  return { type: 'metadata', metadata: { modelMessages } }
}

/** A tool that waits until somebody says whether it may run, as it is in the event `tool-approval-request`. */
export type ApprovalRequest = AgentEvents['tool-approval-request']

/** Reads one result after another, for one turn. */
export class FullStreamReader {
  readonly #turn: Pick<Turn, 'signal' | 'log'>
  readonly #onApproval: (request: ApprovalRequest) => void
  readonly #usage = new UsageSum()
  #finishReason: FinishPart['finishReason']

  /** @param onApproval told of a question before a client is, who may answer it at once */
  constructor (turn: Pick<Turn, 'signal' | 'log'>, onApproval: (request: ApprovalRequest) => void = () => {}) {
    this.#turn = turn
    this.#onApproval = onApproval
  }

  /**
   * @param onStep what to yield when a step is over
   * @throws what `sdkFailure` makes of an error that the stream tells or ends with
   */
  async * read (result: FullStreamResult, onStep: () => Part[] = () => []): AsyncGenerator<Part, void> {
    // The text, the reasoning and the tools are told one by one: what is typed loosely for many versions is such a part.
    for await (const part of readStream(result.fullStream as AsyncIterable<AiSdkPart>, this.#turn)) {
      if (part.type === 'text-delta') yield part.text
      else if (part.type === 'finish-step') yield * onStep()
      else yield * this.#eventsOf(part)
    }
  }

  /** What the model and its tools have said in all steps; nothing after an abort, when the SDK does not know. */
  async messagesOf (result: FullStreamResult): Promise<ModelMessage[]> {
    if (this.#finishReason === undefined || this.#finishReason === 'aborted') return []
    return await result.responseMessages ?? (await result.response)?.messages ?? []
  }

  finish (): FinishPart {
    return { type: 'finish', finishReason: this.#finishReason, usage: this.#usage.usage }
  }

  #eventsOf (part: AiSdkPart): EventPart[] {
    switch (part.type) {
      case 'reasoning-delta': return [agentEvent('reasoning', { id: part.id, text: part.text })]
      case 'source': return [agentEvent('source', sourceOf(part))]
      case 'file': return [agentEvent('file', { mediaType: part.file.mediaType, base64: part.file.base64 })]
      case 'finish':
      case 'abort':
      case 'error':
        this.#end(part)
        return []
      default: return this.#toolEventsOf(part)
    }
  }

  #toolEventsOf (part: AiSdkPart): EventPart[] {
    switch (part.type) {
      case 'tool-input-start': return [agentEvent('tool-input-start', { toolCallId: part.id, toolName: part.toolName })]
      case 'tool-input-delta': return [agentEvent('tool-input-delta', { toolCallId: part.id, text: part.delta })]
      case 'tool-call': return [agentEvent('tool-input', { ...callOf(part), input: part.input })]
      case 'tool-result': return [agentEvent('tool-output', this.#outputOf(part))]
      case 'tool-error': return [this.#failed(part)]
      case 'tool-output-denied': return [agentEvent('tool-denied', callOf(part))]
      case 'tool-approval-request': return [this.#asked(part)]
      // Beginnings, ends and whatever a later version adds: nothing of it is for a client.
      default: return []
    }
  }

  #end (part: PartOf<'finish' | 'abort' | 'error'>): void {
    if (part.type === 'error') throw sdkFailure(part.error)
    if (part.type === 'abort') {
      this.#finishReason = 'aborted'
      return
    }
    // A model may end so without saying what was wrong.
    if (part.finishReason === 'error') throw sdkFailure('the model ended with an error')
    this.#finishReason = part.finishReason
    this.#usage.add(countsOf(part.totalUsage))
  }

  #outputOf (part: PartOf<'tool-result'>) {
    const output = { ...callOf(part), output: part.output as unknown }
    return part.preliminary === true ? { ...output, preliminary: true as const } : output
  }

  #failed (part: PartOf<'tool-error'>): EventPart {
    const call = callOf(part)
    this.#turn.log.warn({ err: sdkFailure(part.error), ...call }, 'a tool of the agent failed')
    return agentEvent('tool-error', call)
  }

  #asked (part: PartOf<'tool-approval-request'>): EventPart {
    const { approvalId, toolCall } = part
    const request = { ...callOf(toolCall), approvalId, input: toolCall.input }
    this.#onApproval(request)
    return agentEvent('tool-approval-request', request)
  }
}

/** Parts have more than clients should see, such as what is meant for the provider. */
function callOf ({ toolCallId, toolName }: { toolCallId: string, toolName: string }) {
  return { toolCallId, toolName }
}

function sourceOf (part: PartOf<'source'>) {
  const { id, title } = part
  const named = title === undefined ? { id } : { id, title }
  return part.sourceType === 'url' ? { ...named, url: part.url } : { ...named, mediaType: part.mediaType }
}

function countsOf ({ inputTokens, outputTokens, totalTokens, ...usage }: LanguageModelUsage) {
  // Version 5 has no objects of details, but what is in them now.
  const { inputTokenDetails, outputTokenDetails } = usage as Partial<LanguageModelUsage>
  const reasoningTokens = outputTokenDetails?.reasoningTokens ?? numberIn(usage, 'reasoningTokens')
  const cachedInputTokens = inputTokenDetails?.cacheReadTokens ?? numberIn(usage, 'cachedInputTokens')
  return { inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens }
}

function numberIn (usage: object, field: string): number | undefined {
  const count: unknown = Reflect.get(usage, field)
  return typeof count === 'number' ? count : undefined
}
