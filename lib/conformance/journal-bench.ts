import assert from 'node:assert/strict'

import type { Awaitable } from '../awaitable.js'
import type {
  Entry, Followed, FollowFrom, Journal, NewEntry, Offer, OfferTerms, Run, SessionCursor, StoredChat, TurnCursor, TurnEnd
} from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { Bench, ConformanceCase, ConformanceOptions } from './conformance-case.js'
import { Reader } from './journal-reader.js'

/**
 * How large the journal under test is to be. One that trims by more than one entry at a time is fine: where something
 * is to be forgotten the suite writes ten times as much.
 */
export interface JournalLimits {
  /** Entries held of a session, text beyond them not counted. */
  maxEntries: number
  /** How long an entry is held, and a session that nobody uses, in milliseconds. */
  maxAgeMs: number
  /** How long a claim outlives its turn, in milliseconds. */
  dedupWindowMs: number
  /** Claims that one owner can have at once. */
  maxClaimsPerOwner: number
  /** Sessions held at once; a journal without such a bound holds them all. */
  maxSessions: number
  /** How long a node that says nothing keeps the right to run, in milliseconds. Given where `isShared` is. */
  leaseMs?: number
}

/** What the maker of a journal gives to one test. */
export interface JournalUnderTest {
  /** Empty, and apart from those made before. */
  journal: Journal
  /** The same journal as another node has it. A journal of one process has none: both parts are then played by the one. */
  peer?: Journal | undefined
  /** Lets so much time pass for the journal: turns its clock, or waits. */
  advance: (ms: number) => Awaitable<void>
  /**
   * Of a shared journal: from now on `journal` hears nothing of what it has in common with `peer`, and cannot write it, as
   * a node whose network is gone; until the returned function is called.
   */
  cutOff?: (() => Awaitable<() => Awaitable<void>>) | undefined
}

export interface JournalSuiteOptions extends ConformanceOptions {
  /**
   * How long the windows are that have to pass in a test, in milliseconds. Where `advance` really waits: short, yet
   * longer than the slowest of the journal's calls takes. @default 60_000
   */
  windowMs?: number | undefined
  /** The journal is for nodes that share it: it has `watch`, and the maker gives `peer` and `cutOff`. @default false */
  isShared?: boolean | undefined
}

export type JournalCase = ConformanceCase<JournalBench> & {
  /** What differs from a journal where nothing is forgotten. `window` stands for {@link JournalSuiteOptions.windowMs}. */
  limits?: { [Name in keyof JournalLimits]?: number | 'window' }
}

export const ABORTED: TurnEnd = { finishReason: 'aborted' }
export const STOP: TurnEnd = { finishReason: 'stop' }
export const END: NewEntry = { kind: 'end', end: STOP }
const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 100, displacedEnd: ABORTED }
/** The session of tests that need but one. */
export const S = key('s')

export type AcceptedOffer = Extract<Offer, { accepted: true }>

/** One journal, seen from two nodes, and short ways to work with it. Writers work at the one, readers at the other. */
export class JournalBench implements Bench {
  readonly waiting = new Set<string>()
  readonly journal: Journal
  readonly peer: Journal
  readonly advance: (ms: number) => Awaitable<void>
  readonly windowMs: number
  readonly #cutOff: JournalUnderTest['cutOff']
  /** Makes one more, which shares nothing with this one. */
  readonly another: () => Promise<JournalBench>

  constructor ({ journal, peer = journal, advance, cutOff }: JournalUnderTest, windowMs: number, another: () => Promise<JournalBench>) {
    this.journal = journal
    this.peer = peer
    this.advance = advance
    this.windowMs = windowMs
    this.another = another
    this.#cutOff = cutOff
  }

