import type {
  Response, ResponseOutputItem, ResponseOutputTextAnnotationAddedEvent, ResponseStreamEvent, ResponseUsage
} from 'openai/resources/responses/responses'

import { agentEvent } from '../agent/agent-event.js'
import type { Part } from '../agent/executor.js'
import { sdkFailure } from '../agent/sdk-failure.js'
import type { UsageSum } from '../agent/usage-sum.js'
import type { FinishReason } from '../protocol/names.js'
import { finishReasonOf } from './finish-reason.js'
import { parsedInput, ToolInputs } from './tool-inputs.js'

/** Tools that the provider runs by itself, beside those of MCP servers. */
const RUN_THERE: readonly string[] = ['web_search_call', 'file_search_call', 'code_interpreter_call']

/** Reads the events of responses, one response after another. */
export class ResponseEvents {
  readonly #sum: UsageSum
  readonly #tools = new ToolInputs()
  #hasOpenCalls = false
  finishReason: FinishReason | undefined

  constructor (sum: UsageSum) {
    this.#sum = sum
  }

  take (event: ResponseStreamEvent): Part[] {
    switch (event.type) {
      case 'response.output_text.delta':
      case 'response.refusal.delta': return [event.delta]
      case 'response.reasoning_text.delta':
      case 'response.reasoning_summary_text.delta': return [agentEvent('reasoning', { id: event.item_id, text: event.delta })]
      case 'response.output_text.annotation.added': return sourcesOf(event)
      case 'response.function_call_arguments.delta':
      case 'response.mcp_call_arguments.delta':
      case 'response.custom_tool_call_input.delta': return this.#tools.write(event.output_index, { text: event.delta })
      case 'response.output_item.added': return this.#begin(event.output_index, event.item)
      case 'response.output_item.done': return this.#end(event.output_index, event.item)
      case 'error': throw sdkFailure(event)
      default: return this.#endResponse(event)
    }
  }

  #begin (place: number, item: ResponseOutputItem): Part[] {
    switch (item.type) {
      case 'function_call':
      case 'custom_tool_call': return this.#tools.write(place, { toolCallId: item.call_id, toolName: item.name })
      case 'mcp_call': return this.#tools.write(place, { toolCallId: item.id, toolName: item.name })
      default: return []
    }
  }

  #end (place: number, item: ResponseOutputItem): Part[] {
    switch (item.type) {
      case 'function_call':
        this.#hasOpenCalls = true
        return this.#tools.close(place, parsedInput(item.arguments))
      case 'custom_tool_call':
        this.#hasOpenCalls = true
        return this.#tools.close(place, item.input)
      case 'mcp_call': return [...this.#tools.close(place), mcpResult(item)]
      case 'mcp_approval_request': return [mcpQuestion(item)]
      case 'image_generation_call': return imagesOf(item)
      default: return this.#endOther(item)
    }
  }

  #endOther (item: ResponseOutputItem): Part[] {
    if (!item.type.endsWith('_call')) return []
    const toolCallId = 'call_id' in item && typeof item.call_id === 'string' ? item.call_id : String(item.id)
    const call = { toolCallId, toolName: item.type.slice(0, -'_call'.length) }
    if (RUN_THERE.includes(item.type)) return [agentEvent('tool-output', { ...call, output: item })]
    this.#hasOpenCalls = true
    return [agentEvent('tool-input', { ...call, input: item })]
  }

  #endResponse (event: ResponseStreamEvent): Part[] {
    switch (event.type) {
      case 'response.failed': throw sdkFailure(event.response.error)
      case 'response.completed':
        this.#finish(event.response, this.#hasOpenCalls ? 'tool-calls' : 'stop')
        return []
      case 'response.incomplete':
        this.#finish(event.response, finishReasonOf(event.response.incomplete_details?.reason ?? ''))
        return []
      // Progress, and what is told a second time as a whole.
      default: return []
    }
  }

  #finish ({ usage }: Response, reason: FinishReason): void {
    this.#hasOpenCalls = false
    this.finishReason = reason
    if (usage !== undefined) this.#sum.add(countsOf(usage))
  }
}

function sourcesOf ({ annotation, item_id, annotation_index }: ResponseOutputTextAnnotationAddedEvent): Part[] {
  // Not typed by the SDK: of some kinds it is known what they cite.
  const cited = annotation as { type?: unknown, url?: unknown, title?: unknown, filename?: unknown }
  const id = `${item_id}:${annotation_index}`
  const title = cited.type === 'file_citation' ? cited.filename : cited.title
  const named = typeof title === 'string' ? { id, title } : { id }
  if (cited.type === 'file_citation') return [agentEvent('source', named)]
  return typeof cited.url === 'string' ? [agentEvent('source', { ...named, url: cited.url })] : []
}

function mcpResult (item: ResponseOutputItem.McpCall): Part {
  const call = { toolCallId: item.id, toolName: item.name }
  return item.error ? agentEvent('tool-error', call) : agentEvent('tool-output', { ...call, output: item.output ?? null })
}

function mcpQuestion (item: ResponseOutputItem.McpApprovalRequest): Part {
  const { id, name, arguments: input } = item
  return agentEvent('tool-approval-request', { approvalId: id, toolCallId: id, toolName: name, input: parsedInput(input) })
}

function imagesOf (item: ResponseOutputItem.ImageGenerationCall): Part[] {
  // What the SDK's type does not say yet, as PNG is what comes unless the host asks for another.
  const format: unknown = Reflect.get(item, 'output_format')
  const mediaType = typeof format === 'string' ? `image/${format}` : 'image/png'
  return item.result ? [agentEvent('file', { mediaType, base64: item.result })] : []
}

function countsOf (usage: ResponseUsage) {
  // Not every server that speaks this has the details.
  const { input_tokens_details: input, output_tokens_details: output } = usage as Partial<ResponseUsage>
  return {
    inputTokens: usage.input_tokens,
    outputTokens: usage.output_tokens,
    totalTokens: usage.total_tokens,
    reasoningTokens: output?.reasoning_tokens,
    cachedInputTokens: input?.cached_tokens
  }
}
