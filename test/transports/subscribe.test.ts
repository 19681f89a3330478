import t, { type Test } from 'tap'

import { memoryJournal, type WsChannelOptions } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { type ManualClock } from '../helpers/manual-clock.js'
import { answer, text } from '../helpers/plain-answer.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import {
  ack, end, event, failedEnd, piece, queued, refused, running, subscribed, turnStarted, waiting, wholeEnd
} from './expected.js'
import { Stage } from './stage.js'

const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }

async function open (t: Test, options: WsChannelOptions & { clock?: ManualClock } = {}) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, ...options })
  const [laptop, phone] = [await host.connect({ query: '?sessionId=s' }), await host.connect({ query: '?sessionId=s' })]
  const subscribe = (more: object = {}): void => { phone.send({ type: 'subscribe', sessionId: 's', ...more }) }
  const close = async (): Promise<void> => {
    for (const client of [laptop, phone]) {
      await client.fence()
      await client.close()
    }
    await eventually(() => host.app.channel.stats().followers === 0)
  }
  return { ...host, stage, laptop, phone, subscribe, close }
}

t.test('a session is followed from before its first turn, and told whatever comes', async (t) => {
  const { app, stage, laptop, phone, subscribe, close } = await open(t)
  subscribe({ id: 'f' })
  const { epoch } = await phone.next('subscribed')
  t.strictSame(app.channel.stats().followers, 1)
  laptop.send({ type: 'chat', id: 'a', message: 'hi', metadata: { k: 1 } })
  t.strictSame(await laptop.next(), ack('started', epoch, 0))
  stage.act('hi').say('one', { type: 'event', name: 'progress', data: 1 }, 'two').end()
  for (const client of [laptop, phone]) {
    for (const frame of [
      event('turn-started', { message: 'hi', metadata: { k: 1 } }, 1), piece('one', 2), event('progress', 1, 3), piece('two', 4), end(5)
    ]) t.strictSame(await client.next(), frame)
  }
  subscribe({ id: 'again' })
  t.strictSame(await phone.next(), { ...subscribed(epoch, 5, false), id: 'again' })
  await close()
})

t.test('plain chats leave nothing behind in a session that nobody has joined; what comes later can be told again', async (t) => {
  const { app, stage, connect, laptop, phone, subscribe, close } = await open(t)
  laptop.send({ type: 'chat', message: 'hi' })
  stage.act('hi').say('one').end()
  t.equal(text(await answer(laptop)), 'one')
  t.equal(app.channel.stats().entries, 0)
  laptop.send({ type: 'chat', message: 'and' })
  stage.act('and').say('two')
  t.match(await laptop.next(), { content: 'two', done: false })
  subscribe()
  const { epoch, seq, turns } = await phone.next('subscribed')
  t.match([seq, turns], [5, [{ content: 'two', message: 'and' }]])
  stage.act('and').say('three').end()
  t.equal(text(await answer(laptop)), 'three')
  t.match([await phone.next(), await phone.next()], [{ content: 'three', seq: 6 }, { done: true, seq: 7 }])
  const again = await connect()
  again.send({ type: 'subscribe', sessionId: 's', epoch, after: 5 })
  t.strictSame(await again.next(), subscribed(epoch, 5, true))
  t.match([await again.next(), await again.next()], [{ content: 'three', seq: 6 }, { done: true, seq: 7 }])
  await again.close()
  await close()
})

t.test('whoever subscribes is told what runs and waits, in every state, and goes on from there', async (t) => {
  const { stage, laptop, phone, subscribe, close } = await open(t)
  laptop.send({ type: 'chat', id: 'a', message: 'a', metadata: { k: 1 } })
  const { epoch } = await laptop.next('ack')
  t.strictSame(await laptop.next(), event('turn-started', { message: 'a', metadata: { k: 1 } }, 1))
  subscribe()
  t.strictSame(await phone.next(), subscribed(epoch, 1, false, [{ ...running('a', ''), metadata: { k: 1 } }]), 'it says nothing yet')
  laptop.send({ type: 'chat', id: 'b', message: 'b' })
  t.strictSame(await laptop.next(), queued(1, epoch, 1, { id: 'b' }))
  stage.act('a').say('x', 'y')
  for (const client of [laptop, phone]) for (const frame of [piece('x', 2), piece('y', 3)]) t.strictSame(await client.next(), frame)
  subscribe()
  t.strictSame(await phone.next(), subscribed(epoch, 3, false, [{ ...running('a', 'xy'), metadata: { k: 1 } }, waiting('b', 'b')]))
  stage.act('a').say('z').end()
  stage.act('b').end(new Error('boom'))
  for (const client of [laptop, phone]) {
    for (const frame of [piece('z', 4), end(5), turnStarted('b', 6, { id: 'b' }), failedEnd('AGENT_ERROR', 7, { id: 'b' })]) {
      t.strictSame(await client.next(), frame)
    }
  }
  subscribe()
  t.strictSame(await phone.next(), subscribed(epoch, 7, false), 'what ended, well or badly, is in the history')
  await close()
})

