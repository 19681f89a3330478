import type { Awaitable } from '../awaitable.js'
import type { ErrorCode } from '../protocol/codes.js'
import type { BusyPolicy, FinishReason } from '../protocol/names.js'
import type { Usage } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'

/**
 * The live part of sessions: their queue, the right to run the next turn, the numbered entries of what happened, the
 * cursors that read them, and the claims by which a chat that is sent twice runs once. Writers and readers meet only
 * here: log first, then deliver.
 *
 * Every method that answers an `Awaitable` may do so at once; the one in memory always does, and then costs no tick.
 *
 * 1. An entry's `seq` MUST be the one before it plus 1, from 1, in one `epoch`; a journal that lost entries it had
 *    numbered MUST have a new `epoch`.
 * 2. `offer` MUST look up the claim, check the queue's depth and keep the whole chat in one step: of two at once for
 *    one place, one fits. A refused chat MUST leave nothing behind.
 * 3. `take` MUST give the right to run a session's turn to one caller at a time, take the chat from the queue and
 *    write its `turn-started` entry in one step, and MUST never give the same chat twice. An `offer` with `onStop` MAY
 *    have done so too when it answers, for the chat that it has accepted and no other.
 * 4. `append` MUST refuse (`false`) for a run that was released, that has written its end, or whose session was
 *    forgotten.
 * 5. `append` MUST write all its entries in order, next to each other, or none: those with an end that is not the last
 *    of them it MUST refuse.
 * 6. A `batch` number that was appended already MUST write nothing and be answered as the first time; those of a run
 *    rise.
 * 7. `withdraw` MUST write the end of a chat that still waits, and answer `false` for one that does not.
 * 8. A turn's cursor MUST give what its turn wrote after its position once, in order: text (pieces may come as one),
 *    whole messages and the end whatever the session still holds, events as far as it holds them. Only when the session
 *    was forgotten, and after all that can be told, it MUST say that there is no more (`lost`).
 * 9. A cursor that answered `undefined` MUST call its `wake` when there is more. It MAY call it again, with `true`, for
 *    what is not to wait for more to come.
 * 10. What ended MUST stay readable by cursors that are open.
 * 11. A chat with a `bodyHash` MUST be claimed from its acceptance until the dedup window after its end, whatever else
 *    the session forgets, and for as long as the session holds its turn: meanwhile an offer of the same id and hash MUST
 *    be answered by what became of the first, one of another hash by `ID_CONFLICT`, and neither MUST change anything.
 *    When there is no room for a claim, the chat MUST be refused with `RATE_LIMITED`: a claim is never dropped early.
 * 12. `retract` MUST take back the chat given if it waits, its claim included and without an entry; it MUST answer `false`
 *    for one that does not wait, that somebody was told to be known (11) and relies on, or under whose id another waits by
 *    now (of another `acceptedAt` or `bodyHash`). The turn's cursors MUST answer `lost`.
 * 13. `cancel` MUST, in one step, end the chats meant that wait, in their order, and mark the run meant as stopped, whose
 *    `onStop` is then called on whichever node it is; it MUST answer the ids of those it ended and of the run, the run's
 *    first, unless `onStop` answered `false`. An offer that interrupts MUST do the same with all there was before it.
 * 14. `release` MUST give the right to run back, and write the given end for a turn that has none.
 * 15. A session's cursor MUST give every entry of the session (of the turns it is for) after its position once, in the
 *    order of `seq`; neighbouring text pieces of one turn MAY come as one, under the seq of the last. Past the oldest
 *    entry held it MUST go on with the text that it lacks, as long as only text is missing that the journal keeps (that
 *    of a running turn always), and otherwise answer `lost`, once and for good.
 * 16. `follow` MUST be a cut: the position, the turns with their text and the cursor that it answers belong to one
 *    moment, so that nothing is missing between them and nothing comes twice. It MUST go on from a given position
 *    (`recovered`) if and only if the epoch is the session's and the entry after the position is held, or is still to
 *    come. It MUST make the session's journal if there is none.
 * 17. `publish` MUST write an event that belongs to no turn, numbered as any other entry.
 * 18. A session with session cursors, or with turns that wait or run, MUST NOT be dropped; `follow` MAY answer
 *    `undefined` when there is no room.
 * 19. After `close`, `offer`, `publish` and `follow` MUST reject or throw, every open cursor MUST be woken and answer
 *    `lost` when what it can tell is told, and `close` itself MUST answer again.
 * 20. What one node asks of one session MUST take effect in the order in which it was asked, awaited or not.
 *
 * A journal that several nodes share (it has `watch`) keeps to these too; one of one process has nobody to share with.
 *
 * 21. The right to run MUST be a lease with a fence: a run whose node says nothing for the time of a lease MAY be taken
 *    over by `salvage`, and from then on MUST write nothing. As long as nobody has taken it, it MUST stay good.
 * 22. `salvage` MUST give the right to end a turn whose lease has run out to one caller at a time, with the text and the
 *    whole messages that were appended, and answer `undefined` for a session where nothing was left.
 * 23. Whoever watches MUST be told, visitors or not, of sessions whose run was left (`left`), and of those in which chats
 *    wait while nobody has the right to run (`free`), also when the node that took the chats is gone. What all watchers
 *    of a node answer with `false`, those of another MUST be told too.
 * 24. A node that has offered a chat and asks for the right to run MUST be told when another has taken or ended it (`gone`).
 * 25. `cancel` MUST end a run whose node does not answer, whose appends are then refused, and before it answers tell what it
 *    had said to whoever watches where it was called (`stopped`), and wait for what they answer.
 * 26. A run whose right is gone MUST be told to its node's watchers (`lost`), also when it appends nothing.
 * 27. `readers` MUST count the cursors of all nodes that are there.
 */
