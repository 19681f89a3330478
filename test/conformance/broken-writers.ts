import { setImmediate as tick } from 'node:timers/promises'

import type { Journal, Run } from '../../lib/journal/journal.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'
import { ANYHOW, idOf, type BrokenJournal } from './broken-journal.js'

/** Journals that break one sentence about what is written: 1, 4 to 6, 14 and 17 to 19. */
export const BROKEN_WRITERS: readonly BrokenJournal[] = [
  {
    must: 1,
    how: 'a forgotten session keeps its epoch',
    breaks: (inner) => ({
      offer: async (...given) => {
        const offer = await inner.offer(...given)
        return offer.accepted ? { ...offer, epoch: 'the same' } : offer
      }
    })
  },
  {
    must: 1,
    how: 'what is published is numbered apart',
    breaks: (inner) => {
      let seq = 0
      return { publish: async (...given) => ({ ...await inner.publish(...given), seq: ++seq }) }
    }
  },
  {
    must: 1,
    how: 'a session that was dropped goes on in its epoch at 1',
    breaks: (inner) => ({ publish: async (...given) => ({ ...await inner.publish(...given), epoch: 'the same' }) })
  },
  {
    must: 4,
    how: 'append says that it wrote what it did not',
    breaks: (inner) => ({
      append: async (...given) => {
        await inner.append(...given)
        return true
      }
    })
  },
  {
    must: 4,
    how: 'append writes for a run that was released',
    breaks: (inner) => ({
      append: async (run, ...given) => {
        const isWritten = await inner.append(run, ...given)
        if (!isWritten) await inner.publish(run.key, 'late', '{}')
        return isWritten
      }
    })
  },
  {
    must: 5,
    how: 'append writes one entry after the other',
    breaks: (inner) => ({
      async append (run, batch, entries) {
        let isWritten = true
        for (const [index, entry] of entries.entries()) {
          isWritten = await inner.append(run, batch * 1_000 + index, [entry]) && isWritten
          await tick()
        }
        return isWritten
      }
    })
  },
  {
    must: 5,
    how: 'append writes what comes before an end, and the end',
    breaks: (inner) => ({
      append: (run, batch, entries) => inner.append(run, batch, entries.slice(0, entries.findIndex(({ kind }) => kind === 'end') + 1 || undefined))
    })
  },
  {
    must: 5,
    how: 'append writes the first half of a batch',
    breaks: (inner) => ({ append: (run, batch, entries) => inner.append(run, batch, entries.slice(0, Math.ceil(entries.length / 2))) })
  },
  {
    must: 6,
    how: 'a batch that comes again is written again',
    breaks: (inner) => {
      let batches = 0
      return { append: (run, _, entries) => inner.append(run, ++batches, entries) }
    }
  },
  {
    must: 6,
    how: 'a batch that comes again is refused',
    breaks: (inner) => {
      const seen = new Set<string>()
      return {
        append (run, batch, entries) {
          const id = `${batch} ${idOf(run.key, run.chat)}`
          if (seen.has(id)) return false
          seen.add(id)
          return inner.append(run, batch, entries)
        }
      }
    }
  },
  {
    must: 14,
    how: 'release gives nothing back',
    breaks: () => ({ release: () => {} })
  },
  {
    must: 14,
    how: 'release writes another end',
    breaks: (inner) => ({ release: (run) => inner.release(run, { finishReason: 'other' }) })
  },
  {
    must: 14,
    how: 'release of a run gives back the right of whoever runs now',
    breaks: (inner) => {
      const runByKey = new Map<string, Run>()
      return {
        async take (key, onStop) {
          const run = await inner.take(key, onStop)
          if (run !== undefined) runByKey.set(sessionKeyText(key), run)
          return run
        },
        async release (run, end) {
          await inner.release(runByKey.get(sessionKeyText(run.key)) ?? run, end)
        }
      }
    }
  },
  {
    must: 14,
    how: 'release writes an end although there is one',
    breaks: (inner) => ({
      async release (run, end) {
        await inner.release(run, end)
        const { chat: { bodyHash, ...chat }, key } = run
        await inner.offer(key, chat, { ...ANYHOW, maxQueued: 1_000 })
        await inner.withdraw(key, chat.turnId, end)
      }
    })
  },
  {
    must: 17,
    how: 'publish answers the position before',
    breaks: (inner) => ({
      async publish (...given) {
        const { epoch, seq } = await inner.publish(...given)
        return { epoch, seq: seq - 1 }
      }
    })
  },
  {
    must: 17,
    how: 'publish loses what is published at once',
    breaks: (inner) => {
      let busy: ReturnType<Journal['publish']> | undefined
      return {
        async publish (...given) {
          busy ??= inner.publish(...given)
          const position = await busy
          await tick()
          busy = undefined
          return position
        }
      }
    }
  },
  {
    must: 18,
    how: 'the session used longest ago is dropped when there are too many, whoever reads or runs there',
    breaks: (inner, { maxSessions }) => {
      const keys = new Map<string, SessionKey>()
      const touch = async (key: SessionKey): Promise<void> => {
        keys.delete(sessionKeyText(key))
        keys.set(sessionKeyText(key), key)
        for (const [name, oldest] of [...keys].slice(0, -maxSessions)) {
          keys.delete(name)
          await inner.forget(oldest)
        }
      }
      return {
        async publish (key, ...given) {
          await touch(key)
          return inner.publish(key, ...given)
        },
        async follow (key, ...given) {
          await touch(key)
          return inner.follow(key, ...given)
        }
      }
    }
  },
  {
    must: 19,
    how: 'close closes nothing',
    breaks: () => ({ close: () => {} })
  }
]
