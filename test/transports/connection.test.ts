import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'

import t from 'tap'

import { AgentError, memorySessionStore, type Executor, type Turn } from '../../lib/index.js'
import { serve, readableLog } from '../helpers/app.js'
import type { Frame } from '../helpers/channel-client.js'
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

t.test('chats that name no session continue the conversation of their connection, and of no other', async (t) => {
  const { app, connect } = await serve(t, {
    async agentExecutor (turn) {
      const said = await turn.history()
      return [...said.map(({ role, content }) => `${role}: ${content}`), turn.message].join(' | ')
    }
  })
  const [one, two] = [await connect(), await connect()]
  one.send({ type: 'chat', message: 'a' })
  t.equal((await one.next('message')).content, 'a')
  one.send({ type: 'chat', message: 'b' })
  t.equal((await one.next('message')).content, 'user: a | assistant: a | b')
  two.send({ type: 'chat', message: 'c' })
  t.equal((await two.next('message')).content, 'c')
  await one.close()
  await two.close()
  t.same(await app.sessionStore.list({ owner: 'anonymous', agentId: 'main' }, { limit: 10 }), { sessions: [] },
    'nothing of it is in the host\'s store')
})

t.test('the query sets the agent and session of chats that name none', async (t) => {
  const { connect } = await serve(t, { agentExecutor: ({ agentId, sessionId }) => `${agentId}/${sessionId}` })
  const client = await connect({ query: '?agentId=sales&sessionId=s-9' })
  client.send({ type: 'chat', message: 'x' })
  t.same(await client.next(), { type: 'message', agentId: 'sales', content: 'sales/s-9', done: true })
  client.send({ type: 'chat', agentId: 'main', sessionId: 's-1', message: 'x' })
  t.equal((await client.next('message')).content, 'main/s-1')
  client.send({ type: 'chat', message: '' })
  t.equal((await client.next('error')).agentId, 'sales')
  await client.close()
})

t.test('the executor gets the message, metadata and context, and nothing that the client made up', async (t) => {
  const turns: Turn[] = []
  const { connect } = await serve(t, {
    identify: () => ({ owner: 'ada', context: { plan: 'pro', none: undefined } }),
    agentExecutor (turn) { turns.push(turn); return 'ok' }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's', message: 'hi', metadata: { a: [1] }, admin: true })
  await client.next('message')
  const [turn] = turns
  t.match(turn, { agentId: 'main', sessionId: 's', owner: 'ada', message: 'hi' })
  t.same(turn?.metadata, { a: [1] })
  t.same(turn?.context, { plan: 'pro' })
  t.notOk(turn?.signal.aborted)
  t.notOk('admin' in (turn ?? {}))
  await client.close()
})

t.test('ping is answered at once, with its id, also while a turn runs', async (t) => {
  const gate = deferred()
  const { connect } = await serve(t, { async * agentExecutor () { await gate.promise; yield 'x' } })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  client.send({ type: 'ping', id: 'p-1' })
  t.same(await client.next('pong'), { type: 'pong', id: 'p-1' })
  await client.fence()
  gate.resolve()
  await answer(client)
  await client.close()
})

