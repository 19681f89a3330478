import t, { type Test } from 'tap'

import { ChannelError, memoryJournal, type FollowOptions, type ServerFrame, type WsChannelOptions } from '../../lib/index.js'
import { ERROR_CODES } from '../../lib/protocol/codes.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { end, event, piece, running, subscribed, turnStarted, waiting, wholeEnd } from './expected.js'
import { Stage } from './stage.js'

const SESSION = { owner: 'anonymous', sessionId: 's' }
const tick = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

async function open (t: Test, options: WsChannelOptions & { clock?: ManualClock } = {}) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, ...options })
  const { channel } = host.app
  const start = (id: string, more: object = {}) => channel.startTurn({ ...SESSION, id, message: id, ...more })
  const follow = (followOptions?: FollowOptions): Following => new Following(channel.follow(SESSION, followOptions))
  return { ...host, stage, channel, start, follow }
}

/** What an iteration has given, one by one. */
class Following {
  readonly frames: AsyncGenerator<ServerFrame, void, undefined>
  constructor (frames: AsyncGenerator<ServerFrame, void, undefined>) { this.frames = frames }

  async next (): Promise<ServerFrame | 'done'> {
    const { value, done } = await this.frames.next()
    return done === true ? 'done' : value
  }
}

t.test('the host starts turns, follows them, and is told by whole frames', async (t) => {
  const { channel, stage, start, follow } = await open(t)
  const context = { plan: 'pro' }
  const started = await start('a', { metadata: { k: 1 }, context })
  const { epoch } = started as { epoch: string }
  t.strictSame(started, { id: 'a', status: 'started', position: 0, epoch, seq: 0 })
  context.plan = 'none'
  t.strictSame(await start('b'), { id: 'b', status: 'queued', position: 1, epoch, seq: 1 })
  t.match(await stage.act('a').started.promise, { owner: 'anonymous', agentId: 'main', sessionId: 's', id: 'a', metadata: { k: 1 }, context: { plan: 'pro' } })
  const [all, late] = [follow({ epoch, after: 0 }), follow()]
  t.strictSame(await all.next(), subscribed(epoch, 0, true, [{ ...running('a'), metadata: { k: 1 } }, waiting('b', 'b')]))
  t.strictSame(await late.next(), subscribed(epoch, 1, false, [{ ...running('a', ''), metadata: { k: 1 } }, waiting('b', 'b')]))
  t.equal(channel.stats().followers, 2)
  t.strictSame(await all.next(), event('turn-started', { message: 'a', metadata: { k: 1 } }, 1))
  stage.act('a').say('x').end()
  stage.act('b').returns('y')
  for (const following of [all, late]) {
    for (const frame of [piece('x', 2), end(3), turnStarted('b', 4, { id: 'b' }), wholeEnd('y', 5, { id: 'b' })]) t.strictSame(await following.next(), frame)
  }
  await all.frames.return()
  await late.frames.return()
  t.equal(channel.stats().followers, 0)
})

t.test('with an id a chat runs once, without one it has one of ours', async (t) => {
  const { channel, stage, start } = await open(t)
  stage.act('a').end()
  await start('a')
  t.strictSame(await start('a'), { id: 'a', status: 'duplicate' })
  await eventually(() => channel.stats().turns === 0)
  t.strictSame(await start('a'), { id: 'a', status: 'duplicate' })
  await t.rejects(start('a', { message: 'b' }), { name: 'ChannelError', code: 'ID_CONFLICT', retryable: false, message: 'This id was used for another chat' })
  stage.act('n').end()
  const { id, status } = await channel.startTurn({ ...SESSION, message: 'n' })
  t.match([id, status], [/^\S{36}$/, 'started'])
  await eventually(() => channel.stats().turns === 0)
  t.strictSame(stage.begun, ['a', 'n'])
  t.equal(channel.stats().claims, 1)
})

