import t, { type Test } from 'tap'

import { memoryJournal, memorySessionStore, type MemoryJournalOptions } from '../../lib/index.js'
import { JournalDouble } from '../faults/journal-double.js'
import { readableLog, serve, type ServeOptions } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { ack, end, failedEnd, piece, refused, subscribed, turnStarted, wholeEnd } from './expected.js'
import { Stage } from './stage.js'

async function open (t: Test, options: ServeOptions = {}) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, ...options })
  const connect = () => host.connect({ query: '?sessionId=s' })
  const client = await connect()
  const chat = (more: object = {}): void => { client.send({ type: 'chat', id: 'a', message: 'a', ...more }) }
  const close = async (): Promise<void> => {
    await client.fence()
    await client.close()
    await eventually(() => host.app.channel.stats().followers === 0)
  }
  return { ...host, connect, stage, client, chat, close }
}

t.test('a chat that is sent again while its turn runs is a duplicate with the text so far, and goes on from there', async (t) => {
  const { stage, client, chat, connect, close } = await open(t)
  chat({ metadata: { one: 1, two: { b: [1, { d: 1, c: 2 }], a: 2 } } })
  const { epoch } = await client.next('ack')
  await client.next('event')
  stage.act('a').say('x', 'y')
  for (const frame of [piece('x', 2), piece('y', 3)]) t.strictSame(await client.next(), frame)
  chat({ metadata: { two: { a: 2, b: [1, { c: 2, d: 1 }] }, one: 1 } })
  t.strictSame(await client.next(), ack('duplicate', epoch, 3, { content: 'xy' }), 'the order of keys says nothing')
  for (const metadata of [undefined, {}, { one: 1 }, { one: 1, two: { a: 2, b: [{ c: 2, d: 1 }, 1] } }]) {
    chat({ metadata })
    t.strictSame(await client.next(), refused('ID_CONFLICT', { id: 'a' }), JSON.stringify(metadata))
  }
  chat({ message: 'another', metadata: { one: 1, two: { b: [1, { d: 1, c: 2 }], a: 2 } } })
  t.strictSame(await client.next(), refused('ID_CONFLICT', { id: 'a' }))
  await client.fence()
  await client.terminate()
  const again = await connect()
  again.send({ type: 'chat', id: 'a', message: 'a', metadata: { one: 1, two: { b: [1, { d: 1, c: 2 }], a: 2 } }, stream: false })
  t.strictSame(await again.next(), ack('duplicate', epoch, 3, { content: 'xy' }))
  stage.act('a').say('z').end()
  t.strictSame(await again.next(), wholeEnd('xyz', 5))
  await again.fence()
  await again.close()
  t.strictSame(stage.begun, ['a'], 'it ran once')
  await close().catch(() => {})
})

t.test('one that waits is a duplicate without text; resent on one connection, its frames come once', async (t) => {
  const { stage, client, chat, close } = await open(t)
  chat()
  const { epoch } = await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  for (const status of ['queued', 'duplicate'] as const) {
    chat({ id: 'b', message: 'b' })
    t.match(await client.next('ack'), { id: 'b', status, epoch, seq: 1 })
  }
  stage.act('a').end()
  stage.act('b').say('x').end()
  for (const frame of [end(2), turnStarted('b', 3, { id: 'b' }), piece('x', 4, { id: 'b' }), end(5, { id: 'b' })]) t.strictSame(await client.next(), frame)
  await close()
})

