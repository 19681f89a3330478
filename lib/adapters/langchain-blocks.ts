import type { ContentBlockDeltaEvent, ChatModelStreamEvent, MessageFinishEvent } from '@langchain/core/language_models/event'

import { agentEvent } from '../agent/agent-event.js'
import type { Part } from '../agent/executor.js'
import { sdkFailure } from '../agent/sdk-failure.js'
import type { LangChainMessages } from './langchain-messages.js'
import { ToolInputs } from './tool-inputs.js'

type Block = Readonly<Record<string, unknown>>

/** Reads what the `streamEvents` of a chat model yields when it is given no version: the blocks of one message. */
export class LangChainBlocks {
  readonly #messages: LangChainMessages
  readonly #tools = new ToolInputs()
  /** Blocks in which a model calls a tool. */
  readonly #calls = new Set<number>()
  #messageId = ''

  constructor (messages: LangChainMessages) {
    this.#messages = messages
  }

  take (event: ChatModelStreamEvent): Part[] {
    switch (event.event) {
      case 'message-start':
        this.#messageId = event.id ?? ''
        return []
      case 'content-block-start': return this.#begin(event.index, event.content)
      case 'content-block-delta': return this.#pieceOf(event)
      case 'content-block-finish': return this.#end(event.index, event.content)
      case 'message-finish': return this.#finish(event)
      case 'error': throw sdkFailure(event)
      default: return []
    }
  }

  #begin (index: number, block: Block): Part[] {
    if (block['type'] !== 'tool_call_chunk' && block['type'] !== 'tool_call') return []
    this.#calls.add(index)
    return this.#tools.write(index, { toolCallId: textOf(block['id']), toolName: textOf(block['name']), text: textOf(block['args']) })
  }

  #pieceOf ({ index, delta }: ContentBlockDeltaEvent): Part[] {
    switch (delta.type) {
      case 'text-delta': return [delta.text]
      case 'reasoning-delta': return [agentEvent('reasoning', { id: this.#messageId, text: delta.reasoning })]
      case 'tool-call-delta': return this.#calls.has(index) ? this.#tools.write(index, { text: delta.args }) : []
      default: return []
    }
  }

  #end (index: number, block: Block): Part[] {
    this.#calls.delete(index)
    return this.#tools.close(index, block['type'] === 'tool_call' ? block['args'] : undefined)
  }

  #finish ({ reason, usage }: MessageFinishEvent): Part[] {
    this.#calls.clear()
    if (reason !== undefined) this.#messages.finish(reason)
    if (usage !== undefined) this.#messages.countUsage(usage)
    return this.#tools.closeAll()
  }
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
