import type { Awaitable } from '../../lib/awaitable.js'
import type { Journal } from '../../lib/journal/journal.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'
import type { Random } from '../fuzz/random.js'
import { SlowLine } from './slow-line.js'

/**
 * A journal as over a network of moods: what is asked of a session has its effect in the order in which it was asked,
 * but after a while, and the answer takes a while too. Wakes come late, and at times for nothing.
 */
export class AsyncJournal implements Journal {
  readonly id: string
  readonly #inner: Journal
  readonly #random: Random
  readonly #line: SlowLine
  readonly #wakes: Array<() => void> = []

  constructor (inner: Journal, random: Random) {
    this.id = inner.id
    this.#inner = inner
    this.#random = random
    this.#line = new SlowLine(random)
  }

  offer: Journal['offer'] = (key, ...given) => this.#call(key, () => this.#inner.offer(key, ...given))
  claimed: Journal['claimed'] = (key, ...given) => this.#call(key, () => this.#inner.claimed(key, ...given))
  take: Journal['take'] = (key, ...given) => this.#call(key, () => this.#inner.take(key, ...given))
  append: Journal['append'] = (run, ...given) => this.#call(run.key, () => this.#inner.append(run, ...given))
  release: Journal['release'] = (run, ...given) => this.#call(run.key, () => this.#inner.release(run, ...given))
  withdraw: Journal['withdraw'] = (key, ...given) => this.#call(key, () => this.#inner.withdraw(key, ...given))
  retract: Journal['retract'] = (key, ...given) => this.#call(key, () => this.#inner.retract(key, ...given))
  cancel: Journal['cancel'] = (key, ...given) => this.#call(key, () => this.#inner.cancel(key, ...given))
  publish: Journal['publish'] = (key, ...given) => this.#call(key, () => this.#inner.publish(key, ...given))
  followTurn: Journal['followTurn'] = (key, turnId, wake) => this.#call(key, () => this.#inner.followTurn(key, turnId, this.#late(wake)))
  follow: Journal['follow'] = (key, from, wake) => this.#call(key, () => this.#inner.follow(key, from, this.#late(wake)))
  readers: Journal['readers'] = (key, ...given) => this.#call(key, () => this.#inner.readers(key, ...given))
  forget: Journal['forget'] = (key) => this.#call(key, () => this.#inner.forget(key))
  close: Journal['close'] = () => this.#line.call('all', () => this.#inner.close())
  pace: Journal['pace'] = (run) => this.#inner.pace(run)
  stats: Journal['stats'] = () => this.#inner.stats()

  #call<T> (key: SessionKey, work: () => Awaitable<T>): Promise<T> {
    if (this.#random.perMille(200)) this.#wakes[this.#random.below(this.#wakes.length)]?.()
    return this.#line.call(sessionKeyText(key), work)
  }

  #late (wake: () => void): () => void {
    const later = (): void => { setImmediate(wake) }
    this.#wakes.push(later)
    return later
  }
}