t.test('an ended turn is told again by its text and its end, right behind the ack', async (t) => {
  const { stage, client, chat, close } = await open(t)
  const usage = { inputTokens: 1, outputTokens: 2 }
  stage.act('a').say('x', { type: 'message', content: 'whole' }, 'y', { type: 'finish', finishReason: 'length', usage }).end()
  stage.act('failed').say('x').end(new Error('boom'))
  stage.act('whole').returns('all of it')
  for (const [id, message, frames] of [['a', 'a', 6], ['b', 'failed', 4], ['c', 'whole', 3]] as const) {
    chat({ id, message })
    for (let i = 0; i < frames; i++) await client.next()
  }
  chat()
  const first = await client.next('ack')
  const { epoch } = first
  t.strictSame(first, ack('duplicate', epoch, 10, { content: 'xy' }))
  t.strictSame(await client.next(), { ...end(10, {}, 'length'), usage })
  chat({ stream: false })
  t.strictSame(await client.next(), ack('duplicate', epoch, 10, { content: 'xy' }))
  t.strictSame(await client.next(), { ...wholeEnd('xy', 10, {}, 'length'), usage })
  chat({ id: 'b', message: 'failed' })
  t.strictSame(await client.next(), ack('duplicate', epoch, 10, { id: 'b', content: 'x' }))
  t.strictSame(await client.next(), failedEnd('AGENT_ERROR', 10, { id: 'b' }))
  chat({ id: 'c', message: 'whole' })
  t.strictSame(await client.next(), ack('duplicate', epoch, 10, { id: 'c', content: '' }))
  t.strictSame(await client.next(), wholeEnd('all of it', 10, { id: 'c' }))
  t.strictSame(stage.begun, ['a', 'failed', 'whole'])
  await close()
})

/** A channel whose journal has forgotten the entries of turns, but not their claims. */
async function forgetful (t: Test, options: MemoryJournalOptions = {}) {
  const clock = new ManualClock()
  const store = memorySessionStore()
  const opened = await open(t, {
    clock, heartbeatMs: 1_000_000, sessionStore: store, journal: memoryJournal({ clock, maxAgeMs: 1_000, ...options })
  })
  const forget = async (): Promise<void> => {
    await eventually(() => opened.app.channel.stats().followers === 0)
    clock.advance(10_000)
    t.equal(opened.app.channel.stats().sessions, 0)
  }
  return { ...opened, clock, store, forget }
}

t.test('an ended turn of which the journal keeps no text is told from the store', async (t) => {
  const { stage, client, chat, forget, close } = await forgetful(t)
  stage.act('a').say('x', 'y').end()
  stage.act('whole').returns('all of it')
  chat()
  for (let i = 0; i < 5; i++) await client.next()
  chat({ id: 'b', message: 'whole' })
  for (let i = 0; i < 3; i++) await client.next()
  await forget()
  chat()
  const first = await client.next('ack')
  const { epoch } = first
  t.strictSame(first, ack('duplicate', epoch, 0, { content: 'xy' }))
  t.strictSame(await client.next(), end(0))
  chat({ id: 'b', message: 'whole' })
  const second = await client.next('ack')
  t.strictSame(second, ack('duplicate', second.epoch, 0, { id: 'b', content: '' }))
  t.strictSame(await client.next(), wholeEnd('all of it', 0, { id: 'b' }))
  chat({ id: 'b', message: 'whole?' })
  t.strictSame(await client.next(), refused('ID_CONFLICT', { id: 'b' }))
  await close()
})

t.test('a store that fails, or is silent, when it is asked for such a text is STORE_UNAVAILABLE', async (t) => {
  const { app, stage, client, chat, clock, store, forget, close } = await forgetful(t)
  stage.act('a').say('x').end()
  chat()
  for (let i = 0; i < 4; i++) await client.next()
  await forget()
  const { turn } = store
  store.turn = () => { throw new Error('boom') }
  chat()
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { retryAfterMs: 1_000, id: 'a' }))
  let isAsked = false
  Reflect.set(store, 'turn', () => { isAsked = true; return new Promise(() => {}) })
  chat()
  await eventually(() => isAsked)
  clock.advance(5_000)
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { retryAfterMs: 1_000, id: 'a' }))
  await client.fence()
  t.equal(app.channel.stats().followers, 0)
  store.turn = turn
  chat()
  const told = await client.next('ack')
  t.strictSame(told, ack('duplicate', told.epoch, 0, { content: 'x' }))
  t.strictSame(await client.next(), end(0))
  await close()
})

