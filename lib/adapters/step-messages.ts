import type { ModelMessage, ToolModelMessage } from 'ai'

import type { Part } from '../agent/executor.js'
import type { AgentEvents } from '../protocol/agent-events.js'

/** What the model and its tools have said in the steps of one call that are over. */
export class StepMessages {
  readonly #sent: readonly ModelMessage[]
  #before: readonly ModelMessage[] = []
  said: readonly ModelMessage[] = []

  constructor (sent: readonly ModelMessage[]) {
    this.#sent = sent
  }

  /** @param messages all that the model is given: what was sent, and behind it what has come since */
  begin (messages: readonly ModelMessage[]): void {
    // Where the host has sent others than it was given, nobody knows which of these are new.
    this.#before = startsWith(messages, this.#sent) ? messages.slice(this.#sent.length) : []
  }

  /** @param messages of this step alone, as version 7 tells them, or of all steps so far */
  end (messages: readonly ModelMessage[]): void {
    this.said = startsWith(messages, this.#before) ? messages : [...this.#before, ...messages]
  }
}

/** Tools that were approved: the SDK runs them before its first step, whose end may be far away. */
export class ApprovedRuns {
  readonly #asked: ReadonlySet<string>
  readonly #results: ToolModelMessage['content'] = []

  constructor (before: readonly ModelMessage[]) {
    this.#asked = new Set(before.flatMap(callsOf))
  }

  get messages (): ModelMessage[] { return [{ role: 'tool', content: [...this.#results] }] }

  /** Whether the part is what such a tool has answered. */
  take (part: Part): boolean {
    if (typeof part === 'string' || part.type !== 'event' || part.name !== 'tool-output') return false
    // Made by `agentEvent`, whose data are of that type.
    const { toolCallId, toolName, output, preliminary } = part.data as AgentEvents['tool-output']
    if (preliminary === true || !this.#asked.has(toolCallId)) return false
    // What JSON cannot say is nothing.
    const text = JSON.stringify(output) as string | undefined ?? 'null'
    this.#results.push({ type: 'tool-result', toolCallId, toolName, output: { type: 'text', value: typeof output === 'string' ? output : text } })
    return true
  }
}

function callsOf ({ role, content }: ModelMessage): string[] {
  if (role !== 'assistant' || typeof content === 'string') return []
  return content.flatMap((part) => part.type === 'tool-call' ? [part.toolCallId] : [])
}

function startsWith (messages: readonly ModelMessage[], start: readonly ModelMessage[]): boolean {
  return start.every((message, index) => JSON.stringify(message) === JSON.stringify(messages[index]))
}
