import t, { type Test } from 'tap'

import type { BusyPolicy, WsChannelOptions } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { ack, end, piece, queued, refused, running, subscribed, turnStarted } from './expected.js'
import { Stage } from './stage.js'

const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }

async function open (t: Test, options: WsChannelOptions & { clock?: ManualClock } = {}) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, ...options })
  const connect = () => host.connect({ query: '?sessionId=s' })
  const client = await connect()
  const chat = (id: string, more: object = {}): void => { client.send({ type: 'chat', id, message: id, ...more }) }
  const close = async (): Promise<void> => {
    await client.fence()
    await client.close()
    await eventually(() => host.app.channel.stats().followers === 0)
  }
  return { ...host, connect, stage, client, chat, close }
}

for (const [onBusy, channel, more] of [
  ['queue', undefined, {}], ['queue', 'reject', { onBusy: 'queue' }],
  ['reject', 'reject', {}], ['reject', undefined, { onBusy: 'reject' }],
  ['interrupt', 'interrupt', {}], ['interrupt', undefined, { onBusy: 'interrupt' }]
] as Array<[BusyPolicy, BusyPolicy | undefined, object]>) {
  t.test(`a chat to a busy session: ${onBusy}, by ${'onBusy' in more ? 'the chat' : 'the channel'}`, async (t) => {
    const { stage, client, chat, close } = await open(t, { onBusy: channel })
    stage.act('a').say('x')
    chat('a')
    const { epoch } = await client.next('ack')
    for (const frame of [turnStarted('a', 1), piece('x', 2)]) t.strictSame(await client.next(), frame)
    stage.act('b').end()
    chat('b', more)
    if (onBusy === 'reject') {
      t.strictSame(await client.next(), refused('SESSION_BUSY', { retryAfterMs: 1_000, id: 'b' }))
      stage.act('a').end()
      t.strictSame(await client.next(), end(3))
      chat('b', more)
      t.match(await client.next('ack'), { id: 'b', status: 'started' }, 'it left no claim')
    } else if (onBusy === 'interrupt') {
      t.strictSame(await client.next(), queued(1, epoch, 2, { id: 'b' }))
      t.strictSame(await client.next(), end(3, {}, 'aborted'))
    } else {
      t.strictSame(await client.next(), queued(1, epoch, 2, { id: 'b' }))
      stage.act('a').end()
      t.strictSame(await client.next(), end(3))
    }
    for (const frame of [turnStarted('b', 4, { id: 'b' }), end(5, { id: 'b' })]) t.strictSame(await client.next(), frame)
    await close()
  })
}

t.test('an interrupt ends all that runs and waits; who follows sees each end, and the partial answer is kept', async (t) => {
  const { app, stage, client, chat, connect, close } = await open(t)
  const watcher = await connect()
  watcher.send({ type: 'subscribe', sessionId: 's' })
  const { epoch } = await watcher.next('subscribed')
  stage.act('a').say('part')
  chat('a')
  t.strictSame(await client.next(), ack('started', epoch, 0))
  for (const each of [client, watcher]) for (const frame of [turnStarted('a', 1), piece('part', 2)]) t.strictSame(await each.next(), frame)
  for (const [position, id] of [[1, 'b'], [2, 'c']] as const) {
    chat(id)
    t.strictSame(await client.next(), queued(position, epoch, 2, { id }))
  }
  stage.act('d').say('y').end()
  watcher.send({ type: 'chat', id: 'd', message: 'd', onBusy: 'interrupt' })
  t.match(await watcher.next('ack'), { id: 'd', status: 'queued', position: 1 }, 'the running one has still to stop')
  for (const each of [client, watcher]) {
    for (const frame of [end(3, { id: 'b' }, 'aborted'), end(4, { id: 'c' }, 'aborted'), end(5, {}, 'aborted')]) t.strictSame(await each.next(), frame)
  }
  for (const frame of [turnStarted('d', 6, { id: 'd' }), piece('y', 7, { id: 'd' }), end(8, { id: 'd' })]) t.strictSame(await watcher.next(), frame)
  const { messages } = await app.sessionStore.messages(KEY, { limit: 9 })
  t.strictSame(messages.map(({ role, content, complete }) => [role, content, complete]), [
    ['user', 'a', true], ['assistant', 'part', false], ['user', 'd', true], ['assistant', 'y', true]
  ])
  await watcher.close()
  await close()
})

