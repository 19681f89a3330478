import { HttpAgent } from '@ag-ui/client'
import { EventType, type AGUIEvent } from '@ag-ui/core'

import { USAGE, type Piece, type Source } from './source.js'

/** The events of a run, as an agent yields them that waits for its reader. */
export async function * eventsOf (source: Source, signal: AbortSignal): AsyncGenerator<AGUIEvent> {
  source.heed(signal)
  yield { type: EventType.RUN_STARTED, threadId: 's1', runId: 'r1' }
  const encode = encoder()
  for (let piece = await source.next(); piece !== undefined; piece = await source.next()) yield * encode(piece)
}

/** The package's client of an agent that is reached over HTTP, over a network that says what the source does. */
export function httpAgentOf (source: Source): HttpAgent {
  const encoded = new TextEncoder()
  const line = (event: AGUIEvent): Uint8Array => encoded.encode(`data: ${JSON.stringify(event)}\n\n`)
  return new HttpAgent({
    url: 'http://agent.test/',
    async fetch (_url, init) {
      source.heed(init.signal)
      const encode = encoder()
      return new Response(source.stream((piece) => encode(piece).map(line)), { headers: { 'content-type': 'text/event-stream' } })
    }
  })
}

function encoder (): (piece: Piece) => AGUIEvent[] {
  let hasText = false
  return (piece) => {
    if ('text' in piece) {
      const before: AGUIEvent[] = hasText ? [] : [{ type: EventType.TEXT_MESSAGE_START, messageId: 'm1', role: 'assistant' }]
      hasText = true
      return [...before, { type: EventType.TEXT_MESSAGE_CONTENT, messageId: 'm1', delta: piece.text }]
    }
    const end: AGUIEvent[] = hasText ? [{ type: EventType.TEXT_MESSAGE_END, messageId: 'm1' }] : []
    hasText = false
    return [...end, ...otherEvents(piece)]
  }
}

function otherEvents (piece: Exclude<Piece, { text: string }>): AGUIEvent[] {
  if ('reasoning' in piece) return [{ type: EventType.REASONING_MESSAGE_CONTENT, messageId: 'm1', delta: piece.reasoning }]
  if ('begin' in piece) return [{ type: EventType.TOOL_CALL_START, toolCallId: piece.begin.id, toolCallName: piece.begin.name }]
  if ('input' in piece) return [{ type: EventType.TOOL_CALL_ARGS, toolCallId: piece.input.id, delta: piece.input.text }]
  if ('whole' in piece) return [{ type: EventType.TOOL_CALL_END, toolCallId: piece.whole.id }]
  const pendingToolCallIds = piece.end === 'tool-calls' ? ['c1'] : []
  return [{ type: EventType.RUN_FINISHED, threadId: 's1', runId: 'r1', usage: [USAGE], outcome: { type: 'success', pendingToolCallIds } }]
}
