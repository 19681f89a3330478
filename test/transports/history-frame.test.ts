import t, { type Test } from 'tap'

import { memorySessionStore, type SessionMessage, type WsChannelOptions } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { refused } from './expected.js'

const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }

function said (turn: number, role: 'user' | 'assistant', content = `${role} ${turn}`): SessionMessage {
  return { role, content, turnId: `t${turn}`, at: turn, complete: true }
}

async function open (t: Test, count: number, options: WsChannelOptions & { clock?: ManualClock } = {}) {
  const store = memorySessionStore()
  const messages = Array.from({ length: count }, (_, i) => [said(i, 'user'), said(i, 'assistant')]).flat()
  for (const message of messages) store.append(KEY, [message])
  const host = await serve(t, { sessionStore: store, agentExecutor: () => 'x', ...options })
  const client = await host.connect()
  const ask = async (more: object = {}) => {
    client.send({ type: 'history', sessionId: 's', ...more })
    return await client.next('history')
  }
  return { ...host, store, client, messages, ask }
}

t.test('a history is told oldest first, as many messages as asked for, and by a cursor those before', async (t) => {
  const { client, messages, ask } = await open(t, 4)
  t.strictSame(await ask(), { type: 'history', agentId: 'main', sessionId: 's', messages })
  const first = await ask({ id: 'h', limit: 3 })
  const { before } = first
  t.match(before, /./)
  t.strictSame(first, { type: 'history', id: 'h', agentId: 'main', sessionId: 's', messages: messages.slice(5), before })
  const second = await ask({ limit: 3, before })
  t.strictSame(second, { type: 'history', agentId: 'main', sessionId: 's', messages: messages.slice(2, 5), before: second.before })
  t.strictSame(await ask({ limit: 3, before: second.before }), { type: 'history', agentId: 'main', sessionId: 's', messages: messages.slice(0, 2) })
  await client.close()
})

t.test('without a limit it is 50 messages, and at most 200', async (t) => {
  const { client, messages, ask } = await open(t, 120)
  t.strictSame((await ask()).messages, messages.slice(-50))
  t.strictSame((await ask({ limit: 200 })).messages, messages.slice(-200))
  client.send({ type: 'history', id: 'h', sessionId: 's', limit: 201 })
  t.match(await client.next('error'), { code: 'VALIDATION_FAILED', id: 'h', details: { path: '/limit' } })
  await client.close()
})

t.test('what a turn has said is in it: question, metadata, answer, whether that is whole', async (t) => {
  const { client, ask, connect } = await open(t, 0, { agentExecutor: { main: () => 'hi', failing: async function * () { yield 'par'; throw new Error('x') } } })
  client.send({ type: 'chat', id: 'a', sessionId: 's', message: 'hello', metadata: { k: 1 } })
  await client.until('message')
  const { messages: [question, answer] } = await ask()
  t.strictSame(question, { role: 'user', content: 'hello', turnId: 'a', at: question?.at, complete: true, metadata: { k: 1 } })
  t.strictSame(answer, { role: 'assistant', content: 'hi', turnId: 'a', at: answer?.at, complete: true })
  const other = await connect({ query: '?agentId=failing' })
  other.send({ type: 'chat', id: 'b', sessionId: 's', message: 'x' })
  await other.until('error')
  other.send({ type: 'history', sessionId: 's' })
  t.match(await other.next('history'), { agentId: 'failing', messages: [{ content: 'x' }, { content: 'par', complete: false }] })
  await other.close()
  await client.close()
})

t.test('what an agent has kept with its answer is in the history that it reads, and in none that a client is told', async (t) => {
  const metadata = { sum: 'sk-secret' }
  const heard: SessionMessage[][] = []
  const { client, ask, store } = await open(t, 0, {
    agentExecutor: async function * (turn) {
      heard.push(await turn.history())
      yield { type: 'metadata', metadata }
      yield 'hi'
    }
  })
  for (const id of ['a', 'b']) {
    client.send({ type: 'chat', id, sessionId: 's', message: 'hello', metadata: { k: id } })
    for (let frame = await client.next(); frame.done !== true;) frame = await client.next()
  }
  t.match(heard, [[], [{ content: 'hello', metadata: { k: 'a' } }, { content: 'hi', metadata }]])
  const { messages } = await ask()
  t.strictSame(messages.map(({ metadata }) => metadata), [{ k: 'a' }, undefined, { k: 'b' }, undefined])
  t.notOk(messages.some((message) => message.role === 'assistant' && 'metadata' in message))
  t.strictSame(store.turn(KEY, 'b')[1]?.metadata, metadata)
  await client.close()
})

t.test('a session that does not exist has an empty history, and is none afterwards', async (t) => {
  const { app, client, ask } = await open(t, 0)
  t.strictSame(await ask({ id: 'h', sessionId: 'unknown', agentId: 'other' }), { type: 'history', id: 'h', agentId: 'other', sessionId: 'unknown', messages: [] })
  t.match(app.channel.stats(), { sessions: 0, followers: 0 })
  await client.close()
})

t.test('a page is at most maxHistoryPageBytes: fewer messages, and their cursor goes on', async (t) => {
  const { client, messages, ask, store } = await open(t, 4, { maxHistoryPageBytes: 250 })
  const told: SessionMessage[] = []
  for (let before: string | undefined; ;) {
    const page = await ask({ before })
    t.ok(page.messages.length < 4 && Buffer.byteLength(JSON.stringify(page.messages)) <= 252)
    told.unshift(...page.messages)
    before = page.before
    if (before === undefined) break
  }
  t.strictSame(told, messages)
  const large = said(9, 'user', '好'.repeat(500))
  store.append(KEY, [large])
  const page = await ask()
  t.strictSame(page.messages, [large], 'one that is larger by itself is told alone')
  t.strictSame((await ask({ before: page.before })).messages, messages.slice(-3))
  await client.close()
})

t.test('a store that fails or hangs is STORE_UNAVAILABLE', async (t) => {
  const clock = new ManualClock()
  const { client, store } = await open(t, 1, { clock, heartbeatMs: 1_000_000 })
  store.messages = () => { throw new Error('secret') }
  client.send({ type: 'history', id: 'h', sessionId: 's' })
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { id: 'h' }))
  let asked = 0
  Reflect.set(store, 'messages', () => { asked++; return new Promise(() => {}) })
  client.send({ type: 'history', id: 'h', sessionId: 's' })
  await eventually(() => asked === 1)
  clock.advance(5_000)
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { id: 'h' }))
  await client.fence()
  await client.close()
})

for (const ends of ['answers', 'fails']) {
  t.test(`a store that ${ends} when its asker has gone is heard by nobody`, async (t) => {
    const { client, store, app } = await open(t, 1)
    let isOver = false
    Reflect.set(store, 'messages', async () => {
      await client.terminate()
      await eventually(() => app.channel.stats().connections === 0)
      isOver = true
      if (ends === 'fails') throw new Error('boom')
      return { messages: [] }
    })
    client.send({ type: 'history', sessionId: 's' })
    await eventually(() => isOver)
  })
}
