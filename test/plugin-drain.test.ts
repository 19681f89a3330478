import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import t from 'tap'

import { wsChannel, type Executor, type WsChannelOptions } from '../lib/index.js'
import { readableLog, serve } from './helpers/app.js'
import { attend, connect, refusal } from './helpers/channel-client.js'
import { deferred } from './helpers/deferred.js'
import { eventually } from './helpers/eventually.js'
import { ManualClock } from './helpers/manual-clock.js'

t.test('close lets running turns end, refuses new ones, and closes everybody 1012', async (t) => {
  const [started, gate] = [deferred(), deferred()]
  const { app, connect: open } = await serve(t, {
    drainTimeoutMs: 20_000,
    async * agentExecutor (turn) {
      started.resolve()
      yield 'begun '
      await gate.promise
      yield turn.message
    }
  })
  const [busy, idle, told] = [await open(), await open(), await open({ protocols: ['agent-channel.v1'] })]
  await told.next('ready')
  busy.send({ type: 'chat', sessionId: 's', message: 'and ended' })
  busy.send({ type: 'chat', sessionId: 's', message: 'never runs' })
  await started.promise
  await busy.next('stream')
  const closing = app.close()
  t.match(await told.next('reconnect'), { reason: 'the server is shutting down', afterMs: 1000 })
  for (const client of [idle, told]) t.same(await client.closed, { code: 1012, reason: 'the server is shutting down' })
  busy.send({ type: 'chat', agentId: 'other', message: 'too late' })
  t.match(await busy.next('error'), { agentId: 'other', code: 'SHUTTING_DOWN', retryable: true, done: true })
  await busy.fence()
  gate.resolve()
  t.equal((await busy.next('stream')).content, 'and ended')
  t.equal((await busy.next('stream')).done, true)
  t.match(await busy.next('error'), { code: 'SHUTTING_DOWN', done: true })
  t.equal((await busy.closed).code, 1012)
  await closing
})

t.test('drain can be called before close, while REST still answers', async (t) => {
  const { app, connect: open, origin, url } = await serve(t, { before (app) { app.get('/orders', async () => []) } })
  const client = await open()
  await app.channel.drain({ timeoutMs: 10 })
  t.equal((await client.closed).code, 1012)
  t.equal((await fetch(`${origin}/orders`)).status, 200)
  t.match(await refusal(connect(url)), { statusCode: 503, body: /SHUTTING_DOWN/ })
  await app.channel.drain()
})

t.test('a drain waits for whoever still reads, and cuts off nobody before its end', async (t) => {
  // Ends used to be dropped with everything else that a slower reader had not been sent yet.
  const piece = 'x'.repeat(1_000)
  let yielded = 0
  const { app, connect } = await serve(t, {
    drainTimeoutMs: 60_000,
    maxAnswerBytes: 64 * 1024 * 1024,
    * agentExecutor () { for (; yielded < 20_000; yielded++) yield piece }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.ws.pause()
  client.send({ type: 'chat', message: 'x' })
  await eventually(() => yielded > 1_000)
  const closing = app.close()
  let seen = -1
  await eventually(() => {
    const isStill = yielded === seen
    seen = yielded
    return isStill
  })
  client.ws.resume()
  let length = 0
  let frame = await client.next()
  for (; frame['done'] !== true; frame = await client.next()) length += String(frame['content']).length
  t.same([frame.type, length], ['stream', 20_000_000])
  t.equal((await client.closed).code, 1012)
  await closing
})

t.test('a drain takes any time there is, and nothing that is none', async (t) => {
  const { app, connect } = await serve(t, { agentExecutor: async function * () { yield 'a'; await gate.promise; yield 'b' } })
  const gate = deferred()
  t.throws(() => app.channel.drain({ timeoutMs: NaN }), { code: 'FST_WS_CHANNEL_OPTION' })
  t.throws(() => app.channel.drain({ timeoutMs: -1 }), { code: 'FST_WS_CHANNEL_OPTION' })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  const drained = app.channel.drain({ timeoutMs: Infinity })
  await client.fence()
  gate.resolve()
  t.equal((await client.next('stream')).content, 'b')
  t.equal((await client.next('stream')).done, true)
  t.equal((await client.closed).code, 1012)
  await drained
})

t.test('a drain keeps the process alive until the last turn has ended', async (t) => {
  // A turn whose client had gone used to end with the process, and `close()` never settled.
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const gate = deferred()
  const { app, connect } = await serve(t, {
    drainTimeoutMs: 60_000, async * agentExecutor () { yield 'a'; await gate.promise; yield 'b' }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  await client.terminate()
  await eventually(() => app.channel.stats().connections === 0)
  const before = timers()
  const drained = app.channel.drain()
  t.equal(timers(), before + 1)
  gate.resolve()
  await drained
  t.equal(timers(), before)
  const { messages } = await app.sessionStore.messages({ owner: 'anonymous', agentId: 'main', sessionId: 's' }, { limit: 2 })
  t.match(messages[1], { content: 'ab', complete: true })
})

t.test('a drain that fails is logged', async (t) => {
  class BrokenClock extends ManualClock {
    isBroken = false

    override after (ms: number, task: () => void): () => void {
      if (this.isBroken) throw new Error('no timer left')
      return super.after(ms, task)
    }
  }
  const { lines, logger } = readableLog()
  const clock = new BrokenClock()
  const app = Fastify({ logger })
  app.register(wsChannel, { clock } as WsChannelOptions)
  await app.ready()
  clock.isBroken = true
  await t.rejects(app.close(), { message: 'no timer left' })
  t.ok(lines.some(({ msg }) => msg === 'the channel could not be drained'))
})

t.test('a drain may take longer than pluginTimeout, and a second channel drains beside it', async (t) => {
  const gates = [deferred(), deferred()]
  const slow = (i: number): Executor => async function * () { yield 'x'; await gates[i]?.promise; yield 'y' }
  const { app, connect: open, port } = await serve(t, {
    fastify: { pluginTimeout: 50 },
    drainTimeoutMs: 60_000,
    agentExecutor: slow(0),
    before (app) {
      app.register(async (scope) => { scope.register(wsChannel, { agentExecutor: slow(1), drainTimeoutMs: 60_000 }) }, { prefix: '/b' })
    }
  })
  const clients = [await open(), attend(t, await connect(`ws://127.0.0.1:${port}/b/ws`))]
  for (const client of clients) {
    client.send({ type: 'chat', message: 'x' })
    await client.next('stream')
  }
  const closing = app.close()
  const longer = performance.now() + 100
  await eventually(() => performance.now() > longer)
  for (const gate of gates) gate.resolve()
  for (const client of clients) {
    t.equal((await client.next('stream')).content, 'y')
    await client.next('stream')
    t.equal((await client.closed).code, 1012)
  }
  await closing
})

t.test('a host\'s @fastify/websocket does not close our clients before our drain', async (t) => {
  const gate = deferred()
  const { app, connect } = await serve(t, {
    drainTimeoutMs: 60_000,
    before (app) { app.register(websocket, { options: { maxPayload: 1024 } }) },
    async * agentExecutor () { yield 'x'; await gate.promise; yield 'y' }
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  const closing = app.close()
  await client.fence()
  gate.resolve()
  t.equal((await client.next('stream')).content, 'y')
  await client.next('stream')
  t.equal((await client.closed).code, 1012)
  await closing
})
