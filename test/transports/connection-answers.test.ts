import t from 'tap'

import { AgentError, memorySessionStore, type Executor } from '../../lib/index.js'
import { serve, readableLog } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { answer, text } from '../helpers/plain-answer.js'

const pieces: Executor = function * (turn) { yield * Array.from(turn.message) }

t.test('a plain chat is answered by frames of exactly four keys in their order', async (t) => {
  const { connect } = await serve(t, { agentExecutor: pieces })
  const client = await connect()
  const raw: string[] = []
  client.ws.on('message', (data) => { if (Buffer.isBuffer(data)) raw.push(data.toString()) })
  client.send({ type: 'chat', agentId: 'main', sessionId: 's-1', message: '你"好' })
  t.same(await answer(client), [
    { type: 'stream', agentId: 'main', content: '你', done: false },
    { type: 'stream', agentId: 'main', content: '"', done: false },
    { type: 'stream', agentId: 'main', content: '好', done: false },
    { type: 'stream', agentId: 'main', content: '', done: true }
  ])
  await client.fence()
  t.equal(raw[0], '{"type":"stream","agentId":"main","content":"你","done":false}')
  t.equal(raw[3], '{"type":"stream","agentId":"main","content":"","done":true}')
  await client.close()
})

t.test('with stream: false the answer is one message, after the whole messages as they come', async (t) => {
  const { connect } = await serve(t, {
    async * agentExecutor () {
      yield 'one '
      yield { type: 'message', content: 'whole' }
      yield { type: 'event', name: 'progress', data: 1 }
      yield 'two'
    }
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'x', stream: false })
  t.same(await answer(client), [
    { type: 'message', agentId: 'main', content: 'whole', done: false },
    { type: 'message', agentId: 'main', content: 'one two', done: true }
  ])
  client.send({ type: 'chat', message: 'x' })
  t.same(await answer(client), [
    { type: 'stream', agentId: 'main', content: 'one ', done: false },
    { type: 'message', agentId: 'main', content: 'whole', done: false },
    { type: 'stream', agentId: 'main', content: 'two', done: false },
    { type: 'stream', agentId: 'main', content: '', done: true }
  ])
  await client.close()
})

t.test('a returned string is one message, streamed or not', async (t) => {
  const { connect } = await serve(t, { agentExecutor: async (turn) => `you said ${turn.message}` })
  const client = await connect()
  for (const stream of [true, false]) {
    client.send({ type: 'chat', message: 'x', stream })
    t.same(await answer(client), [{ type: 'message', agentId: 'main', content: 'you said x', done: true }])
  }
  await client.close()
})

t.test('plain turns of one agent are answered one after the other, of two agents side by side', async (t) => {
  const gates = { a: deferred(), b: deferred(), c: deferred() }
  const { connect } = await serve(t, {
    async * agentExecutor (turn) {
      await gates[turn.message as keyof typeof gates].promise
      yield turn.message
    }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's-1', message: 'a' })
  client.send({ type: 'chat', sessionId: 's-2', message: 'b' })
  client.send({ type: 'chat', agentId: 'other', sessionId: 's-1', message: 'c' })
  gates.b.resolve()
  gates.c.resolve()
  t.same((await answer(client)).map(({ agentId, content }) => [agentId, content]), [['other', 'c'], ['other', '']])
  await client.fence()
  gates.a.resolve()
  t.equal(text(await answer(client)), 'a')
  t.equal(text(await answer(client)), 'b')
  await client.close()
})

t.test('a refused chat is told so in its place: behind the answer before it', async (t) => {
  const gate = deferred()
  const { connect } = await serve(t, {
    async * agentExecutor () {
      await gate.promise
      yield 'first'
    }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's', message: 'x' })
  client.send({ type: 'chat', sessionId: 's', message: 'y', onBusy: 'reject' })
  client.send({ type: 'chat', sessionId: 's', message: '' })
  await client.fence()
  gate.resolve()
  t.equal(text(await answer(client)), 'first')
  const refusal = await client.next('error')
  t.same(Object.keys(refusal), ['type', 'agentId', 'code', 'message', 'retryable', 'done', 'retryAfterMs'])
  t.match(refusal, { agentId: 'main', code: 'SESSION_BUSY', retryable: true, done: true })
  t.match(await client.next('error'), { agentId: 'main', code: 'VALIDATION_FAILED', done: true, details: { path: '/message' } })
  await client.close()
})

