import type { NewEntry, TurnEnd } from '../../lib/journal/journal.js'

export const STOP: NewEntry = { kind: 'end', end: { finishReason: 'stop' } }
export const ABORTED: TurnEnd = { finishReason: 'aborted' }

export function text (content: string): NewEntry {
  return { kind: 'text', content }
}

export function message (content: string): NewEntry {
  return { kind: 'message', content }
}

export function event (name: string): NewEntry {
  return { kind: 'event', name, json: '1' }
}