t.test('whoever comes back with a position is told what was missed, and nothing twice', async (t) => {
  const { app, stage, laptop, phone, subscribe, connect } = await open(t)
  subscribe()
  const { epoch } = await phone.next('subscribed')
  laptop.send({ type: 'chat', id: 'a', message: 'a' })
  await laptop.next('ack')
  stage.act('a').say('1', '2')
  for (const client of [laptop, phone]) for (const frame of [turnStarted('a', 1), piece('1', 2), piece('2', 3)]) t.strictSame(await client.next(), frame)
  await phone.terminate()
  stage.act('a').say('3')
  t.strictSame(await laptop.next(), piece('3', 4))
  for (const [after, missed] of [[0, 4], [2, 2], [3, 1], [4, 0]] as const) {
    const again = await connect()
    again.send({ type: 'subscribe', id: 'r', sessionId: 's', epoch, after })
    t.strictSame(await again.next(), { ...subscribed(epoch, after, true, [running('a')]), id: 'r' })
    for (const frame of [turnStarted('a', 1), piece('1', 2), piece('2', 3), piece('3', 4)].slice(4 - missed)) t.strictSame(await again.next(), frame)
    await again.fence()
    await again.close()
  }
  for (const from of [{ epoch, after: 5 }, { epoch: 'another', after: 3 }, { epoch }]) {
    const again = await connect()
    again.send({ type: 'subscribe', sessionId: 's', ...from })
    t.strictSame(await again.next(), subscribed(epoch, 4, false, [running('a', '123')]), JSON.stringify(from))
    await again.close()
  }
  stage.act('a').end()
  t.strictSame(await laptop.next(), end(5))
  const late = await connect()
  late.send({ type: 'subscribe', sessionId: 's', epoch, after: 3 })
  for (const frame of [subscribed(epoch, 3, true), piece('3', 4), end(5)]) t.strictSame(await late.next(), frame)
  await late.fence()
  await late.close()
  await laptop.close()
  await eventually(() => app.channel.stats().followers === 0)
})

t.test('to subscribe again on one connection is a cut, without what lies between', async (t) => {
  const { stage, laptop, phone, subscribe, close } = await open(t)
  phone.send({ type: 'chat', id: 'a', message: 'a' })
  const { epoch } = await phone.next('ack')
  stage.act('a').say('1')
  for (const frame of [turnStarted('a', 1), piece('1', 2)]) t.strictSame(await phone.next(), frame)
  // A feed of its own turns is one too: a position is not for it.
  subscribe({ epoch, after: 0 })
  t.strictSame(await phone.next(), subscribed(epoch, 2, false, [running('a', '1')]))
  stage.act('a').say('2')
  t.strictSame(await phone.next(), piece('2', 3))
  subscribe({ epoch, after: 1 })
  t.strictSame(await phone.next(), subscribed(epoch, 3, false, [running('a', '12')]))
  stage.act('a').end()
  t.strictSame(await phone.next(), end(4))
  await phone.fence()
  laptop.send({ type: 'chat', id: 'b', message: 'b' })
  t.strictSame(await laptop.next(), ack('started', epoch, 4, { id: 'b' }))
  stage.act('b').end()
  for (const client of [laptop, phone]) for (const frame of [turnStarted('b', 5, { id: 'b' }), end(6, { id: 'b' })]) t.strictSame(await client.next(), frame)
  await close()
})

t.test('own turns that ended before the cut was made are not told any more, and make room for others', async (t) => {
  const { journal, stage, phone, subscribe, close } = await openSlow(t)
  phone.send({ type: 'chat', id: 'a', message: 'a' })
  const { epoch } = await phone.next('ack')
  t.strictSame(await phone.next(), turnStarted('a', 1))
  // While the journal thinks about the cut the turn ends: nothing of it is told before the answer.
  const follow = journal.before
  journal.before = async (method) => {
    if (method !== 'follow') return
    stage.act('a').say('x').end()
    await eventually(() => journal.inner.stats().entries === 3)
  }
  subscribe()
  t.strictSame(await phone.next(), subscribed(epoch, 3, false))
  journal.before = follow
  stage.act('b').end()
  phone.send({ type: 'chat', id: 'b', message: 'b' })
  t.strictSame(await phone.next(), ack('started', epoch, 3, { id: 'b' }))
  for (const frame of [turnStarted('b', 4, { id: 'b' }), end(5, { id: 'b' })]) t.strictSame(await phone.next(), frame)
  await close()
})

