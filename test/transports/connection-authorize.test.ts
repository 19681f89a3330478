import t from 'tap'

import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'

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
  const witness = await connect()
  gate.resolve(true)
  await witness.fence()
  t.equal(calls, 0)
  const failing = await serve(t, { async authorize () { asked2.resolve(); return await gate2.promise } })
  const [asked2, gate2] = [deferred(), deferred<boolean>()]
  const other = await failing.connect()
  other.send({ type: 'chat', sessionId: 's', message: 'x' })
  await asked2.promise
  await other.terminate()
  await eventually(() => failing.app.channel.stats().connections === 0)
  gate2.reject(new Error('too late'))
  await witness.fence()
  t.equal(failing.app.channel.stats().connections, 0)
  await witness.close()
})
