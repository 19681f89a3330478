import type { FinishReason } from '../protocol/names.js'

/** How the providers call it, in small letters and with hyphens. */
const MEANING_BY_NAME: ReadonlyMap<string, FinishReason> = new Map([
  ['stop', 'stop'],
  ['end-turn', 'stop'],
  ['stop-sequence', 'stop'],
  ['completed', 'stop'],
  ['length', 'length'],
  ['max-tokens', 'length'],
  ['max-output-tokens', 'length'],
  ['tool-calls', 'tool-calls'],
  ['tool-use', 'tool-calls'],
  ['function-call', 'tool-calls'],
  ['content-filter', 'content-filter'],
  ['safety', 'content-filter'],
  ['refusal', 'content-filter'],
  ['cancelled', 'aborted']
])

/** What a provider's word for the end of an answer means. */
export function finishReasonOf (word: string): FinishReason {
  return MEANING_BY_NAME.get(word.toLowerCase().replaceAll('_', '-')) ?? 'other'
}
