import assert from 'node:assert/strict'

import type { SessionKey } from '../protocol/session-key.js'
import type { SessionMessage } from '../sessions/session-store.js'
import { times, together } from './conformance-case.js'
import { answered, key, OWNED, S, said, type StoreCase } from './session-store-bench.js'

/** Names that meet when they are joined, trimmed, folded, normalised, or looked up in a plain object. */
const AWKWARD_KEYS: readonly SessionKey[] = [
  ['a', 'b:c', 'd'], ['a:b', 'c', 'd'], ['a', 'b', 'c:d'], ['a","b', 'c', 'd'], ['a', 'b","c', 'd'], ['a/b', 'c', 'd'], ['a', 'b/c', 'd'],
  ['A', 'b', 'd'], ['a', 'b', 'd'], ['a ', 'b', 'd'], ['a', 'b', 'd '], ['a', 'b', '%'], ['a', 'b', '_'], ['a', 'b', '*'],
  ['a', 'b', '\u00e9'], ['a', 'b', 'e\u0301'], ['a', 'b', '\u{1f375}'],
  ['__proto__', 'constructor', 'toString'], ['a', 'b', '__proto__']
].map(([owner = '', agentId = '', sessionId = '']) => ({ owner, agentId, sessionId }))

/** What stores keep: sentences 1 to 3, 7 and 9 to 12. */
export const WRITES: readonly StoreCase[] = [
  {
    must: [1],
    title: 'append takes all messages of one call, or none where one of them cannot be kept',
    async run (bench) {
      const cyclic: Record<string, unknown> = {}
      cyclic.self = cyclic
      const [outcome] = await Promise.allSettled([
        together(() => bench.store.append(S, [said('t1'), said('t2', { metadata: cyclic }), said('t3')]))
      ])
      assert.deepEqual(await bench.contents(), outcome.status === 'rejected' ? [] : ['t1?', 't2?', 't3?'])
      await bench.store.append(S, [said('t1'), answered('t1')])
      assert.equal((await bench.store.turn(S, 't1')).length, 2)
    }
  },
  {
    must: [1],
    title: 'a reader never sees half of what one call appends',
    async run ({ store }) {
      for (const turnId of times(20, (round) => `t${round}`)) {
        const reads: number[] = []
        const read = async (): Promise<void> => { reads.push((await store.turn(S, turnId)).length) }
        await together(read, () => store.append(S, [said(turnId), answered(turnId)]), read, read, read)
        await read()
        assert.deepEqual(reads.filter((length) => length !== 0 && length !== 2), [])
        assert.equal(reads.at(-1), 2)
      }
    }
  },
  {
    must: [2],
    title: 'a message of a turn and role that is kept already changes nothing',
    async run (bench) {
      const { store } = bench
      await store.append(S, [said('t1')])
      await store.append(key('other'), [said('t1', { content: 'of another session' })])
      await store.append(S, [said('t1', { content: 'another' })])
      assert.deepEqual(await bench.contents(), ['t1?'])
      await store.append(S, [said('t1', { content: 'another' }), answered('t1'), answered('t1', { content: 'another' })])
      assert.deepEqual(await bench.contents(), ['t1?', 't1!'])
      assert.deepEqual(await bench.contents({ limit: 9 }, key('other')), ['of another session'])
      await store.append(key('other'), [])
      await store.append(key('third'), [])
      assert.deepEqual(await bench.listed(), ['s', 'other'])
    }
  },
  {
    must: [2],
    title: 'of an answer that was broken off the longest content stays, whichever comes first, where it was',
    async run (bench) {
      const { store } = bench
      const broken = (content: string, more: Partial<SessionMessage> = {}) => answered('t1', { content, complete: false, ...more })
      const first = broken('one', { at: 5, metadata: { k: 1 } })
      await store.append(S, [said('t1'), first])
      await store.append(key('other'), [said('t1'), broken('of another session')])
      await store.append(S, [said('t2')])
      await store.append(key('last'), [said('t1')])
      for (const content of ['one two', 'one', '', 'on! tw!']) await store.append(S, [said('t1', { content: 'another question' }), broken(content, { at: 6 })])
      assert.deepEqual(await store.turn(S, 't1'), [said('t1'), { ...first, content: 'one two' }])
      await store.append(S, [answered('t1', { content: 'one two three' })])
      assert.deepEqual(await bench.contents(), ['t1?', 'one two', 't2?'])
      assert.deepEqual(await bench.contents({ limit: 9 }, key('other')), ['t1?', 'of another session'])
      assert.deepEqual(await bench.listed(), ['last', 's', 'other'])
      await store.append(S, [answered('t2')])
      await store.append(S, [answered('t2', { content: 'longer, but broken off', complete: false })])
      assert.deepEqual(await bench.contents(), ['t1?', 'one two', 't2?', 't2!'])
    }
  },
  {
    must: [2],
    title: 'of what several append at once of an answer that was broken off, the longest stays',
    async run ({ store }) {
      for (const turnId of times(10, (round) => `t${round}`)) {
        await together(...times(5, (index) => () => store.append(S, [
          answered(turnId, { content: 'x'.repeat(1 + (index * 2 + 1) % 5), complete: false })
        ])))
        assert.deepEqual((await store.turn(S, turnId)).map(({ content }) => content), ['xxxxx'])
      }
    }
  },
  {
    must: [2],
    title: 'what several append at once under one turn and role is kept once',
    async run (bench) {
      for (const turnId of times(10, (round) => `t${round}`)) {
        await together(...times(5, (index) => () => bench.store.append(S, [
          said(turnId, { content: `${index}` }), answered(turnId, { content: `${index}` })
        ])))
        const roles = (await bench.store.turn(S, turnId)).map(({ role }) => role)
        assert.deepEqual(roles, ['user', 'assistant'])
      }
      assert.equal((await bench.contents()).length, 20)
    }
  },
  {
    must: [3],
    title: 'a message appended later is newer, whatever its hour',
    async run (bench) {
      for (const [index, at] of [300, 100, 200, 200].entries()) await bench.store.append(S, [said(`t${index}`, { at })])
      assert.deepEqual(await bench.contents(), ['t0?', 't1?', 't2?', 't3?'])
      assert.deepEqual(await bench.contents({ limit: 2 }), ['t2?', 't3?'])
    }
  },
  {
    must: [1, 3],
    title: 'what many append at once is all kept, in one order, each call in its own',
    async run (bench) {
      await together(...times(12, (index) => () => bench.store.append(S, [said(`t${index}`), answered(`t${index}`)])))
      const all = await bench.contents()
      assert.deepEqual(all.toSorted(), times(12, (index) => [`t${index}!`, `t${index}?`]).flat().toSorted())
      const isInOrder = (turnId: string): boolean => all.indexOf(`${turnId}?`) < all.indexOf(`${turnId}!`)
      assert.deepEqual(times(12, (index) => `t${index}`).filter((turnId) => !isInOrder(turnId)), [])
      assert.deepEqual((await bench.pages(5)).toReversed().flat(), all)
    }
  },
  {
    must: [7],
    title: 'turn answers the messages of that turn in the order of their append, none for an unknown one',
    async run ({ store }) {
      const metadata = { tags: ['a', { b: null }] }
      await store.append(S, [said('t1', { metadata }), said('t2')])
      await store.append(S, [answered('t2'), answered('t1', { complete: false })])
      assert.deepEqual(await store.turn(S, 't1'), [said('t1', { metadata }), answered('t1', { complete: false })])
      assert.deepEqual(await store.turn(S, 't'), [])
      assert.deepEqual(await store.turn(key('unknown'), 't1'), [])
    }
  },
  {
    must: [9],
    title: 'delete forgets the session, and says whether there was anything to forget',
    async run (bench) {
      const { store } = bench
      await bench.fill(3)
      await bench.fill(1, key('other'))
      assert.equal(await store.delete(S), true)
      assert.equal(await store.delete(S), false)
      assert.equal(await store.delete(key('unknown')), false)
      assert.deepEqual(await store.messages(S, { limit: 9 }), { messages: [] })
      assert.deepEqual(await store.turn(S, 't0'), [])
      assert.deepEqual(await bench.listed(), ['other'])
      await bench.fill(1)
      assert.deepEqual(await bench.contents(), ['t0?'])
    }
  },
  {
    must: [9],
    title: 'of several that delete at once one has forgotten it',
    async run (bench) {
      await bench.fill(3)
      const answers = await together(...times(4, () => () => bench.store.delete(S)))
      assert.deepEqual(answers.toSorted(), [false, false, false, true])
    }
  },
  {
    must: [10],
    title: 'nothing given or answered is what the store goes on using',
    async run ({ store }) {
      const given = said('t1', { metadata: { tags: ['a'] } })
      const kept = structuredClone(given)
      await store.append(S, [given])
      spoil(given)
      for (let read = 0; read < 2; read++) {
        const { messages } = await store.messages(S, { limit: 9 })
        const turn = await store.turn(S, 't1')
        const { sessions } = await store.list(OWNED, { limit: 9 })
        assert.deepEqual([messages, turn, sessions], [[kept], [kept], [{ sessionId: 's', updatedAt: kept.at }]])
        for (const answer of [...messages, ...turn, ...sessions]) spoil(answer)
      }
    }
  },
  {
    must: [11],
    title: 'nothing crosses owners, agents or sessions, whatever their names hold',
    async run (bench) {
      const { store } = bench
      for (const [index, each] of AWKWARD_KEYS.entries()) await store.append(each, [said('t', { content: `of ${index}` })])
      for (const [index, each] of AWKWARD_KEYS.entries()) {
        assert.deepEqual(await bench.contents({ limit: 9 }, each), [`of ${index}`])
        assert.deepEqual((await store.turn(each, 't')).map(({ content }) => content), [`of ${index}`])
        const { sessions } = await store.list(each, { limit: 100 })
        const own = AWKWARD_KEYS.filter(({ owner, agentId }) => owner === each.owner && agentId === each.agentId)
        assert.deepEqual(sessions.map(({ sessionId }) => sessionId), own.map(({ sessionId }) => sessionId).toReversed())
      }
      for (const each of AWKWARD_KEYS) assert.equal(await store.delete(each), true)
    }
  },
  {
    must: [12],
    title: 'after close every method rejects or throws, and close answers again',
    async run (bench) {
      const { store } = bench
      await bench.fill(2)
      // A store that has nothing to close is never closed.
      if (store.close === undefined) return
      await store.close()
      await store.close()
      const calls: Array<() => unknown> = [
        () => store.append(S, [said('t9')]),
        () => store.messages(S, { limit: 1 }),
        () => store.turn(S, 't0'),
        () => store.list(OWNED, { limit: 1 }),
        () => store.delete(S)
      ]
      for (const call of calls) await assert.rejects(async () => call())
    }
  },
  {
    must: [],
    title: 'two stores are apart: what one keeps, and its close, is nothing to the other',
    async run (bench) {
      const other = await bench.another()
      await bench.fill(2)
      assert.deepEqual([await other.contents(), await other.listed()], [[], []])
      await other.close()
      assert.deepEqual(await bench.contents(), ['t0?', 't1?'])
    }
  }
]

/** Changes an object wherever it can be reached. */
function spoil (object: object): void {
  for (const [name, value] of Object.entries<unknown>({ ...object })) {
    if (typeof value === 'object' && value !== null) spoil(value)
    Object.assign(object, { [name]: 'changed' })
  }
}
