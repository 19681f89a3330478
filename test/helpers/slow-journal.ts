import { setImmediate as tick } from 'node:timers/promises'

import type { Awaitable } from '../../lib/awaitable.js'
import type { Followed, Journal, SessionCursor, TurnCursor } from '../../lib/journal/journal.js'
import { memoryJournal, type MemoryJournalOptions } from '../../lib/journal/memory-journal.js'

type Method = Exclude<keyof Journal, 'id' | 'pace' | 'stats'>
type Gate = (method: Method, count: number) => Promise<void> | undefined

/**
 * A journal as over a network: what is asked has its effect at once and in order, the answer comes a tick later.
 * `before` and `after` are called with the method and how often it was called; they may throw, and be waited for.
 */
export class SlowJournal implements Journal {
  readonly inner: Journal
  readonly id: string
  before: Gate = () => undefined
  after: Gate = () => undefined
  readonly calls: Partial<Record<Method, number>> = {}
  /** How many entries each append had. */
  readonly batches: number[] = []
  /** Cursors that were given and not closed: of turns, those that ended too, and of sessions. */
  openCursors = 0

  constructor (options: MemoryJournalOptions = {}) {
    this.inner = memoryJournal(options)
    this.id = this.inner.id
  }

  offer: Journal['offer'] = (...given) => this.#call('offer', () => this.inner.offer(...given))
  claimed: Journal['claimed'] = (...given) => this.#call('claimed', () => this.inner.claimed(...given))
  take: Journal['take'] = (...given) => this.#call('take', () => this.inner.take(...given))
  release: Journal['release'] = (...given) => this.#call('release', () => this.inner.release(...given))
  withdraw: Journal['withdraw'] = (...given) => this.#call('withdraw', () => this.inner.withdraw(...given))
  retract: Journal['retract'] = (...given) => this.#call('retract', () => this.inner.retract(...given))
  cancel: Journal['cancel'] = (...given) => this.#call('cancel', () => this.inner.cancel(...given))
  publish: Journal['publish'] = (...given) => this.#call('publish', () => this.inner.publish(...given))
  followTurn: Journal['followTurn'] = (...given) => this.#call('followTurn', async () => this.#counted(await this.inner.followTurn(...given)))
  follow: Journal['follow'] = (...given) => this.#call('follow', async () => this.#countedSession(await this.inner.follow(...given)))
  readers: Journal['readers'] = (...given) => this.#call('readers', () => this.inner.readers(...given))
  forget: Journal['forget'] = (...given) => this.#call('forget', () => this.inner.forget(...given))
  close: Journal['close'] = () => this.#call('close', () => this.inner.close())
  pace: Journal['pace'] = (run) => this.inner.pace(run)
  stats: Journal['stats'] = () => this.inner.stats()
  append: Journal['append'] = (run, batch, entries) => {
    this.batches.push(entries.length)
    return this.#call('append', () => this.inner.append(run, batch, entries))
  }

  #counted (cursor: TurnCursor | undefined): TurnCursor | undefined {
    if (cursor === undefined) return undefined
    return { next: () => cursor.next(), text: () => cursor.text(), close: this.#closing(cursor) }
  }

  #countedSession (followed: Followed | undefined): Followed | undefined {
    if (followed === undefined) return undefined
    const { cursor } = followed
    const counted: SessionCursor = {
      epoch: cursor.epoch,
      get seq () { return cursor.seq },
      get turns () { return cursor.turns },
      set turns (turns) { cursor.turns = turns },
      next: (mergeUnits) => cursor.next(mergeUnits),
      view: (turnId) => cursor.view(turnId),
      close: this.#closing(cursor)
    }
    return { ...followed, cursor: counted }
  }

  #closing (cursor: { close: () => void }): () => void {
    this.openCursors++
    return () => {
      this.openCursors--
      cursor.close()
    }
  }

  async #call<T> (method: Method, work: () => Awaitable<T>): Promise<T> {
    const count = this.calls[method] = (this.calls[method] ?? 0) + 1
    const before = this.before(method, count)
    if (before !== undefined) await before
    const result = await work()
    await tick()
    const after = this.after(method, count)
    if (after !== undefined) await after
    return result
  }
}
