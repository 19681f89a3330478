import t, { type Test } from 'tap'

import type { WsChannelOptions } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { ack, end, piece, plainEnd, plainPiece, queued, refused, turnStarted, wholeEnd } from './expected.js'
import { Stage } from './stage.js'

const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }

async function open (t: Test, options: WsChannelOptions & { clock?: ManualClock } = {}) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, ...options })
  const client = await host.connect()
  const chat = (id: string, more: object = {}): void => { client.send({ type: 'chat', id, sessionId: 's', message: id, ...more }) }
  const close = async (): Promise<void> => {
    await client.fence()
    await client.close()
    await eventually(() => host.app.channel.stats().followers === 0)
  }
  return { ...host, stage, client, chat, close }
}

const cancelled = (turns: string[], more: object = {}) => ({ type: 'cancelled', agentId: 'main', sessionId: 's', turns, ...more })

t.test('a cancel is answered, then come the ends: the partial answer is kept and marked, the signal has fired', async (t) => {
  const { app, stage, client, chat, connect, close } = await open(t)
  const watcher = await connect()
  watcher.send({ type: 'subscribe', sessionId: 's' })
  const { epoch } = await watcher.next('subscribed')
  stage.act('a').say('part')
  chat('a')
  for (const frame of [ack('started', epoch, 0), turnStarted('a', 1), piece('part', 2)]) t.strictSame(await client.next(), frame)
  chat('b', { stream: false })
  t.strictSame(await client.next(), queued(1, epoch, 2, { id: 'b' }))
  for (const frame of [turnStarted('a', 1), piece('part', 2)]) t.strictSame(await watcher.next(), frame)
  client.send({ type: 'cancel', id: 'c', sessionId: 's' })
  t.strictSame(await client.next(), cancelled(['a', 'b'], { id: 'c' }))
  t.strictSame(await client.next(), wholeEnd('', 3, { id: 'b' }, 'aborted'))
  t.strictSame(await client.next(), end(4, {}, 'aborted'))
  for (const frame of [end(3, { id: 'b' }, 'aborted'), end(4, {}, 'aborted')]) t.strictSame(await watcher.next(), frame)
  const { signal } = await stage.act('a').started.promise
  t.ok(signal.aborted)
  t.match(signal.reason, { message: 'the turn was cancelled' })
  t.match((await app.sessionStore.messages(KEY, { limit: 9 })).messages, [
    { role: 'user', content: 'a', turnId: 'a', complete: true }, { role: 'assistant', content: 'part', turnId: 'a', complete: false }
  ])
  t.strictSame(stage.begun, ['a'])
  await watcher.close()
  await close()
})

t.test('one turn is named by its id, with its session or from its own connection without', async (t) => {
  const { client, chat, connect, close } = await open(t)
  chat('a')
  const { epoch } = await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  for (const [position, id] of [[1, 'b'], [2, 'c'], [3, 'd']] as const) {
    chat(id)
    t.strictSame(await client.next(), queued(position, epoch, 1, { id }))
  }
  const other = await connect()
  const withDefault = await connect({ query: '?sessionId=s' })
  client.send({ type: 'cancel', turnId: 'c' })
  t.strictSame(await client.next(), cancelled(['c']))
  t.strictSame(await client.next(), end(2, { id: 'c' }, 'aborted'))
  other.send({ type: 'cancel', id: 'x', turnId: 'b', sessionId: 's' })
  t.strictSame(await other.next(), cancelled(['b'], { id: 'x' }), 'from another connection')
  t.strictSame(await client.next(), end(3, { id: 'b' }, 'aborted'))
  withDefault.send({ type: 'cancel', turnId: 'd' })
  t.strictSame(await withDefault.next(), cancelled(['d']))
  t.strictSame(await client.next(), end(4, { id: 'd' }, 'aborted'))
  withDefault.send({ type: 'cancel', agentId: 'main' })
  t.strictSame(await withDefault.next(), cancelled(['a']), 'all of the connection\'s session')
  t.strictSame(await client.next(), end(5, {}, 'aborted'))
  for (const each of [other, withDefault]) {
    await each.fence()
    await each.close()
  }
  await close()
})

t.test('with nothing to cancel it is TURN_NOT_FOUND', async (t) => {
  const { app, stage, client, chat, close } = await open(t)
  stage.act('a').end()
  chat('a')
  for (const type of ['ack', 'event', 'stream'] as const) await client.next(type)
  for (const frame of [
    {}, { turnId: 'a' }, { turnId: 'unknown' }, { sessionId: 's' }, { sessionId: 's', turnId: 'a' }, { sessionId: 'unknown' },
    { agentId: 'other', sessionId: 's' }, { agentId: 'other' }, { sessionId: 's', turnId: 'unknown' }
  ]) {
    client.send({ type: 'cancel', id: 'c', ...frame })
    t.strictSame(await client.next(), refused('TURN_NOT_FOUND', { id: 'c' }), JSON.stringify(frame))
    client.send({ type: 'cancel', ...frame })
    t.strictSame(await client.next(), refused('TURN_NOT_FOUND'), JSON.stringify(frame))
  }
  await client.fence()
  t.equal(app.channel.stats().sessions, 1, 'asking for a session makes none')
  await close()
})

