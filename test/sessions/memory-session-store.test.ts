import t from 'tap'

import type { SessionKey } from '../../lib/protocol/session-key.js'
import { memorySessionStore, type MemorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionMessage } from '../../lib/sessions/session-store.js'
import { ManualClock } from '../helpers/manual-clock.js'

const OWNED = { owner: 'ann', agentId: 'main' }

await t.test('what the contract says', async (t) => {
  await t.test('1. append takes all messages of one call or none', async (t) => {
    const store = memorySessionStore()
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    t.throws(() => { store.append(key('s'), [said('t1'), { ...said('t2'), metadata: cyclic }]) }, TypeError)
    t.strictSame(store.messages(key('s'), { limit: 10 }), { messages: [] })
    t.strictSame([store.size, store.bytes], [0, 0])

    store.append(key('s'), [said('t1'), answered('t1')])
    t.strictSame(contents(store, 's'), ['t1?', 't1!'])
  })

  await t.test('2. append is idempotent by turn and role', async (t) => {
    const store = memorySessionStore()
    store.append(key('s'), [said('t1')])
    const bytes = store.bytes
    store.append(key('s'), [said('t1', { content: 'another' })])
    t.strictSame(contents(store, 's'), ['t1?'])
    t.equal(store.bytes, bytes)
    store.append(key('s'), [said('t1'), answered('t1'), answered('t1', { content: 'another' })])
    t.strictSame(contents(store, 's'), ['t1?', 't1!'])
    store.append(key('other'), [said('t1')])
    t.strictSame(contents(store, 'other'), ['t1?'], 'the same turn id in another session is another turn')
  })

  await t.test('2. append of nothing new moves no session up and makes none', async (t) => {
    const store = memorySessionStore()
    store.append(key('a'), [said('t1')])
    store.append(key('b'), [said('t1')])
    store.append(key('a'), [said('t1')])
    store.append(key('c'), [])
    t.strictSame(store.list(OWNED, { limit: 9 }).sessions.map((session) => session.sessionId), ['b', 'a'])
  })

  await t.test('3. append keeps the order of calls, whatever the messages\' hours', async (t) => {
    const store = memorySessionStore()
    store.append(key('s'), [said('t1', { at: 300 })])
    store.append(key('s'), [said('t2', { at: 200 })])
    store.append(key('s'), [said('t3', { at: 100 })])
    t.strictSame(contents(store, 's'), ['t1?', 't2?', 't3?'])
  })

  await t.test('4. messages answers the newest, oldest first, and before a cursor those that precede it', async (t) => {
    const store = filled(7)
    const pages = []
    for (let before: string | undefined = undefined, more = true; more;) {
      const page = store.messages(key('s'), { limit: 3, before })
      pages.push(page.messages.map(({ content }) => content))
      before = page.before
      more = before !== undefined
    }
    t.strictSame(pages, [['t4?', 't5?', 't6?'], ['t1?', 't2?', 't3?'], ['t0?']])
  })

  await t.test('5. messages has a cursor only if older messages are kept', async (t) => {
    const store = filled(4)
    t.strictSame(Object.keys(store.messages(key('s'), { limit: 4 })), ['messages'])
    t.strictSame(Object.keys(store.messages(key('s'), { limit: 5 })), ['messages'])
    const { before } = store.messages(key('s'), { limit: 2 })
    t.type(before, 'string')
    t.strictSame(Object.keys(store.messages(key('s'), { limit: 2, before })), ['messages'])
  })

  await t.test('6. a cursor stays valid while newer messages arrive', async (t) => {
    const store = filled(4)
    const { before } = store.messages(key('s'), { limit: 2 })
    store.append(key('s'), [said('t4'), answered('t4')])
    t.strictSame(store.messages(key('s'), { limit: 9, before }).messages.map(({ content }) => content), ['t0?', 't1?'])
  })

  await t.test('6. a cursor stays valid while old messages are trimmed', async (t) => {
    const store = filled(4, { maxMessagesPerSession: 4 })
    const { before } = store.messages(key('s'), { limit: 2 })
    store.append(key('s'), [said('t4')])
    t.strictSame(store.messages(key('s'), { limit: 9, before }).messages.map(({ content }) => content), ['t1?'])
    store.append(key('s'), [said('t5'), said('t6'), said('t7')])
    t.strictSame(store.messages(key('s'), { limit: 9, before }), { messages: [] })
  })

  await t.test('6. a cursor that the store does not know answers an empty page', async (t) => {
    const store = filled(4)
    const { before = '' } = store.messages(key('s'), { limit: 2 })
    const foreign = filled(4).messages(key('s'), { limit: 2 }).before ?? ''
    const unknown = ['', 'nonsense', '0', `${before}0`, `${before}x`, before.slice(0, -1), before.replace(/\d+$/, '-1'), foreign]
    for (const cursor of unknown) {
      t.strictSame(store.messages(key('s'), { limit: 9, before: cursor }), { messages: [] }, cursor)
      t.strictSame(store.list(OWNED, { limit: 9, before: cursor }), { sessions: [] }, cursor)
    }
    t.strictSame(store.messages(key('other'), { limit: 9, before }), { messages: [] })
    store.delete(key('s'))
    store.append(key('s'), [said('t0'), said('t1'), said('t2'), said('t3')])
    t.strictSame(store.messages(key('s'), { limit: 9, before }), { messages: [] }, 'the cursor of a deleted namesake')
  })

  await t.test('7. turn answers the messages of that turn in order, none for an unknown one', async (t) => {
    const store = memorySessionStore()
    store.append(key('s'), [said('t1'), said('t2')])
    store.append(key('s'), [answered('t2'), answered('t1')])
    t.strictSame(store.turn(key('s'), 't1'), [said('t1'), answered('t1')])
    t.strictSame(store.turn(key('s'), 'unknown'), [])
    t.strictSame(store.turn(key('unknown'), 't1'), [])
  })

  await t.test('8. list answers the sessions of that owner and agent, the newest message first', async (t) => {
    const store = memorySessionStore()
    store.append(key('a'), [said('t1', { at: 1 })])
    store.append(key('b'), [said('t1', { at: 2 })])
    store.append({ ...key('c'), owner: 'bob' }, [said('t1')])
    store.append({ ...key('d'), agentId: 'sales' }, [said('t1')])
    store.append(key('a'), [answered('t1', { at: 3 })])
    t.strictSame(store.list(OWNED, { limit: 9 }), {
      sessions: [{ sessionId: 'a', updatedAt: 3 }, { sessionId: 'b', updatedAt: 2 }]
    })
    t.strictSame(store.list({ ...OWNED, owner: 'nobody' }, { limit: 9 }), { sessions: [] })
  })

  await t.test('8. list goes on from a cursor while sessions move up, come and go', async (t) => {
    const store = memorySessionStore()
    const names = Array.from({ length: 40 }, (_, index) => `s${index}`)
    for (const name of names) store.append(key(name), [said('t1')])
    const first = store.list(OWNED, { limit: 10 })
    t.strictSame(first.sessions.map(({ sessionId }) => sessionId), names.slice(30).reverse())
    for (const name of names.slice(5, 35)) store.append(key(name), [answered('t1')])
    store.append(key('new'), [said('t1')])
    store.delete(key('s4'))
    const second = store.list(OWNED, { limit: 2, before: first.before })
    t.strictSame(second.sessions.map(({ sessionId }) => sessionId), ['s3', 's2'])
    const third = store.list(OWNED, { limit: 2, before: second.before })
    t.strictSame(third.sessions.map(({ sessionId }) => sessionId), ['s1', 's0'])
    t.strictSame(Object.keys(third), ['sessions'], 'no cursor at the end')
  })

  await t.test('9. delete forgets the messages and says whether there were any', async (t) => {
    const store = filled(3)
    t.equal(store.delete(key('s')), true)
    t.equal(store.delete(key('s')), false)
    t.strictSame(store.messages(key('s'), { limit: 9 }), { messages: [] })
    t.strictSame(store.turn(key('s'), 't0'), [])
    t.strictSame(store.list(OWNED, { limit: 9 }), { sessions: [] })
    t.strictSame([store.size, store.bytes], [0, 0])
  })

  await t.test('10. nothing given or answered is what the store goes on using', async (t) => {
    const store = memorySessionStore()
    const given = said('t1', { metadata: { tags: ['a'] } })
    const before = structuredClone(given)
    store.append(key('s'), [given])
    given.content = 'changed'
    Object.assign(given.metadata ?? {}, { tags: 'changed' })

    for (let read = 0; read < 2; read++) {
      const [byPage] = store.messages(key('s'), { limit: 1 }).messages
      const [byTurn] = store.turn(key('s'), 't1')
      t.strictSame([byPage, byTurn], [before, before])
      Object.assign(byPage ?? {}, { content: 'changed' })
      Object.assign(byTurn?.metadata ?? {}, { tags: 'changed' })
    }
    const [session] = store.list(OWNED, { limit: 1 }).sessions
    Object.assign(session ?? {}, { sessionId: 'changed' })
    t.strictSame(store.list(OWNED, { limit: 1 }).sessions, [{ sessionId: 's', updatedAt: before.at }])
  })

  await t.test('11. nothing crosses owners, agents or sessions, whatever their names hold', async (t) => {
    const store = memorySessionStore()
    const keys = [
      ['a', 'b:c', 'd'], ['a:b', 'c', 'd'], ['a', 'b', 'c:d'], ['a","b', 'c', 'd'], ['a', 'b","c', 'd'],
      ['', 'a', 'b'], ['__proto__', 'constructor', 'toString'], ['a', 'b', '__proto__']
    ].map(([owner = '', agentId = '', sessionId = '']) => ({ owner, agentId, sessionId }))
    for (const [index, each] of keys.entries()) store.append(each, [said('t', { content: `of ${index}` })])
    for (const [index, each] of keys.entries()) {
      t.strictSame(store.messages(each, { limit: 9 }).messages.map(({ content }) => content), [`of ${index}`])
      t.strictSame(store.turn(each, 't').length, 1)
    }
    t.strictSame(store.list({ owner: 'a', agentId: 'b' }, { limit: 9 }).sessions.map(({ sessionId }) => sessionId), ['__proto__', 'c:d'])
  })

  await t.test('12. after close every method throws, and close answers again', async (t) => {
    const store = filled(3)
    store.close()
    store.close()
    const closed = { message: 'this session store is closed' }
    t.throws(() => { store.append(key('s'), [said('t9')]) }, closed)
    t.throws(() => { store.append(key('s'), []) }, closed)
    t.throws(() => store.messages(key('s'), { limit: 1 }), closed)
    t.throws(() => store.turn(key('s'), 't0'), closed)
    t.throws(() => store.list(OWNED, { limit: 1 }), closed)
    t.throws(() => store.delete(key('s')), closed)
    t.strictSame([store.size, store.bytes], [0, 0])
  })
})

