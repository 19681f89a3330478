import type { Entry, TurnEnd } from '../journal/journal.js'
import type { FinishReason } from '../protocol/names.js'
import type { Usage } from '../protocol/server-frames.js'
import { eventText, type AnswerEvents } from './answer-events.js'
import { completionError } from './completion-errors.js'
import type { Completion, CompletionChunk, CompletionFinish, CompletionUsage } from './completion-schemas.js'
import type { Refusal } from './refusal.js'

/** Only an answer that is whole has stopped by itself. Tools that an agent calls are no calls for the client to make. */
const FINISH_BY_REASON: Readonly<Record<FinishReason, CompletionFinish>> = {
  stop: 'stop', length: 'length', 'content-filter': 'content_filter', 'tool-calls': 'stop', aborted: 'length', error: 'stop', other: 'stop'
}

/** An answer is one text there: whole messages are paragraphs of it, as in the history. */
export class CompletionText {
  #before: 'nothing' | 'text' | 'message' = 'nothing'

  /** What an entry adds to the text. */
  of (entry: Entry): string {
    switch (entry.kind) {
      case 'text': return this.#add('text', entry.content)
      case 'message': return this.#add('message', entry.content)
      case 'event': return ''
      case 'end': return entry.end.content ?? ''
    }
  }

  #add (kind: 'text' | 'message', content: string): string {
    if (content === '') return ''
    const isParagraph = this.#before !== 'nothing' && (kind === 'message' || this.#before === 'message')
    this.#before = kind
    return isParagraph ? `\n\n${content}` : content
  }
}

/** What all chunks of an answer have, and the answer as a whole. */
export interface CompletionHead {
  id: string
  /** Seconds since 1970-01-01T00:00:00Z. */
  created: number
  model: string
}

export function completion (head: CompletionHead, content: string, end: TurnEnd): Completion {
  const { id, created, model } = head
  const { finishReason, usage } = end
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: [{
      index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: FINISH_BY_REASON[finishReason]
    }],
    ...usage === undefined ? {} : { usage: usageOf(usage) }
  }
}

/** An answer that is streamed. */
export class CompletionEvents implements AnswerEvents {
  readonly #text = new CompletionText()
  readonly #chunks: CompletionChunks

  constructor (head: CompletionHead, includesUsage: boolean) {
    this.#chunks = new CompletionChunks(head, includesUsage)
  }

  start (): string {
    return this.#chunks.start()
  }

  of (entry: Entry): string | undefined {
    const content = this.#text.of(entry)
    const told = `${content === '' ? '' : this.#chunks.piece(content)}${entry.kind === 'end' ? this.#chunks.end(entry.end) : ''}`
    return told === '' ? undefined : told
  }

  failed (refusal: Refusal): string {
    return eventText(completionError(refusal))
  }
}

/** Makes the events of it, as text. */
class CompletionChunks {
  readonly #head: CompletionHead
  readonly #includesUsage: boolean

  constructor (head: CompletionHead, includesUsage: boolean) {
    this.#head = head
    this.#includesUsage = includesUsage
  }

  start (): string {
    return this.#chunk({ role: 'assistant', content: '' }, null)
  }

  piece (content: string): string {
    return this.#chunk({ content }, null)
  }

  end ({ finishReason, usage }: TurnEnd): string {
    const last = this.#chunk({}, FINISH_BY_REASON[finishReason])
    const cost = this.#includesUsage && usage !== undefined ? this.#event([], usageOf(usage)) : ''
    return `${last}${cost}data: [DONE]\n\n`
  }

  #chunk (delta: CompletionChunk['choices'][number]['delta'], finishReason: CompletionFinish | null): string {
    return this.#event([{ index: 0, delta, logprobs: null, finish_reason: finishReason }], null)
  }

  #event (choices: CompletionChunk['choices'], usage: CompletionUsage | null): string {
    const { id, created, model } = this.#head
    const chunk: CompletionChunk = { id, object: 'chat.completion.chunk', created, model, choices }
    return eventText(this.#includesUsage ? { ...chunk, usage } : chunk)
  }
}

function usageOf ({ inputTokens, outputTokens, totalTokens, cachedInputTokens, reasoningTokens }: Usage): CompletionUsage {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: totalTokens ?? inputTokens + outputTokens,
    ...cachedInputTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedInputTokens } },
    ...reasoningTokens === undefined ? {} : { completion_tokens_details: { reasoning_tokens: reasoningTokens } }
  }
}
