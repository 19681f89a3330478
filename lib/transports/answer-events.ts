import type { Entry } from '../journal/journal.js'
import type { Refusal } from './refusal.js'

/** An answer as server-sent events, in the shapes of one API: all as text. */
export interface AnswerEvents {
  /** What comes before everything else. */
  start (): string
  /** What an entry is there; `undefined` where that is nothing: before the first that is something no answer has begun. */
  of (entry: Entry): string | undefined
  /** The last word of an answer that fails on its way. */
  failed (refusal: Refusal): string
}

/** JSON has no line breaks. */
export function eventText (data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`
}
