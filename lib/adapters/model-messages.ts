import type { AssistantModelMessage, ModelMessage, ToolModelMessage } from 'ai'

import type { SessionMessage } from '../protocol/server-frames.js'

/**
 * A session's history as the AI SDK takes it. Answers have their tool calls and what the tools said, where `fromAiSdk`
 * has kept them; of a call that came to no result, since its turn was cut off, nothing is left: the SDK refuses those.
 */
export function toModelMessages (history: readonly SessionMessage[]): ModelMessage[] {
  return history.flatMap((said): ModelMessage[] => {
    if (said.role === 'user') return [{ role: 'user', content: said.content }]
    const kept = keptOf(said.metadata)
    const messages = withoutOpenCalls(kept)
    const rest = said.complete && messages.length > 0 ? '' : restOf(said.content, kept)
    return rest === '' ? messages : [...messages, { role: 'assistant', content: rest }]
  })
}

function keptOf (metadata: Record<string, unknown> | undefined): ModelMessage[] {
  const kept = metadata?.['modelMessages']
  // What `fromAiSdk` has put there went through the host's database, and nobody else writes an answer's metadata.
  return Array.isArray(kept) ? kept as ModelMessage[] : []
}

/** What was said after the last step that had come to its end. */
function restOf (content: string, kept: readonly ModelMessage[]): string {
  const text = kept.flatMap(textsOf).join('')
  return content.startsWith(text) ? content.slice(text.length) : content
}

function textsOf ({ role, content }: ModelMessage): string[] {
  if (role !== 'assistant') return []
  return typeof content === 'string' ? [content] : content.flatMap((part) => part.type === 'text' ? [part.text] : [])
}

function withoutOpenCalls (messages: readonly ModelMessage[]): ModelMessage[] {
  const parts = messages.flatMap(({ content }): AnyPart[] => typeof content === 'string' ? [] : content)
  const answered = new Set(parts.flatMap((part) => part.type === 'tool-result' ? [part.toolCallId] : []))
  const asked = parts.filter((part) => part.type === 'tool-approval-request')
  const approvals = new Set(asked.flatMap(({ approvalId, toolCallId }) => answered.has(toolCallId) ? [approvalId] : []))
  const isClosed = (part: AnyPart): boolean => {
    switch (part.type) {
      case 'tool-call': return answered.has(part.toolCallId)
      case 'tool-approval-request':
      case 'tool-approval-response': return approvals.has(part.approvalId)
      default: return true
    }
  }
  return messages.flatMap((message) => closedOf(message, isClosed))
}

function closedOf (message: ModelMessage, isClosed: (part: AnyPart) => boolean): ModelMessage[] {
  if (typeof message.content === 'string') return [message]
  const content = message.content.filter(isClosed)
  // The parts are of the kinds that they were of before.
  return content.length === 0 ? [] : [{ ...message, content } as ModelMessage]
}

type AnyPart = Exclude<(AssistantModelMessage | ToolModelMessage | Extract<ModelMessage, { role: 'user' }>)['content'], string>[number]