t.test('a bad frame gets an error with its id, reaches no executor, and the connection lives on', async (t) => {
  let calls = 0
  const { connect } = await serve(t, { agentExecutor: () => { calls++; return 'x' } })
  const client = await connect()
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  const cases: Array<[string | Uint8Array, Partial<Frame>]> = [
    ['no json', { code: 'INVALID_FRAME' }],
    ['"text"', { code: 'INVALID_FRAME' }],
    ['[]', { code: 'INVALID_FRAME' }],
    [deep, { code: 'INVALID_FRAME' }],
    [Buffer.from('{"type":"ping"}'), { code: 'INVALID_FRAME' }],
    ['{"type":"nope","id":"a"}', { code: 'UNKNOWN_TYPE', id: 'a' }],
    ['{"type":"ack","id":"a"}', { code: 'UNKNOWN_TYPE', id: 'a', details: { path: '/type', rule: 'no such type' } }],
    ['{"type":"cancel","id":"a","turnId":""}', { code: 'VALIDATION_FAILED', id: 'a', details: { path: '/turnId' } }],
    ['{"type":"subscribe","id":"a"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"subscribe","id":"a","sessionId":"s","after":1}', { code: 'VALIDATION_FAILED', id: 'a', details: { path: '/epoch' } }],
    ['{"type":"subscribe","id":"a","sessionId":"s","epoch":"e","after":-1}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"unsubscribe","id":"a"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"history","id":"a"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"history","id":"a","sessionId":"s","limit":201}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"id":"a"}', { code: 'VALIDATION_FAILED', id: 'a', details: { path: '/type', rule: 'expected a string' } }],
    ['{"type":"chat","id":"a","message":1}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"chat","id":"a","message":"x"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"chat","message":"x","sessionId":"\\ud800"}', { code: 'VALIDATION_FAILED', agentId: 'main', done: true }],
    ['{"type":"chat","message":"x","agentId":""}', { code: 'VALIDATION_FAILED', agentId: 'main', done: true }],
    ['{"type":"chat","message":"x","__proto__":{}}', { code: 'VALIDATION_FAILED', agentId: 'main', done: true }],
    [`{"type":"chat","message":"x","metadata":{"a":${deep}}}`, { code: 'VALIDATION_FAILED', agentId: 'main', done: true }]
  ]
  for (const [data, expected] of cases) {
    if (typeof data === 'string') client.sendRaw(data)
    else client.sendRaw(data, { binary: true })
    t.match(await client.next('error'), { ...expected, retryable: false }, String(data).slice(0, 60))
  }
  await client.fence()
  t.equal(calls, 0)
  await client.close()
})

