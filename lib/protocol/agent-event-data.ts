import type { AgentEvents } from './agent-events.js'

/** An event of one of the usual names, with data of the usual form. */
export type AgentEvent = { [Name in keyof AgentEvents]: { name: Name, data: AgentEvents[Name] } }[keyof AgentEvents]

/** What the data of each must have: texts. */
const REQUIRED: Readonly<Record<keyof AgentEvents, readonly string[]>> = {
  reasoning: ['id', 'text'],
  'tool-input-start': ['toolCallId', 'toolName'],
  'tool-input-delta': ['toolCallId', 'text'],
  'tool-input': ['toolCallId', 'toolName'],
  'tool-output': ['toolCallId', 'toolName'],
  'tool-error': ['toolCallId', 'toolName'],
  'tool-approval-request': ['toolCallId', 'toolName', 'approvalId'],
  'tool-denied': ['toolCallId', 'toolName'],
  source: ['id'],
  file: ['mediaType']
}

/** Reads an event as what its name says; `undefined` for other names, and where a host's own agent says something else by it. */
export function readAgentEvent (name: string, data: unknown): AgentEvent | undefined {
  if (!isUsual(name)) return undefined
  // Agents without an SDK have no ids for what they think.
  if (name === 'reasoning' && typeof data === 'string') return { name, data: { id: '', text: data } }
  const isRead = REQUIRED[name].every((field) => textIn(data, field) !== undefined)
  // The fields that are not texts may be missing: what is made of them may be, too.
  return isRead ? { name, data } as AgentEvent : undefined
}

export function textIn (data: unknown, field: string): string | undefined {
  const value: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, field) : undefined
  return typeof value === 'string' ? value : undefined
}

function isUsual (name: string): name is keyof AgentEvents {
  return Object.hasOwn(REQUIRED, name)
}
