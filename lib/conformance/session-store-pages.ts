import assert from 'node:assert/strict'

import { times } from './conformance-case.js'
import { answered, key, OWNED, S, said, throughPages, type StoreCase } from './session-store-bench.js'

/** How stores are read: sentences 4 to 6 and 8. */
export const PAGES: readonly StoreCase[] = [
  {
    must: [4],
    title: 'messages answers the newest, oldest first, and before a cursor those that precede it',
    async run (bench) {
      await bench.fill(7)
      assert.deepEqual(await bench.pages(3), [['t4?', 't5?', 't6?'], ['t1?', 't2?', 't3?'], ['t0?']])
      for (let limit = 1; limit < 9; limit++) {
        const pages = await bench.pages(limit)
        assert.deepEqual(pages.toReversed().flat(), times(7, (turn) => `t${turn}?`))
        assert.equal(pages.length, Math.ceil(7 / limit))
      }
      assert.deepEqual(await bench.store.messages(key('unknown'), { limit: 9 }), { messages: [] })
    }
  },
  {
    must: [5],
    title: 'messages answers a cursor if and only if older messages are kept',
    async run (bench) {
      await bench.fill(4)
      const hasCursor = async (limit: number, before?: string): Promise<boolean> => {
        const page = await bench.store.messages(S, { limit, before })
        return page.before !== undefined
      }
      const { before } = await bench.store.messages(S, { limit: 2 })
      assert.deepEqual([await hasCursor(3), await hasCursor(4), await hasCursor(5)], [true, false, false])
      assert.deepEqual([await hasCursor(1, before), await hasCursor(2, before)], [true, false])
    }
  },
  {
    must: [6],
    title: 'a cursor stays valid while newer messages arrive',
    async run (bench) {
      await bench.fill(4)
      const { before } = await bench.store.messages(S, { limit: 2 })
      for (let turn = 4; turn < 9; turn++) {
        await bench.store.append(S, [said(`t${turn}`), answered(`t${turn}`)])
        assert.deepEqual(await bench.contents({ limit: 9, before }), ['t0?', 't1?'])
      }
    }
  },
  {
    must: [6],
    title: 'for a cursor that the store does not know it answers an empty page',
    async run (bench) {
      await bench.fill(4)
      await bench.fill(1, key('other'))
      const { before = '' } = await bench.store.messages(S, { limit: 2 })
      const { before: beforeSession = '' } = await bench.store.list(OWNED, { limit: 1 })
      for (const cursor of ['', 'nonsense', '\u{1f375}', `${before}x`, `x${before}`]) {
        assert.deepEqual(await bench.store.messages(S, { limit: 9, before: cursor }), { messages: [] })
      }
      for (const cursor of ['', 'nonsense', '\u{1f375}', `${beforeSession}x`, `x${beforeSession}`]) {
        assert.deepEqual(await bench.store.list(OWNED, { limit: 9, before: cursor }), { sessions: [] })
      }
    }
  },
  {
    must: [8],
    title: 'list answers the sessions of that owner and agent only, the one with the newest message first',
    async run ({ store }) {
      await store.append(key('a'), [said('t1', { at: 1 })])
      await store.append(key('b'), [said('t1', { at: 2 })])
      await store.append({ ...key('c'), owner: 'bob' }, [said('t1', { at: 3 })])
      await store.append({ ...key('d'), agentId: 'sales' }, [said('t1', { at: 4 })])
      await store.append(key('a'), [answered('t1', { at: 5 })])
      await store.append(key('b'), [said('t1', { at: 6 })])
      const sessions = [{ sessionId: 'a', updatedAt: 5 }, { sessionId: 'b', updatedAt: 2 }]
      const page = await store.list(OWNED, { limit: 9 })
      assert.deepEqual([page.sessions, page.before], [sessions, undefined])
      assert.deepEqual(await store.list({ ...OWNED, owner: 'nobody' }, { limit: 9 }), { sessions: [] })
    }
  },
  {
    must: [8],
    title: 'list gives each session once, page after page, also those of one hour',
    async run ({ store }) {
      const names = times(9, (index) => `s${index}`)
      for (const name of names) await store.append(key(name), [said('t1')])
      for (let limit = 1; limit < 11; limit++) {
        const listed: string[] = []
        await throughPages(async (before) => {
          const page = await store.list(OWNED, { limit, before })
          assert.ok(page.sessions.length <= limit, `a page of more than ${limit} sessions`)
          listed.push(...page.sessions.map(({ sessionId }) => sessionId))
          return page
        })
        assert.deepEqual(listed, names.toReversed())
      }
    }
  },
  {
    must: [6, 8],
    title: 'list goes on from a cursor while sessions move up and new ones come',
    async run ({ store }) {
      for (let index = 0; index < 6; index++) await store.append(key(`s${index}`), [said('t1', { at: index })])
      const { before } = await store.list(OWNED, { limit: 2 })
      await store.append(key('s1'), [answered('t1', { at: 7 })])
      await store.append(key('new'), [said('t1', { at: 8 })])
      const { sessions } = await store.list(OWNED, { limit: 9, before })
      assert.deepEqual(sessions.map(({ sessionId }) => sessionId), ['s3', 's2', 's0'])
    }
  }
]
