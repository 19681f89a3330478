import t from 'tap'

import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { answer } from '../helpers/plain-answer.js'

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

t.test('a client that asks faster than it reads is not read until its answers are out', async (t) => {
  const { connect, app } = await serve(t, {
    maxPendingRequests: 2,
    maxFramesPerSecond: 1_000,
    async authorize () { asked.resolve(); return await gate.promise }
  })
  const [asked, gate] = [deferred(), deferred<boolean>()]
  const [client, other] = [await connect(), await connect()]
  for (let i = 0; i < 3; i++) client.send({ type: 'chat', message: `${i}` })
  client.send({ type: 'ping' })
  client.ws.ping()
  await asked.promise
  await other.fence()
  t.same(client.unread(), [], 'nobody hears it')
  gate.resolve(true)
  const frames = await client.until('pong')
  t.equal(frames.filter(({ type }) => type === 'pong').length, 1)
  for (let done = frames.filter((frame) => frame['done'] === true).length; done < 3; done++) await answer(client)
  await client.close()
  await other.close()
  t.equal(app.channel.stats().turns, 0)
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