t.test('what a client would be refused the host is too, by a ChannelError of the same code', async (t) => {
  const { executor } = new Stage()
  const { app, channel, start } = await open(t, {
    agentExecutor: { main: executor }, maxQueuedTurns: 1, maxEventBytes: 10, journal: memoryJournal({ maxSessions: 2 })
  })
  await start('a')
  await start('b')
  const cases: Array<[name: string, asked: () => Promise<unknown>, expected: object]> = [
    ['busy', () => start('c', { onBusy: 'reject' }), { code: 'SESSION_BUSY', retryable: true, retryAfterMs: 1_000 }],
    ['full', () => start('c'), { code: 'QUEUE_FULL', retryAfterMs: 1_000 }],
    ['agent', () => start('c', { agentId: 'nobody' }), { code: 'AGENT_NOT_FOUND', retryable: false, retryAfterMs: undefined, details: undefined }],
    ['message', () => start('c', { message: '' }), { code: 'VALIDATION_FAILED', details: { path: '/message' } }],
    ['large', () => start('c', { message: 'x'.repeat(2_000_000) }), { code: 'VALIDATION_FAILED', details: { path: '', rule: /maxPayload/ } }],
    ['session', () => start('c', { sessionId: undefined }), { code: 'VALIDATION_FAILED', details: { path: '/sessionId' } }],
    ['agent id', () => start('c', { agentId: 'a\n' }), { code: 'VALIDATION_FAILED', details: { path: '/agentId' } }],
    ['id', () => start(''), { code: 'VALIDATION_FAILED', details: { path: '/id' } }],
    ['onBusy', () => start('c', { onBusy: 'wait' }), { code: 'VALIDATION_FAILED', details: { path: '/onBusy' } }],
    ['owner', () => start('c', { owner: '' }), { code: 'VALIDATION_FAILED', details: { path: '/owner' } }],
    ['owner', () => start('c', { owner: undefined }), { code: 'VALIDATION_FAILED', message: /: \/owner expected a string/ }],
    ['cancel', () => channel.cancel({ owner: 'o', sessionId: undefined as never }), { code: 'VALIDATION_FAILED', details: { path: '/sessionId' } }],
    ['cancel', () => channel.cancel({ owner: 'o', sessionId: '' }), { code: 'VALIDATION_FAILED', details: { path: '/sessionId' } }],
    ['publish', () => channel.publish({ owner: '', sessionId: 's' }, 'x'), { code: 'VALIDATION_FAILED', details: { path: '/owner' } }],
    ['name', () => channel.publish(SESSION, 'turn-started'), { code: 'VALIDATION_FAILED', details: { path: '/name' } }],
    ['name', () => channel.publish(SESSION, ''), { code: 'VALIDATION_FAILED', details: { path: '/name' } }],
    ['data', () => channel.publish(SESSION, 'x', '0123456789'), { code: 'VALIDATION_FAILED', details: { path: '/data', rule: /10 bytes/ } }],
    ['no JSON', () => channel.publish(SESSION, 'x', 1n), { code: 'VALIDATION_FAILED', details: { path: '/data', rule: /JSON/ } }],
    ['follow', () => channel.follow({ owner: '', sessionId: 's' }).next(), { code: 'VALIDATION_FAILED', details: { path: '/owner' } }]
  ]
  for (const [name, asked, expected] of cases) {
    const thrown: unknown = await asked().then(() => undefined, (err: unknown) => err)
    t.ok(thrown instanceof ChannelError, name)
    t.match(thrown, expected, name)
  }
  const other = channel.follow({ owner: 'o', sessionId: 't' })
  await other.next()
  await t.rejects(channel.follow({ owner: 'o', sessionId: 'u' }).next(), { code: 'RATE_LIMITED' }, 'no room in the journal')
  await other.return()
  t.equal(channel.stats().followers, 0)
  t.strictSame(await channel.cancel(SESSION), ['a', 'b'])
  await app.channel.drain()
  await t.rejects(start('z'), { code: 'SHUTTING_DOWN', retryable: true })
})

t.test('the host cancels turns, all or one, and is told which', async (t) => {
  const { channel, start, follow, stage } = await open(t)
  await start('a')
  await start('b')
  await start('c')
  const following = follow()
  t.match(await following.next(), { turns: [{ id: 'a' }, { id: 'b' }, { id: 'c' }] })
  t.strictSame(await channel.cancel({ ...SESSION, turnId: 'unknown' }), [])
  t.strictSame(await channel.cancel({ ...SESSION, sessionId: 'unknown' }), [])
  t.strictSame(await channel.cancel({ ...SESSION, turnId: 'b' }), ['b'])
  t.strictSame(await following.next(), end(2, { id: 'b' }, 'aborted'))
  t.strictSame(await channel.cancel(SESSION), ['a', 'c'])
  t.strictSame([await following.next(), await following.next()], [end(3, { id: 'c' }, 'aborted'), end(4, {}, 'aborted')])
  t.ok((await stage.act('a').started.promise).signal.aborted)
  await following.frames.return()
  t.strictSame(await channel.cancel(SESSION), [])
})