t.test('a queue is bounded, and an interrupt has room in a full one', async (t) => {
  const { stage, client, chat, close } = await open(t, { maxQueuedTurns: 1 })
  chat('a')
  const { epoch } = await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  chat('b')
  t.strictSame(await client.next(), queued(1, epoch, 1, { id: 'b' }))
  chat('c')
  t.strictSame(await client.next(), refused('QUEUE_FULL', { retryAfterMs: 1_000, id: 'c' }))
  stage.act('d').end()
  chat('d', { onBusy: 'interrupt' })
  const frames = [await client.next(), await client.next(), await client.next()]
  t.match(frames[0], { type: 'ack', id: 'd' })
  t.strictSame(frames.slice(1), [end(2, { id: 'b' }, 'aborted'), end(3, {}, 'aborted')])
  for (const frame of [turnStarted('d', 4, { id: 'd' }), end(5, { id: 'd' })]) t.strictSame(await client.next(), frame)
  await close()
})

async function leaves (t: Test, options: WsChannelOptions = {}) {
  const clock = new ManualClock()
  const opened = await open(t, { clock, heartbeatMs: 1_000_000, idleTimeoutMs: 1_000_000, disconnectGraceMs: 3_000, ...options })
  const { app, stage, client, chat } = opened
  stage.act('a').say('x')
  chat('a')
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('a', 1), piece('x', 2)]) t.strictSame(await client.next(), frame)
  const leave = async (): Promise<void> => {
    await client.terminate()
    await eventually(() => app.channel.stats().connections === 0)
    // The first look finds it alone.
    clock.advance(250)
  }
  return { ...opened, clock, epoch, leave }
}

t.test('a turn goes on without its socket, as long as it takes', async (t) => {
  const { app, stage, clock, leave, connect, epoch } = await leaves(t)
  await leave()
  clock.advance(30_000)
  t.equal(app.channel.stats().runningTurns, 1)
  stage.act('a').say('y').end()
  await eventually(() => app.channel.stats().turns === 0)
  const again = await connect()
  again.send({ type: 'subscribe', sessionId: 's', epoch, after: 2 })
  for (const frame of [subscribed(epoch, 2, true), piece('y', 3), end(4)]) t.strictSame(await again.next(), frame)
  await again.close()
})

t.test('with onDisconnect: cancel it is stopped once nobody has followed it for disconnectGraceMs', async (t) => {
  const { app, stage, clock, leave, chat, client, connect, epoch } = await leaves(t, { onDisconnect: 'cancel' })
  chat('b')
  t.strictSame(await client.next(), queued(1, epoch, 2, { id: 'b' }))
  await leave()
  clock.advance(2_750)
  t.equal(app.channel.stats().turns, 2)
  clock.advance(250)
  await eventually(() => app.channel.stats().turns === 0)
  t.match((await stage.act('a').started.promise).signal.reason, { message: 'nobody follows the turn any more' })
  t.strictSame((await app.sessionStore.messages(KEY, { limit: 9 })).messages.map(({ content, complete }) => [content, complete]), [['a', true], ['x', false]])
  t.strictSame(stage.begun, ['a'])
  const again = await connect()
  again.send({ type: 'subscribe', sessionId: 's', epoch, after: 2 })
  t.strictSame(await again.next(), subscribed(epoch, 2, true))
  t.match([await again.next(), await again.next()].map(({ id, finishReason }) => [id, finishReason]).toSorted(), [['a', 'aborted'], ['b', 'aborted']])
  await again.close()
})

t.test('a reader that comes back in time keeps it going, and so does another that was there all along', async (t) => {
  const { app, stage, clock, leave, connect, epoch } = await leaves(t, { onDisconnect: 'cancel' })
  await leave()
  clock.advance(2_500)
  const back = await connect()
  back.send({ type: 'chat', id: 'a', message: 'a' })
  t.strictSame(await back.next(), ack('duplicate', epoch, 2, { content: 'x' }))
  clock.advance(30_000)
  const watcher = await connect()
  watcher.send({ type: 'subscribe', sessionId: 's' })
  t.strictSame(await watcher.next(), subscribed(epoch, 2, false, [running('a', 'x')]))
  await back.terminate()
  await eventually(() => app.channel.stats().connections === 1)
  clock.advance(30_000)
  await watcher.fence()
  t.equal(app.channel.stats().runningTurns, 1)
  stage.act('a').end()
  t.strictSame(await watcher.next(), end(3))
  await watcher.close()
})
