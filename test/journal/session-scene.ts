import type { Entry, Followed, FollowFrom, NewEntry, OfferTerms, Run, SessionCursor } from '../../lib/journal/journal.js'
import { short, type SyncJournal } from '../helpers/sync-journal.js'

export const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
export const S = { owner: 'ann', agentId: 'main', sessionId: 's' }

/** Batches appended, over all runs: each number is new to its run. */
let batches = 0

export function offer (journal: SyncJournal, turnId: string): void {
  if (!journal.offer(S, { turnId, message: `${turnId}?`, acceptedAt: 0 }, TERMS).accepted) throw new Error('refused')
}

export function take (journal: SyncJournal): Run {
  const run = journal.take(S, () => false)
  if (run === undefined) throw new Error('nothing to take')
  return run
}

export function begin (journal: SyncJournal, turnId: string): Run {
  offer(journal, turnId)
  return take(journal)
}

export function append (journal: SyncJournal, run: Run, ...entries: NewEntry[]): void {
  if (!journal.append(run, ++batches, entries)) throw new Error('not written')
}

export function follow (journal: SyncJournal, from: FollowFrom = {}, wake = (): void => {}): Followed {
  const followed = journal.follow(S, from, wake)
  if (followed === undefined) throw new Error('no room')
  return followed
}

/** All that is there now. */
export function readEntries (cursor: SessionCursor, mergeUnits = 0): Entry[] {
  const entries: Entry[] = []
  for (let entry = cursor.next(mergeUnits); entry !== undefined; entry = cursor.next(mergeUnits)) {
    if (entry === 'lost') throw new Error('lost')
    entries.push(entry)
  }
  return entries
}

export function read (cursor: SessionCursor, mergeUnits = 0): string[] {
  return readEntries(cursor, mergeUnits).map(short)
}
