// The end of connections that follow sessions: by a drain, by a notice, by a pulled plug.
import t, { type Test } from 'tap'

import { ChannelError, type WsChannelOptions } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { ack, end, failedEnd, piece, running, subscribed, turnStarted, waiting } from './expected.js'
import { Stage } from './stage.js'

const tick = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })
const RECONNECT = { type: 'reconnect', reason: 'the server is shutting down', afterMs: 1_000 }

async function open (t: Test, options: WsChannelOptions & { clock?: ManualClock } = {}) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, drainTimeoutMs: 60_000, ...options })
  return { ...host, stage, connect: () => host.connect({ query: '?sessionId=s' }) }
}

t.test('a drain closes a connection as soon as nothing that it follows runs', async (t) => {
  const { app, stage, connect } = await open(t)
  const [own, whole, elsewhere, plain] = [await connect(), await connect(), await connect(), await connect()]
  own.send({ type: 'chat', id: 'a', message: 'a' })
  const { epoch } = await own.next('ack')
  t.strictSame(await own.next(), turnStarted('a', 1))
  own.send({ type: 'chat', id: 'b', message: 'b' })
  t.match(await own.next('ack'), { status: 'queued', position: 1 })
  whole.send({ type: 'subscribe', sessionId: 's' })
  t.strictSame(await whole.next(), subscribed(epoch, 1, false, [running('a', ''), waiting('b', 'b')]))
  elsewhere.send({ type: 'subscribe', sessionId: 'elsewhere' })
  t.match(await elsewhere.next('subscribed'), { turns: [] })
  const drained = app.channel.drain()
  t.strictSame(await elsewhere.next(), RECONNECT)
  t.same(await elsewhere.closed, { code: 1012, reason: 'the server is shutting down' })
  t.equal((await plain.closed).code, 1012, 'a plain client is told by its close alone')
  for (const client of [own, whole]) {
    t.strictSame(await client.next(), RECONNECT)
    t.strictSame(await client.next(), failedEnd('SHUTTING_DOWN', 2, { id: 'b' }))
    await client.fence()
  }
  whole.send({ type: 'history', sessionId: 's' })
  t.match(await whole.next('history'), { messages: [{ content: 'a' }] }, 'other frames are served')
  whole.send({ type: 'subscribe', sessionId: 's', epoch })
  t.strictSame(await whole.next(), subscribed(epoch, 2, false, [running('a', '')]))
  stage.act('a').say('x').end()
  for (const client of [own, whole]) {
    for (const frame of [piece('x', 3), end(4)]) t.strictSame(await client.next(), frame)
    t.equal((await client.closed).code, 1012)
  }
  await drained
  t.match(app.channel.stats(), { connections: 0, turns: 0, followers: 0 })
})

t.test('a connection that has unsubscribed is closed though the session goes on', async (t) => {
  const { app, stage, connect } = await open(t)
  const [own, whole] = [await connect(), await connect()]
  whole.send({ type: 'subscribe', sessionId: 's' })
  const { epoch } = await whole.next('subscribed')
  own.send({ type: 'chat', id: 'a', message: 'a' })
  t.strictSame(await own.next(), ack('started', epoch, 0))
  for (const client of [own, whole]) t.strictSame(await client.next(), turnStarted('a', 1))
  const drained = app.channel.drain()
  for (const client of [own, whole]) t.strictSame(await client.next(), RECONNECT)
  whole.send({ type: 'unsubscribe', sessionId: 's' })
  await whole.next('unsubscribed')
  t.equal((await whole.closed).code, 1012)
  await own.fence()
  stage.act('a').end()
  t.strictSame(await own.next(), end(2))
  t.equal((await own.closed).code, 1012)
  await drained
})

t.test('a cancel under way, and a handler that thinks, are answered before the close', async (t) => {
  const [journal, gate] = [new SlowJournal(), deferred<unknown>()]
  let isAsked = false
  const { app, connect } = await open(t, {
    journal, ...{ after (host: typeof app) { host.channel.define('ask', { schema: {}, handler () { isAsked = true; return gate.promise } }) } }
  })
  const [one, two] = [await connect(), await connect()]
  one.send({ type: 'chat', id: 'a', message: 'a' })
  await one.next('ack')
  t.strictSame(await one.next(), turnStarted('a', 1))
  two.send({ type: 'ask', id: 'i' })
  await eventually(() => isAsked)
  const drained = app.channel.drain()
  t.strictSame(await one.next(), RECONNECT)
  one.send({ type: 'cancel', sessionId: 's' })
  t.strictSame(await one.next(), { type: 'cancelled', agentId: 'main', sessionId: 's', turns: ['a'] })
  t.strictSame(await one.next(), end(2, {}, 'aborted'))
  t.equal((await one.closed).code, 1012)
  t.strictSame(await two.next(), RECONNECT)
  await two.fence()
  gate.reject(new ChannelError('TURN_NOT_FOUND'))
  t.match(await two.next('error'), { id: 'i', code: 'TURN_NOT_FOUND' })
  t.equal((await two.closed).code, 1012)
  await drained
})

