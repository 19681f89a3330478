import { appendFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import t, { type Test } from 'tap'

import { fileSessionStore } from '../../examples/file-session-store.js'
import type { SessionMessage } from '../../lib/sessions/session-store.js'

const KEY = { owner: 'ada', agentId: 'main', sessionId: 'tea' }

await t.test('append is idempotent by turn and role, also within one call', async (t) => {
  const store = fileSessionStore(fileOf(t))
  const question = said('user', 'turn-1', 'one')
  await store.append(KEY, [question, question, said('assistant', 'turn-1', 'two')])
  await store.append(KEY, [said('user', 'turn-1', 'changed'), said('user', 'turn-2', 'three')])
  t.strictSame(await contents(store, 9), ['one', 'two', 'three'])
})

await t.test('append takes all messages of a call or none', async (t) => {
  const file = fileOf(t)
  const store = fileSessionStore(file)
  await store.append(KEY, [said('user', 'turn-1', 'one')])
  // It cannot be written; a full disk fails in the same way.
  const broken = fileSessionStore(join(file, 'missing', 'sessions.jsonl'))
  t.throws(() => broken.append(KEY, [said('user', 'turn-1', 'one'), said('user', 'turn-2', 'two')]))
  t.strictSame(await contents(broken, 9), [])

  appendFileSync(file, `\n{"key":${JSON.stringify(KEY)},"messages":[{"role":"user","content":"cut o`)
  const next = fileSessionStore(file)
  t.strictSame(await contents(next, 9), ['one'])
  await next.append(KEY, [said('user', 'turn-2', 'two')])
  t.strictSame(await contents(fileSessionStore(file), 9), ['one', 'two'])
})

await t.test('messages come by pages, the newest page first and each oldest first', async (t) => {
  const store = await filled(t, 5)
  const newest = await store.messages(KEY, { limit: 2 })
  t.strictSame(newest.messages.map(({ content }) => content), ['4', '5'])
  await store.append(KEY, [said('user', 'turn-6', '6')])
  const middle = await store.messages(KEY, { limit: 2, before: newest.before })
  t.strictSame(middle.messages.map(({ content }) => content), ['2', '3'])
  const oldest = await store.messages(KEY, { limit: 2, before: middle.before })
  t.strictSame(oldest, { messages: [said('user', 'turn-1', '1')] })
})

await t.test('a page that holds the oldest message has no cursor', async (t) => {
  const store = await filled(t, 2)
  t.notOk('before' in await store.messages(KEY, { limit: 2 }))
  t.ok('before' in await store.messages(KEY, { limit: 1 }))
  t.strictSame(await store.messages({ ...KEY, sessionId: 'unknown' }, { limit: 1 }), { messages: [] })
})

await t.test('a cursor that the store does not know leads to an empty page', async (t) => {
  const store = await filled(t, 3)
  await store.append({ ...KEY, sessionId: 'coffee' }, [said('user', 'turn-1', 'other')])
  for (const before of ['', 'x', '0', '4', '99', '1.0', '-1', ' 2']) {
    t.strictSame(await store.messages(KEY, { limit: 9, before }), { messages: [] }, before)
  }
  for (const before of ['', 'x', '0', '99']) t.strictSame(await store.list(KEY, { limit: 9, before }), { sessions: [] }, before)

  const { before } = await store.messages(KEY, { limit: 1 })
  await store.delete(KEY)
  await store.append(KEY, [said('user', 'turn-1', 'new'), said('user', 'turn-2', 'newer')])
  t.strictSame(await store.messages(KEY, { limit: 9, before }), { messages: [] })
})

await t.test('turn answers its messages in the order of their append', async (t) => {
  const store = await filled(t, 2)
  await store.append(KEY, [said('assistant', 'turn-1', 'answer')])
  t.strictSame(await store.turn(KEY, 'turn-1'), [said('user', 'turn-1', '1'), said('assistant', 'turn-1', 'answer')])
  t.strictSame(await store.turn(KEY, 'unknown'), [])
})

await t.test('list answers the sessions of one owner and agent, by their newest message', async (t) => {
  const store = fileSessionStore(fileOf(t))
  for (const [sessionId, turnId] of [['a', '1'], ['b', '2'], ['c', '3'], ['a', '4']] as const) {
    await store.append({ ...KEY, sessionId }, [{ ...said('user', turnId, ''), at: Number(turnId) }])
  }
  await store.append({ ...KEY, owner: 'bob' }, [said('user', '5', '')])
  await store.append({ ...KEY, agentId: 'other' }, [said('user', '6', '')])

  const first = await store.list(KEY, { limit: 2 })
  t.strictSame(first.sessions, [{ sessionId: 'a', updatedAt: 4 }, { sessionId: 'c', updatedAt: 3 }])
  await store.append({ ...KEY, sessionId: 'c' }, [said('user', '7', '')])
  t.strictSame(await store.list(KEY, { limit: 2, before: first.before }), { sessions: [{ sessionId: 'b', updatedAt: 2 }] })
})

await t.test('delete forgets a session, also after a restart, and says whether there was one', async (t) => {
  const file = fileOf(t)
  const store = fileSessionStore(file)
  await store.append(KEY, [said('user', 'turn-1', 'one')])
  await store.append({ ...KEY, sessionId: 'coffee' }, [said('user', 'turn-1', 'two')])
  t.equal(await store.delete(KEY), true)
  t.equal(await store.delete(KEY), false)
  const next = fileSessionStore(file)
  t.strictSame(await next.list(KEY, { limit: 9 }), { sessions: [{ sessionId: 'coffee', updatedAt: 0 }] })
  await next.append(KEY, [said('user', 'turn-1', 'again')])
  t.strictSame(await contents(next, 9), ['again'])
})

await t.test('what goes in and comes out is not what is kept', async (t) => {
  const store = fileSessionStore(fileOf(t))
  const message = { ...said('user', 'turn-1', 'one'), metadata: { tags: ['a'] } }
  await store.append(KEY, [message])
  message.metadata.tags.push('b')
  const [out] = await store.turn(KEY, 'turn-1')
  if (out) out.content = 'changed'
  t.strictSame(await store.turn(KEY, 'turn-1'), [{ ...said('user', 'turn-1', 'one'), metadata: { tags: ['a'] } }])
})

await t.test('nothing crosses owners, agents or sessions, whatever their names hold', async (t) => {
  const store = fileSessionStore(fileOf(t))
  await store.append({ owner: 'a', agentId: 'b:c', sessionId: 'd' }, [said('user', 'turn-1', 'one')])
  await store.append({ owner: 'a:b', agentId: 'c', sessionId: 'd\n"}' }, [said('user', 'turn-1', 'two')])
  t.strictSame(await store.turn({ owner: 'a', agentId: 'b', sessionId: 'c:d' }, 'turn-1'), [])
  t.strictSame(await store.turn({ owner: 'a:b', agentId: 'c', sessionId: 'd\n"}' }, 'turn-1'), [said('user', 'turn-1', 'two')])
  t.equal(await store.delete({ owner: 'b', agentId: 'b:c', sessionId: 'd' }), false)
})

await t.test('after close every method throws, but close', async (t) => {
  const store = await filled(t, 1)
  await store.close?.()
  await store.close?.()
  t.throws(() => store.append(KEY, [said('user', 'turn-2', '2')]))
  t.throws(() => store.messages(KEY, { limit: 1 }))
  t.throws(() => store.turn(KEY, 'turn-1'))
  t.throws(() => store.list(KEY, { limit: 1 }))
  t.throws(() => store.delete(KEY))
})

function fileOf (t: Test): string {
  const file = join(t.testdir(), 'sessions.jsonl')
  t.teardown(() => { rmSync(file, { force: true }) })
  return file
}

/** A store whose session holds the questions `1` to `count`. */
async function filled (t: Test, count: number) {
  const store = fileSessionStore(fileOf(t))
  for (let number = 1; number <= count; number++) await store.append(KEY, [said('user', `turn-${number}`, String(number))])
  return store
}

async function contents (store: ReturnType<typeof fileSessionStore>, limit: number): Promise<string[]> {
  return (await store.messages(KEY, { limit })).messages.map(({ content }) => content)
}

function said (role: SessionMessage['role'], turnId: string, content: string): SessionMessage {
  return { role, content, turnId, at: 0, complete: true }
}
