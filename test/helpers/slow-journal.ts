import { setImmediate as tick } from 'node:timers/promises'

import type { Awaitable } from '../../lib/awaitable.js'
import type { Journal, TurnCursor } from '../../lib/journal/journal.js'
import { memoryJournal, type MemoryJournalOptions } from '../../lib/journal/memory-journal.js'

type Method = 'offer' | 'take' | 'append' | 'release' | 'withdraw' | 'followTurn' | 'forget' | 'close'
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
  /** Cursors that were given and not closed, of turns that ended too. */
  openCursors = 0

  constructor (options: MemoryJournalOptions = {}) {
    this.inner = memoryJournal(options)
    this.id = this.inner.id
  }

  offer: Journal['offer'] = (...given) => this.#call('offer', () => this.inner.offer(...given))
  take: Journal['take'] = (...given) => this.#call('take', () => this.inner.take(...given))
  release: Journal['release'] = (...given) => this.#call('release', () => this.inner.release(...given))
  withdraw: Journal['withdraw'] = (...given) => this.#call('withdraw', () => this.inner.withdraw(...given))
  followTurn: Journal['followTurn'] = (...given) => this.#call('followTurn', async () => this.#counted(await this.inner.followTurn(...given)))
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
    this.openCursors++
    return {
      next: () => cursor.next(),
      text: () => cursor.text(),
      close: () => {
        this.openCursors--
        cursor.close()
      }
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