t.test('a drain whose time is over ends what runs, and tells every follower', async (t) => {
  const clock = new ManualClock()
  const { app, stage, connect } = await open(t, { clock, drainTimeoutMs: 1_000, heartbeatMs: 1_000_000 })
  stage.act('a').isDeaf = true
  const [own, whole] = [await connect(), await connect()]
  own.send({ type: 'chat', id: 'a', message: 'a', stream: false })
  const { epoch } = await own.next('ack')
  stage.act('a').say('x')
  t.strictSame(await own.next(), turnStarted('a', 1))
  await eventually(() => app.channel.stats().entries === 2)
  whole.send({ type: 'subscribe', sessionId: 's' })
  t.strictSame(await whole.next(), subscribed(epoch, 2, false, [running('a', 'x')]))
  const drained = app.channel.drain()
  for (const client of [own, whole]) t.strictSame(await client.next(), RECONNECT)
  clock.advance(1_000)
  for (const client of [own, whole]) {
    t.strictSame(await client.next(), failedEnd('SHUTTING_DOWN', 3))
    t.equal((await client.closed).code, 1012)
  }
  await drained
})

t.test('whoever used a frame beyond plain is told to reconnect, and nobody else', async (t) => {
  const frames: Array<[name: string, frame: object | undefined, isTold: boolean]> = [
    ['nothing', undefined, false], ['ping', { type: 'ping', id: 'i' }, false], ['plain chat', { type: 'chat', message: 'x' }, false],
    ['plain chat of a session', { type: 'chat', sessionId: 's', message: 'x' }, false],
    ['tracked chat', { type: 'chat', id: 'i', message: 'x' }, true], ['subscribe', { type: 'subscribe', sessionId: 's' }, true],
    ['unsubscribe', { type: 'unsubscribe', sessionId: 's' }, true], ['history', { type: 'history', sessionId: 's' }, true],
    ['cancel', { type: 'cancel' }, true], ['of the host', { type: 'mine' }, true]
  ]
  for (const [name, frame, isTold] of frames) {
    const { app, connect } = await open(t, {
      agentExecutor: () => 'x', ...{ after (host: typeof app) { host.channel.define('mine', { schema: {}, handler: () => 1 }) } }
    })
    const client = await connect()
    if (frame !== undefined) client.send(frame)
    await eventually(() => app.channel.stats().turns === 0)
    for (let quiet = 0; quiet < 2;) {
      client.send({ type: 'ping' })
      quiet = (await client.until('pong')).length === 1 ? quiet + 1 : 0
    }
    const drained = app.channel.drain()
    if (isTold) t.strictSame(await client.next(), RECONNECT, name)
    t.equal((await client.closed).code, 1012)
    t.strictSame(client.unread(), [], name)
    await drained
  }
})

t.test('a client that used such a frame hears of its credentials\' end before it', async (t) => {
  const clock = new ManualClock()
  const { connect } = await open(t, { clock, heartbeatMs: 1_000_000, identify: () => ({ owner: 'ada', expiresAt: clock.date() + 60_000 }) })
  const client = await connect()
  client.send({ type: 'subscribe', sessionId: 's' })
  await client.next('subscribed')
  clock.advance(31_000)
  t.strictSame(await client.next(), { type: 'reconnect', reason: 'the credentials expire', afterMs: 1_000 })
  clock.advance(30_000)
  t.equal((await client.closed).code, 4401)
})

for (const name of ['in memory', 'over a network']) {
  t.test(`a socket that dies at any moment leaves no follower, turn or timer, with a journal ${name}`, async (t) => {
    const clock = new ManualClock()
    const made = name === 'in memory' ? undefined : new SlowJournal({ clock })
    const { app, connect } = await open(t, {
      clock,
      heartbeatMs: 1_000_000,
      maxFramesPerSecond: 1_000,
      journal: made,
      agentExecutor: async function * (turn) {
        for (const part of turn.message) {
          await tick()
          turn.signal.throwIfAborted()
          yield part
        }
      }
    })
    const before = clock.pending
    const frames = (i: number): object[] => [
      { type: 'subscribe', sessionId: `s${i % 7}` },
      { type: 'chat', id: `a${i}`, sessionId: `s${i % 7}`, message: 'abcdef' },
      { type: 'chat', id: `b${i}`, sessionId: `s${i % 5}`, message: 'abcdef', stream: false },
      { type: 'chat', sessionId: `s${i % 3}`, message: 'abcdef' },
      { type: 'chat', message: 'abcdef' },
      { type: 'chat', id: `a${i}`, sessionId: `s${i % 7}`, message: 'abcdef' },
      { type: 'history', sessionId: `s${i % 7}` },
      { type: 'cancel', turnId: `b${i}` },
      { type: 'unsubscribe', sessionId: `s${i % 7}` },
      { type: 'subscribe', sessionId: `s${i % 3}`, epoch: 'x', after: 1 },
      { type: 'cancel', sessionId: `s${i % 5}` }
    ]
    await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      const client = await connect()
      for (const frame of frames(i).slice(0, 1 + i % 11)) client.send(frame)
      for (let waited = 0; waited < i % 13; waited++) await tick()
      if (i % 4 === 0) await client.next()
      await client.terminate()
      while (client.unread().length > 0) await client.next()
    }))
    await eventually(() => app.channel.stats().connections === 0 && app.channel.stats().turns === 0)
    await eventually(() => app.channel.stats().followers === 0)
    t.match(app.channel.stats(), { connections: 0, turns: 0, runningTurns: 0, followers: 0 })
    // Sessions and claims have one timer for each journal until their time is over.
    clock.advance(1_000_000)
    t.match(app.channel.stats(), { sessions: 0, entries: 0, bytes: 0, claims: 0 })
    t.equal(clock.pending, before)
    if (made !== undefined) t.equal(made.openCursors, 0)
  })
}
