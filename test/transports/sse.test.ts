import t from 'tap'

import type { Executor } from '../../lib/index.js'
import { eventually } from '../helpers/eventually.js'
import { refusalTo, type SseEvent } from '../helpers/http-client.js'
import { ack, end, event, failedEnd, piece, plainEnd, plainPiece, subscribed, turnStarted, wholeEnd } from './expected.js'
import { serveRest } from './rest-host.js'
import { Stage } from './stage.js'

const framesOf = (events: SseEvent[]) => events.map(({ frame }) => frame)
const idsOf = (events: SseEvent[]) => events.map(({ id }) => id)

/** What a client makes of the events of one turn. */
function textOf (events: SseEvent[]): string {
  return events.map(({ frame }) => frame.type === 'stream' ? String(frame['content']) : '').join('')
}

t.test('a chat is told as its tracked frames, each event with the position that it leads to', async (t) => {
  const { tell } = await serveRest(t, { agentExecutor: () => ['你', '好'] })
  const reader = await tell({ id: 'a', sessionId: 's', message: 'x' })
  const events = await reader.rest()
  const epoch = events[0]?.frame['epoch']
  t.strictSame(framesOf(events), [ack('started', epoch, 0), turnStarted('x', 1), piece('你', 2), piece('好', 3), end(4)])
  t.strictSame(idsOf(events), [0, 1, 2, 3, 4].map((seq) => `${String(epoch)}:${seq}`))
  t.match(reader.headers, {
    'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no'
  })
})

t.test('a chat without a session is told as the four-key frames, without positions', async (t) => {
  const { app, tell } = await serveRest(t, { agentExecutor: () => ['a', 'b'] })
  const events = await (await tell({ message: 'x' })).rest()
  t.strictSame(framesOf(events), [plainPiece('a'), plainPiece('b'), plainEnd()])
  t.strictSame(idsOf(events), [undefined, undefined, undefined])
  await eventually(() => app.channel.stats().sessions === 0)
})

t.test('a chat in a session without an id gets one, which is no claim', async (t) => {
  const { app, tell } = await serveRest(t, { agentExecutor: () => 'hi' })
  const [first] = await (await tell({ sessionId: 's', message: 'x' })).rest()
  t.match(first?.frame, { type: 'ack', id: /^[0-9a-f-]{36}$/ })
  t.equal(app.channel.stats().claims, 0)
})

t.test('`stream: false` has the answer in one event', async (t) => {
  const { tell } = await serveRest(t, { agentExecutor: () => ['a', 'b'] })
  const events = await (await tell({ id: 'a', sessionId: 's', message: 'x', stream: false })).rest()
  t.strictSame(framesOf(events).slice(2), [wholeEnd('ab', 4)])
})

t.test('what headers the host has set are there too', async (t) => {
  const { tell } = await serveRest(t, {
    agentExecutor: () => 'hi',
    before (app) { app.addHook('onRequest', async (_request, reply) => { reply.header('x-host', 'here') }) }
  })
  const reader = await tell({ message: 'x' })
  t.equal(reader.headers['x-host'], 'here')
  await reader.rest()
})

t.test('what fails before the first word is a status', async (t) => {
  const stage = new Stage()
  const { tell } = await serveRest(t, { agentExecutor: stage.executor })
  const opening = tell({ id: 'a', sessionId: 's', message: 'x' })
  await stage.act('x').started.promise
  stage.act('x').end(new Error('secret'))
  t.match(await refusalTo(opening), {
    status: 502, body: { statusCode: 502, code: 'AGENT_ERROR', error: 'Bad Gateway', message: 'The agent failed', retryable: true }
  })
  // Sent again, it is the same.
  t.match(await refusalTo(tell({ id: 'a', sessionId: 's', message: 'x' })), { status: 502, body: { code: 'AGENT_ERROR' } })
})

t.test('what fails after it is the last event', async (t) => {
  const stage = new Stage()
  const { tell } = await serveRest(t, { agentExecutor: stage.executor })
  stage.act('x').say('so').end(new Error('secret'))
  const reader = await tell({ id: 'a', sessionId: 's', message: 'x' })
  t.strictSame(framesOf(await reader.rest()).slice(2), [piece('so', 2), failedEnd('AGENT_ERROR', 3)])
  const again = framesOf(await (await tell({ id: 'a', sessionId: 's', message: 'x' })).rest())
  t.match(again, [{ type: 'ack', status: 'duplicate', content: 'so' }, failedEnd('AGENT_ERROR', 3)])
})

