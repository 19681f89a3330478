import { setImmediate as tick } from 'node:timers/promises'

import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { BrokenJournal } from './broken-journal.js'
import {
  isEntry, throughCursors, throughSessionCursors, throughTurnCursors, turnCursor, withCursor, type Next
} from './changed-cursors.js'

/** Journals that break one sentence about what is read: 1, 3, 8 to 10, 15, 16, 18 and 19. */
export const BROKEN_READERS: readonly BrokenJournal[] = [
  {
    must: 1,
    how: 'entries are numbered from 2',
    breaks: (inner) => throughCursors(inner, (entry) => isEntry(entry) ? { ...entry, seq: entry.seq + 1 } : entry)
  },
  {
    must: 3,
    how: 'turn-started is not written',
    breaks: (inner) => throughCursors(inner, (entry, again) => isEntry(entry) && entry.kind === 'event' && entry.name === 'turn-started' ? again() : entry)
  },
  {
    must: 8,
    how: 'a turn\'s cursor leaves out a piece',
    breaks: (inner) => throughTurnCursors(inner, () => {
      let pieces = 0
      return (entry, again) => isEntry(entry) && entry.kind === 'text' && ++pieces === 5 ? again() : entry
    })
  },
  {
    must: 8,
    how: 'a turn\'s cursor gives an entry twice',
    breaks: (inner) => {
      return throughTurnCursors(inner, () => {
        let last: Next
        return (entry) => {
          if (isEntry(entry)) last = entry
          else if (last !== undefined) [entry, last] = [last, undefined]
          return entry
        }
      })
    }
  },
  {
    must: 8,
    how: 'a turn\'s cursor leaves out whole messages',
    breaks: (inner) => throughTurnCursors(inner, () => (entry, again) => isEntry(entry) && entry.kind === 'message' ? again() : entry)
  },
  {
    must: 8,
    how: 'a turn\'s cursor begins at what is written next',
    breaks: (inner) => ({
      async followTurn (...given) {
        const cursor = await inner.followTurn(...given)
        while (cursor?.next() !== undefined);
        return cursor
      }
    })
  },
  {
    must: 8,
    how: 'a turn\'s cursor is lost at once when its session is forgotten, also with its end',
    breaks: (inner) => {
      let isForgotten = false
      return {
        ...throughTurnCursors(inner, () => (entry) => isForgotten ? 'lost' : entry),
        async forget (key) {
          isForgotten = true
          await inner.forget(key)
        }
      }
    }
  },
  {
    must: 8,
    how: 'a turn is followed that there is not',
    breaks: (inner) => ({
      async followTurn (key, turnId, wake) {
        return await inner.followTurn(key, turnId, wake) ?? { next: () => undefined, text: () => '', close: () => {} }
      }
    })
  },
  {
    must: 9,
    how: 'a turn\'s cursor is never woken',
    sleeps: true,
    breaks: (inner) => ({ followTurn: (key, turnId) => inner.followTurn(key, turnId, () => {}) })
  },
  {
    must: 9,
    how: 'a session\'s cursor is woken once',
    sleeps: true,
    breaks: (inner) => ({
      follow (key, from, wake) {
        let wakes = 0
        return inner.follow(key, from, () => { if (wakes++ === 0) wake() })
      }
    })
  },
  {
    must: 9,
    how: 'a cursor of some turns is not woken',
    sleeps: true,
    breaks: (inner) => ({ follow: (key, from, wake) => inner.follow(key, from, from.turns === undefined ? wake : () => {}) })
  },
  {
    must: 10,
    how: 'what ended is gone for those who have not read it',
    breaks: (inner) => {
      const ended = new Set<string>()
      return {
        async followTurn (key, turnId, wake) {
          const cursor = await inner.followTurn(key, turnId, wake)
          return cursor && turnCursor(cursor, { next: () => ended.has(turnId) ? 'lost' : cursor.next() })
        },
        async release (run, end) {
          ended.add(run.chat.turnId)
          await inner.release(run, end)
        }
      }
    }
  },
  {
    must: 15,
    how: 'a session\'s cursor leaves out what is published',
    breaks: (inner) => throughSessionCursors(inner, () => (entry, again) => isEntry(entry) && entry.turnId === undefined ? again() : entry)
  },
  {
    must: 15,
    how: 'a session\'s cursor gives entries of all turns',
    breaks: (inner) => ({
      async follow (key, from, wake) {
        const { turns, ...position } = from
        const followed = await inner.follow(key, position, wake)
        return withCursor(followed, (cursor) => ({ next: (mergeUnits) => cursor.next(mergeUnits) }))
      }
    })
  },
  {
    must: 15,
    how: 'pieces come as one however long they get',
    breaks: (inner) => ({
      async follow (...given) {
        return withCursor(await inner.follow(...given), (cursor) => ({ next: (mergeUnits) => cursor.next(mergeUnits === 0 ? 0 : 1e9) }))
      }
    })
  },
  {
    must: 15,
    how: 'pieces that come as one have the seq of the one before',
    breaks: (inner) => ({
      async follow (...given) {
        return withCursor(await inner.follow(...given), (cursor) => ({
          next (mergeUnits) {
            const seq = cursor.seq + 1
            const entry = cursor.next(mergeUnits)
            return mergeUnits > 0 && isEntry(entry) ? { ...entry, seq } : entry
          }
        }))
      }
    })
  },
  {
    must: 15,
    how: 'a session\'s cursor is lost as soon as something is no longer held',
    breaks: (inner) => ({
      async follow (...given) {
        return withCursor(await inner.follow(...given), (cursor) => {
          let last = cursor.seq
          return {
            next (mergeUnits) {
              const entry = cursor.next(mergeUnits)
              if (!isEntry(entry)) return entry
              if (mergeUnits === 0 && entry.seq > last + 1) return 'lost'
              last = entry.seq
              return entry
            }
          }
        })
      }
    })
  },
  {
    must: 15,
    how: 'a session\'s cursor does not say that it is lost',
    sleeps: true,
    breaks: (inner) => throughSessionCursors(inner, () => (entry) => entry === 'lost' ? undefined : entry)
  },
  {
    must: 15,
    how: 'a session\'s cursor says again and again that it is lost',
    breaks: (inner) => throughSessionCursors(inner, () => {
      let isLost = false
      return (entry) => (isLost ||= entry === 'lost') ? 'lost' : entry
    })
  },
  {
    must: 15,
    how: 'a session\'s cursor says of a turn what there is of it now',
    breaks: (inner) => ({
      async follow (key, from, wake) {
        const now = await inner.follow(key, from, wake)
        return withCursor(await inner.follow(key, from, wake), () => ({
          view (turnId) {
            while (now?.cursor.next(0) !== undefined);
            return now?.cursor.view(turnId)
          }
        }))
      }
    })
  },
  {
    must: 16,
    how: 'follow first notes the text, and then opens the cursor',
    breaks: (inner) => ({
      async follow (...given) {
        const noted = await inner.follow(...given)
        await tick()
        const followed = await inner.follow(...given)
        return noted && followed && { ...followed, turns: noted.turns }
      }
    })
  },
  {
    must: 16,
    how: 'follow first opens the cursor, and then notes the text',
    breaks: (inner) => ({
      async follow (...given) {
        const followed = await inner.follow(...given)
        for (let ticks = 0; ticks < 9; ticks++) await Promise.resolve()
        const noted = await inner.follow(...given)
        return noted && followed && { ...followed, turns: noted.turns }
      }
    })
  },
  {
    must: 16,
    how: 'follow says that it went on from wherever it is asked',
    breaks: (inner) => ({
      async follow (key, from, wake) {
        const followed = await inner.follow(key, from, wake)
        return followed && { ...followed, recovered: from.position !== undefined }
      }
    })
  },
  {
    must: 16,
    how: 'follow never goes on from where the reader was',
    breaks: (inner) => ({ follow: (key, { position, ...from }, wake) => inner.follow(key, from, wake) })
  },
  {
    must: 16,
    how: 'follow does not go on in a session whose first chat was told no position',
    breaks: (inner) => {
      const unplaced = new Set<string>()
      return {
        offer (key, chat, terms) {
          if (terms.isUnplaced === true) unplaced.add(key.sessionId)
          return inner.offer(key, chat, terms)
        },
        follow: (key, from, wake) => inner.follow(key, unplaced.has(key.sessionId) ? { ...from, position: undefined } : from, wake)
      }
    }
  },
  {
    must: 16,
    how: 'follow answers nothing for a session that there is not',
    breaks: (inner) => {
      const known = new Set<string>()
      return {
        async publish (key, ...given) {
          known.add(key.sessionId)
          return inner.publish(key, ...given)
        },
        follow: (key, ...given) => known.has(key.sessionId) ? inner.follow(key, ...given) : undefined
      }
    }
  },
  {
    must: 16,
    how: 'follow says of chats that wait that they run',
    breaks: (inner) => ({
      async follow (...given) {
        const followed = await inner.follow(...given)
        return followed && { ...followed, turns: followed.turns.map((turn) => ({ ...turn, status: 'running' })) }
      }
    })
  },
  {
    must: 18,
    how: 'follow of a session that there is no room for answers the cursor of another',
    breaks: (inner) => {
      const last: SessionKey[] = []
      return {
        async follow (key, from, wake) {
          const followed = await inner.follow(key, from, wake)
          if (followed !== undefined) last.unshift(key)
          return followed ?? inner.follow(last[0] ?? key, from, wake)
        }
      }
    }
  },
  {
    must: 19,
    how: 'close leaves cursors asleep',
    sleeps: true,
    breaks: (inner) => {
      let isClosed = false
      const unless = (wake: () => void) => () => { if (!isClosed) wake() }
      return {
        followTurn: (key, turnId, wake) => inner.followTurn(key, turnId, unless(wake)),
        follow: (key, from, wake) => inner.follow(key, from, unless(wake)),
        close () {
          isClosed = true
          return inner.close()
        }
      }
    }
  }
]