async function openSlow (t: Test) {
  const journal = new SlowJournal()
  return { journal, ...await open(t, { journal, maxTurnsPerConnection: 1 }) }
}

t.test('unsubscribe leaves a connection its own turns', async (t) => {
  const { app, stage, laptop, phone, subscribe, close } = await open(t)
  subscribe()
  const { epoch } = await phone.next('subscribed')
  laptop.send({ type: 'chat', id: 'a', message: 'a' })
  t.strictSame(await laptop.next(), ack('started', epoch, 0))
  for (const client of [laptop, phone]) t.strictSame(await client.next(), turnStarted('a', 1))
  phone.send({ type: 'chat', id: 'b', message: 'b' })
  t.strictSame(await phone.next(), queued(1, epoch, 1, { id: 'b' }))
  phone.send({ type: 'unsubscribe', id: 'u', sessionId: 's' })
  t.strictSame(await phone.next(), { type: 'unsubscribed', id: 'u', agentId: 'main', sessionId: 's' })
  stage.act('a').say('x').end()
  stage.act('b').say('y').end()
  for (const frame of [piece('x', 2), end(3)]) t.strictSame(await laptop.next(), frame)
  for (const frame of [turnStarted('b', 4, { id: 'b' }), piece('y', 5, { id: 'b' }), end(6, { id: 'b' })]) t.strictSame(await phone.next(), frame)
  await phone.fence()
  t.equal(app.channel.stats().followers, 0)
  phone.send({ type: 'unsubscribe', sessionId: 'never-followed' })
  t.strictSame(await phone.next(), { type: 'unsubscribed', agentId: 'main', sessionId: 'never-followed' })
  await close()
})

t.test('phone and laptop see each other\'s questions and answers, plain ones too, and a third that joins sees the same text', async (t) => {
  const { stage, laptop, phone, connect, close } = await open(t)
  const third = await connect({ query: '?sessionId=s' })
  for (const client of [laptop, phone]) client.send({ type: 'subscribe', sessionId: 's' })
  const { epoch } = await laptop.next('subscribed')
  t.strictSame(await phone.next(), subscribed(epoch, 0, false))
  phone.send({ type: 'chat', message: 'plain' })
  const { id } = await laptop.next('event') as { id: string }
  t.strictSame(await phone.next(), turnStarted('plain', 1, { id }), 'no ack, and no plain frame')
  stage.act('plain').say('he', 'llo')
  for (const client of [laptop, phone]) for (const frame of [piece('he', 2, { id }), piece('llo', 3, { id })]) t.strictSame(await client.next(), frame)
  third.send({ type: 'subscribe', sessionId: 's' })
  t.strictSame(await third.next(), subscribed(epoch, 3, false, [running('plain', 'hello', id)]))
  stage.act('plain').say(' world').end()
  for (const client of [laptop, phone, third]) for (const frame of [piece(' world', 4, { id }), end(5, { id })]) t.strictSame(await client.next(), frame)
  stage.act('whole').returns('again')
  phone.send({ type: 'chat', message: 'whole', stream: false })
  const { id: second } = await phone.next('event') as { id: string }
  for (const client of [laptop, third]) t.strictSame(await client.next(), turnStarted('whole', 6, { id: second }))
  for (const client of [laptop, phone, third]) t.strictSame(await client.next(), wholeEnd('again', 7, { id: second }))
  await third.fence()
  await third.close()
  await close()
})

t.test('more subscriptions than allowed, or than the journal has room for, are RATE_LIMITED', async (t) => {
  const { app, phone, laptop, subscribe, close } = await open(t, {
    maxSubscriptions: 2, retryAfterMs: 1_234, journal: memoryJournal({ maxSessions: 2 })
  })
  subscribe({ id: '1' })
  phone.send({ type: 'subscribe', id: '2', sessionId: 's2' })
  t.match(await phone.next('subscribed'), { id: '1' })
  t.match(await phone.next('subscribed'), { id: '2', sessionId: 's2' })
  phone.send({ type: 'subscribe', id: '3', sessionId: 's3' })
  t.strictSame(await phone.next(), refused('RATE_LIMITED', { retryAfterMs: 1_234, id: '3' }), 'of one connection')
  laptop.send({ type: 'subscribe', id: '4', sessionId: 's3' })
  t.strictSame(await laptop.next(), refused('RATE_LIMITED', { retryAfterMs: 1_234, id: '4' }), 'of the journal')
  await laptop.fence()
  t.match(app.channel.stats(), { followers: 2, sessions: 2 })
  subscribe({ id: '5' })
  t.match(await phone.next('subscribed'), { id: '5' }, 'one that is followed already is none more')
  phone.send({ type: 'unsubscribe', sessionId: 's2' })
  await phone.next('unsubscribed')
  laptop.send({ type: 'subscribe', id: '6', sessionId: 's3' })
  t.match(await laptop.next('subscribed'), { id: '6', sessionId: 's3' }, 'its place is free again')
  await close()
})