export interface Journal {
  /** New whenever what the journal confirmed may have been lost: at a restart, for one in memory. */
  readonly id: string
  /** Accepts a chat into its session's queue; `interrupt` ends whatever waits there, and stops what runs. */
  offer(key: SessionKey, chat: StoredChat, terms: OfferTerms): Awaitable<Offer>
  /** What an offer of this chat would be answered if it could not be accepted: by its claim, or not at all. */
  claimed(key: SessionKey, chat: Pick<StoredChat, 'turnId' | 'bodyHash'>): Awaitable<Claimed | undefined>
  /**
   * The next chat of the session and the right to run it; `undefined` when none waits or another turn has the right.
   * @param onStop called when the run is to stop; answers whether it will: not when its end is decided already
   */
  take(key: SessionKey, onStop: () => boolean): Awaitable<Run | undefined>
  /** Writes entries of a run. `false`: the run has no right to write (any more). */
  append(run: Run, batch: number, entries: readonly NewEntry[]): Awaitable<boolean>
  /** Gives the right to run back; `end` is how the turn ended if nothing else has been written. */
  release(run: Run, end: TurnEnd): Awaitable<void>
  /** Ends a chat that waits, without running it. */
  withdraw(key: SessionKey, turnId: string, end: TurnEnd): Awaitable<boolean>
  /** Takes back a chat that waits, as if it had never been offered: this one, and no other of its id. */
  retract(key: SessionKey, chat: StoredChat): Awaitable<boolean>
  /** Stops one turn of the session, or all there are: those that wait get this end, the one that runs is told to. */
  cancel(key: SessionKey, turnId: string | undefined, end: TurnEnd): Awaitable<string[]>
  /** Writes an event outside of any turn. `json` is its data, as JSON text. */
  publish(key: SessionKey, name: string, json: string): Awaitable<Position>
  /** Reads one turn, from its start. `undefined` when the journal does not know the turn. */
  followTurn(key: SessionKey, turnId: string, wake: Wake): Awaitable<TurnCursor | undefined>
  /** Reads a session, from a position or from now on. `undefined` when there is no room for one more session. */
  follow(key: SessionKey, from: FollowFrom, wake: Wake): Awaitable<Followed | undefined>
  /** How many cursors there are, on all nodes, that read this turn. */
  readers(key: SessionKey, turnId: string): Awaitable<number>
  /**
   * Settles when the fastest reader of the run on this node is no longer more than half a ring behind; `undefined`
   * when nothing needs to wait.
   */
  pace(run: Run): Promise<void> | undefined
  /** Drops the session: entries, queue, and whatever right to run it there is, but no claim. Its cursors read `lost`. */
  forget(key: SessionKey): Awaitable<void>
  /** Of a shared journal: tells what no caller has asked for, until the returned function is called. */
  watch?(onNews: JournalWatcher): () => void
  /** Of a shared journal: the right to end a turn whose node is gone, with what it has said as the run's text. */
  salvage?(key: SessionKey): Awaitable<Run | undefined>
  /** Of a journal that may be away: for so long it tries to take what a turn says, in milliseconds, before it rejects. */
  readonly graceMs?: number | undefined
  stats(): JournalStats
  close(): Awaitable<void>
}