t.test('an interrupt ends the running answer with what there is, and starts', async (t) => {
  const { app, connect } = await serve(t, {
    async * agentExecutor (turn) {
      yield turn.message
      if (turn.message === 'first') await new Promise((resolve) => { turn.signal.addEventListener('abort', resolve) })
    }
  })
  const client = await connect({ query: '?sessionId=s' })
  for (const stream of [true, false]) {
    client.send({ type: 'chat', message: 'first', stream })
    if (stream) t.match(await client.next('stream'), { content: 'first', done: false })
    else await eventually(() => app.channel.stats().entries === 9)
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

t.test('more chats than may wait in a session are refused', async (t) => {
  const gate = deferred()
  const { connect } = await serve(t, { maxQueuedTurns: 2, async agentExecutor (turn) { await gate.promise; return turn.message } })
  const [one, two] = [await connect({ query: '?sessionId=s' }), await connect({ query: '?sessionId=s' })]
  for (const message of ['a', 'b', 'c']) one.send({ type: 'chat', message })
  await one.fence()
  two.send({ type: 'chat', message: 'd' })
  t.match(await two.next('error'), { code: 'QUEUE_FULL', retryable: true, retryAfterMs: 1000, done: true })
  gate.resolve()
  for (const message of ['a', 'b', 'c']) t.equal((await one.next('message')).content, message)
  await one.close()
  await two.close()
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

t.test('a message that is too big closes 1009, bytes that are not UTF-8 close 1007, and the process lives on', async (t) => {
  const { connect, app } = await serve(t, { maxPayload: 1024 * 1024 })
  const big = await connect()
  big.send({ type: 'chat', message: 'x'.repeat(2 * 1024 * 1024) })
  t.equal((await big.closed).code, 1009)
  const garbled = await connect()
  garbled.sendRaw(Buffer.from([0xc3, 0x28]), { binary: false })
  t.equal((await garbled.closed).code, 1007)
  const fine = await connect()
  await fine.fence()
  await fine.close()
  t.match(app.channel.stats(), { turns: 0, followers: 0 })
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

t.test('a socket that dies at any moment leaves nothing behind', async (t) => {
  const { app, connect } = await serve(t, {
    async * agentExecutor (turn) {
      for (const piece of turn.message) {
        await new Promise((resolve) => { setImmediate(resolve) })
        turn.signal.throwIfAborted()
        yield piece
      }
    }
  })
  const clients = await Promise.all(Array.from({ length: 30 }, () => connect()))
  await Promise.all(clients.map(async (client, i) => {
    client.send({ type: 'chat', message: 'abcdefghij' })
    client.send({ type: 'chat', agentId: 'other', message: 'abcdefghij' })
    for (let read = 0; read < i % 10; read++) await client.next()
    await client.terminate()
    while (client.unread().length > 0) await client.next()
  }))
  const clear = { connections: 0, turns: 0, runningTurns: 0, followers: 0, sessions: 0, entries: 0, bytes: 0, claims: 0 }
  const isBusy = (): boolean => Object.values(app.channel.stats()).some((count) => count > 0)
  await eventually(() => !isBusy())
  t.same(app.channel.stats(), clear)
})

t.test('a turn of a named session goes on without its socket, and its answer is in the history', async (t) => {
  const [gate, done] = [deferred(), deferred()]
  const { app, connect } = await serve(t, {
    async * agentExecutor () {
      yield 'begun, '
      await gate.promise
      yield 'and ended'
      done.resolve()
    }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's', message: 'x' })
  await client.next('stream')
  await client.terminate()
  gate.resolve()
  await done.promise
  const key = { owner: 'anonymous', agentId: 'main', sessionId: 's' }
  await eventually(() => app.channel.stats().turns === 0)
  const { messages } = await app.sessionStore.messages(key, { limit: 10 })
  t.match(messages, [{ role: 'user', content: 'x', complete: true }, { role: 'assistant', content: 'begun, and ended', complete: true }])
})

t.test('a client of the subprotocol gets ready first', async (t) => {
  const { connect } = await serve(t, { heartbeatMs: 9_000 })
  const client = await connect({ protocols: ['agent-channel.v1'] })
  t.equal(client.ws.protocol, 'agent-channel.v1')
  const ready = await client.next('ready')
  t.match(ready, { protocol: 'agent-channel.v1', maxPayload: 1024 * 1024, heartbeatMs: 9_000, types: [] })
  const other = await connect({ protocols: ['agent-channel.v1'] })
  const { journal, connectionId } = await other.next('ready')
  t.equal(journal, ready.journal)
  t.not(connectionId, ready.connectionId)
  await client.close()
  await other.close()
})

t.test('more frames than allowed are refused, and going on all the same closes 4429', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, { clock, maxFramesPerSecond: 5, agentExecutor: () => 'x' })
  const client = await connect()
  for (let i = 0; i < 5; i++) await client.fence()
  client.send({ type: 'ping', id: 'one-too-many' })
  t.match(await client.next('error'), { id: 'one-too-many', code: 'RATE_LIMITED', retryable: true, retryAfterMs: 200 })
  client.send({ type: 'chat', message: 'x' })
  t.match(await client.next('error'), { agentId: 'main', code: 'RATE_LIMITED', done: true })
  clock.advance(1_000)
  await client.fence()
  for (let i = 0; i < 20; i++) client.send({ type: 'ping' })
  t.equal((await client.closed).code, 4429)
  while (client.unread().length > 0) await client.next()
})

t.test('frames are limited for all connections of an owner together', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, { clock, maxFramesPerSecondPerOwner: 4, identify: () => 'ada' })
  const [one, two] = [await connect(), await connect()]
  for (const client of [one, two, one, two]) await client.fence()
  for (const client of [one, two]) {
    client.send({ type: 'ping' })
    t.match(await client.next('error'), { code: 'RATE_LIMITED' })
    await client.close()
  }
})

t.test('one connection\'s flood does not close the others of its owner', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, { clock, maxFramesPerSecondPerOwner: 4, maxFramesPerSecond: 100, identify: () => 'ada' })
  const [loud, quiet] = [await connect(), await connect()]
  for (let i = 0; i < 30; i++) loud.send({ type: 'ping' })
  for (let i = 0; i < 4; i++) await loud.next('pong')
  for (let i = 4; i < 30; i++) t.match(await loud.next('error'), { code: 'RATE_LIMITED' })
  quiet.send({ type: 'ping' })
  t.match(await quiet.next('error'), { code: 'RATE_LIMITED' })
  await loud.close()
  await quiet.close()
})

t.test('frames of a type that is none are bad frames, and the host is not asked about them', async (t) => {
  const asked: string[] = []
  const { connect } = await serve(t, { maxErrorsPerMinute: 2, authorize (frame) { asked.push(frame.type); return true } })
  const client = await connect()
  for (let i = 0; i < 2; i++) {
    client.send({ type: 'subscribed' })
    await client.next('error')
  }
  client.send({ type: 'subscribed' })
  t.equal((await client.closed).code, 4400)
  t.same(asked, [])
})

t.test('authorize sees the agent and session that a chat goes to, also by default', async (t) => {
  // It used to see the frame as it came: `?agentId=internal` went past a rule about the frame's `agentId`.
  const asked: unknown[] = []
  const { connect } = await serve(t, {
    agentExecutor: () => 'x',
    authorize (frame) { asked.push(frame); return frame.type !== 'chat' || frame.agentId !== 'internal' }
  })
  const client = await connect({ query: '?agentId=internal&sessionId=s' })
  client.send({ type: 'chat', message: 'x' })
  t.match(await client.next('error'), { agentId: 'internal', code: 'FORBIDDEN' })
  client.send({ type: 'chat', message: 'x', agentId: 'main', sessionId: 't' })
  await client.next('message')
  await client.close()
  t.same(asked, [
    { type: 'chat', message: 'x', agentId: 'internal', sessionId: 's' },
    { type: 'chat', message: 'x', agentId: 'main', sessionId: 't' }
  ])
})

t.test('an authorize that never answers is an INTERNAL error after its time', async (t) => {
  // It used to keep the connection waiting, unread and unwatched, for ever.
  const [asked, clock] = [deferred(), new ManualClock()]
  const { connect } = await serve(t, {
    clock, heartbeatMs: 1_000_000, authorizeTimeoutMs: 2_000, authorize () { asked.resolve(); return new Promise(() => {}) }
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  await asked.promise
  await client.fence()
  clock.advance(2_000)
  t.match(await client.next('error'), { agentId: 'main', code: 'INTERNAL', done: true })
  await client.close()
})

t.test('a connection has sessions of its own with so many agents, and the oldest silent one ends for one more', async (t) => {
  // A client could make up agents, and with each of them a session that stayed.
  const gate = deferred()
  const { app, connect } = await serve(t, {
    maxOwnSessions: 2,
    async * agentExecutor (turn) {
      if (turn.message === 'wait') await gate.promise
      yield String((await turn.history()).length)
    }
  })
  const client = await connect()
  const ask = async (agentId: string, message = 'x'): Promise<string> => {
    client.send({ type: 'chat', agentId, message })
    return text(await answer(client))
  }
  client.send({ type: 'chat', agentId: 'busy', message: 'wait' })
  t.same([await ask('a'), await ask('a')], ['0', '2'])
  t.equal(await ask('b'), '0')
  t.equal(await ask('a'), '0', 'it was forgotten for b')
  gate.resolve()
  t.equal(text(await answer(client)), '0')
  t.equal(await ask('busy'), '2', 'it was not')
  await eventually(() => app.channel.stats().sessions === 2)
  for (const agentId of ['c', 'd', 'e']) t.equal(await ask(agentId), '0')
  await eventually(() => app.channel.stats().sessions === 2)
  await client.close()
})

t.test('too many bad frames close 4400', async (t) => {
  const { connect } = await serve(t, { maxErrorsPerMinute: 3 })
  const client = await connect()
  for (let i = 0; i < 3; i++) {
    client.sendRaw('?')
    await client.next('error')
  }
  client.sendRaw('?')
  t.equal((await client.closed).code, 4400)
})

t.test('a client that asks faster than it reads is not read until its answers are out', async (t) => {
  const { connect, app } = await serve(t, {
    maxPendingRequests: 2,
    maxFramesPerSecond: 1_000,
    authorize: async () => await gate.promise
  })
  const gate = deferred<boolean>()
  const client = await connect()
  for (let i = 0; i < 3; i++) client.send({ type: 'chat', message: `${i}` })
  client.send({ type: 'ping' })
  client.ws.ping()
  await new Promise((resolve) => { setImmediate(resolve) })
  t.same(client.unread(), [], 'nobody hears it')
  gate.resolve(true)
  const frames = await client.until('pong')
  t.equal(frames.filter(({ type }) => type === 'pong').length, 1)
  for (let done = frames.filter((frame) => frame['done'] === true).length; done < 3; done++) await answer(client)
  await client.close()
  t.equal(app.channel.stats().turns, 0)
})

t.test('authorize has the last word on every frame but ping, one after the other', async (t) => {
  const gate = deferred<boolean>()
  const asked: string[] = []
  const { connect } = await serve(t, {
    identify: () => 'ada',
    agentExecutor: ({ message }) => message,
    authorize (frame, owner) {
      const message = 'message' in frame ? String(frame.message) : ''
      asked.push(`${owner} ${message}`)
      if (message === 'throw') throw new Error('boom')
      if (message === 'reject') return Promise.reject(new Error('boom'))
      return message === 'slow' ? gate.promise : message !== 'no'
    }
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'no' })
  t.same(await client.next('error'),
    { type: 'error', agentId: 'main', code: 'FORBIDDEN', message: 'Not allowed', retryable: false, done: true })
  client.send({ type: 'chat', message: 'throw' })
  t.match(await client.next('error'), { code: 'INTERNAL', done: true })
  client.send({ type: 'chat', message: 'reject' })
  t.match(await client.next('error'), { code: 'INTERNAL', done: true })
  client.send({ type: 'chat', message: 'slow' })
  client.send({ type: 'chat', message: 'quick' })
  await client.fence()
  t.same(asked, ['ada no', 'ada throw', 'ada reject', 'ada slow'])
  gate.resolve(true)
  t.equal((await client.next('message')).content, 'slow')
  t.equal((await client.next('message')).content, 'quick')
  await client.close()
})

t.test('a verdict that comes after the client has gone starts nothing', async (t) => {
  const [asked, gate] = [deferred(), deferred<boolean>()]
  let calls = 0
  const { connect, app } = await serve(t, {
    agentExecutor: () => { calls++; return 'x' },
    async authorize () { asked.resolve(); return await gate.promise }
  })
  const client = await connect()
  client.send({ type: 'chat', sessionId: 's', message: 'x' })
  await asked.promise
  await client.terminate()
  await eventually(() => app.channel.stats().connections === 0)
  gate.resolve(true)
  await new Promise((resolve) => { setImmediate(resolve) })
  t.equal(calls, 0)
  const failing = await serve(t, { async authorize () { asked2.resolve(); return await gate2.promise } })
  const [asked2, gate2] = [deferred(), deferred<boolean>()]
  const other = await failing.connect()
  other.send({ type: 'chat', sessionId: 's', message: 'x' })
  await asked2.promise
  await other.terminate()
  await eventually(() => failing.app.channel.stats().connections === 0)
  gate2.reject(new Error('too late'))
  await new Promise((resolve) => { setImmediate(resolve) })
  t.equal(failing.app.channel.stats().connections, 0)
})

t.test('the server pings, hears any sign of life, and drops a peer without one: 4408', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, { clock, heartbeatMs: 10_000, pongTimeoutMs: 4_000 })
  const [alive, dead] = [await connect(), await connect()]
  let pings = 0
  alive.ws.on('ping', () => { pings++ })
  // A peer that is there but says nothing: it does not even answer a ping.
  dead.ws.pong = () => {}
  await dead.fence()
  clock.advance(10_000)
  await once(alive.ws, 'ping')
  await alive.fence()
  clock.advance(3_000)
  await alive.fence()
  clock.advance(1_500)
  t.same(await dead.closed, { code: 4408, reason: 'no sign of life' })
  t.equal(pings, 1)
  await alive.fence()
  await alive.close()
})

t.test('a connection ends with its credentials, and a client of the subprotocol hears of it before', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, {
    clock, heartbeatMs: 1_000_000, identify: () => ({ owner: 'ada', expiresAt: clock.date() + 60_000 })
  })
  const [told, plain] = [await connect({ protocols: ['agent-channel.v1'] }), await connect()]
  await told.next('ready')
  clock.advance(29_000)
  await told.fence()
  clock.advance(2_000)
  t.match(await told.next('reconnect'), { reason: 'the credentials expire', afterMs: 1000 })
  clock.advance(2_000)
  await told.fence()
  await plain.fence()
  clock.advance(30_000)
  for (const client of [told, plain]) t.same(await client.closed, { code: 4401, reason: 'credentials expired' })
})