t.test('the connection\'s own session is cancelled without a name, and its name is not told', async (t) => {
  const { stage, client, close } = await open(t)
  stage.act('one').say('x')
  for (const message of ['one', 'two']) client.send({ type: 'chat', message })
  client.send({ type: 'chat', agentId: 'other', message: 'goes on' })
  t.strictSame(await client.next(), plainPiece('x'))
  await stage.act('goes on').started.promise
  client.send({ type: 'cancel', id: 'c' })
  const { turns, ...rest } = await client.next('cancelled')
  t.strictSame(rest, { type: 'cancelled', id: 'c', agentId: 'main' })
  t.equal(turns.length, 2)
  for (const frame of [plainEnd(), plainEnd()]) t.strictSame(await client.next(), frame)
  client.send({ type: 'cancel', agentId: 'other' })
  t.match(await client.next('cancelled'), { agentId: 'other', turns: [/./] })
  t.strictSame(await client.next(), { ...plainEnd(), agentId: 'other' })
  client.send({ type: 'cancel' })
  t.strictSame(await client.next(), refused('TURN_NOT_FOUND'))
  await close()
})

t.test('a journal that fails to cancel is STORE_UNAVAILABLE, but what runs here stops all the same', async (t) => {
  const journal = new SlowJournal()
  const { client, chat, close } = await open(t, { journal })
  journal.before = (method) => { if (method === 'cancel') throw new Error('boom'); return undefined }
  client.send({ type: 'cancel', id: 'c', sessionId: 's' })
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { id: 'c' }))
  chat('a')
  await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  client.send({ type: 'cancel', id: 'c', sessionId: 's', turnId: 'b' })
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { id: 'c' }))
  client.send({ type: 'cancel', id: 'c', sessionId: 's' })
  t.strictSame(await client.next(), cancelled(['a'], { id: 'c' }))
  t.strictSame(await client.next(), end(2, {}, 'aborted'))
  await close()
})

t.test('a cancel whose answer is waited for tells nothing before it, also when the client has gone meanwhile', async (t) => {
  const journal = new SlowJournal()
  const { app, client, chat, connect, close, stage } = await open(t, { journal })
  chat('a')
  await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  const gone = await connect()
  let isAsked = false
  journal.after = async (method) => {
    if (method !== 'cancel') return
    isAsked = true
    await gone.terminate()
    await eventually(() => app.channel.stats().connections === 1)
  }
  gone.send({ type: 'cancel', sessionId: 's' })
  await eventually(() => isAsked)
  t.strictSame(await client.next(), end(2, {}, 'aborted'))
  const failing = await connect()
  journal.before = async (method) => {
    if (method !== 'cancel') return
    await failing.terminate()
    await eventually(() => app.channel.stats().connections === 1)
    throw new Error('boom')
  }
  const before = journal.calls.cancel ?? 0
  failing.send({ type: 'cancel', sessionId: 's' })
  await eventually(() => journal.calls.cancel === before + 1)
  await eventually(() => app.channel.stats().connections === 1)
  t.strictSame(stage.begun, ['a'])
  await close()
})

t.test('an executor that ignores its signal can write no more, and the next turn starts after cancelGraceMs at latest', async (t) => {
  const clock = new ManualClock()
  const { app, stage, client, chat, close } = await open(t, { clock, heartbeatMs: 1_000_000, cancelGraceMs: 2_000 })
  const deaf = stage.act('a')
  deaf.isDeaf = true
  deaf.say('heard')
  chat('a')
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('a', 1), piece('heard', 2)]) t.strictSame(await client.next(), frame)
  client.send({ type: 'cancel', sessionId: 's' })
  t.strictSame(await client.next(), cancelled(['a']))
  t.strictSame(await client.next(), end(3, {}, 'aborted'))
  stage.act('b').say('next').end()
  chat('b')
  t.strictSame(await client.next(), queued(1, epoch, 3, { id: 'b' }))
  clock.advance(1_999)
  await client.fence()
  t.strictSame(stage.begun, ['a'])
  clock.advance(1)
  for (const frame of [turnStarted('b', 4, { id: 'b' }), piece('next', 5, { id: 'b' }), end(6, { id: 'b' })]) t.strictSame(await client.next(), frame)
  t.equal(app.channel.stats().turns, 1, 'the one left behind counts')
  deaf.say('too late').end()
  await eventually(() => app.channel.stats().turns === 0)
  await client.fence()
  t.match((await app.sessionStore.messages(KEY, { limit: 9 })).messages.map(({ content }) => content), ['a', 'heard', 'b', 'next'])
  await close()
})
