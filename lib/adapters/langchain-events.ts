import type { StreamEvent } from '@langchain/core/types/stream'

import { agentEvent } from '../agent/agent-event.js'
import { isEventName } from '../agent/answer.js'
import type { Part } from '../agent/executor.js'
import { isMessage, isTools, toolResult, type LangChainMessages } from './langchain-messages.js'

/**
 * Reads what `streamEvents` yields: the text of every model that runs inside, the tools, and the events that they send.
 * A tool runs under an id of its run; the one that the model has called it by is found by the name and the input.
 */
export class LangChainEvents {
  readonly #messages: LangChainMessages
  /** Runs of models that have streamed: their ends say the same once more. */
  readonly #streamed = new Set<string>()
  readonly #toolCallIdByRun = new Map<string, string>()
  #called: Called[] = []

  constructor (messages: LangChainMessages) {
    this.#messages = messages
  }

  take ({ event, name, run_id: runId, data }: StreamEvent): Part[] {
    switch (event) {
      case 'on_chat_model_stream':
        this.#streamed.add(runId)
        return this.#takeMessage(data.chunk)
      case 'on_chat_model_end': return this.#endMessage(runId, data.output)
      case 'on_llm_stream':
        this.#streamed.add(runId)
        return textOf(data.chunk)
      case 'on_llm_end': return this.#streamed.delete(runId) ? [] : generationsOf(data.output)
      case 'on_tool_start': return this.#startTool(runId, name, data.input)
      case 'on_tool_end': return [this.#endTool(runId, name, data.output)]
      case 'on_tool_error': return [agentEvent('tool-error', { toolCallId: this.#toolCallIdOf(runId), toolName: name })]
      case 'on_custom_event': return isEventName(name) ? [{ type: 'event', name, data }] : []
      default: return []
    }
  }

  #takeMessage (message: unknown): Part[] {
    return isMessage(message) ? this.#remembered(this.#messages.take(message)) : []
  }

  #endMessage (runId: string, output: unknown): Part[] {
    if (!isMessage(output)) return []
    this.#messages.note(output)
    const parts = this.#streamed.delete(runId) ? this.#messages.end() : [...this.#messages.take(output), ...this.#messages.end()]
    return this.#remembered(parts)
  }

  #remembered (parts: Part[]): Part[] {
    for (const part of parts) {
      // Made by `agentEvent`, whose data are of that type.
      if (typeof part !== 'string' && part.type === 'event' && part.name === 'tool-input') this.#called.push(part.data as Called)
    }
    return parts
  }

  #startTool (runId: string, toolName: string, input: unknown): Part[] {
    const call = this.#takeCall(toolName, input)
    this.#toolCallIdByRun.set(runId, call?.toolCallId ?? runId)
    return call === undefined ? [agentEvent('tool-input', { toolCallId: runId, toolName, input })] : []
  }

  /** The call that the model has written for this run: of that input, or else the first of that tool. */
  #takeCall (toolName: string, input: unknown): Called | undefined {
    const candidates = this.#called.filter((call) => call.toolName === toolName)
    const text = JSON.stringify(input)
    const found = candidates.find((call) => JSON.stringify(call.input) === text) ?? candidates[0]
    this.#called = this.#called.filter((call) => call !== found)
    return found
  }

  #endTool (runId: string, toolName: string, output: unknown): Part {
    const call = { toolCallId: this.#toolCallIdOf(runId), toolName }
    return isTools(output) ? toolResult(output, call) : agentEvent('tool-output', { ...call, output })
  }

  #toolCallIdOf (runId: string): string {
    const toolCallId = this.#toolCallIdByRun.get(runId) ?? runId
    this.#toolCallIdByRun.delete(runId)
    return toolCallId
  }
}

interface Called {
  toolCallId: string
  toolName: string
  input: unknown
}

/** What a model that does not chat has said; of several answers to one question only the first is the turn's. */
function generationsOf (output: unknown): Part[] {
  const answers = fieldOf(output, 'generations')
  const [first] = Array.isArray(answers) ? answers as unknown[] : []
  return Array.isArray(first) ? textOf(first[0]) : []
}

function textOf (chunk: unknown): Part[] {
  const text = fieldOf(chunk, 'text') ?? chunk
  return typeof text === 'string' && text !== '' ? [text] : []
}

function fieldOf (value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined
}