t.test('a turn without an answer in the store is told by its end', async (t) => {
  const { stage, client, chat, forget, close } = await forgetful(t)
  stage.act('a').end()
  chat()
  for (let i = 0; i < 3; i++) await client.next()
  await forget()
  chat()
  const told = await client.next('ack')
  t.strictSame(told, ack('duplicate', told.epoch, 0), 'what the client has of it is not replaced by nothing')
  t.strictSame(await client.next(), end(0))
  await close()
})

t.test('an ended turn of a session for which the journal has no room any more is told with its own place', async (t) => {
  const { stage, client, chat, connect, app, close } = await open(t, { journal: memoryJournal({ maxSessions: 1 }) })
  stage.act('a').say('x').end()
  chat()
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('a', 1), piece('x', 2), end(3)]) t.strictSame(await client.next(), frame)
  await eventually(() => app.channel.stats().followers === 0)
  const other = await connect()
  other.send({ type: 'subscribe', sessionId: 'other' })
  await other.next('subscribed')
  chat()
  t.strictSame(await client.next(), ack('duplicate', epoch, 3, { content: 'x' }))
  t.strictSame(await client.next(), end(3))
  await other.close()
  await close()
})

t.test('once its window is over an id is free again', async (t) => {
  const { app, stage, client, chat, clock, forget, close } = await forgetful(t, { dedupWindowMs: 20_000 })
  stage.act('a').end()
  stage.act('b').end()
  chat()
  for (let i = 0; i < 3; i++) await client.next()
  await forget()
  t.equal(app.channel.stats().claims, 1)
  clock.advance(9_000)
  chat()
  t.match(await client.next('ack'), { status: 'duplicate' })
  await client.next('stream')
  clock.advance(2_000)
  chat({ message: 'b' })
  t.match(await client.next('ack'), { status: 'started' })
  t.match(await client.next('event'), { data: { message: 'b' } })
  t.match(await client.next('stream'), { done: true })
  await close()
})

t.test('an owner with too many claims is RATE_LIMITED, and its duplicates are served', async (t) => {
  const { stage, client, chat, close } = await open(t, { journal: memoryJournal({ maxClaims: 1 }) })
  stage.act('a').end()
  chat()
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('a', 1), end(2)]) t.strictSame(await client.next(), frame)
  chat({ id: 'b' })
  t.strictSame(await client.next(), refused('RATE_LIMITED', { retryAfterMs: 1_000, id: 'b' }))
  chat()
  t.strictSame(await client.next(), ack('duplicate', epoch, 2, { content: '' }))
  t.strictSame(await client.next(), end(2))
  await close()
})

t.test('duplicates are served above the limit of chats, and conflicts told', async (t) => {
  const { stage, client, chat, connect, close } = await open(t, { maxTurnsPerConnection: 1 })
  const other = await connect()
  stage.act('b').say('x')
  other.send({ type: 'chat', id: 'b', message: 'b' })
  const { epoch } = await other.next('ack')
  for (const frame of [turnStarted('b', 1, { id: 'b' }), piece('x', 2, { id: 'b' })]) t.strictSame(await other.next(), frame)
  chat({ sessionId: 't' })
  for (const type of ['ack', 'event'] as const) await client.next(type)
  chat({ id: 'b', message: 'b' })
  t.strictSame(await client.next(), ack('duplicate', epoch, 2, { id: 'b', content: 'x' }))
  chat({ id: 'b', message: 'c' })
  t.strictSame(await client.next(), refused('ID_CONFLICT', { id: 'b' }))
  chat({ id: 'c', message: 'c' })
  t.strictSame(await client.next(), refused('RATE_LIMITED', { retryAfterMs: 1_000, id: 'c' }))
  stage.act('a').end()
  t.match(await client.next('stream'), { id: 'a', done: true })
  stage.act('b').end()
  for (const each of [client, other]) t.strictSame(await each.next(), end(3, { id: 'b' }))
  await other.fence()
  await other.close()
  await close()
})