await t.test('what bounds it', async (t) => {
  await t.test('one session too many, and the one left alone longest is forgotten', async (t) => {
    const store = memorySessionStore({ maxSessions: 3 })
    for (const name of ['a', 'b', 'c']) store.append(key(name), [said('t1')])
    store.messages(key('a'), { limit: 1 })
    store.turn(key('b'), 't1')
    store.append(key('d'), [said('t1')])
    t.strictSame(kept(store), ['d', 'b', 'a'])
    store.append(key('e'), [said('t1')])
    t.strictSame(kept(store), ['e', 'd', 'b'])
    t.equal(store.size, 3)
  })

  await t.test('one message too many, and the oldest of the session is forgotten', async (t) => {
    const store = filled(3, { maxMessagesPerSession: 3 })
    store.append(key('other'), [said('t0')])
    store.append(key('s'), [answered('t2'), said('t3')])
    t.strictSame(contents(store, 's'), ['t2?', 't2!', 't3?'])
    t.strictSame(contents(store, 'other'), ['t0?'])
    t.strictSame(store.turn(key('s'), 't1'), [])
    store.append(key('s'), [answered('t3')])
    t.strictSame(store.turn(key('s'), 't2'), [answered('t2')], 'the younger half of a turn outlives the older')
    store.append(key('s'), [said('t1')])
    t.strictSame(contents(store, 's'), ['t3?', 't3!', 't1?'], 'a turn that was forgotten is new again')
  })

  await t.test('too many bytes, and sessions left alone longest go first, then old messages of the last', async (t) => {
    const text = 'x'.repeat(10_000)
    const store = memorySessionStore({ maxBytes: 100_000 })
    for (const name of ['a', 'b', 'c']) store.append(key(name), [said('t1', { content: text })])
    t.strictSame(kept(store), ['c', 'b', 'a'])
    store.append(key('b'), [answered('t1', { content: text })])
    store.append(key('d'), [said('t1', { content: text })])
    t.strictSame(kept(store), ['d', 'b', 'c'])
    store.turn(key('c'), 't1')
    store.append(key('e'), [said('t1', { content: text })])
    t.strictSame(kept(store), ['e', 'd', 'c'], 'b is larger, but c and d were touched after it')
    t.ok(store.bytes <= 100_000)

    for (let turn = 2; turn < 9; turn++) store.append(key('d'), [said(`t${turn}`, { content: text })])
    t.strictSame(kept(store), ['d'])
    t.strictSame(store.messages(key('d'), { limit: 9 }).messages.map(({ turnId }) => turnId), ['t5', 't6', 't7', 't8'])
    t.ok(store.bytes <= 100_000)
  })

  await t.test('a message larger than the whole store is refused and pushes nothing out', async (t) => {
    const store = memorySessionStore({ maxBytes: 100_000 })
    store.append(key('a'), [said('t1')])
    store.append(key('b'), [said('t1')])
    const before = store.bytes
    t.throws(() => { store.append(key('b'), [said('t2'), answered('t2', { content: 'x'.repeat(60_000) })]) }, {
      name: 'RangeError', message: /maxBytes is 100000$/
    })
    t.throws(() => { store.append(key('c'), [said('t1', { metadata: { text: 'x'.repeat(60_000) } })]) }, RangeError)
    t.strictSame(kept(store), ['b', 'a'])
    t.strictSame(contents(store, 'b'), ['t1?'])
    t.equal(store.bytes, before)
  })

  await t.test('a session that nobody reads or writes for maxIdleMs is forgotten at the next access', async (t) => {
    const clock = new ManualClock()
    const store = memorySessionStore({ maxIdleMs: 1_000, clock })
    store.append(key('a'), [said('t1')])
    store.append(key('b'), [said('t1')])
    clock.advance(999)
    t.strictSame(contents(store, 'a'), ['t1?'])
    clock.advance(1)
    t.strictSame(kept(store), ['a'], 'listing touches nothing, and b has run out')
    clock.advance(999)
    t.strictSame(contents(store, 'a'), [])
    t.strictSame([store.size, store.bytes, clock.pending], [0, 0, 0])
  })

  await t.test('a session that ran out begins anew', async (t) => {
    const clock = new ManualClock()
    const store = memorySessionStore({ maxIdleMs: 1_000, clock })
    store.append(key('a'), [said('t1')])
    clock.advance(1_000)
    store.append(key('a'), [said('t2')])
    t.strictSame(contents(store, 'a'), ['t2?'])
  })

  await t.test('bytes come back to 0 when all is deleted', async (t) => {
    const store = filled(20, { maxMessagesPerSession: 7 })
    store.append(key('b'), [said('t1', { metadata: { a: 1 } }), answered('t1')])
    t.ok(store.bytes > 0)
    t.strictSame([store.delete(key('s')), store.delete(key('b'))], [true, true])
    t.equal(store.bytes, 0)
  })

  await t.test('a bound below 1 is refused by name', async (t) => {
    for (const name of ['maxSessions', 'maxMessagesPerSession', 'maxBytes', 'maxIdleMs']) {
      for (const value of [0, -1, Number.NaN]) {
        t.throws(() => memorySessionStore({ [name]: value }), { name: 'RangeError', message: new RegExp(`^${name} `) })
      }
    }
  })
})