  /** The writers' node has no network, until the returned function is called. */
  async cutOff (): Promise<() => Promise<void>> {
    assert.ok(this.#cutOff !== undefined, 'whoever makes a shared journal gives `cutOff`')
    const mend = await this.#cutOff()
    return async () => { await mend() }
  }

  get waitingFor (): string {
    const [wake = 'the journal to answer'] = this.waiting
    return wake
  }

  /** This node or the other, by turns. */
  node (index: number): Journal {
    return index % 2 === 0 ? this.journal : this.peer
  }

  offer (turnId: string, { on = this.journal, of = S, chat = {}, ...terms }: OfferMore = {}): Awaitable<Offer> {
    return on.offer(of, chatOf(turnId, chat), { ...TERMS, ...terms })
  }

  async accepted (turnId: string, more: OfferMore = {}): Promise<AcceptedOffer> {
    const offer = await this.offer(turnId, more)
    assert.ok(offer.accepted, `the chat ${turnId} is not accepted: ${JSON.stringify(offer)}`)
    return offer
  }

  async take (of: SessionKey = S, onStop = (): boolean => true): Promise<Run> {
    const run = await this.journal.take(of, onStop)
    assert.ok(run !== undefined, 'there is nothing to take')
    return run
  }

  /** Offers a chat and takes what is next. */
  async begin (turnId: string, more: OfferMore = {}): Promise<Run> {
    await this.accepted(turnId, more)
    return this.take(more.of)
  }

  /** A whole turn: its question, so many pieces of text, its end. */
  async play (turnId: string, pieces = 1, more: OfferMore = {}): Promise<void> {
    const run = await this.begin(turnId, more)
    for (let index = 0; index < pieces; index++) await this.append(run, index + 1, [text(`${index};`)])
    await this.finish(run, pieces + 1)
  }

  async append (run: Run, batch: number, entries: readonly NewEntry[]): Promise<void> {
    assert.equal(await this.journal.append(run, batch, entries), true, `batch ${batch} is not written`)
  }

  async finish (run: Run, batch = 1_000_000): Promise<void> {
    await this.append(run, batch, [END])
    await this.journal.release(run, ABORTED)
  }

  /** Runs whatever waits in the session, and answers what it was. */
  async drain (of: SessionKey = S): Promise<string[]> {
    const turnIds: string[] = []
    for (let run = await this.journal.take(of, () => true); run !== undefined; run = await this.journal.take(of, () => true)) {
      turnIds.push(run.chat.turnId)
      await this.journal.release(run, STOP)
    }
    return turnIds
  }

  async followTurn (turnId: string, of: SessionKey = S): Promise<Reader<TurnCursor>> {
    const reader = new Reader<TurnCursor>(this.waiting, `the cursor of turn ${turnId}`, (cursor) => cursor.next())
    const cursor = await this.peer.followTurn(of, turnId, reader.wake)
    assert.ok(cursor !== undefined, `turn ${turnId} cannot be followed`)
    return reader.reading(cursor)
  }

  async follow (from: FollowFrom = {}, { of = S, mergeUnits = 0 } = {}): Promise<SessionReader> {
    // Of the two ways to read text each has its turn.
    let isShort = false
    const reader = new Reader<SessionCursor>(this.waiting, 'the cursor of the session', (cursor) => {
      isShort = mergeUnits === 0 && !isShort
      return (isShort ? nextText(cursor) : undefined) ?? cursor.next(mergeUnits)
    })
    const followed = await this.peer.follow(of, from, reader.wake)
    assert.ok(followed !== undefined, 'the session cannot be followed')
    return Object.assign(reader.reading(followed.cursor), { followed })
  }

  /** Follows from the session's first entry on; nothing is lost of it as long as all is held. */
  async followAll (epoch: string, of = S): Promise<SessionReader> {
    const reader = await this.follow({ position: { epoch, seq: 0 } }, { of })
    assert.equal(reader.followed.recovered, true)
    return reader
  }

  async close (): Promise<void> {
    await this.journal.close()
    if (this.peer !== this.journal) await this.peer.close()
  }
}

/** What `nextTexts` gives, if there is that, to a reader that wants one. */
function nextText (cursor: SessionCursor): Entry | undefined {
  let given: Entry | undefined
  const hasGiven = cursor.nextTexts?.({
    takeText (content, turnId, seq) {
      assert.equal(given, undefined, 'it gives one more than is wanted')
      given = { kind: 'text', content, turnId, seq }
      return false
    }
  })
  assert.equal(hasGiven === true, given !== undefined, '`nextTexts` says whether it has given any')
  return given
}

export type SessionReader = Reader<SessionCursor> & { readonly followed: Followed }

interface OfferMore extends Partial<OfferTerms> {
  on?: Journal | undefined
  of?: SessionKey | undefined
  chat?: Partial<StoredChat> | undefined
}

export function key (sessionId: string): SessionKey {
  return { owner: 'ann', agentId: 'main', sessionId }
}

export function chatOf (turnId: string, more: Partial<StoredChat> = {}): StoredChat {
  return { turnId, message: `${turnId}?`, acceptedAt: 1_700_000_000_000, ...more }
}

export function text (content: string): NewEntry {
  return { kind: 'text', content }
}

export function message (content: string): NewEntry {
  return { kind: 'message', content }
}

export function event (name: string): NewEntry {
  return { kind: 'event', name, json: '{}' }
}

export function isAccepted (offer: Offer): offer is AcceptedOffer {
  return offer.accepted
}
