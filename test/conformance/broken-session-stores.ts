import { setImmediate as tick } from 'node:timers/promises'

import type { MessagePage, SessionMessage, SessionStore } from '../../lib/sessions/session-store.js'
import { sessionKeyText, type SessionKey } from '../../lib/protocol/session-key.js'

export interface BrokenSessionStore {
  must: number
  /** What it does instead. */
  how: string
  breaks: (inner: SessionStore) => Partial<SessionStore>
}

/** Session stores that break one sentence. */
export const BROKEN_SESSION_STORES: readonly BrokenSessionStore[] = [
  {
    must: 1,
    how: 'append takes one message after the other, with a pause between',
    breaks: (inner) => ({
      async append (key, messages) {
        for (const message of messages) {
          await inner.append(key, [message])
          await tick()
        }
      }
    })
  },
  {
    must: 1,
    how: 'append loses what is appended at once',
    breaks: (inner) => {
      let isBusy = false
      return {
        async append (key, messages) {
          if (isBusy) return
          isBusy = true
          await inner.append(key, messages)
          await tick()
          isBusy = false
        }
      }
    }
  },
  {
    must: 2,
    how: 'a message that comes again is kept again',
    breaks: (inner) => {
      let made = 0
      const again = (messages: readonly SessionMessage[]) => messages.map((message) => ({ ...message, turnId: `${message.turnId}#${made++}` }))
      const once = (messages: SessionMessage[]) => messages.map((message) => ({ ...message, turnId: message.turnId.replace(/#\d+$/, '') }))
      return {
        append: (key, messages) => inner.append(key, again(messages)),
        async turn (key, turnId) {
          const page = await inner.messages(key, { limit: 1_000 })
          return once(page.messages).filter((message) => message.turnId === turnId)
        }
      }
    }
  },
  {
    must: 2,
    how: 'append looks first, and keeps later',
    breaks: (inner) => {
      const extra: SessionMessage[] = []
      return {
        async append (key, messages) {
          const kept = await inner.messages(key, { limit: 1_000 })
          const fresh = messages.filter(({ turnId, role }) => !kept.messages.some((each) => each.turnId === turnId && each.role === role))
          await tick()
          const now = await inner.messages(key, { limit: 1_000 })
          extra.push(...fresh.filter(({ turnId, role }) => now.messages.some((each) => each.turnId === turnId && each.role === role)))
          await inner.append(key, messages)
        },
        turn: async (key, turnId) => [...await inner.turn(key, turnId), ...extra.filter((each) => each.turnId === turnId)]
      }
    }
  },
  {
    must: 2,
    how: 'an answer that was broken off stays as it was kept first',
    breaks: (inner) => ({
      async append (key, messages) {
        const kept = (await inner.messages(key, { limit: 1_000 })).messages
        await inner.append(key, messages.filter(({ turnId, role }) => !kept.some((each) => each.turnId === turnId && each.role === role)))
      }
    })
  },
  {
    must: 2,
    how: 'of two answers at once that were broken off the first stays',
    breaks: (inner) => {
      const taken = new Set<string>()
      return {
        async append (key, messages) {
          const fresh = messages.filter(({ turnId, role, complete }) => complete || !taken.has(`${key.sessionId} ${turnId} ${role}`))
          for (const { turnId, role } of fresh) taken.add(`${key.sessionId} ${turnId} ${role}`)
          await inner.append(key, fresh)
        }
      }
    }
  },
  {
    must: 3,
    how: 'messages are in the order of their hours',
    breaks: (inner) => changingMessages(inner, (messages) => messages.toSorted((one, other) => one.at - other.at))
  },
  {
    must: 4,
    how: 'messages come newest first',
    breaks: (inner) => changingMessages(inner, (messages) => messages.toReversed())
  },
  {
    must: 4,
    how: 'a page has one message more than asked for',
    breaks: (inner) => ({ messages: (key, page) => inner.messages(key, { ...page, limit: page.limit + 1 }) })
  },
  {
    must: 5,
    how: 'a cursor comes with every page that is full',
    breaks: (inner) => ({
      async messages (key, page) {
        const found = await inner.messages(key, page)
        return found.messages.length === page.limit ? { before: 'there is nothing before', ...found } : found
      }
    })
  },
  {
    must: 6,
    how: 'a cursor counts from the newest message',
    breaks: (inner) => ({
      async messages (key, { limit, before }) {
        const { messages } = await inner.messages(key, { limit: 1_000 })
        const end = before === undefined ? messages.length : messages.length - Number(before)
        const start = Math.max(0, end - limit)
        const page: MessagePage = { messages: messages.slice(start, Math.max(0, end)) }
        return start > 0 ? { ...page, before: `${messages.length - start}` } : page
      }
    })
  },
  {
    must: 6,
    how: 'a cursor that it does not know begins anew',
    breaks: (inner) => {
      const known = new Set<string | undefined>()
      return {
        async messages (key, { limit, before }) {
          const page = await inner.messages(key, known.has(before) ? { limit, before } : { limit })
          known.add(page.before)
          return page
        }
      }
    }
  },
  {
    must: 7,
    how: 'turn answers the answer first',
    breaks: (inner) => ({ turn: async (key, turnId) => (await inner.turn(key, turnId)).toReversed() })
  },
  {
    must: 8,
    how: 'list answers sessions by their names',
    breaks: (inner) => ({
      async list (of, page) {
        const found = await inner.list(of, page)
        return { ...found, sessions: found.sessions.toSorted((one, other) => one.sessionId < other.sessionId ? -1 : 1) }
      }
    })
  },
  {
    must: 8,
    how: 'a cursor of list is the hour of a session, and passes over those of the same hour',
    breaks: (inner) => ({
      async list (of, { limit, before }) {
        const { sessions } = await inner.list(of, { limit: 1_000 })
        const rest = sessions.filter(({ updatedAt }) => before === undefined || updatedAt < Number(before))
        const page = rest.slice(0, limit)
        return rest.length > limit ? { sessions: page, before: `${page.at(-1)?.updatedAt ?? 0}` } : { sessions: page }
      }
    })
  },
  {
    must: 8,
    how: 'a cursor of list counts sessions, which move',
    breaks: (inner) => ({
      async list (of, { limit, before = '0' }) {
        const { sessions } = await inner.list(of, { limit: 1_000 })
        const start = Number(before)
        const page = { sessions: sessions.slice(start, start + limit) }
        return sessions.length > start + limit ? { ...page, before: `${start + limit}` } : page
      }
    })
  },
  {
    must: 9,
    how: 'delete answers true for whatever it is asked',
    breaks: (inner) => ({
      async delete (key) {
        await inner.delete(key)
        return true
      }
    })
  },
  {
    must: 9,
    how: 'delete looks first, and forgets later',
    breaks: (inner) => ({
      async delete (key) {
        const { messages } = await inner.messages(key, { limit: 1 })
        await tick()
        await inner.delete(key)
        return messages.length > 0
      }
    })
  },
  {
    must: 9,
    how: 'delete forgets nothing',
    breaks: (inner) => ({ delete: async (key) => (await inner.messages(key, { limit: 1 })).messages.length > 0 })
  },
  {
    must: 10,
    how: 'what it answers is what it keeps',
    breaks: (inner) => {
      const kept = new Map<string, SessionMessage[]>()
      return {
        async turn (key, turnId) {
          const id = sessionKeyText(key) + turnId
          const messages = kept.get(id) ?? await inner.turn(key, turnId)
          kept.set(id, messages)
          return messages
        }
      }
    }
  },
  {
    must: 11,
    how: 'keys are joined',
    breaks: (inner) => changingKeys(inner, ({ owner, agentId, sessionId }) => ({ owner, agentId: '', sessionId: `${agentId}:${sessionId}` }))
  },
  {
    must: 11,
    how: 'keys are trimmed and folded',
    breaks: (inner) => changingKeys(inner, ({ owner, agentId, sessionId }) => ({ owner: owner.trim().toLowerCase(), agentId, sessionId }))
  },
  {
    must: 12,
    how: 'close closes nothing',
    breaks: () => ({ close: () => {} })
  },
  {
    must: 12,
    how: 'close rejects the second time',
    breaks: (inner) => {
      let closed = 0
      return {
        async close () {
          if (closed++ === 1) throw new Error('this store is closed')
          await inner.close?.()
        }
      }
    }
  }
]

function changingMessages (inner: SessionStore, change: (messages: SessionMessage[]) => SessionMessage[]): Partial<SessionStore> {
  return {
    async messages (key, page) {
      const found = await inner.messages(key, page)
      return { ...found, messages: change(found.messages) }
    }
  }
}

function changingKeys (inner: SessionStore, change: (key: SessionKey) => SessionKey): Partial<SessionStore> {
  return {
    append: (key, messages) => inner.append(change(key), messages),
    messages: (key, page) => inner.messages(change(key), page),
    turn: (key, turnId) => inner.turn(change(key), turnId),
    delete: (key) => inner.delete(change(key))
  }
}
