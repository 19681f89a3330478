import t from 'tap'

import { ChannelHttp } from '../../../lib/client/sse/channel-http.js'
import { SseSocket } from '../../../lib/client/sse/sse-socket.js'
import { eventually } from '../../helpers/eventually.js'
import { FakeHttp, type FakeRequest } from '../../helpers/fake-http.js'
import { ManualClock } from '../../helpers/manual-clock.js'

const FACTS = { protocol: 'agent-channel.v1', journal: 'j1', maxPayload: 1, maxFrameBytes: 1, heartbeatMs: 25_000 }
const PLACE = { agentId: 'main', sessionId: 's 1' }
const SUBSCRIBED = { type: 'subscribed', ...PLACE, epoch: 'e', seq: 1, recovered: false, turns: [] }

/** A socket, and all that it has told, closings as `{ closed: code }`. */
function make () {
  const clock = new ManualClock()
  const server = new FakeHttp()
  const told: unknown[] = []
  const socket = new SseSocket(new ChannelHttp({
    base: new URL('ws://x/'), token: undefined, fetch: server.fetch, answerTimeoutMs: 30_000, silenceMs: 10_000, clock
  }))
  socket.addEventListener('open', () => { told.push('open') })
  socket.addEventListener('message', (event) => { told.push(JSON.parse((event as { data: string }).data)) })
  socket.addEventListener('close', (event) => { told.push({ closed: (event as { code: number }).code }) })
  const take = async (count: number): Promise<unknown[]> => {
    await eventually(() => told.length >= count)
    return told.splice(0)
  }
  return {
    clock, server, socket, told, take,
    /** Sends a frame. @returns the request that it makes */
    asks: async (frame: object): Promise<FakeRequest> => {
      socket.send(JSON.stringify(frame))
      return await server.next()
    }
  }
}

async function open () {
  const bench = make()
  const request = await bench.server.next()
  request.answers({ agents: [], channel: FACTS })
  await bench.take(2)
  return bench
}

t.test('is open and ready once the channel has said what it is', async (t) => {
  const { server, take, socket, clock } = make()
  const request = await server.next()
  t.equal(request.url, 'http://x/agents')
  request.answers({ agents: [], channel: FACTS })
  const [opened, ready] = await take(2)
  t.equal(opened, 'open')
  t.match(ready, { type: 'ready', connectionId: /^\w{32}$/, types: [], ...FACTS })
  socket.close()
  t.equal(clock.pending, 0)
})

t.test('that is not let in closes with the status, and says when to come back', async (t) => {
  const cases: Array<[answer: (request: FakeRequest) => void, told: unknown[]]> = [
    [(request) => { request.answers('no', 401) }, [{ closed: 401 }]],
    [(request) => { request.answers({ code: 'SHUTTING_DOWN', message: 'Later', retryable: true, retryAfterMs: 70 }, 503) },
      [{ type: 'reconnect', reason: 'Later', afterMs: 70 }, { closed: 503 }]],
    [(request) => { request.fails() }, [{ closed: 1006 }]],
    [(request) => { request.answers('<html>') }, [{ closed: 1006 }]]
  ]
  for (const [answer, expected] of cases) {
    const { server, take } = make()
    answer(await server.next())
    t.strictSame(await take(expected.length), expected)
  }
})

t.test('closed before it is open, it says nothing', async (t) => {
  for (const isAnswered of [false, true]) {
    const { server, socket, told } = make()
    const request = await server.next()
    if (isAnswered) request.answers({ channel: FACTS })
    socket.close()
    t.equal(request.isAborted, true)
    await new Promise(setImmediate)
    t.strictSame(told, [])
  }
})

t.test('a ping asks whether the channel is there', async (t) => {
  const { asks, take } = await open()
  const request = await asks({ type: 'ping' })
  t.equal(request.url, 'http://x/agents')
  request.answers({ channel: FACTS })
  t.strictSame(await take(1), [{ type: 'pong' }])
  const lost = await asks({ type: 'ping' })
  lost.fails()
  t.strictSame(await take(1), [{ closed: 1006 }])
})

t.test('a history is a page of its route', async (t) => {
  const { asks, take } = await open()
  const request = await asks({ type: 'history', id: 'h', ...PLACE, limit: 7 })
  t.equal(request.url, 'http://x/agents/main/sessions/s%201/messages?limit=7')
  request.answers({ messages: [], before: 'c' })
  t.strictSame(await take(1), [{ type: 'history', id: 'h', ...PLACE, messages: [], before: 'c' }])
})

