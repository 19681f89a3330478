import type { Awaitable } from '../../lib/awaitable.js'
import type { Entry, Journal, Offer, OfferTerms, Run, StoredChat, TurnCursor } from '../../lib/journal/journal.js'
import { key, short } from '../helpers/sync-journal.js'
import { ABORTED, STOP, text } from './new-entries.js'

export const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 2, displacedEnd: { finishReason: 'aborted' } }
export const S = key('s')

/** Batches that `fill` has appended, over all runs: each number is new to its run. */
let batches = 0

export function goesOn (): boolean {
  return false
}

export function chat (turnId: string, rest: Partial<StoredChat> = {}): StoredChat {
  return { turnId, message: `${turnId}?`, acceptedAt: 0, ...rest }
}

export function offer (journal: Journal, turnId: string, rest: Partial<StoredChat> = {}): string {
  accepted(result(journal.offer(S, chat(turnId, rest), TERMS)))
  return turnId
}

export function result<T> (value: Awaitable<T>): T {
  return value as T
}

export function accepted (offered: Offer): Extract<Offer, { accepted: true }> {
  if (!offered.accepted) throw new Error(JSON.stringify(offered))
  return offered
}

export function take (journal: Journal, of = S): Run {
  const run = result(journal.take(of, goesOn))
  if (run === undefined) throw new Error('nothing to take')
  return run
}

export function follow (journal: Journal, turnId: string, wake = (): void => {}, of = S): TurnCursor {
  const cursor = result(journal.followTurn(of, turnId, wake))
  if (cursor === undefined) throw new Error(`no turn ${turnId}`)
  return cursor
}

/** A turn that runs, and a reader of it. */
export function begin (
  journal: Journal, turnId: string, of = S, wake = (): void => {}
): { run: Run, cursor: TurnCursor, offer: Extract<Offer, { accepted: true }> } {
  const offered = accepted(result(journal.offer(of, chat(turnId), TERMS)))
  const run = take(journal, of)
  return { run, cursor: follow(journal, turnId, wake, of), offer: offered }
}

/** A turn that has come and gone. */
export function done (journal: Journal, turnId: string, of = S): Extract<Offer, { accepted: true }> {
  const { run, cursor, offer } = begin(journal, turnId, of)
  journal.append(run, 1, [STOP])
  journal.release(run, ABORTED)
  cursor.close()
  return offer
}

export function fill (journal: Journal, run: Run, count: number, content = 'x'): void {
  for (let done = 0; done < count; done++) journal.append(run, ++batches, [text(content)])
}

/** All that is there now. */
export function read (cursor: TurnCursor): Entry[] {
  const entries: Entry[] = []
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
    if (entry === 'lost') throw new Error('lost')
    entries.push(entry)
  }
  return entries
}

export function readUntilEmpty (cursor: TurnCursor): string[] {
  return read(cursor).map(short)
}
