import type { UIMessageChunk } from 'ai'

import type { ServerFrameOf, TurnEvent, TurnResult } from '../client/index.js'
import type { AgentEvents } from '../protocol/agent-events.js'
import { TURN_STARTED } from '../protocol/names.js'
import { readAgentEvent, textIn } from '../protocol/agent-event-data.js'
import type { ChatTerms, DataChunk, OpenApproval } from './options.js'
import { ToolChunks, type ToolEvent } from './tool-chunks.js'
import { answerIdOf, type ChannelMessageMetadata } from './ui-messages.js'

/** After these a model goes on in a new step. */
const RESULTS: readonly string[] = ['tool-output', 'tool-error', 'tool-denied']

/** Makes the chunks of a `UIMessage` of what happens in a turn, in its order. */
export class TurnChunks {
  readonly #turnId: string
  readonly #dataPart: (event: ServerFrameOf<'event'>) => DataChunk | undefined
  readonly #tools: ToolChunks
  /** What is being written: text, or what a model thinks under one id. */
  #open: { kind: 'text' | 'reasoning', source: string, id: string } | undefined
  #made = 0
  #hasResults = false

  constructor (turnId: string, { isDynamicTool = () => false, dataPart = dataPartOf }: Pick<ChatTerms, 'isDynamicTool' | 'dataPart'>) {
    this.#turnId = turnId
    this.#tools = new ToolChunks(isDynamicTool)
    this.#dataPart = dataPart
  }

  start (): UIMessageChunk[] {
    return [{ type: 'start', messageId: answerIdOf(this.#turnId), messageMetadata: this.#metadata({}) }, { type: 'start-step' }]
  }

  take (event: TurnEvent): UIMessageChunk[] {
    switch (event.type) {
      case 'text': return this.#write('text', '', event.content)
      case 'message': return [...this.#close(), ...this.#write('text', '', event.content), ...this.#close()]
      case 'event': return this.#eventChunks(event)
      case 'ack': return []
    }
  }

  /** A question that was asked before anybody read the turn. */
  ask (approval: OpenApproval): UIMessageChunk[] {
    return this.#toolChunks({ name: 'tool-approval-request', data: approval })
  }

  end ({ finishReason, usage }: TurnResult): UIMessageChunk[] {
    const isComplete = finishReason !== 'aborted'
    const messageMetadata = this.#metadata({ isComplete, finishReason, ...usage === undefined ? {} : { usage } })
    if (!isComplete) return [...this.#close(), { type: 'message-metadata', messageMetadata }, { type: 'abort' }]
    return [...this.#close(), { type: 'finish-step' }, { type: 'finish', finishReason, messageMetadata }]
  }

  fail (errorText: string): UIMessageChunk[] {
    return [...this.#close(), { type: 'error', errorText }]
  }

  #metadata (metadata: Omit<ChannelMessageMetadata, 'turnId'>): ChannelMessageMetadata {
    return { turnId: this.#turnId, ...metadata }
  }

  #eventChunks (frame: ServerFrameOf<'event'>): UIMessageChunk[] {
    if (frame.name === TURN_STARTED) return []
    const event = readAgentEvent(frame.name, frame.data)
    if (event === undefined) return this.#data(frame)
    switch (event.name) {
      case 'reasoning': return this.#write('reasoning', event.data.id, event.data.text)
      case 'source': return [...this.#beginPart(), sourceChunk(event.data)]
      case 'file': return [...this.#beginPart(), fileChunk(event.data)]
      default: return this.#toolChunks(event)
    }
  }

  #toolChunks (event: ToolEvent): UIMessageChunk[] {
    const isResult = RESULTS.includes(event.name)
    // What a step has begun to call is a part of it, whatever its other tools have answered meanwhile.
    const before = isResult || this.#tools.knows(event.data.toolCallId) ? this.#close() : this.#beginPart()
    this.#hasResults ||= isResult
    return [...before, ...this.#tools.take(event)]
  }

  #data (frame: ServerFrameOf<'event'>): UIMessageChunk[] {
    const part = this.#dataPart(frame)
    return part === undefined ? [] : [...this.#close(), part]
  }

  #write (kind: 'text' | 'reasoning', source: string, delta: string): UIMessageChunk[] {
    const chunks: UIMessageChunk[] = []
    if (this.#open?.kind !== kind || this.#open.source !== source) {
      chunks.push(...this.#beginPart())
      this.#open = { kind, source, id: `${kind}-${++this.#made}` }
      chunks.push({ type: `${kind}-start`, id: this.#open.id })
    }
    chunks.push({ type: `${kind}-delta`, id: this.#open.id, delta })
    return chunks
  }

  #beginPart (): UIMessageChunk[] {
    const closed = this.#close()
    if (!this.#hasResults || this.#tools.isWriting) return closed
    this.#hasResults = false
    return [...closed, { type: 'finish-step' }, { type: 'start-step' }]
  }

  #close (): UIMessageChunk[] {
    if (this.#open === undefined) return []
    const { kind, id } = this.#open
    this.#open = undefined
    return [{ type: `${kind}-end`, id }]
  }
}

function dataPartOf ({ name, data }: ServerFrameOf<'event'>): DataChunk {
  const id = textIn(data, 'id')
  return { type: `data-${name}`, data, ...id === undefined ? {} : { id } }
}

function sourceChunk ({ id: sourceId, url, title, mediaType = '' }: AgentEvents['source']): UIMessageChunk {
  if (url === undefined) return { type: 'source-document', sourceId, mediaType, title: title ?? '' }
  return { type: 'source-url', sourceId, url, ...title === undefined ? {} : { title } }
}

/** A host may keep files elsewhere, and send where. */
function fileChunk (data: AgentEvents['file']): UIMessageChunk {
  const { mediaType, base64 } = data
  return { type: 'file', mediaType, url: textIn(data, 'url') ?? `data:${mediaType};base64,${base64}` }
}
