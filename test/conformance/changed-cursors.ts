import type { Entry, Followed, Journal, SessionCursor, TurnCursor } from '../../lib/journal/journal.js'

export type Next = Entry | 'lost' | undefined

/** What a cursor answers instead; `again` asks it once more. */
type Instead = (entry: Next, again: () => Next) => Next

export function throughCursors (inner: Journal, instead: Instead): Partial<Journal> {
  return { ...throughTurnCursors(inner, () => instead), ...throughSessionCursors(inner, () => instead) }
}

export function throughTurnCursors (inner: Journal, make: () => Instead): Partial<Journal> {
  return {
    async followTurn (...given) {
      const cursor = await inner.followTurn(...given)
      const instead = make()
      const next = (): Next => instead(cursor?.next(), next)
      return cursor && turnCursor(cursor, { next })
    }
  }
}

export function throughSessionCursors (inner: Journal, make: () => Instead): Partial<Journal> {
  return {
    async follow (...given) {
      return withCursor(await inner.follow(...given), (cursor) => {
        const instead = make()
        const next = (mergeUnits: number): Next => instead(cursor.next(mergeUnits), () => next(mergeUnits))
        return { next }
      })
    }
  }
}

export function turnCursor (inner: TurnCursor, changes: Partial<TurnCursor>): TurnCursor {
  return { next: () => inner.next(), text: () => inner.text(), close: () => { inner.close() }, ...changes }
}

export function withCursor (
  followed: Followed | undefined, change: (cursor: SessionCursor) => Partial<SessionCursor>
): Followed | undefined {
  if (followed === undefined) return undefined
  const { cursor: inner } = followed
  const cursor: SessionCursor = {
    epoch: inner.epoch,
    get seq () { return inner.seq },
    get turns () { return inner.turns },
    set turns (turns) { inner.turns = turns },
    next: (mergeUnits) => inner.next(mergeUnits),
    view: (turnId) => inner.view(turnId),
    close: () => { inner.close() },
    ...change(inner)
  }
  return { ...followed, cursor }
}

export function isEntry (entry: Next): entry is Entry {
  return entry !== undefined && entry !== 'lost'
}