t.test('what an agent says is no end, whatever it looks like', async (t) => {
  const agentExecutor: Executor = function * () {
    yield { type: 'event', name: 'progress', data: { x: { done: true } } }
    yield '"done":true'
  }
  const { tell } = await serveRest(t, { agentExecutor })
  const events = framesOf(await (await tell({ id: 'a', sessionId: 's', message: 'x' })).rest())
  t.strictSame(events.slice(2), [event('progress', { x: { done: true } }, 2), piece('"done":true', 3), end(4)])
})

t.test('a chat that was sent before goes on with its text so far', async (t) => {
  const stage = new Stage()
  const { tell } = await serveRest(t, { agentExecutor: stage.executor })
  const first = await (stage.act('x').say('one '), tell({ id: 'a', sessionId: 's', message: 'x' }))
  await first.frames(3)
  await first.destroy()
  stage.act('x').say('two ')
  const second = await tell({ id: 'a', sessionId: 's', message: 'x' })
  const again = await second.frame()
  t.match(again, { type: 'ack', status: 'duplicate', content: /^one / })
  stage.act('x').say('three').end()
  t.equal(String(again['content']) + textOf(await second.rest()), 'one two three')
  t.match(await refusalTo(tell({ id: 'a', sessionId: 's', message: 'y' })), { status: 409, body: { code: 'ID_CONFLICT', retryable: false } })
  const ended = await (await tell({ id: 'a', sessionId: 's', message: 'x' })).rest()
  t.match(framesOf(ended), [{ type: 'ack', status: 'duplicate', content: 'one two three' }, { type: 'stream', done: true }])
  t.equal(ended[0]?.id, ended[1]?.id)
})

t.test('a session is followed, whichever way its turns come', async (t) => {
  const { chat, connect, follow, tell } = await serveRest(t, { agentExecutor: ({ message }) => [message] })
  const reader = await follow('s')
  const first = await reader.frame()
  const epoch = first['epoch']
  t.strictSame(first, subscribed(epoch, 0, false))
  await (await tell({ id: 'a', sessionId: 's', message: 'one' })).rest()
  await chat({ id: 'b', sessionId: 's', message: 'two' })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'chat', id: 'c', message: 'three' })
  await client.until('stream')
  t.strictSame(await reader.frames(9), [
    turnStarted('one', 1), piece('one', 2), end(3),
    turnStarted('two', 4, { id: 'b' }), piece('two', 5, { id: 'b' }), end(6, { id: 'b' }),
    turnStarted('three', 7, { id: 'c' }), piece('three', 8, { id: 'c' }), end(9, { id: 'c' })
  ])
  await client.next('stream')
  await client.close()
  await reader.destroy()
})

t.test('an epoch that is gone is told, and so is a position that is to come', async (t) => {
  const { follow, tell } = await serveRest(t, { agentExecutor: () => 'hi' })
  const [first] = await (await tell({ id: 'a', sessionId: 's', message: 'x' })).rest()
  const epoch = first?.frame['epoch']
  for (const id of ['gone:1', `${String(epoch)}:99`]) {
    const reader = await follow('s', { 'last-event-id': id })
    t.strictSame(await reader.frame(), subscribed(epoch, 2, false))
    await reader.destroy()
  }
})

t.test('a reader that has had no id yet starts from now on; the header wins over the query', async (t) => {
  const { follow, tell } = await serveRest(t, { agentExecutor: () => 'hi' })
  const [first] = await (await tell({ id: 'a', sessionId: 's', message: 'x' })).rest()
  const epoch = first?.frame['epoch']
  const cases: Array<[query: string, headers: Record<string, string>, recovered: boolean, seq: number]> = [
    ['', { 'last-event-id': '' }, false, 2],
    [`?lastEventId=${String(epoch)}:1`, {}, true, 1],
    [`?lastEventId=${String(epoch)}:1`, { 'last-event-id': `${String(epoch)}:2` }, true, 2]
  ]
  for (const [query, headers, recovered, seq] of cases) {
    const reader = await follow('s', headers, query)
    t.match(await reader.frame(), { type: 'subscribed', recovered, seq })
    await reader.destroy()
  }
})
