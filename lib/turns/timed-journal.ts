import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Clock } from '../clock.js'
import type {
  Claimed, Followed, FollowFrom, Journal, NewEntry, Offer, OfferTerms, Position, Run, StoredChat, TurnCursor, TurnEnd, Wake
} from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import { failedEnd } from './turn-end.js'
import { within } from './within.js'

/**
 * A journal that answers in time or rejects: one that hangs would hang its chats, a cancel and the shutdown. What it
 * gives when nobody waits for it any more is given back, since nobody else could: a chat would wait, or a session be
 * held, for ever.
 */
export class TimedJournal implements Omit<Journal, 'id' | 'stats' | 'close' | 'watch' | 'graceMs'> {
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #onFailure: (err: unknown) => void

  constructor (journal: Journal, clock: Clock, timeoutMs: number, onFailure: (err: unknown) => void) {
    this.#journal = journal
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#onFailure = onFailure
  }

  offer (key: SessionKey, chat: StoredChat, terms: OfferTerms): Awaitable<Offer> {
    const offer = this.#journal.offer(key, chat, terms)
    if (!isPromiseLike(offer)) return offer
    return this.#inTime(offer, (late) => {
      if (!late.accepted) return
      const { run } = late
      this.#giveBack(() => run === undefined ? this.retract(key, chat) : this.release(run, failedEnd('STORE_UNAVAILABLE')))
    })
  }

  claimed (key: SessionKey, chat: Pick<StoredChat, 'turnId' | 'bodyHash'>): Awaitable<Claimed | undefined> {
    return this.#inTime(this.#journal.claimed(key, chat))
  }

  take (key: SessionKey, onStop: () => boolean): Awaitable<Run | undefined> {
    const taken = this.#journal.take(key, onStop)
    if (!isPromiseLike(taken)) return taken
    return this.#inTime(taken, (run) => {
      if (run !== undefined) this.#giveBack(() => this.release(run, failedEnd('STORE_UNAVAILABLE')))
    })
  }

  append (run: Run, batch: number, entries: readonly NewEntry[]): Awaitable<boolean> {
    const appended = this.#journal.append(run, batch, entries)
    return isPromiseLike(appended) ? this.#inTime(appended, undefined, this.#journal.graceMs) : appended
  }

  release (run: Run, end: TurnEnd): Awaitable<void> {
    return this.#inTime(this.#journal.release(run, end), undefined, this.#journal.graceMs)
  }

  /** Takes its time: nobody waits for it, and a right that nobody used would be renewed for ever. */
  salvage (key: SessionKey): Awaitable<Run | undefined> {
    return this.#journal.salvage?.(key)
  }

  withdraw (key: SessionKey, turnId: string, end: TurnEnd): Awaitable<boolean> {
    return this.#inTime(this.#journal.withdraw(key, turnId, end))
  }

  retract (key: SessionKey, chat: StoredChat): Awaitable<boolean> {
    return this.#inTime(this.#journal.retract(key, chat))
  }

  cancel (key: SessionKey, turnId: string | undefined, end: TurnEnd): Awaitable<string[]> {
    return this.#inTime(this.#journal.cancel(key, turnId, end))
  }

  publish (key: SessionKey, name: string, json: string): Awaitable<Position> {
    return this.#inTime(this.#journal.publish(key, name, json))
  }

  followTurn (key: SessionKey, turnId: string, wake: Wake): Awaitable<TurnCursor | undefined> {
    return this.#inTime(this.#journal.followTurn(key, turnId, wake), (cursor) => { cursor?.close() })
  }

  follow (key: SessionKey, from: FollowFrom, wake: Wake): Awaitable<Followed | undefined> {
    return this.#inTime(this.#journal.follow(key, from, wake), (followed) => { followed?.cursor.close() })
  }

  readers (key: SessionKey, turnId: string): Awaitable<number> {
    return this.#inTime(this.#journal.readers(key, turnId))
  }

  /** Other nodes have it too. */
  get isShared (): boolean { return this.#journal.watch !== undefined }

  pace (run: Run): Promise<void> | undefined { return this.#journal.pace(run) }

  forget (key: SessionKey): Awaitable<void> {
    return this.#inTime(this.#journal.forget(key))
  }

  /** Nobody waits for this: its failure is told, and that is all. */
  #giveBack (work: () => Awaitable<unknown>): void {
    new Promise((resolve) => { resolve(work()) }).catch(this.#onFailure)
  }

  #inTime<T> (answer: Awaitable<T>, onLate?: (value: T) => void, graceMs = 0): Awaitable<T> {
    return isPromiseLike(answer) ? within(this.#clock, this.#timeoutMs + graceMs, 'the journal', answer, onLate) : answer
  }
}