t.test('an interrupt ends the running answer with what there is, and starts', async (t) => {
  let said = 0
  const { app, connect } = await serve(t, {
    async * agentExecutor (turn) {
      yield turn.message
      said++
      if (turn.message === 'first') await new Promise((resolve) => { turn.signal.addEventListener('abort', resolve) })
    }
  })
  const client = await connect({ query: '?sessionId=s' })
  for (const stream of [true, false]) {
    client.send({ type: 'chat', message: 'first', stream })
    if (stream) t.match(await client.next('stream'), { content: 'first', done: false })
    else await eventually(() => said === 3)
    client.send({ type: 'chat', message: 'waits', stream })
    client.send({ type: 'chat', message: 'second', stream, onBusy: 'interrupt' })
    const type = stream ? 'stream' : 'message'
    t.same(await client.next(), { type, agentId: 'main', content: stream ? '' : 'first', done: true })
    t.same(await client.next(), { type, agentId: 'main', content: '', done: true }, 'the one that waited never ran')
    t.equal(text(await answer(client)), 'second')
  }
  const { messages } = await app.sessionStore.messages({ owner: 'anonymous', agentId: 'main', sessionId: 's' }, { limit: 4 })
  t.match(messages, [
    { role: 'user', content: 'first' }, { role: 'assistant', content: 'first', complete: false },
    { role: 'user', content: 'second' }, { role: 'assistant', content: 'second', complete: true }
  ])
  await client.close()
})

t.test('what an executor throws ends its turn once, with a code and without its text', async (t) => {
  const { lines, logger } = readableLog()
  const failures: Record<string, Executor> = {
    before () { throw new Error('secret') },
    * during () { yield 'part'; throw new Error('secret') },
    async rejected () { throw new Error('secret') },
    * number () { yield 7 as unknown as string },
    nothing: () => undefined as unknown as string,
    told () { throw new AgentError('the orders are down') }
  }
  const { connect } = await serve(t, { fastify: { logger }, agentExecutor: failures })
  const client = await connect()
  for (const agentId of Object.keys(failures)) {
    client.send({ type: 'chat', agentId, message: 'x' })
    const frames = await answer(client)
    const message = agentId === 'told' ? 'the orders are down' : 'The agent failed'
    t.same(frames.at(-1), { type: 'error', agentId, code: 'AGENT_ERROR', message, retryable: true, done: true })
    t.same(frames.length, agentId === 'during' ? 2 : 1)
    t.equal(lines.filter(({ agentId: id, err }) => id === agentId && err !== undefined).length, 1, 'one log line has the cause')
  }
  await client.fence()
  await client.close()
})

t.test('a store that cannot tell a history is the store\'s failure, not the agent\'s', async (t) => {
  const clock = new ManualClock()
  const store = memorySessionStore()
  const asked = deferred()
  const messages = store.messages.bind(store)
  store.messages = () => { throw new Error('secret') }
  const { connect } = await serve(t, {
    clock, heartbeatMs: 1_000_000, sessionStore: store, async agentExecutor (turn) { return `${(await turn.history()).length}` }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'chat', message: 'x' })
  t.match(await client.next('error'), { code: 'STORE_UNAVAILABLE', done: true, message: 'The session cannot be kept right now' })
  Reflect.set(store, 'messages', () => { asked.resolve(); return new Promise(() => {}) })
  client.send({ type: 'chat', message: 'x' })
  await asked.promise
  clock.advance(5_000)
  t.match(await client.next('error'), { code: 'STORE_UNAVAILABLE', done: true })
  store.messages = messages
  client.send({ type: 'chat', message: 'x' })
  t.equal((await client.next('message')).content, '2')
  await client.close()
})

t.test('an agent id that objects inherit is no agent of a record', async (t) => {
  const { connect } = await serve(t, { agentExecutor: { main: () => 'hi' } })
  const client = await connect()
  for (const agentId of ['constructor', 'toString', 'hasOwnProperty', 'nobody']) {
    client.send({ type: 'chat', agentId, message: 'x' })
    t.match(await client.next('error'), { agentId, code: 'AGENT_NOT_FOUND', retryable: false, done: true })
  }
  await client.close()
})
