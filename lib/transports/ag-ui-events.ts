import type { Entry, TurnEnd } from '../journal/journal.js'
import type { AgentEvents } from '../protocol/agent-events.js'
import { readAgentEvent } from '../protocol/agent-event-data.js'
import { TURN_STARTED } from '../protocol/names.js'
import type { Usage } from '../protocol/server-frames.js'
import { eventText, type AnswerEvents } from './answer-events.js'
import type { Refusal } from './refusal.js'

/** An event of AG-UI. Its types are those of `@ag-ui/core`, which a host need not have. */
type RunEvent = { type: string } & Record<string, unknown>

/** Which run it is. */
export interface RunHead {
  threadId: string
  runId: string
  /** What the ids of its messages begin with. */
  turnId: string
}

/** Said in the place of what a tool did not answer. */
const FAILED = 'The tool failed'
const DENIED = 'The user does not want that'

/** A turn, told as the run of AG-UI that asked for it. */
export class AgUiEvents implements AnswerEvents {
  readonly #head: RunHead
  /** What is being written, and has to be ended before anything else is. */
  #open: { kind: 'text' | 'reasoning', source: string, messageId: string } | undefined
  /** Tools whose inputs have begun: whether anything was told of them. */
  readonly #writing = new Map<string, boolean>()
  readonly #called = new Set<string>()
  #messages = 0

  constructor (head: RunHead) {
    this.#head = head
  }

  start (): string {
    const { threadId, runId } = this.#head
    return eventText({ type: 'RUN_STARTED', threadId, runId })
  }

  of (entry: Entry): string | undefined {
    // A run begins with its turn: what fails from then on is told as its error.
    if (entry.kind === 'event' && entry.name === TURN_STARTED) return ''
    return this.#eventsOf(entry).map(eventText).join('')
  }

  failed ({ code, message }: Refusal): string {
    return [...this.#closeAll(), { type: 'RUN_ERROR', message, code }].map(eventText).join('')
  }

  #eventsOf (entry: Entry): RunEvent[] {
    switch (entry.kind) {
      case 'text': return this.#write('text', '', entry.content)
      case 'message': return [...this.#close(), ...this.#write('text', '', entry.content), ...this.#close()]
      case 'event': return this.#agentEvent(entry.name, JSON.parse(entry.json))
      case 'end': return this.#end(entry.end)
    }
  }

  #end ({ content = '', finishReason, usage }: TurnEnd): RunEvent[] {
    const { threadId, runId } = this.#head
    const said = content === '' ? [] : this.#write('text', '', content)
    return [...said, ...this.#closeAll(), {
      type: 'RUN_FINISHED',
      threadId,
      runId,
      outcome: { type: finishReason === 'aborted' ? 'cancelled' : 'success' },
      metadata: { finishReason },
      ...usage === undefined ? {} : { usage: [usageOf(usage)] }
    }]
  }

  #agentEvent (name: string, data: unknown): RunEvent[] {
    const event = readAgentEvent(name, data)
    switch (event?.name) {
      case 'reasoning': return this.#write('reasoning', event.data.id, event.data.text)
      case 'tool-input-start': return this.#beginTool(event.data)
      case 'tool-input-delta': return this.#writeTool(event.data)
      case 'tool-input': return [...this.#close(), ...this.#callTool(event.data)]
      case 'tool-output':
        return event.data.preliminary === true ? this.#custom(name, data) : this.#answerTool(event.data, contentOf(event.data.output))
      case 'tool-error': return this.#answerTool(event.data, FAILED)
      case 'tool-denied': return this.#answerTool(event.data, DENIED)
      default: return this.#custom(name, data)
    }
  }

  #custom (name: string, data: unknown): RunEvent[] {
    return [...this.#close(), { type: 'CUSTOM', name, value: data }]
  }

  #write (kind: 'text' | 'reasoning', source: string, delta: string): RunEvent[] {
    // An event without a piece is none there.
    if (delta === '') return []
    const events: RunEvent[] = []
    if (this.#open?.kind !== kind || this.#open.source !== source) {
      events.push(...this.#close())
      this.#open = { kind, source, messageId: this.#messageId() }
      events.push(...beginning(kind, this.#open.messageId))
    }
    const { messageId } = this.#open
    return [...events, { type: kind === 'text' ? 'TEXT_MESSAGE_CONTENT' : 'REASONING_MESSAGE_CONTENT', messageId, delta }]
  }

  #beginTool ({ toolCallId, toolName }: AgentEvents['tool-input-start']): RunEvent[] {
    if (this.#writing.has(toolCallId) || this.#called.has(toolCallId)) return []
    this.#writing.set(toolCallId, false)
    return [...this.#close(), { type: 'TOOL_CALL_START', toolCallId, toolCallName: toolName }]
  }

  #writeTool ({ toolCallId, text }: AgentEvents['tool-input-delta']): RunEvent[] {
    if (!this.#writing.has(toolCallId) || text === '') return []
    this.#writing.set(toolCallId, true)
    return [{ type: 'TOOL_CALL_ARGS', toolCallId, delta: text }]
  }

  /** @param call with its input, unless only what came of it is told */
  #callTool (call: AgentEvents['tool-input-start'] & { input?: unknown }): RunEvent[] {
    const { toolCallId, input } = call
    if (this.#called.has(toolCallId)) return []
    const begun = this.#beginTool(call)
    const isWritten = this.#writing.get(toolCallId) === true
    const whole = isWritten ? [] : this.#writeTool({ toolCallId, text: input === undefined ? '{}' : JSON.stringify(input) })
    this.#writing.delete(toolCallId)
    this.#called.add(toolCallId)
    return [...begun, ...whole, { type: 'TOOL_CALL_END', toolCallId }]
  }

  #answerTool (call: AgentEvents['tool-input-start'], content: string): RunEvent[] {
    const result = { type: 'TOOL_CALL_RESULT', messageId: this.#messageId(), toolCallId: call.toolCallId, content, role: 'tool' }
    return [...this.#close(), ...this.#callTool(call), result]
  }

  #messageId (): string {
    return `${this.#head.turnId}-${++this.#messages}`
  }

  #close (): RunEvent[] {
    if (this.#open === undefined) return []
    const { kind, messageId } = this.#open
    this.#open = undefined
    if (kind === 'text') return [{ type: 'TEXT_MESSAGE_END', messageId }]
    return [{ type: 'REASONING_MESSAGE_END', messageId }, { type: 'REASONING_END', messageId }]
  }

  #closeAll (): RunEvent[] {
    const ends = [...this.#writing.keys()].map((toolCallId) => ({ type: 'TOOL_CALL_END', toolCallId }))
    this.#writing.clear()
    return [...this.#close(), ...ends]
  }
}

function beginning (kind: 'text' | 'reasoning', messageId: string): RunEvent[] {
  if (kind === 'text') return [{ type: 'TEXT_MESSAGE_START', messageId, role: 'assistant' }]
  return [{ type: 'REASONING_START', messageId }, { type: 'REASONING_MESSAGE_START', messageId, role: 'reasoning' }]
}

function contentOf (output: unknown): string {
  return typeof output === 'string' ? output : JSON.stringify(output ?? null)
}

/** Field by field: there are more than these in a usage one day, and the shape is another's. */
function usageOf ({ inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens }: Usage) {
  return { inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens }
}
