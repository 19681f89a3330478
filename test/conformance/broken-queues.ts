import { setImmediate as tick } from 'node:timers/promises'

import { chatOf } from '../../lib/conformance/journal-bench.js'
import type { Journal, Offer, Run, TurnEnd } from '../../lib/journal/journal.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'
import { ANYHOW, idOf, waiting, type BrokenJournal } from './broken-journal.js'

const ABORTED: TurnEnd = { finishReason: 'aborted' }

/** Journals that break one sentence about chats and who runs them: 2, 3, 7, 11 to 13 and 20. */
export const BROKEN_QUEUES: readonly BrokenJournal[] = [
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
    how: 'a chat comes with a right to run that is given once more',
    breaks: (inner) => ({
      async offer (key, chat, terms) {
        const offer = await inner.offer(key, chat, terms)
        return offer.accepted && terms.onStop !== undefined ? { ...offer, run: { key, chat, text: '' } } : offer
      }
    })
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
        const [first, ...others] = await waiting(inner, key)
        if (first !== undefined && others.length > 0) {
          await inner.retract(key, first)
          await inner.offer(key, first, ANYHOW)
        }
        return inner.take(key, onStop)
      }
    })
  },
  {
    must: 7,
    how: 'withdraw writes no end',
    breaks: (inner) => ({ withdraw: (key, turnId) => inner.retract(key, chatOf(turnId)) })
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
    how: 'a chat is taken back though somebody was told that it is known',
    breaks: (inner) => ({
      retract: async (key, chat) => await inner.retract(key, chat) || await inner.withdraw(key, chat.turnId, ABORTED)
    })
  },
  {
    must: 12,
    how: 'retract writes an end, and keeps the claim',
    breaks: (inner) => ({ retract: (key, { turnId }) => inner.withdraw(key, turnId, ABORTED) })
  },
  {
    must: 12,
    how: 'whatever waits under an id is taken back for one that was accepted before it',
    breaks: (inner) => ({
      retract: async (key, chat) => inner.retract(key, (await waiting(inner, key)).find(({ turnId }) => turnId === chat.turnId) ?? chat)
    })
  },
  {
    must: 12,
    how: 'the cursors of a turn that is taken back are told nothing',
    sleeps: true,
    breaks: (inner) => ({
      async followTurn (...given) {
        const cursor = await inner.followTurn(...given)
        if (cursor === undefined) return undefined
        const next = (): ReturnType<typeof cursor.next> => {
          const entry = cursor.next()
          return entry === 'lost' ? undefined : entry
        }
        return { next, text: () => cursor.text(), close: () => { cursor.close() } }
      }
    })
  },
  {
    must: 20,
    how: 'offers take their time, and what comes after them does not',
    breaks: (inner) => ({
      async offer (...given) {
        await tick()
        return inner.offer(...given)
      }
    })
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
