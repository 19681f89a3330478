import type { Entry, TurnCursor, TurnEnd, Wake } from '../journal/journal.js'
import { MERGE_UNITS } from '../journal/turn-text.js'

/**
 * One reader of one turn: a cursor, not a queue. It holds at most one entry, however far behind it is.
 */
export class TurnFollower {
  // What every entry touches stands together.
  readonly #cursor: TurnCursor
  #held: Entry | 'lost' | undefined
  #hasEnd = false
  /** How the turn ended that its journal could not be told of. */
  #unwrittenEnd: TurnEnd | undefined
  readonly #turnId: string
  readonly #wake: Wake
  readonly #place: FollowerPlace | undefined

  /** @param place where it is known, for as long as it is open */
  constructor (cursor: TurnCursor, turnId: string, wake: Wake, place?: FollowerPlace) {
    this.#cursor = cursor
    this.#turnId = turnId
    this.#wake = wake
    this.#place = place
  }

  /**
   * The next entry; `undefined` when there is none yet (then the follower calls `wake` when there is); `lost` when the
   * turn can no longer be told.
   * @param merge whether neighbouring pieces of one turn's text may come as one: for a reader that is behind
   */
  next (merge: boolean): Entry | 'lost' | undefined {
    const entry = this.#take()
    if (!merge || entry === undefined || entry === 'lost' || entry.kind !== 'text') return entry
    let { content, seq } = entry
    for (;;) {
      const more = this.#take()
      if (more === undefined) break
      if (more === 'lost' || more.kind !== 'text' || more.turnId !== entry.turnId ||
        content.length + more.content.length > MERGE_UNITS) {
        this.#held = more
        break
      }
      content += more.content
      seq = more.seq
    }
    return { kind: 'text', content, turnId: entry.turnId, seq }
  }

  /** The turn's whole text so far. */
  text (): string {
    return this.#cursor.text()
  }

  /** Tells the end of a turn whose journal failed: its readers still get one. */
  endUnwritten (end: TurnEnd): void {
    this.#unwrittenEnd = end
    this.#wake(true)
  }

  close (): void {
    this.#cursor.close()
    if (this.#place !== undefined) this.#place.follower = undefined
  }

  #take (): Entry | 'lost' | undefined {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) return held
    // A journal that failed to say that it had written the end has one too.
    if (this.#hasEnd) return undefined
    let entry = this.#cursor.next()
    if ((entry === undefined || entry === 'lost') && this.#unwrittenEnd !== undefined) {
      entry = { kind: 'end', end: this.#unwrittenEnd, turnId: this.#turnId, seq: 0 }
    }
    this.#hasEnd = entry !== undefined && entry !== 'lost' && entry.kind === 'end'
    return entry
  }
}

/** Whoever knows the follower. */
interface FollowerPlace {
  follower: TurnFollower | undefined
}
