import type { Entry, OpenTurn, SessionCursor, TextReader, TurnEnd, TurnIds, TurnView, Wake } from '../journal/journal.js'
import { MERGE_UNITS } from '../journal/turn-text.js'

/** A reader of a session, and what there was to be told at its place. */
export interface FollowedSession {
  follower: SessionFollower
  /** It goes on from the position that was asked for. */
  recovered: boolean
  turns: OpenTurn[]
}

/** Ends that the journal may yet tell, though they were told without it; more are forgotten, the oldest first. */
const MAX_TOLD = 64

/** One reader of one session, or of some of its turns. */
export class SessionFollower {
  readonly #cursor: SessionCursor
  readonly #wake: Wake
  readonly #onClose: (follower: SessionFollower) => void
  /** Ends of which the journal could not be told, by turn. Hardly ever there are any. */
  #unwrittenEnds: Map<string, TurnEnd> | undefined
  #told: Set<string> | undefined

  constructor (cursor: SessionCursor, wake: Wake, onClose: (follower: SessionFollower) => void) {
    this.#cursor = cursor
    this.#wake = wake
    this.#onClose = onClose
  }

  get epoch (): string { return this.#cursor.epoch }

  /** Everything up to here was given. */
  get seq (): number { return this.#cursor.seq }

  /**
   * The next entry; `undefined` when there is none yet (then the follower calls `wake` when there is); `lost` when the
   * session can no longer be told.
   * @param merge whether neighbouring pieces of one turn's text may come as one: for a reader that is behind
   */
  next (merge: boolean): Entry | 'lost' | undefined {
    for (;;) {
      const entry = this.#cursor.next(merge ? MERGE_UNITS : 0)
      if (entry === undefined) return this.#unwritten()
      if (entry === 'lost' || entry.turnId === undefined) return entry
      // What a journal that was away tells of a turn after its end was told without it.
      if (entry.kind !== 'end') {
        if (this.#told?.has(entry.turnId) === true) continue
        return entry
      }
      this.#unwrittenEnds?.delete(entry.turnId)
      // A journal that failed to say that it had written the end has one too.
      if (this.#told?.delete(entry.turnId) !== true) return entry
    }
  }

  /** See `SessionCursor.nextTexts`; what it does not give, {@link next} does. */
  nextTexts (reader: TextReader): boolean {
    return this.#told === undefined && this.#cursor.nextTexts?.(reader) === true
  }

  /** A turn as it is at the follower's place; `undefined` when that cannot be told. */
  view (turnId: string): TurnView | undefined {
    return this.#cursor.view(turnId)
  }

  /** From now on only these turns are told, or all of them. */
  narrow (turns: TurnIds | undefined): void {
    this.#cursor.turns = turns
  }

  /** Tells the end of a turn whose journal failed: its readers still get one. */
  endUnwritten (turnId: string, end: TurnEnd): void {
    // Its reader may have been told before: by the journal, which failed to say that it had written the end, or by us.
    if (!this.#isFor(turnId) || this.#told?.has(turnId) === true || this.#cursor.view(turnId)?.end !== undefined) return
    this.#unwrittenEnds ??= new Map()
    this.#unwrittenEnds.set(turnId, end)
    this.#wake(true)
  }

  close (): void {
    this.#cursor.close()
    this.#onClose(this)
  }

  #isFor (turnId: string): boolean {
    return this.#cursor.turns?.has(turnId) !== false
  }

  #unwritten (): Entry | undefined {
    const unwritten = this.#unwrittenEnds
    if (unwritten === undefined) return undefined
    const told = this.#told ??= new Set()
    for (const [turnId, end] of unwritten) {
      unwritten.delete(turnId)
      if (!this.#isFor(turnId)) continue
      told.add(turnId)
      for (const oldest of told) if (told.size > MAX_TOLD) told.delete(oldest)
      return { kind: 'end', end, turnId, seq: this.seq }
    }
    return undefined
  }
}