await t.test('it behaves like a plain list under many random calls', async (t) => {
  const store = memorySessionStore({ maxSessions: 12, maxMessagesPerSession: 5 })
  const model: { name: string, turns: string[], changed: number }[] = []
  let seed = 7
  const below = (limit: number) => (seed = (seed * 48271) % 2147483647) % limit
  for (let step = 0; step < 3_000; step++) {
    const name = `s${below(20)}`
    const index = model.findIndex((session) => session.name === name)
    const [session = { name, turns: [], changed: 0 }] = index < 0 ? [] : model.splice(index, 1)
    if (below(10) === 0) {
      if (store.delete(key(name)) !== (index >= 0)) t.fail('delete differs from the model')
      continue
    }
    store.append(key(name), [said(`t${step}`)])
    model.push({ name, turns: [...session.turns, `t${step}`].slice(-5), changed: step })
    if (model.length > 12) model.shift()
  }
  for (const { name, turns } of model) {
    t.strictSame(store.messages(key(name), { limit: 9 }).messages.map(({ turnId }) => turnId), turns)
  }
  const newestFirst = model.sort((one, other) => other.changed - one.changed).map(({ name }) => name)
  t.strictSame(kept(store), newestFirst)
})

function key (sessionId: string): SessionKey {
  return { ...OWNED, sessionId }
}

