import type { UIMessageChunk } from 'ai'

import type { AgentEvents } from '../protocol/agent-events.js'
import type { AgentEvent } from '../protocol/agent-event-data.js'

/** Events that are about tools. */
export type ToolEvent = Extract<AgentEvent, { name: `tool-${string}` }>

/** Said of a tool that has failed: why is in the server's log. */
const FAILED = 'The tool failed'

/** What tools do in a turn, as chunks. A tool that was called before anybody read the turn is called by its first word here. */
export class ToolChunks {
  readonly #isDynamic: (toolName: string) => boolean
  /** Where each tool's call has come to. */
  readonly #stateById = new Map<string, 'writing' | 'called'>()

  constructor (isDynamic: (toolName: string) => boolean) {
    this.#isDynamic = isDynamic
  }

  knows (toolCallId: string): boolean {
    return this.#stateById.has(toolCallId)
  }

  /** The input of a tool is being written. */
  get isWriting (): boolean {
    return [...this.#stateById.values()].includes('writing')
  }

  take (event: ToolEvent): UIMessageChunk[] {
    const { toolCallId } = event.data
    switch (event.name) {
      case 'tool-input-start': return this.#begin(event.data)
      case 'tool-input-delta':
        return this.#stateById.get(toolCallId) === 'writing' ? [{ type: 'tool-input-delta', toolCallId, inputTextDelta: event.data.text }] : []
      case 'tool-input': return this.#call(event.data)
      case 'tool-output': return [...this.#known(event.data), this.#output(event.data)]
      case 'tool-error':
        return [...this.#known(event.data), { type: 'tool-output-error', toolCallId, errorText: FAILED, ...this.#kind(event.data) }]
      case 'tool-approval-request':
        return [...this.#known(event.data), { type: 'tool-approval-request', toolCallId, approvalId: event.data.approvalId }]
      case 'tool-denied': return [...this.#known(event.data), { type: 'tool-output-denied', toolCallId }]
    }
  }

  #begin ({ toolCallId, toolName }: ToolCall): UIMessageChunk[] {
    this.#stateById.set(toolCallId, 'writing')
    return [{ type: 'tool-input-start', toolCallId, toolName, ...this.#kind({ toolName }) }]
  }

  #call ({ toolCallId, toolName, input }: ToolCall & { input?: unknown }): UIMessageChunk[] {
    this.#stateById.set(toolCallId, 'called')
    return [{ type: 'tool-input-available', toolCallId, toolName, input, ...this.#kind({ toolName }) }]
  }

  #output ({ toolCallId, toolName, output, preliminary }: AgentEvents['tool-output']): UIMessageChunk {
    const chunk = { type: 'tool-output-available' as const, toolCallId, output, ...this.#kind({ toolName }) }
    return preliminary === true ? { ...chunk, preliminary } : chunk
  }

  /** Nothing where the call was told. */
  #known (call: ToolCall & { input?: unknown }): UIMessageChunk[] {
    return this.#stateById.get(call.toolCallId) === 'called' ? [] : this.#call(call)
  }

  #kind ({ toolName }: { toolName: string }): { dynamic?: true } {
    return this.#isDynamic(toolName) ? { dynamic: true } : {}
  }
}

type ToolCall = AgentEvents['tool-input-start']