t.test('the host can disconnect an owner: 4403', async (t) => {
  const { app, connect } = await serve(t, { identify: (request) => String(request.headers['x-user']) })
  const [ada, bob] = [await connect({ headers: { 'x-user': 'ada' } }), await connect({ headers: { 'x-user': 'bob' } })]
  await ada.fence()
  t.equal(app.channel.disconnect('ada'), 1)
  t.same(await ada.closed, { code: 4403, reason: 'disconnected by the host' })
  t.equal(app.channel.disconnect('ada'), 0)
  await bob.fence()
  await bob.close()
})

t.test('a peer that does not answer a close is cut off after closeTimeoutMs', async (t) => {
  const clock = new ManualClock()
  const { app, connect } = await serve(t, { clock, identify: () => 'ada' })
  const client = await connect()
  await client.fence()
  client.ws.pause()
  app.channel.disconnect('ada')
  clock.advance(499)
  t.equal(app.channel.stats().connections, 1)
  clock.advance(1)
  client.ws.resume()
  await client.closed
  await eventually(() => app.channel.stats().connections === 0)
})

t.test('more unanswered chats than a connection may have are refused', async (t) => {
  const gate = deferred()
  const { connect } = await serve(t, { maxTurnsPerConnection: 2, async agentExecutor () { await gate.promise; return 'x' } })
  const client = await connect()
  for (const sessionId of ['a', 'b', 'c']) client.send({ type: 'chat', sessionId, message: 'x' })
  await client.fence()
  gate.resolve()
  await client.next('message')
  await client.next('message')
  t.match(await client.next('error'), { code: 'RATE_LIMITED', retryable: true, retryAfterMs: 1000, done: true })
  await client.close()
})

t.test('a client that breaks the WebSocket protocol is closed and logged', async (t) => {
  const { lines, logger } = readableLog()
  const { port, app } = await serve(t, { fastify: { logger } })
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  await once(socket, 'data')
  // A text frame without the mask that a client owes.
  socket.write(Buffer.from([0x81, 0x01, 0x61]))
  socket.resume()
  await once(socket, 'close')
  await eventually(() => app.channel.stats().connections === 0)
  t.ok(lines.some(({ msg }) => String(msg).includes('broke the WebSocket protocol')))
})
