import type { AGUIEvent, EventType, TokenUsage } from '@ag-ui/core'

import { agentEvent } from '../agent/agent-event.js'
import { isEventName } from '../agent/answer.js'
import type { EventPart, Part } from '../agent/executor.js'
import { sdkFailure } from '../agent/sdk-failure.js'
import { UsageSum } from '../agent/usage-sum.js'
import type { FinishReason } from '../protocol/names.js'
import { ToolInputs } from './tool-inputs.js'

/** Events by the text of their types: the enumeration is there only for who loads the package. */
type Plain<Event> = Event extends { type: infer Type extends EventType } ? Omit<Event, 'type'> & { type: `${Type}` } : never
type PlainEvent = Plain<AGUIEvent>
type EventOf<Type extends PlainEvent['type']> = Extract<PlainEvent, { type: Type }>

/** Said for machines, or once more. */
const FOR_NOBODY: ReadonlySet<string> = new Set([
  'RAW', 'RUN_STARTED', 'MESSAGES_SNAPSHOT',
  'REASONING_START', 'REASONING_END', 'REASONING_MESSAGE_START', 'REASONING_MESSAGE_END', 'REASONING_ENCRYPTED_VALUE'
])

/** What of an event is not for clients: an error's text, and what is the provider's. */
const HIDDEN: readonly string[] = ['type', 'rawEvent', 'timestamp', 'message', 'error']

/** Reads the events of one run. What a subagent does is told by events alone, text and all. */
export class AgUiEvents {
  readonly #tools = new ToolInputs()
  readonly #toolNameById = new Map<string, string>()
  readonly #usage = new UsageSum()
  /** Messages that are not the agent's, such as a question said again. */
  readonly #othersMessages = new Set<string>()
  #messageId = ''
  #toolCallId = ''
  #finishReason: FinishReason | undefined
  #hasRun = false

  /** @throws what `sdkFailure` makes of a `RUN_ERROR` */
  take (item: AGUIEvent): Part[] {
    const event = item as PlainEvent
    this.#hasRun = true
    if (typeof fieldOf(event, 'subagentRunId') === 'string') return [passedOn(event)]
    switch (event.type) {
      case 'TEXT_MESSAGE_START':
      case 'TEXT_MESSAGE_CONTENT':
      case 'TEXT_MESSAGE_CHUNK':
      case 'TEXT_MESSAGE_END': return this.#textOf(event)
      case 'REASONING_MESSAGE_CONTENT':
      case 'REASONING_MESSAGE_CHUNK': return this.#reasoningOf(event)
      case 'RUN_ERROR': throw sdkFailure(event)
      case 'RUN_FINISHED': return this.#finish(event)
      case 'CUSTOM': return isEventName(event.name) ? [{ type: 'event', name: event.name, data: event.value }] : []
      default: return this.#toolsOf(event)
    }
  }

  end (): Part[] {
    const rest = this.#tools.closeAll()
    if (!this.#hasRun) return rest
    // A run that does not say that it is finished was cut off.
    return [...rest, { type: 'finish', finishReason: this.#finishReason ?? 'other', usage: this.#usage.usage }]
  }

  #textOf (event: EventOf<`TEXT_MESSAGE_${'START' | 'CONTENT' | 'CHUNK' | 'END'}`>): Part[] {
    const messageId = event.messageId ?? this.#messageId
    this.#messageId = messageId
    if (event.type === 'TEXT_MESSAGE_END') {
      this.#othersMessages.delete(messageId)
      return []
    }
    const role = fieldOf(event, 'role')
    if (typeof role === 'string' && role !== 'assistant') this.#othersMessages.add(messageId)
    const text = 'delta' in event ? event.delta ?? '' : ''
    return text === '' || this.#othersMessages.has(messageId) ? [] : [text]
  }

  #reasoningOf (event: EventOf<`REASONING_MESSAGE_${'CONTENT' | 'CHUNK'}`>): Part[] {
    const { messageId = this.#messageId, delta = '' } = event
    this.#messageId = messageId
    return delta === '' ? [] : [agentEvent('reasoning', { id: messageId, text: delta })]
  }

  #toolsOf (event: PlainEvent): Part[] {
    switch (event.type) {
      case 'TOOL_CALL_START':
      case 'TOOL_CALL_ARGS':
      case 'TOOL_CALL_CHUNK': return this.#writeTool(event)
      case 'TOOL_CALL_END': return this.#tools.close(event.toolCallId)
      case 'TOOL_CALL_RESULT': return this.#resultOf(event)
      default: return FOR_NOBODY.has(event.type) ? [] : [passedOn(event)]
    }
  }

  #writeTool (event: EventOf<`TOOL_CALL_${'START' | 'ARGS' | 'CHUNK'}`>): EventPart[] {
    const toolCallId = event.toolCallId ?? this.#toolCallId
    // Of calls in chunks only the next one tells that the last is whole.
    const before = event.type === 'TOOL_CALL_CHUNK' && toolCallId !== this.#toolCallId ? this.#tools.close(this.#toolCallId) : []
    this.#toolCallId = toolCallId
    const toolName = 'toolCallName' in event ? event.toolCallName : undefined
    if (toolName !== undefined) this.#toolNameById.set(toolCallId, toolName)
    const text = 'delta' in event ? event.delta : undefined
    return [...before, ...this.#tools.write(toolCallId, { toolCallId, toolName, text })]
  }

  #resultOf ({ toolCallId, content }: EventOf<'TOOL_CALL_RESULT'>): EventPart[] {
    const call = { toolCallId, toolName: this.#toolNameById.get(toolCallId) ?? '' }
    return [...this.#tools.close(toolCallId), agentEvent('tool-output', { ...call, output: content })]
  }

  #finish ({ outcome, usage = [], result }: EventOf<'RUN_FINISHED'>): Part[] {
    for (const counts of usage) this.#usage.add(countsOf(counts))
    this.#finishReason = reasonOf(outcome)
    const parts: Part[] = this.#tools.closeAll()
    if (outcome?.type === 'interrupt') parts.push({ type: 'event', name: 'interrupt', data: outcome.interrupts })
    if (result !== undefined && result !== null) parts.push({ type: 'event', name: 'result', data: result as unknown })
    return parts
  }
}

/** Not every event has it, and some agents say `null` for what they leave out. */
function fieldOf (event: PlainEvent, field: string): unknown {
  return Reflect.get(event, field)
}

function reasonOf (outcome: EventOf<'RUN_FINISHED'>['outcome']): FinishReason {
  if (outcome?.type === 'cancelled') return 'aborted'
  const waits = outcome?.type === 'interrupt' || (outcome?.type === 'success' && (outcome.pendingToolCallIds ?? []).length > 0)
  return waits ? 'tool-calls' : 'stop'
}

/** State, steps, activities and whatever is added to the protocol: an event of that name, with small letters and hyphens. */
function passedOn (event: PlainEvent): EventPart {
  const data = Object.fromEntries(Object.entries(event).filter(([field]) => !HIDDEN.includes(field)))
  return { type: 'event', name: event.type.toLowerCase().replaceAll('_', '-'), data }
}

function countsOf ({ inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens }: TokenUsage) {
  return { inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens }
}