t.test('a frame that the host has defined is refused', async (t) => {
  const { socket, told, take } = await open()
  socket.send('{"type":"rate","id":"r"}')
  t.strictSame(told, [], 'not before it is sent')
  t.match(await take(1), [{ type: 'error', id: 'r', code: 'WEBSOCKET_ONLY', retryable: false }])
})

t.test('what is refused is an error, or ends the socket', async (t) => {
  const refused = { type: 'error', id: 'h', message: 'No' }
  const cases: Array<[status: number, body: object | string, told: object[]]> = [
    [409, { code: 'QUEUE_FULL', message: 'No', retryable: true, retryAfterMs: 70 }, [{ ...refused, code: 'QUEUE_FULL', retryable: true, retryAfterMs: 70 }]],
    [403, { message: 'No' }, [{ ...refused, code: 'CONNECTION_REFUSED', retryable: false }]],
    [429, { message: 'No' }, [{ ...refused, code: 'RATE_LIMITED', retryable: true }]],
    [401, { message: 'No' }, [{ closed: 4401 }]],
    [412, { code: 'OTHER_JOURNAL', message: 'No', retryable: false }, [{ closed: 1006 }]],
    [502, '<html>', [{ closed: 1006 }]],
    [503, { code: 'STORE_UNAVAILABLE', message: 'No', retryable: true }, [{ ...refused, code: 'STORE_UNAVAILABLE', retryable: true }]],
    [503, { code: 'SHUTTING_DOWN', message: 'No', retryable: true, retryAfterMs: 70 }, [
      { ...refused, code: 'SHUTTING_DOWN', retryable: true, retryAfterMs: 70 }, { type: 'reconnect', reason: 'No', afterMs: 70 }, { closed: 1012 }
    ]],
    [503, { code: 'SHUTTING_DOWN', message: 'No', retryable: true }, [{ ...refused, code: 'SHUTTING_DOWN', retryable: true }, { closed: 1012 }]]
  ]
  for (const [status, body, expected] of cases) {
    const { asks, take, socket } = await open()
    const request = await asks({ type: 'history', id: 'h', ...PLACE })
    request.answers(body, status)
    t.strictSame(await take(expected.length), expected, `${status} ${JSON.stringify(body)}`)
    socket.close()
  }
})

t.test('a chat that is meant for another journal was not taken', async (t) => {
  const { asks, take } = await open()
  const request = await asks({ type: 'chat', id: 'c', ...PLACE, message: 'x' })
  request.answers({ code: 'OTHER_JOURNAL', message: 'No', retryable: false }, 412)
  t.match(await take(2), [{ type: 'error', id: 'c', code: 'SHUTTING_DOWN', retryable: true }, { closed: 1006 }])
})

t.test('a session is followed in one answer, whose silence is a sign of life and whose end is that of the socket', async (t) => {
  const { asks, take, told, clock } = await open()
  const stream = await asks({ type: 'subscribe', id: 'a', ...PLACE })
  t.equal(stream.url, 'http://x/agents/main/sessions/s%201/events')
  stream.begins(SUBSCRIBED)
  t.strictSame(await take(1), [{ ...SUBSCRIBED, id: 'a' }])
  stream.says(':\n\n')
  t.strictSame(await take(1), [{ type: 'pong' }])
  const other = await asks({ type: 'subscribe', id: 'b', ...PLACE, sessionId: 't' })
  stream.ends()
  t.strictSame(await take(1), [{ closed: 1006 }])
  t.equal(other.isAborted, true)
  await new Promise(setImmediate)
  t.strictSame(told, [])
  t.equal(clock.pending, 0)
})

t.test('a server that leaves is followed until nothing of it is', async (t) => {
  const { asks, take, socket, told } = await open()
  const reconnect = { type: 'reconnect', reason: 'x', afterMs: 1 }
  const [one, two] = [await asks({ type: 'subscribe', id: 'a', ...PLACE }), await asks({ type: 'subscribe', id: 'b', ...PLACE, sessionId: 't' })]
  one.begins(SUBSCRIBED, reconnect)
  two.begins({ ...SUBSCRIBED, sessionId: 't' }, reconnect)
  await take(4)
  const asked = await asks({ type: 'history', id: 'h', ...PLACE })
  asked.answers({ code: 'SHUTTING_DOWN', message: 'No', retryable: true }, 503)
  t.match(await take(1), [{ type: 'error', id: 'h' }])
  one.ends()
  await new Promise(setImmediate)
  t.strictSame(told, [])
  socket.send(JSON.stringify({ type: 'unsubscribe', ...PLACE, sessionId: 't' }))
  t.strictSame(await take(1), [{ closed: 1012 }])
  t.equal(two.isAborted, true)
})
