import type { Awaitable } from '../awaitable.js'
import type { ErrorCode } from '../protocol/codes.js'
import type { BusyPolicy, FinishReason } from '../protocol/names.js'
import type { Usage } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'

/**
 * The live part of sessions: their queue, the right to run the next turn, the numbered entries of what happened, and
 * the cursors that read them. Writers and readers meet only here: log first, then deliver.
 *
 * Every method that answers an `Awaitable` may do so at once; the one in memory always does, and then costs no tick.
 *
 * 1. An entry's `seq` MUST be the one before it plus 1, from 1, in one `epoch`; a journal that lost entries it had
 *    numbered MUST have a new `epoch`.
 * 2. `offer` MUST check the queue's depth and keep the whole chat in one step: of two at once for one place, one fits.
 * 3. `take` MUST give the right to run a session's turn to one caller at a time, take the chat from the queue and
 *    write its `turn-started` entry in one step, and MUST never give the same chat twice.
 * 4. `append` MUST refuse (`false`) for a run that was released, or that has written its end.
 * 5. `append` MUST write all its entries in order, next to each other, or none.
 * 6. A `batch` number that was appended already MUST write nothing and be answered as the first time.
 * 7. `withdraw` MUST write the end of a chat that still waits, and answer `false` for one that does not.
 * 8. A cursor MUST give what its turn wrote after its position once, in order: text (pieces may come as one), whole
 *    messages and the end whatever the session still holds, events as far as it holds them. Only when the session was
 *    forgotten, and after all that can be told, it MUST say that there is no more (`lost`).
 * 9. A cursor that answered `undefined` MUST call its `wake` when there is more.
 * 10. What ended MUST stay readable by cursors that are open.
 */
export interface Journal {
  /** New whenever what the journal confirmed may have been lost: at a restart, for one in memory. */
  readonly id: string
  /** Accepts a chat into its session's queue; `interrupt` withdraws whatever waits there. */
  offer(key: SessionKey, chat: StoredChat, terms: OfferTerms): Awaitable<Offer>
  /** The next chat of the session and the right to run it; `undefined` when none waits or another turn has the right. */
  take(key: SessionKey): Awaitable<Run | undefined>
  /** Writes entries of a run. `false`: the run has no right to write (any more). */
  append(run: Run, batch: number, entries: readonly NewEntry[]): Awaitable<boolean>
  /** Gives the right to run back. */
  release(run: Run): Awaitable<void>
  /** Ends a chat that waits, without running it. */
  withdraw(key: SessionKey, turnId: string, end: TurnEnd): Awaitable<boolean>
  /** Reads one turn, from its start. `undefined` when the journal does not know the turn. */
  followTurn(key: SessionKey, turnId: string, wake: () => void): Awaitable<TurnCursor | undefined>
  /**
   * Settles when the fastest reader of the run on this node is no longer more than half a ring behind; `undefined`
   * when nothing needs to wait.
   */
  pace(run: Run): Promise<void> | undefined
  /** Drops the session: entries, queue, and whatever right to run it there is. Its cursors read `lost`. */
  forget(key: SessionKey): Awaitable<void>
  stats(): JournalStats
  close(): Awaitable<void>
}

/** A chat as the journal keeps it: all that another node needs to run it. JSON throughout. */
export interface StoredChat {
  turnId: string
  message: string
  metadata?: Record<string, unknown>
  context?: unknown
  /** When it was accepted, in milliseconds since 1970-01-01T00:00:00Z. */
  acceptedAt: number
}

export interface OfferTerms {
  onBusy: BusyPolicy
  /** How many chats may wait in the session, the one that could start at once not counted. */
  maxQueued: number
  /** How chats end that an interrupt withdraws. */
  displacedEnd: TurnEnd
}

export type Offer =
  | {
    accepted: true
    /** Chats and running turns before this one. */
    position: number
    epoch: string
    seq: number
    /** Turns that an interrupt withdrew from the queue; each has its end. */
    displaced: string[]
  }
  | { accepted: false, code: Extract<ErrorCode, 'SESSION_BUSY' | 'QUEUE_FULL'> }

/** The right to run one turn, and what it has written so far. */
export interface Run {
  readonly key: SessionKey
  readonly chat: StoredChat
  /** The text appended so far, as this node sees it. */
  readonly text: { toString(): string }
}

export type NewEntry =
  | { kind: 'text', content: string }
  | { kind: 'message', content: string }
  /** `json` is the event's data, as JSON text: what is kept is no live object. */
  | { kind: 'event', name: string, json: string }
  | { kind: 'end', end: TurnEnd }

export type Entry = NewEntry & { readonly turnId: string, readonly seq: number }

/** How a turn ended. Exactly one per turn. */
export interface TurnEnd {
  finishReason: FinishReason
  /** The whole answer, of an executor that returned a string. */
  content?: string
  usage?: Usage
  error?: TurnError
}

export interface TurnError {
  code: ErrorCode
  /** An agent's own text, meant for the client; else the table of codes has one. */
  text?: string
}

/** A reader's place in one turn. */
export interface TurnCursor {
  /** The next entry; `lost` when its session was forgotten and nothing more will come; `undefined` when there is none yet. */
  next(): Entry | 'lost' | undefined
  /** The turn's whole text, to be asked for at its end. */
  text(): string
  close(): void
}

export interface JournalStats {
  sessions: number
  entries: number
  bytes: number
  cursors: number
}
