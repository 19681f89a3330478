import type { Awaitable } from '../../lib/awaitable.js'
import type { Entry, Journal } from '../../lib/journal/journal.js'
import { memoryJournal, type MemoryJournalOptions } from '../../lib/journal/memory-journal.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import { ManualClock } from './manual-clock.js'

/** The journal in memory answers at once. */
export type SyncJournal = {
  [Name in keyof Journal]: Journal[Name] extends (...given: infer Given) => Awaitable<infer Result>
    ? Name extends 'pace' ? Journal[Name] : (...given: Given) => Result
    : Journal[Name]
}

export function open (options: MemoryJournalOptions = {}): SyncJournal {
  return memoryJournal({ clock: new ManualClock(), ...options }) as SyncJournal
}

export function key (sessionId: string): SessionKey {
  return { owner: 'ann', agentId: 'main', sessionId }
}

/** An entry in a few words. */
export function short (entry: Entry): string {
  switch (entry.kind) {
    case 'text':
    case 'message': return `${entry.seq} ${entry.content}`
    case 'event': return `${entry.seq} ${entry.name}`
    case 'end': return `${entry.seq} end ${entry.end.finishReason}`
  }
}