t.test('what is published comes to host and clients alike, also in a session that did not exist', async (t) => {
  const { channel, follow, connect } = await open(t)
  const data = { a: [1] }
  await channel.publish(SESSION, 'news', data)
  const client = await connect()
  client.send({ type: 'subscribe', sessionId: 's' })
  const { epoch } = await client.next('subscribed')
  const following = follow({ epoch, after: 0 })
  t.strictSame(await following.next(), subscribed(epoch, 0, true))
  t.strictSame(await following.next(), { type: 'event', agentId: 'main', sessionId: 's', seq: 1, name: 'news', data })
  await channel.publish(SESSION, 'empty')
  for (const reader of [client, following]) t.strictSame(await reader.next(), { type: 'event', agentId: 'main', sessionId: 's', seq: 2, name: 'empty', data: null })
  await following.frames.return()
  await client.close()
})

t.test('an iteration ends by leaving it, or by its signal, and is no reader any more', async (t) => {
  const { channel, follow } = await open(t)
  for await (const frame of channel.follow(SESSION)) {
    t.match(frame, { type: 'subscribed' })
    t.equal(channel.stats().followers, 1)
    break
  }
  t.equal(channel.stats().followers, 0)
  const stop = new AbortController()
  const following = follow({ signal: stop.signal })
  t.match(await following.next(), { type: 'subscribed' })
  const next = following.next()
  await tick()
  stop.abort()
  t.equal(await next, 'done')
  t.equal(channel.stats().followers, 0)
  const never = follow({ signal: stop.signal })
  t.match(await never.next(), { type: 'subscribed' })
  t.equal(await never.next(), 'done')
  t.equal(channel.stats().followers, 0)
})

for (const isOurs of [true, false]) {
  t.test(`a drain ends an iteration once nothing that it follows runs, with a journal of ${isOurs ? 'the channel\'s' : 'the host\'s'} own`, async (t) => {
    // Whoever followed a session of a host's journal used to wait for ever; one of the channel's until it was closed.
    const journal = isOurs ? undefined : memoryJournal()
    const { app, channel, stage, start, follow } = await open(t, { drainTimeoutMs: 60_000, journal })
    const idle = new Following(channel.follow({ ...SESSION, sessionId: 'idle' }))
    t.match(await idle.next(), { turns: [] })
    await start('a')
    await start('b')
    const following = follow()
    const { epoch } = await following.next() as { epoch: string }
    const waits = [idle.next(), following.next()]
    const drained = app.channel.drain()
    t.equal(await waits[0], 'done')
    t.match(await waits[1], { type: 'error', id: 'b', code: 'SHUTTING_DOWN', done: true, seq: 2 })
    stage.act('a').say('x').end()
    for (const frame of [piece('x', 3), end(4), 'done']) t.strictSame(await following.next(), frame)
    await drained
    t.equal(channel.stats().followers, 0)
    const late = follow()
    t.strictSame(await late.next(), subscribed(epoch, 4, false))
    t.equal(await late.next(), 'done')
  })
}

t.test('a session that cannot be followed any more ends the iteration with STORE_UNAVAILABLE', async (t) => {
  const journal = new SlowJournal()
  const { channel, follow } = await open(t, { journal })
  const following = follow()
  t.match(await following.next(), { type: 'subscribed' })
  const lost = t.rejects(following.next(), { code: 'STORE_UNAVAILABLE' })
  await tick()
  journal.before = (method) => { if (method === 'follow') throw new Error('boom'); return undefined }
  await journal.forget({ owner: 'anonymous', agentId: 'main', sessionId: 's' })
  await lost
  t.equal(channel.stats().followers, 0)
  // What a journal says of its failure may be no business of who asked.
  await t.rejects(follow().next(), { code: 'STORE_UNAVAILABLE', message: ERROR_CODES.STORE_UNAVAILABLE.message })
})

t.test('a turn of the host goes on though nobody follows it', async (t) => {
  const clock = new ManualClock()
  const { app, channel, stage, start } = await open(t, {
    clock, heartbeatMs: 1_000_000, idleTimeoutMs: 1_000_000, onDisconnect: 'cancel', disconnectGraceMs: 1_000
  })
  await start('a')
  clock.advance(50_000)
  t.equal(channel.stats().runningTurns, 1)
  stage.act('a').say('x').end()
  await eventually(() => channel.stats().turns === 0)
  const { messages } = await app.sessionStore.messages({ ...SESSION, agentId: 'main' }, { limit: 2 })
  t.match(messages, [{ content: 'a' }, { content: 'x', complete: true }])
})
