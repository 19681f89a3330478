import { setImmediate as tick } from 'node:timers/promises'

import type { Awaitable } from '../../lib/awaitable.js'
import type { Entry, Followed, Journal, SessionCursor } from '../../lib/journal/journal.js'
import type { Random } from '../fuzz/random.js'

/** A journal that does what another one does, for doubles that do one thing differently. */
export class JournalDouble implements Journal {
  protected readonly inner: Journal

  constructor (inner: Journal) {
    this.inner = inner
  }

  get id (): string { return this.inner.id }

  offer (...given: Parameters<Journal['offer']>): ReturnType<Journal['offer']> { return this.inner.offer(...given) }
  claimed (...given: Parameters<Journal['claimed']>): ReturnType<Journal['claimed']> { return this.inner.claimed(...given) }
  take (...given: Parameters<Journal['take']>): ReturnType<Journal['take']> { return this.inner.take(...given) }
  append (...given: Parameters<Journal['append']>): ReturnType<Journal['append']> { return this.inner.append(...given) }
  release (...given: Parameters<Journal['release']>): ReturnType<Journal['release']> { return this.inner.release(...given) }
  withdraw (...given: Parameters<Journal['withdraw']>): ReturnType<Journal['withdraw']> { return this.inner.withdraw(...given) }
  retract (...given: Parameters<Journal['retract']>): ReturnType<Journal['retract']> { return this.inner.retract(...given) }
  cancel (...given: Parameters<Journal['cancel']>): ReturnType<Journal['cancel']> { return this.inner.cancel(...given) }
  publish (...given: Parameters<Journal['publish']>): ReturnType<Journal['publish']> { return this.inner.publish(...given) }
  followTurn (...given: Parameters<Journal['followTurn']>): ReturnType<Journal['followTurn']> { return this.inner.followTurn(...given) }
  follow (...given: Parameters<Journal['follow']>): ReturnType<Journal['follow']> { return this.inner.follow(...given) }
  readers (...given: Parameters<Journal['readers']>): ReturnType<Journal['readers']> { return this.inner.readers(...given) }
  forget (...given: Parameters<Journal['forget']>): ReturnType<Journal['forget']> { return this.inner.forget(...given) }
  pace (...given: Parameters<Journal['pace']>): ReturnType<Journal['pace']> { return this.inner.pace(...given) }
  stats (): ReturnType<Journal['stats']> { return this.inner.stats() }
  close (): ReturnType<Journal['close']> { return this.inner.close() }
}

/** A cursor that does what another one does. */
export class CursorDouble implements SessionCursor {
  protected readonly inner: SessionCursor

  constructor (inner: SessionCursor) {
    this.inner = inner
  }

  get epoch (): string { return this.inner.epoch }
  get seq (): number { return this.inner.seq }
  get turns (): SessionCursor['turns'] { return this.inner.turns }
  set turns (turns: SessionCursor['turns']) { this.inner.turns = turns }

  next (mergeUnits: number): Entry | 'lost' | undefined { return this.inner.next(mergeUnits) }
  view (turnId: string): ReturnType<SessionCursor['view']> { return this.inner.view(turnId) }
  close (): void { this.inner.close() }
}

/** With a journal that is followed through cursors of another kind. */
export function withCursor (followed: Awaitable<Followed | undefined>, made: (followed: Followed) => SessionCursor): Followed | undefined {
  if (followed instanceof Object && 'then' in followed) throw new TypeError('only for journals that answer at once')
  const found = followed
  return found && { ...found, cursor: made(found) }
}

/** Its answers, and now and then their effects, come some ticks later, as over a network that is never the same. */
export class DelayedJournal extends JournalDouble {
  readonly #random: Random

  constructor (inner: Journal, random: Random) {
    super(inner)
    this.#random = random
  }

  override offer (...given: Parameters<Journal['offer']>) { return this.#later(() => super.offer(...given)) }
  override claimed (...given: Parameters<Journal['claimed']>) { return this.#later(() => super.claimed(...given)) }
  override take (...given: Parameters<Journal['take']>) { return this.#later(() => super.take(...given)) }
  override append (...given: Parameters<Journal['append']>) { return this.#later(() => super.append(...given)) }
  override release (...given: Parameters<Journal['release']>) { return this.#later(() => super.release(...given)) }
  override withdraw (...given: Parameters<Journal['withdraw']>) { return this.#later(() => super.withdraw(...given)) }
  override retract (...given: Parameters<Journal['retract']>) { return this.#later(() => super.retract(...given)) }
  override cancel (...given: Parameters<Journal['cancel']>) { return this.#later(() => super.cancel(...given)) }
  override publish (...given: Parameters<Journal['publish']>) { return this.#later(() => super.publish(...given)) }
  override followTurn (...given: Parameters<Journal['followTurn']>) { return this.#later(() => super.followTurn(...given)) }
  override follow (...given: Parameters<Journal['follow']>) { return this.#later(() => super.follow(...given)) }
  override readers (...given: Parameters<Journal['readers']>) { return this.#later(() => super.readers(...given)) }

  async #later<T> (work: () => Awaitable<T>): Promise<T> {
    await this.#ticks(this.#random.perMille(300) ? 2 : 0)
    const answer = await work()
    await this.#ticks(3)
    return answer
  }

  async #ticks (most: number): Promise<void> {
    for (let left = this.#random.below(most + 1); left > 0; left--) await tick()
  }
}
