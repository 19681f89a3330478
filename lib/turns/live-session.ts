import type { Awaitable } from '../awaitable.js'
import type { EndedTurn, Offer, Run, StoredChat, TurnEnd } from '../journal/journal.js'
import type { ErrorCode } from '../protocol/codes.js'
import type { BusyPolicy } from '../protocol/names.js'
import type { Fault } from '../protocol/schema-check.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { SessionMap } from '../protocol/session-map.js'
import type { SessionStore } from '../sessions/session-store.js'
import type { TurnFollower } from './follow.js'
import type { TurnRun } from './run-turn.js'
import type { Stopper } from './stopper.js'
import type { TimedJournal } from './timed-journal.js'
import type { TurnTools } from './turn-tools.js'
import type { WaitingTurns } from './waiting-turns.js'

/** A chat, as a transport hands it over. */
export interface Chat {
  key: SessionKey
  /** Whether a client has named the session; else it is the connection's own. */
  isNamed: boolean
  turnId: string
  message: string
  metadata?: Record<string, unknown> | undefined
  context?: unknown
  onBusy?: BusyPolicy | undefined
  /** Of a chat whose id is its client's: what was said, so that the same chat sent again is known. */
  bodyHash?: string | undefined
  /** Whether its turn is of no use to anybody when nobody has followed it for a while. */
  isForReaders?: boolean | undefined
}

/** With what the turn of a chat is read, once it is accepted. */
export interface Attach<Reader> {
  /** Nobody is told the position from which the turn follows: see `OfferTerms`. */
  isUnplaced: boolean
  open (turn: LiveTurn, offer: AcceptedOffer): Awaitable<Reader>
}

export type AcceptedOffer = Extract<Offer, { accepted: true }>

/** A chat that was accepted, and with what its turn is read. */
export interface Accepted<Reader> {
  accepted: true
  turnId: string
  /** Chats and running turns before it. */
  position: number
  /** The place from which the turn follows. */
  epoch: string
  seq: number
  follower: Reader
}

export interface Refused {
  accepted: false
  code: ErrorCode
  retryAfterMs?: number
  details?: Fault
}

/** A chat that was accepted before; `ended` is undefined while its turn waits or runs. */
export interface Duplicate {
  accepted: false
  code?: undefined
  ended: EndedTurn | undefined
}

export type Started = Accepted<TurnFollower> | Refused
export type StartedOnce = Accepted<void> | Refused | Duplicate

/** A session that has something to do on this node. */
export interface LiveSession {
  readonly key: SessionKey
  /** The key as text. */
  readonly text: string
  readonly home: TimedHome
  /** Accepted turns that do not run yet. */
  readonly waiting: WaitingTurns<LiveTurn>
  running: RunningTurn | undefined
  /** Settles when it is known whether there was a turn to run, and never rejects; `undefined` while nobody asks. */
  taking: Promise<void> | undefined
  /** Somebody wants the next turn to run; while the journal is being asked, its answer may be too old. */
  asksAgain: boolean
  /** Its next turn is being looked for, or runs as far as it does at once. */
  isAdvancing: boolean
  /** The journal says that chats wait which other nodes have taken. */
  hasGuests: boolean
  /** Set while the journal has no turn for this node, though some wait: it is asked again later. */
  stopRetry: (() => void) | undefined
}

/** A home whose journal answers in time. A connection's own session is not the named one that has the same name. */
export interface TimedHome {
  /** Those that have something to do, by their keys as text. */
  readonly sessions: SessionMap<LiveSession>
  readonly journal: TimedJournal
  readonly store: SessionStore
  /** What its turns are run with. */
  readonly tools: TurnTools
}

export interface LiveTurn {
  readonly chat: Chat
  readonly bytes: number
  /** As it was offered to the journal by this node. */
  offered: StoredChat | undefined
  /** Who has asked for it, if not as one of the session's readers. */
  follower: TurnFollower | undefined
  /** Settles when the journal has taken the chat or not, and never rejects; `undefined` afterwards. */
  offering: PromiseLike<unknown> | undefined
  /** The right to run it, where it came with its acceptance. */
  right: RunRight | undefined
  /** Since when nobody has followed it. */
  aloneSince: number | undefined
  /** How it ended, if the journal could not be told: a follower that comes later is told too. */
  unwrittenEnd: TurnEnd | undefined
  /** It is no longer counted among the live turns. */
  hasLeft: boolean
}

/** The right to run a turn, and who is asked to stop it. */
export interface RunRight {
  readonly run: Run
  readonly stopper: Stopper
}

export interface RunningTurn {
  readonly turn: LiveTurn
  readonly run: TurnRun
  /** Settles when it has its end. */
  ended (): Promise<void>
}

/** All turns of a session that this node knows, the running one first. */
export function turnsOf ({ running, waiting }: LiveSession): LiveTurn[] {
  return running === undefined ? [...waiting.all()] : [running.turn, ...waiting.all()]
}

/** A chat that another node has taken. */
export function adoptedChat (key: SessionKey, { turnId, message, metadata, context, bodyHash, isForReaders }: StoredChat): Chat {
  return { key, isNamed: true, turnId, message, metadata, context, bodyHash, isForReaders }
}

/** A chat as the journal keeps it. */
export function storedChat (chat: Chat, acceptedAt: number): StoredChat {
  const { turnId, message, metadata, context, bodyHash, isForReaders } = chat
  const stored: StoredChat = isForReaders === true ? { turnId, message, acceptedAt, isForReaders } : { turnId, message, acceptedAt }
  if (metadata !== undefined) stored.metadata = metadata
  if (context !== undefined) stored.context = context
  if (bodyHash !== undefined) stored.bodyHash = bodyHash
  return stored
}