function said (turnId: string, more: Partial<SessionMessage> = {}): SessionMessage {
  return { role: 'user', content: `${turnId}?`, turnId, at: 1_700_000_000_000, complete: true, ...more }
}

function answered (turnId: string, more: Partial<SessionMessage> = {}): SessionMessage {
  return { ...said(turnId), role: 'assistant', content: `${turnId}!`, ...more }
}

function filled (count: number, options: Parameters<typeof memorySessionStore>[0] = {}): MemorySessionStore {
  const store = memorySessionStore(options)
  for (let turn = 0; turn < count; turn++) store.append(key('s'), [said(`t${turn}`)])
  return store
}

function contents (store: MemorySessionStore, sessionId: string): string[] {
  return store.messages(key(sessionId), { limit: 100 }).messages.map(({ content }) => content)
}

function kept (store: MemorySessionStore): string[] {
  return store.list(OWNED, { limit: 100 }).sessions.map(({ sessionId }) => sessionId)
}

t.test('a session over its bytes loses its oldest messages, never its newest', async (t) => {
  const store = memorySessionStore({ maxBytesPerSession: 2_000 })
  const key = { owner: 'o', agentId: 'a', sessionId: 's' }
  for (let i = 0; i < 10; i++) {
    store.append(key, [{ turnId: `t${i}`, role: 'user', content: String(i).repeat(500), at: i, complete: true }])
  }
  const { messages } = store.messages(key, { limit: 20 })
  t.ok(messages.length > 0 && messages.length < 10)
  t.equal(messages.at(-1)?.turnId, 't9')
  store.append(key, [{ turnId: 'big', role: 'user', content: 'x'.repeat(10_000), at: 11, complete: true }])
  t.strictSame(store.messages(key, { limit: 20 }).messages.map(({ turnId }) => turnId), ['big'])
})

t.test('an answer that got longer counts, and may be too large', async (t) => {
  const store = memorySessionStore({ maxBytesPerSession: 3_000, maxBytes: 8_000 })
  const key = { owner: 'o', agentId: 'a', sessionId: 's' }
  const answer = (content: string): SessionMessage => ({ turnId: 't', role: 'assistant', content, at: 2, complete: false })
  store.append(key, [{ turnId: 't', role: 'user', content: 'x'.repeat(300), at: 1, complete: true }, answer('y')])
  const { bytes } = store
  store.append(key, [answer('yy')])
  t.equal(store.bytes, bytes + 2)
  t.throws(() => { store.append(key, [answer('y'.repeat(9_000))]) }, RangeError)
  t.match(store.turn(key, 't'), [{ role: 'user' }, { content: 'yy' }])
  store.append(key, [answer('y'.repeat(500))])
  t.match(store.turn(key, 't'), [{ content: 'y'.repeat(500), complete: false }])
  store.delete(key)
  t.equal(store.bytes, 0)
})