/**
 * Answers `false` where it does nothing about `free` or `left`: whoever has the agent, and does not drain, may. To `stopped`, it answers
 * when the history has what the turn had said.
 */
export type JournalWatcher = (news: JournalNews) => unknown

/** What happens in a session that several nodes serve. */
export type JournalNews =
  /** Something waits, and nothing runs. */
  | { kind: 'free', key: SessionKey }
  /** Whoever ran its turn has let the lease run out. */
  | { kind: 'left', key: SessionKey }
  /** A chat that this node has offered waits no longer: another node has taken or ended it. */
  | { kind: 'gone', key: SessionKey, turnId: string }
  /** A turn of a node that does not answer was cancelled here. This is what it had said, and no right. */
  | { kind: 'stopped' } & Run
  /** A turn that this node runs has to stop: its right is gone, or the journal has been away for too long. */
  | { kind: 'lost', key: SessionKey, turnId: string, code: Extract<ErrorCode, 'TURN_LOST' | 'STORE_UNAVAILABLE'> }

/** A chat as the journal keeps it: all that another node needs to run it. JSON throughout. */
export interface StoredChat {
  turnId: string
  message: string
  metadata?: Record<string, unknown>
  context?: unknown
  /** When it was accepted, in milliseconds since 1970-01-01T00:00:00Z. */
  acceptedAt: number
  /** Of what was said: two chats of one id are the same chat if these are equal. Without it the id is not claimed. */
  bodyHash?: string
  /** Its turn is of no use to anybody when nobody has followed it for a while. */
  isForReaders?: true
}

export interface OfferTerms {
  onBusy: BusyPolicy
  /** How many chats may wait in the session, the one that could start at once not counted. */
  maxQueued: number
  /** How chats end that an interrupt withdraws. */
  displacedEnd: TurnEnd
  /** Called as that of `take` is. Given by whoever would `take` at once: the right to run may then come with the acceptance. */
  onStop?: (() => boolean) | undefined
  /**
   * Whoever offers it tells nobody its position. Where nobody was ever told a position of the session, by this, `follow` or
   * `publish`, nobody can come back to one, and what the readers of a turn have read MAY be forgotten. Of a chat with a
   * `bodyHash` a position is told all the same, to whoever sends it again.
   * @default false
   */
  isUnplaced?: boolean | undefined
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
    /** The right to run this chat, as if it had been taken; without it, it is to be taken. */
    run?: Run
  }
  | { accepted: false, code: Extract<ErrorCode, 'SESSION_BUSY' | 'QUEUE_FULL' | 'RATE_LIMITED'> }
  | { accepted: false, claimed: Claimed }

/** What an id that was used before stands for. */
export type Claimed =
  | { isSame: false }
  /** `ended` is undefined while the turn waits or runs. */
  | { isSame: true, ended: EndedTurn | undefined }

/** What is known of an ended turn beside its text. */
export interface EndedTurn extends Position {
  /** Without the content, which may be large. */
  end: Omit<TurnEnd, 'content'>
  /** The executor returned a string: its end had the whole answer as `content`. */
  isWhole: boolean
}