t.test('duplicates are served while the channel drains, new chats are not', async (t) => {
  const { app, stage, client, chat, connect } = await open(t, { drainTimeoutMs: 60_000 })
  const other = await connect()
  stage.act('a').say('x')
  chat()
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('a', 1), piece('x', 2)]) t.strictSame(await client.next(), frame)
  other.send({ type: 'chat', sessionId: 'u', message: 'u' })
  await stage.act('u').started.promise
  const drained = app.channel.drain()
  t.match(await client.next('reconnect'), { reason: 'the server is shutting down' })
  other.send({ type: 'chat', id: 'a', message: 'a' })
  t.strictSame(await other.next(), ack('duplicate', epoch, 2, { content: 'x' }))
  other.send({ type: 'chat', id: 'a', message: 'b' })
  t.strictSame(await other.next(), refused('ID_CONFLICT', { id: 'a' }))
  other.send({ type: 'chat', id: 'n', message: 'n' })
  t.strictSame(await other.next(), refused('SHUTTING_DOWN', { retryAfterMs: 1_000, id: 'n' }))
  stage.act('a').end()
  for (const each of [client, other]) t.strictSame(await each.next(), end(3))
  t.equal((await client.closed).code, 1012)
  stage.act('u').end()
  t.strictSame(await other.next(), { type: 'stream', agentId: 'main', content: '', done: true })
  t.equal((await other.closed).code, 1012)
  await drained
})

t.test('a conflict with a turn that is only listened to leaves it open: a drain waits for its end', async (t) => {
  // The refused chat's id used to be taken for a turn of its own, and the other's for ended.
  const { app, stage, client, chat, connect } = await open(t, { drainTimeoutMs: 60_000 })
  const other = await connect()
  chat()
  const { epoch } = await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  other.send({ type: 'subscribe', sessionId: 's' })
  t.strictSame(await other.next(), subscribed(epoch, 1, false, [{ id: 'a', status: 'running', message: 'a', content: '' }]))
  other.send({ type: 'chat', id: 'a', message: 'b' })
  t.strictSame(await other.next(), refused('ID_CONFLICT', { id: 'a' }))
  const drained = app.channel.drain()
  for (const each of [client, other]) await each.next('reconnect')
  await other.fence()
  stage.act('a').end()
  for (const each of [client, other]) t.strictSame(await each.next(), end(2))
  for (const each of [client, other]) t.equal((await each.closed).code, 1012)
  await drained
})

t.test('a journal that does not say whether it knows a chat is STORE_UNAVAILABLE', async (t) => {
  const journal = new SlowJournal()
  const { stage, client, chat, close } = await open(t, { journal, maxTurnsPerConnection: 1 })
  chat()
  await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  journal.before = (method) => { if (method === 'claimed') throw new Error('boom'); return undefined }
  chat({ id: 'b' })
  t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { id: 'b' }))
  stage.act('a').end()
  t.strictSame(await client.next(), end(2))
  await close()
})

/** A journal in whose round trip a turn ends, and its session is dropped: there is no room to follow it any more. */
class CrowdedJournal extends JournalDouble {
  isOver = (): boolean => false
  #asked = 0

  override async follow (): Promise<undefined> {
    // The turn begins when this is answered, and ends before it is looked for again.
    if (this.#asked++ > 0) await eventually(this.isOver)
    return undefined
  }
}

t.test('a turn that is over, and its session dropped, before it could be followed is told to its end; this failed, and was logged as a fault', async (t) => {
  const { lines, logger } = readableLog()
  const journal = new CrowdedJournal(memoryJournal())
  const { app, client, chat, stage, close } = await open(t, { journal, fastify: { logger } })
  journal.isOver = () => stage.begun.length === 1 && app.channel.stats().turns === 0
  stage.act('a').returns('all of it')
  chat()
  t.match(await client.next(), { type: 'ack', id: 'a', status: 'duplicate', content: '' })
  t.match(await client.next(), { type: 'message', id: 'a', content: 'all of it', done: true })
  await close()
  t.strictSame(lines.filter(({ level }) => Number(level) >= 50), [])
})