t.test('a journal that cannot be followed is STORE_UNAVAILABLE, and the subscription takes no place', async (t) => {
  const journal = new SlowJournal()
  const { phone, subscribe, close } = await open(t, { journal, maxSubscriptions: 1 })
  journal.before = (method) => { if (method === 'follow') throw new Error('boom'); return undefined }
  subscribe({ id: 'x' })
  t.strictSame(await phone.next(), refused('STORE_UNAVAILABLE', { retryAfterMs: 1_000, id: 'x' }))
  journal.before = () => undefined
  phone.send({ type: 'subscribe', sessionId: 'other' })
  t.match(await phone.next('subscribed'), { sessionId: 'other', recovered: false })
  await close()
  t.equal(journal.openCursors, 0)
})

t.test('events that the host publishes come to all who follow, without an id', async (t) => {
  const { app, phone, laptop, subscribe, close } = await open(t)
  subscribe()
  const { epoch } = await phone.next('subscribed')
  await app.channel.publish(KEY, 'news', { a: [1] })
  t.strictSame(await phone.next(), { type: 'event', agentId: 'main', sessionId: 's', seq: 1, name: 'news', data: { a: [1] } })
  laptop.send({ type: 'subscribe', sessionId: 's', epoch, after: 0 })
  t.strictSame(await laptop.next(), subscribed(epoch, 0, true))
  t.strictSame(await laptop.next(), { type: 'event', agentId: 'main', sessionId: 's', seq: 1, name: 'news', data: { a: [1] } })
  await close()
})

t.test('what an earlier feed of the connection has told is not told again, whatever position is given', async (t) => {
  const { stage, laptop, phone, subscribe, close } = await open(t)
  stage.act('a').say('x').end()
  phone.send({ type: 'chat', id: 'a', message: 'a' })
  const { epoch } = await phone.next('ack')
  for (const frame of [turnStarted('a', 1), piece('x', 2), end(3)]) t.strictSame(await phone.next(), frame)
  await phone.fence()
  subscribe({ epoch, after: 2 })
  t.strictSame(await phone.next(), subscribed(epoch, 3, false))
  const leave = async (): Promise<void> => {
    phone.send({ type: 'unsubscribe', sessionId: 's' })
    t.strictSame(await phone.next(), { type: 'unsubscribed', agentId: 'main', sessionId: 's' })
    await phone.fence()
  }
  await leave()
  stage.act('b').end()
  laptop.send({ type: 'chat', id: 'b', message: 'b' })
  t.strictSame(await laptop.next(), ack('started', epoch, 3, { id: 'b' }))
  for (const frame of [turnStarted('b', 4, { id: 'b' }), end(5, { id: 'b' })]) t.strictSame(await laptop.next(), frame)
  subscribe({ epoch, after: 3 })
  for (const frame of [subscribed(epoch, 3, true), turnStarted('b', 4, { id: 'b' }), end(5, { id: 'b' })]) t.strictSame(await phone.next(), frame)
  await leave()
  subscribe({ epoch, after: 4 })
  t.strictSame(await phone.next(), subscribed(epoch, 5, false))
  await close()
})

t.test('so many feeds that have ended are remembered; after that no position is trusted but of those', async (t) => {
  const { app, laptop, phone, close } = await open(t, { maxFramesPerSecond: 10_000, agentExecutor: () => 'x' })
  await app.channel.publish(KEY, 'news')
  laptop.send({ type: 'subscribe', sessionId: 's' })
  const { epoch } = await laptop.next('subscribed')
  const ask = async (i: number): Promise<string> => {
    phone.send({ type: 'chat', id: 'a', sessionId: `other ${i}`, message: 'x' })
    const { epoch: theirs } = await phone.next('ack')
    await phone.next('event')
    await phone.next('message')
    return theirs
  }
  const forgotten = await ask(0)
  for (const isTrusted of [true, false]) {
    phone.send({ type: 'subscribe', sessionId: 's', epoch, after: 0 })
    t.strictSame(await phone.next(), subscribed(epoch, isTrusted ? 0 : 1, isTrusted))
    if (!isTrusted) break
    t.match(await phone.next('event'), { name: 'news', seq: 1 })
    phone.send({ type: 'unsubscribe', sessionId: 's' })
    await phone.next('unsubscribed')
    for (let i = 1; i < 258; i++) await ask(i)
  }
  phone.send({ type: 'subscribe', sessionId: 'other 0', epoch: forgotten, after: 2 })
  t.match(await phone.next('subscribed'), { epoch: forgotten, seq: 2, recovered: false })
  phone.send({ type: 'unsubscribe', sessionId: 'other 0' })
  await phone.next('unsubscribed')
  await close()
})
