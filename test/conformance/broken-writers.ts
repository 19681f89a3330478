import { setImmediate as tick } from 'node:timers/promises'

import type { JournalLimits } from '../../lib/conformance/index.js'
import type { Journal, Offer, Run, StoredChat, TurnEnd } from '../../lib/journal/journal.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'

export interface BrokenJournal {
  must: number
  /** What it does instead. */
  how: string
  /** It leaves readers waiting: the suite has nothing to see but that. */
  sleeps?: boolean
  breaks: (inner: Journal, limits: JournalLimits) => Partial<Journal>
}

const ABORTED: TurnEnd = { finishReason: 'aborted' }
const ANYHOW = { onBusy: 'queue', maxQueued: 1_000, displacedEnd: ABORTED } as const

/** Journals that break one sentence about what is written: 1 to 7, 11 to 14, 17 to 19. */
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
    must: 2,
    how: 'offer looks first, and keeps the chat later',
    breaks: (inner) => ({
      async offer (key, chat, terms) {
        const followed = await inner.follow(key, {}, () => {})
        followed?.cursor.close()
        const { length } = followed?.turns ?? []
        const claimed = await inner.claimed(key, chat)
        await tick()
        if (claimed !== undefined) return { accepted: false, claimed }
        if (terms.onBusy === 'reject' && length > 0) return { accepted: false, code: 'SESSION_BUSY' }
        if (terms.onBusy === 'queue' && length > terms.maxQueued) return { accepted: false, code: 'QUEUE_FULL' }
        return inner.offer(key, chat, { ...ANYHOW, onBusy: terms.onBusy === 'interrupt' ? 'interrupt' : 'queue' })
      }
    })
  },
  {
    must: 2,
    how: 'one more chat than allowed may wait while a turn runs',
    breaks: (inner) => ({ offer: (key, chat, terms) => inner.offer(key, chat, { ...terms, maxQueued: terms.maxQueued + 1 }) })
  },
  {
    must: 2,
    how: 'a refused chat leaves its claim behind',
    breaks: (inner) => {
      const refused = new Set<string>()
      const claim = { accepted: false, claimed: { isSame: false } } as const
      return {
        async offer (key, chat, terms) {
          if (refused.has(idOf(key, chat))) return claim
          const offer = await inner.offer(key, chat, terms)
          if ('code' in offer) refused.add(idOf(key, chat))
          return offer
        },
        claimed: (key, chat) => refused.has(idOf(key, chat)) ? claim.claimed : inner.claimed(key, chat)
      }
    }
  },
  {
    must: 2,
    how: 'offer keeps the chat without its context',
    breaks: (inner) => ({ offer: (key, { context, ...chat }, terms) => inner.offer(key, chat, terms) })
  },
  {
    must: 3,
    how: 'two that take at once both get the right',
    breaks: (inner) => {
      const runByKey = new Map<string, Run>()
      return {
        async take (key, onStop) {
          const run = await inner.take(key, onStop) ?? runByKey.get(sessionKeyText(key))
          if (run !== undefined) runByKey.set(sessionKeyText(key), run)
          await tick()
          runByKey.delete(sessionKeyText(key))
          return run
        }
      }
    }
  },
  {
    must: 3,
    how: 'a chat is taken once more after its release',
    breaks: (inner) => {
      const again = new Set<Run>()
      const seen = new Set<string>()
      return {
        async release (run, end) {
          await inner.release(run, end)
          if (again.has(run) || seen.has(idOf(run.key, run.chat))) return
          again.add(run)
          seen.add(idOf(run.key, run.chat))
          const { bodyHash, ...chat } = run.chat
          await inner.offer(run.key, chat, ANYHOW)
        }
      }
    }
  },
  {
    must: 3,
    how: 'the newest chat is taken first',
    breaks: (inner) => ({
      async take (key, onStop) {
        const followed = await inner.follow(key, {}, () => {})
        followed?.cursor.close()
        const [first, ...others] = followed?.turns.filter(({ status }) => status === 'queued') ?? []
        if (first !== undefined && others.length > 0) {
          await inner.retract(key, first.chat.turnId)
          await inner.offer(key, first.chat, ANYHOW)
        }
        return inner.take(key, onStop)
      }
    })
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
    must: 7,
    how: 'withdraw writes no end',
    breaks: (inner) => ({ withdraw: (key, turnId) => inner.retract(key, turnId) })
  },
  {
    must: 7,
    how: 'withdraw answers true for whatever it is asked',
    breaks: (inner) => ({
      async withdraw (...given) {
        await inner.withdraw(...given)
        return true
      }
    })
  },
  {
    must: 11,
    how: 'a claim goes with its turn',
    breaks: (inner) => unclaiming(inner, (offer) => 'claimed' in offer && offer.claimed.isSame && offer.claimed.ended !== undefined)
  },
  {
    must: 11,
    how: 'an id that is claimed is taken for the same chat, whatever was said',
    breaks: (inner) => ({
      async offer (...given) {
        const offer = await inner.offer(...given)
        return 'claimed' in offer ? { accepted: false, claimed: { isSame: true, ended: undefined } } : offer
      }
    })
  },
  {
    must: 11,
    how: 'the claim is looked up first, and the chat is kept later',
    breaks: (inner) => {
      const lookedUp = new Map<string, string>()
      return {
        async offer (key, chat, terms) {
          const claimed = await inner.claimed(key, chat)
          await tick()
          if (claimed !== undefined) return { accepted: false, claimed }
          if (lookedUp.has(idOf(key, chat))) return inner.offer(key, { ...chat, turnId: `${chat.turnId} again` }, terms)
          lookedUp.set(idOf(key, chat), chat.turnId)
          return inner.offer(key, chat, terms)
        }
      }
    }
  },
  {
    must: 11,
    how: 'a claim is dropped when another needs its room',
    breaks: (inner) => unclaiming(inner, (offer) => 'code' in offer && offer.code === 'RATE_LIMITED')
  },
  {
    must: 11,
    how: 'claims go with their session',
    breaks: (inner) => {
      const forgotten = new Set<string>()
      return {
        ...unclaiming(inner, (offer, key) => 'claimed' in offer && forgotten.has(sessionKeyText(key))),
        async forget (key) {
          forgotten.add(sessionKeyText(key))
          await inner.forget(key)
        }
      }
    }
  },
  {
    must: 11,
    how: 'a claim is never over',
    breaks: (inner) => {
      const ids = new Set<string>()
      return {
        async offer (key, chat, terms) {
          const offer = await inner.offer(key, chat, terms)
          if (!offer.accepted || !ids.has(idOf(key, chat))) ids.add(idOf(key, chat))
          else return { accepted: false, claimed: { isSame: false } }
          return offer
        }
      }
    }
  },
  {
    must: 11,
    how: 'a chat that is sent again interrupts what runs',
    breaks: (inner) => ({
      async offer (key, chat, terms) {
        const offer = await inner.offer(key, chat, terms)
        if ('claimed' in offer && terms.onBusy === 'interrupt') await inner.cancel(key, undefined, ABORTED)
        return offer
      }
    })
  },
  {
    must: 11,
    how: 'an id is claimed in all sessions of its owner',
    breaks: (inner) => {
      const keyById = new Map<string, SessionKey>()
      return {
        async offer (key, chat, terms) {
          const id = `${key.owner} ${chat.turnId}`
          const first = keyById.get(id) ?? key
          if (first.sessionId !== key.sessionId) return { accepted: false, claimed: { isSame: false } }
          keyById.set(id, key)
          return inner.offer(key, chat, terms)
        }
      }
    }
  },
  {
    must: 12,
    how: 'retract writes an end, and keeps the claim',
    breaks: (inner) => ({ retract: (key, turnId) => inner.withdraw(key, turnId, ABORTED) })
  },
  {
    must: 12,
    how: 'retract answers true for whatever it is asked',
    breaks: (inner) => ({
      async retract (...given) {
        await inner.retract(...given)
        return true
      }
    })
  },
  {
    must: 13,
    how: 'cancel misses the turn that runs',
    breaks: (inner) => ({ take: (key) => inner.take(key, () => false) })
  },
  {
    must: 13,
    how: 'cancel names a run that will not stop',
    breaks: (inner) => ({
      take: (key, onStop) => inner.take(key, () => {
        onStop()
        return true
      })
    })
  },
  {
    must: 13,
    how: 'cancel looks first who waits, and ends them later, the last one first',
    breaks: (inner) => ({
      async cancel (key, turnId, end) {
        const followed = await inner.follow(key, {}, () => {})
        followed?.cursor.close()
        await tick()
        const cancelled: string[] = []
        for (const { chat, status } of followed?.turns.toReversed() ?? []) {
          if (turnId !== undefined && chat.turnId !== turnId) continue
          if (status === 'running') cancelled.push(...await inner.cancel(key, chat.turnId, end))
          else if (await inner.withdraw(key, chat.turnId, end)) cancelled.push(chat.turnId)
        }
        return cancelled.toReversed()
      }
    })
  },
  {
    must: 13,
    how: 'cancel of one turn stops all',
    breaks: (inner) => ({ cancel: (key, _, end) => inner.cancel(key, undefined, end) })
  },
  {
    must: 13,
    how: 'several that cancel at once all name the same turns',
    breaks: (inner) => {
      let last: Promise<string[]> | undefined
      return {
        cancel (...given) {
          last ??= (async () => {
            const cancelled = await inner.cancel(...given)
            await tick()
            last = undefined
            return cancelled
          })()
          return last
        }
      }
    }
  },
  {
    must: 13,
    how: 'a chat that interrupts waits like any other',
    breaks: (inner) => ({ offer: (key, chat, terms) => inner.offer(key, chat, { ...terms, onBusy: 'queue', maxQueued: 1_000 }) })
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

/** A journal that accepts a chat all the same, without a claim, where the answer to its offer is such. */
function unclaiming (inner: Journal, isSuch: (offer: Offer, key: SessionKey) => boolean): Partial<Journal> {
  return {
    async offer (key, { bodyHash, ...chat }, terms) {
      const offer = await inner.offer(key, bodyHash === undefined ? chat : { ...chat, bodyHash }, terms)
      return isSuch(offer, key) ? inner.offer(key, chat, ANYHOW) : offer
    }
  }
}

function idOf (key: SessionKey, { turnId }: Pick<StoredChat, 'turnId'>): string {
  return sessionKeyText(key) + turnId
}
