import type { Journal, JournalNews, JournalWatcher, NewEntry, Run, SessionCursor, TurnCursor } from '../../lib/journal/journal.js'

/** A journal that two nodes share, of which one sentence is broken on both. */
export interface BrokenShared {
  must: number
  /** What it does instead. */
  how: string
  /** It leaves nodes waiting: the suite has nothing to see but that. */
  sleeps?: boolean
  /** Called once for each journal; the function that it answers, once for each of its nodes. */
  breaks: () => (inner: Journal) => Partial<Journal>
}

/** Journals that break one sentence about nodes: 21 to 27. */
export const BROKEN_SHARED: readonly BrokenShared[] = [
  {
    must: 21,
    how: 'a run that was taken over is told that it still writes',
    breaks: () => (inner) => ({
      async append (...given) {
        await inner.append(...given)
        return true
      }
    })
  },
  {
    must: 21,
    how: 'what a run says that was taken over is written, though it is told otherwise',
    breaks: () => {
      const taken: { write?: (entries: readonly NewEntry[]) => Promise<unknown> } = {}
      return (inner) => ({
        async salvage (key) {
          const run = await inner.salvage?.(key)
          if (run !== undefined) taken.write = async (entries) => await inner.append(run, 1, entries)
          return run
        },
        async append (run, batch, entries) {
          // Room for what is written of the other.
          const isWritten = await inner.append(run, batch + 1, entries)
          if (!isWritten) await taken.write?.(entries)
          return isWritten
        }
      })
    }
  },
  {
    must: 21,
    how: 'a lease that has run out is gone, though nobody has taken it',
    breaks: () => (inner) => {
      const takenAt = new Map<Run, number>()
      return {
        async take (...given) {
          const run = await inner.take(...given)
          if (run !== undefined) takenAt.set(run, performance.now())
          return run
        },
        append (run, ...given) {
          const isOld = performance.now() - (takenAt.get(run) ?? Infinity) > 2 * WINDOW_MS
          return isOld ? false : inner.append(run, ...given)
        }
      }
    }
  },
  {
    must: 22,
    how: 'all who salvage a turn at once get the right to end it',
    breaks: () => {
      let salvaging: Promise<Run | undefined> | undefined
      return (inner) => ({
        async salvage (key) {
          salvaging ??= Promise.resolve(inner.salvage?.(key)).finally(() => { salvaging = undefined })
          return await salvaging
        }
      })
    }
  },
  {
    must: 22,
    how: 'a turn is salvaged while its lease is good',
    breaks: () => {
      let running: Run | undefined
      return (inner) => ({
        async take (...given) {
          running = await inner.take(...given)
          return running
        },
        salvage: async (key) => await inner.salvage?.(key) ?? running
      })
    }
  },
  {
    must: 22,
    how: 'a turn is salvaged without its text',
    breaks: () => (inner) => ({
      async salvage (key) {
        const run = await inner.salvage?.(key)
        return run && Object.defineProperty(run, 'text', { value: '' })
      }
    })
  },
  {
    must: 22,
    how: 'a turn is salvaged without its whole messages',
    breaks: () => (inner) => ({
      async salvage (key) {
        const run = await inner.salvage?.(key)
        return run && Object.defineProperty(run, 'messages', { value: [] })
      }
    })
  },
  {
    must: 22,
    how: 'a turn that has ended is salvaged once more',
    breaks: () => (inner) => {
      let last: Run | undefined
      return {
        async salvage (key) {
          const run = await inner.salvage?.(key) ?? last
          // Two that ask at once are not meant here.
          setImmediate(() => { last = run })
          return run
        }
      }
    }
  },
  { must: 23, how: 'nobody is told of a run that was left', sleeps: true, breaks: () => (inner) => deafTo(inner, 'left') },
  { must: 23, how: 'nobody is told of chats that wait', sleeps: true, breaks: () => (inner) => deafTo(inner, 'free') },
  {
    must: 23,
    how: 'a node keeps to itself what it does nothing about',
    sleeps: true,
    breaks: () => {
      let keeper: JournalWatcher | undefined
      return (inner) => ({
        watch: (onNews) => inner.watch?.((news) => {
          if (keeper !== undefined && keeper !== onNews) return true
          const answer = onNews(news)
          if (answer === false) keeper = onNews
          return answer
        }) ?? (() => {})
      })
    }
  },
  { must: 24, how: 'nobody is told that others have taken a chat', sleeps: true, breaks: () => (inner) => deafTo(inner, 'gone') },
  {
    must: 24,
    how: 'a chat is told to be gone while it waits',
    breaks: () => (inner) => {
      const watchers: Array<(news: JournalNews) => void> = []
      const offered = new Set<string>()
      return {
        watch (onNews) {
          watchers.push(onNews)
          return inner.watch?.(() => {}) ?? (() => {})
        },
        offer (key, chat, terms) {
          offered.add(chat.turnId)
          return inner.offer(key, chat, terms)
        },
        async take (key, onStop) {
          const run = await inner.take(key, onStop)
          if (run !== undefined) return run
          for (const turnId of offered) for (const onNews of watchers) onNews({ kind: 'gone', key, turnId })
          offered.clear()
          return undefined
        }
      }
    }
  },
  {
    must: 24,
    how: 'who takes back a chat of before is not told of the one that waits under its id',
    sleeps: true,
    breaks: () => {
      const retracted = new Set<string>()
      return (inner) => ({
        retract (key, chat) {
          retracted.add(chat.turnId)
          return inner.retract(key, chat)
        },
        watch: (onNews) => inner.watch?.((news) => news.kind === 'gone' && retracted.has(news.turnId) ? true : onNews(news)) ?? (() => {})
      })
    }
  },
  { must: 25, how: 'nobody is told what a run had said that is cancelled', breaks: () => (inner) => deafTo(inner, 'stopped') },
  {
    must: 25,
    how: 'a run whose node does not answer is said to be cancelled, and runs on',
    breaks: () => (inner) => ({ cancel: (key, turnId, end) => turnId === undefined ? inner.cancel(key, turnId, end) : [turnId] })
  },
  {
    must: 25,
    how: 'a run whose node does not answer is not cancelled',
    breaks: () => () => ({ cancel: () => [] })
  },
  {
    must: 25,
    how: 'what a cancelled run says is said to be written',
    breaks: () => (inner) => ({
      async append (...given) {
        await inner.append(...given)
        return true
      }
    })
  },
  {
    must: 26,
    how: 'a run whose right is gone is told so when it appends, and not before',
    sleeps: true,
    breaks: () => (inner) => {
      const held: Array<() => void> = []
      return {
        watch: (onNews) => inner.watch?.((news) => {
          if (news.kind === 'lost') held.push(() => { onNews(news) })
          else onNews(news)
        }) ?? (() => {}),
        append (...given) {
          for (const tell of held.splice(0)) tell()
          return inner.append(...given)
        }
      }
    }
  },
  {
    must: 27,
    how: 'readers counts the cursors of its own node alone',
    breaks: () => countingCursors
  },
  {
    must: 27,
    how: 'readers counts cursors that were closed',
    breaks: () => (inner) => {
      let most = 0
      return {
        async readers (...given) {
          most = Math.max(most, await inner.readers(...given))
          return most
        }
      }
    }
  }
]

/** How long the windows are over which these are tested, in milliseconds. */
export const WINDOW_MS = 1_000

function deafTo (inner: Journal, kind: JournalNews['kind']): Partial<Journal> {
  return {
    watch: (onNews) => inner.watch?.((news) => { if (news.kind !== kind) onNews(news) }) ?? (() => {})
  }
}

function countingCursors (inner: Journal): Partial<Journal> {
  const open = new Set<(turnId: string) => boolean>()
  function counted<C extends SessionCursor | TurnCursor> (cursor: C, isFor: (turnId: string) => boolean): C {
    open.add(isFor)
    const close = cursor.close.bind(cursor)
    cursor.close = () => {
      open.delete(isFor)
      close()
    }
    return cursor
  }
  return {
    async followTurn (key, turnId, wake) {
      const cursor = await inner.followTurn(key, turnId, wake)
      return cursor && counted(cursor, (id) => id === turnId)
    },
    async follow (key, from, wake) {
      const followed = await inner.follow(key, from, wake)
      return followed && { ...followed, cursor: counted(followed.cursor, (id) => from.turns?.has(id) ?? true) }
    },
    readers: (key, turnId) => [...open].filter((isFor) => isFor(turnId)).length
  }
}
