import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

import t from 'tap'

import { afterAwake, elapsedMs, momentOf, systemClock } from '../../lib/client/client-clock.js'
import { ChannelClientError, errorOf } from '../../lib/client/client-error.js'
import { Listeners } from '../../lib/client/listeners.js'
import { News } from '../../lib/client/news.js'
import { freshId, readOptions } from '../../lib/client/options.js'
import { wakeWithPage } from '../../lib/client/page.js'
import { subprotocols } from '../../lib/client/subprotocols.js'
import { isFinal, whyRefused } from '../../lib/client/upgrade-refusal.js'
import { FakeSockets } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

const { WebSocket } = new FakeSockets()

t.test('options', async (t) => {
  await t.test('an address of the web is that of a socket, and its query says who is meant', async (t) => {
    const read = (url: string | URL) => readOptions({ url, WebSocket }).url.href
    t.equal(read('https://example.com/api/v1/ws'), 'wss://example.com/api/v1/ws')
    t.equal(read(new URL('http://example.com/ws?agentId=a')), 'ws://example.com/ws?agentId=a')
    t.equal(read('wss://example.com/ws'), 'wss://example.com/ws')
    t.match(readOptions({ url: 'ws://x/ws?agentId=a&sessionId=s', WebSocket }), { agentId: 'a', sessionId: 's' })
    t.match(readOptions({ url: 'ws://x/ws?agentId=a&sessionId=s', WebSocket, agentId: 'b', sessionId: 't' }), { agentId: 'b', sessionId: 't' })
    t.match(readOptions({ url: 'ws://x/ws', WebSocket }), { agentId: 'main', sessionId: /^[0-9a-f]{32}$/ })
  })

  await t.test('a page gives the rest of an address', async (t) => {
    t.throws(() => readOptions({ url: '/ws', WebSocket }), { name: 'TypeError', message: /option `url` must be an address, .* not \/ws$/ })
    t.intercept(globalThis, 'location' as keyof typeof globalThis, { value: { href: 'https://example.com/chat/' }, configurable: true })
    t.equal(readOptions({ url: '/ws', WebSocket }).url.href, 'wss://example.com/ws')
    for (const options of [undefined, { WebSocket }]) {
      t.throws(() => readOptions(options), { name: 'TypeError', message: /not undefined$/ }, 'nor is the page itself')
    }
  })

  await t.test('without a WebSocket there is no client', async (t) => {
    t.intercept(globalThis, 'WebSocket', { value: undefined, configurable: true })
    t.throws(() => readOptions({ url: 'ws://x' }), { name: 'TypeError', message: /give one as the option `WebSocket`/ })
    t.intercept(globalThis, 'WebSocket', { value: WebSocket, configurable: true })
    t.equal(readOptions({ url: 'ws://x' }).WebSocket, WebSocket)
  })

  await t.test('ids are random', async (t) => {
    t.not(freshId(), freshId())
  })
})

t.test('subprotocols', async (t) => {
  t.strictSame(subprotocols(undefined), ['agent-channel.v1'])
  t.strictSame(subprotocols('eyJh.eyJz.c2ln-_'), ['agent-channel.v1', 'bearer', 'eyJh.eyJz.c2ln-_'])
  t.strictSame(subprotocols('a b/c?>'), ['agent-channel.v1', 'bearer.b64', Buffer.from('a b/c?>').toString('base64url')])
})