/** A place in a session's journal: behind the entry `seq`. */
export interface Position {
  epoch: string
  seq: number
}

export interface FollowFrom {
  /** Everything up to here is known to the reader. */
  position?: Position | undefined
  /**
   * Only entries of these turns, of which the set may change as the reader goes on; all entries without one. A turn
   * belongs in it from its acceptance until the reader has its end.
   */
  turns?: TurnIds | undefined
}

/** Some turns of a session, as far as a reader asks for them; a `Set` of their ids is such. */
export interface TurnIds extends Iterable<string> {
  has (turnId: string): boolean
}

export interface Followed {
  cursor: SessionCursor
  /** The cursor goes on from the position that was given. */
  recovered: boolean
  /** The turns that run or wait, in their order; with their text up to the cursor's position, unless recovered. */
  turns: OpenTurn[]
}

export interface OpenTurn {
  chat: StoredChat
  status: 'running' | 'queued'
  text?: string
}

/** The right to run one turn, and what it has written so far. */
export interface Run {
  readonly key: SessionKey
  readonly chat: StoredChat
  /** The text appended so far, as this node sees it. */
  readonly text: { toString(): string }
  /** Of a run that was salvaged or stopped: the whole messages among it. */
  readonly messages?: readonly WholeMessage[] | undefined
}

/** A whole message of a turn, and how much of its text had come before, in UTF-16 code units. */
export interface WholeMessage {
  content: string
  textBefore: number
}

export type NewEntry =
  | { kind: 'text', content: string }
  | { kind: 'message', content: string }
  /** `json` is the event's data, as JSON text: what is kept is no live object. */
  | { kind: 'event', name: string, json: string }
  | { kind: 'end', end: TurnEnd }

/** `turnId` is `undefined` for an event that was published outside of any turn. */
export type Entry = NewEntry & { readonly turnId: string | undefined, readonly seq: number }

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

/**
 * Called when a reader has something to read.
 * @param isUrgent it is the first text of a turn or its end, or something that somebody waits to have read
 * @param isMuch so much that it is best read before more is said
 */
export type Wake = (isUrgent?: boolean, isMuch?: boolean) => void

/** A reader's place in one turn. */
export interface TurnCursor {
  /** The next entry; `lost` when its session was forgotten and nothing more will come; `undefined` when there is none yet. */
  next(): Entry | 'lost' | undefined
  /** The turn's whole text, to be asked for at its end. */
  text(): string
  close(): void
}

/** Whoever is given pieces of text. */
export interface TextReader {
  /** Answers whether it wants one more at once. */
  takeText (content: string, turnId: string, seq: number): boolean
}

/** A reader's place in a session. */
export interface SessionCursor {
  readonly epoch: string
  /** Everything up to here was given, or passed over because it is of another turn. */
  readonly seq: number
  /** As in {@link FollowFrom}; may be exchanged. */
  turns: TurnIds | undefined
  /**
   * Gives what comes next piece by piece, as long as that is text of one turn and the reader wants more of it: a shorter way than
   * `next`, and what it gives is the same. Not asked of cursors that do not have it, nor where pieces are to be merged.
   * @returns whether it has given any; if not, `next` is asked
   */
  nextTexts? (reader: TextReader): boolean
  /**
   * The next entry; `lost` when it cannot be told any more; `undefined` when there is none yet.
   * @param mergeUnits neighbouring pieces of one turn's text come as one, up to so many UTF-16 code units; 0: none do,
   * but for text that was missed, which comes in steps
   */
  next(mergeUnits: number): Entry | 'lost' | undefined
  /** A turn as it is at the cursor's position; `undefined` when that cannot be told (any more). */
  view(turnId: string): TurnView | undefined
  close(): void
}

export interface TurnView {
  text: string
  /** Set if the turn's end is at or before the position. */
  end: TurnEnd | undefined
}

export interface JournalStats {
  sessions: number
  entries: number
  bytes: number
  cursors: number
  claims: number
}
