import { once } from 'node:events'

import t from 'tap'

import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'

// The refusals used to be answered at once, and a client took them for the answer to the chat before.
t.test('a plain chat that is bad is answered behind one over which the host still thinks', async (t) => {
  const verdict = deferred<boolean>()
  const { connect } = await serve(t, { authorize: () => verdict.promise, agentExecutor: ({ message }) => message })
  const client = await connect()
  client.send({ type: 'chat', message: 'first' })
  client.send({ type: 'chat', message: '' })
  client.send({ type: 'chat', message: 'third' })
  await client.fence()
  verdict.resolve(true)
  t.same(await client.next('message'), { type: 'message', agentId: 'main', content: 'first', done: true })
  t.match(await client.next('error'), { agentId: 'main', code: 'VALIDATION_FAILED', done: true, details: { path: '/message' } })
  t.same(await client.next('message'), { type: 'message', agentId: 'main', content: 'third', done: true })
  await client.close()
})

t.test('so is one that is too much', async (t) => {
  const verdict = deferred<boolean>()
  const { connect } = await serve(t, {
    clock: new ManualClock(), maxFramesPerSecond: 2, authorize: () => verdict.promise, agentExecutor: ({ message }) => message
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'first' })
  await client.fence()
  client.send({ type: 'chat', message: 'second' })
  // The answer to a WebSocket ping shows that the frame before it was read.
  client.ws.ping()
  await once(client.ws, 'pong')
  verdict.resolve(true)
  t.same(await client.next('message'), { type: 'message', agentId: 'main', content: 'first', done: true })
  t.match(await client.next('error'), { agentId: 'main', code: 'RATE_LIMITED', done: true, retryAfterMs: 500 })
  await client.close()
})

t.test('what waits is dropped with its connection', async (t) => {
  const verdict = deferred<boolean>()
  const { connect, app } = await serve(t, { authorize: () => verdict.promise })
  const client = await connect()
  client.send({ type: 'chat', message: 'first' })
  client.send({ type: 'chat', message: '' })
  await client.fence()
  await client.terminate()
  await eventually(() => app.channel.stats().connections === 0)
  verdict.resolve(true)
  const other = await connect()
  await other.fence()
  t.match(app.channel.stats(), { connections: 1, turns: 0, followers: 0 })
  await other.close()
})