t.test('why an upgrade was refused', async (t) => {
  const answers: Array<[status: number, body: string]> = []
  const asked: unknown[] = []
  const server = createServer(({ url, headers: { authorization } }, response) => {
    asked.push({ url, authorization })
    const [status, body] = answers.shift() ?? [500, '']
    response.writeHead(status).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const url = new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws?sessionId=s`)
  const settings = { url, fetch, connectTimeoutMs: 5_000 }
  answers.push([401, '{}'], [503, '{"retryAfterMs":70}'], [502, '<html>'], [426, 'null'])
  t.strictSame(await whyRefused(settings, 'token'), { status: 401, retryAfterMs: 0 })
  t.strictSame(await whyRefused(settings, undefined), { status: 503, retryAfterMs: 70 })
  t.strictSame(await whyRefused(settings, undefined), { status: 502, retryAfterMs: 0 })
  t.strictSame(await whyRefused(settings, undefined), { status: 426, retryAfterMs: 0 })
  t.strictSame(asked.slice(0, 2), [
    { url: '/ws?sessionId=s', authorization: 'Bearer token' }, { url: '/ws?sessionId=s', authorization: undefined }
  ])
  t.equal(await whyRefused({ ...settings, fetch: undefined }, undefined), undefined)
  t.equal(await whyRefused({ ...settings, url: new URL('ws://127.0.0.1:1/ws') }, undefined), undefined)
  for (const status of [400, 403, 404]) t.ok(isFinal(status), String(status))
  for (const status of [200, 401, 408, 425, 426, 429, 500, 503]) t.notOk(isFinal(status), String(status))
})

t.test('errors', async (t) => {
  const error = errorOf({
    type: 'error', id: 'x', code: 'VALIDATION_FAILED', message: 'A field is wrong', retryable: false, details: { path: '/a', rule: 'b' }
  })
  t.match(error, { name: 'ChannelClientError', code: 'VALIDATION_FAILED', message: 'A field is wrong', retryable: false, details: { path: '/a' } })
  t.match(new ChannelClientError('CONNECTION_LOST'), { retryable: true, message: /nothing was sent/ })
  t.match(new ChannelClientError('OUTCOME_UNKNOWN', { cause: error, status: 1 }), { retryable: false, cause: error, status: 1 })
  t.equal(new ChannelClientError('ID_CONFLICT').message, 'ID_CONFLICT')
})

t.test('listeners', async (t) => {
  const listeners = new Listeners<{ a: number, b: string }>()
  const heard: unknown[] = []
  const stop = listeners.on('a', (news) => heard.push(news))
  listeners.on('b', (news) => heard.push(news))
  listeners.tell('a', 1)
  listeners.tell('b', 'x')
  stop()
  listeners.tell('a', 2)
  t.strictSame(heard, [1, 'x'])

  await t.test('one that throws keeps nobody else from being told, and is not hushed up', async (t) => {
    const thrown: unknown[] = []
    t.intercept(globalThis, 'queueMicrotask', { value: (task: () => void) => { try { task() } catch (err) { thrown.push(err) } }, configurable: true })
    listeners.on('a', () => { throw new Error('mine') })
    listeners.on('a', (news) => heard.push(news))
    listeners.tell('a', 3)
    t.equal(heard.at(-1), 3)
    t.match(thrown, [{ message: 'mine' }])
  })
})

t.test('news wakes all who wait, and who comes later waits for the next', async (t) => {
  const news = new News()
  news.tell()
  let woken = 0
  const wait = async (): Promise<void> => { await news.next(); woken++ }
  const both = [wait(), wait()]
  await Promise.resolve()
  t.equal(woken, 0)
  news.tell()
  await Promise.all(both)
  const third = wait()
  await new Promise(setImmediate)
  t.equal(woken, 2)
  news.tell()
  await third
})

t.test('time', async (t) => {
  await t.test('that of the system', async (t) => {
    t.ok(Math.abs(systemClock.date() - Date.now()) < 1_000)
    const before = systemClock.now()
    await new Promise<void>((resolve) => { systemClock.after(1, resolve) })
    t.ok(systemClock.now() > before)
    // Further away than timers can tell: it would be due at once.
    const cancel = systemClock.after(Infinity, () => { t.fail('too early') })
    await new Promise<void>((resolve) => { systemClock.after(5, resolve) })
    cancel()
  })

  await t.test('who was asleep begins anew', async (t) => {
    const clock = new ManualClock()
    let runs = 0
    afterAwake(clock, 10_000, () => { runs++ })
    clock.stall(60_000)
    t.equal(runs, 0)
    clock.advance(9_999)
    t.equal(runs, 0)
    clock.advance(1)
    t.equal(runs, 1)
    const cancel = afterAwake(clock, 10_000, () => { runs++ })
    clock.stall(60_000)
    cancel()
    t.equal(clock.pending, 0)
  })

  await t.test('has passed by the clock that says more', async (t) => {
    const clock = new ManualClock()
    const moment = momentOf(clock)
    clock.advance(100)
    t.equal(elapsedMs(clock, moment), 100)
    clock.setDate(moment.date - 5_000)
    t.equal(elapsedMs(clock, moment), 100, 'the wall clock was set back')
    clock.setDate(moment.date + 5_000)
    t.equal(elapsedMs(clock, moment), 5_000, 'the other stood still while the computer slept')
  })
})

t.test('a page wakes its client until that is closed', async (t) => {
  const [page, document, closing] = [new EventTarget(), new EventTarget(), new AbortController()]
  wakeWithPage(() => { t.fail('there is no page here') }, closing.signal)
  t.intercept(globalThis, 'addEventListener' as keyof typeof globalThis, { value: page.addEventListener.bind(page), configurable: true })
  t.intercept(globalThis, 'document' as keyof typeof globalThis, { value: document, configurable: true })
  let wakes = 0
  wakeWithPage(() => { wakes++ }, closing.signal)
  for (const type of ['online', 'pageshow', 'offline']) page.dispatchEvent(new Event(type))
  document.dispatchEvent(new Event('visibilitychange'))
  t.equal(wakes, 3)
  closing.abort()
  for (const type of ['online', 'pageshow']) page.dispatchEvent(new Event(type))
  document.dispatchEvent(new Event('visibilitychange'))
  t.equal(wakes, 3)
})
