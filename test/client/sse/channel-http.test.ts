import t from 'tap'

import { ChannelHttp, HttpRefusal, type FollowTools } from '../../../lib/client/sse/channel-http.js'
import { eventually } from '../../helpers/eventually.js'
import { FakeHttp } from '../../helpers/fake-http.js'
import { ManualClock } from '../../helpers/manual-clock.js'

const FACTS = { protocol: 'agent-channel.v1', journal: 'j1', maxPayload: 1, maxFrameBytes: 1, heartbeatMs: 25_000 }

function open ({ base = 'ws://x/api/v1/', token }: { base?: string, token?: string } = {}) {
  const clock = new ManualClock()
  const server = new FakeHttp()
  const http = new ChannelHttp({ base: new URL(base), token, fetch: server.fetch, answerTimeoutMs: 30_000, silenceMs: 10_000, clock })
  const told: unknown[] = []
  const tools: FollowTools = { onFrame: (frame) => { told.push(frame) }, onSilence: () => { told.push('silence') } }
  return { clock, server, http, told, tools }
}

/** A request that fails: how. */
async function failure (asked: Promise<unknown>): Promise<unknown> {
  return await asked.then(() => { throw new Error('it has not failed') }, (err: unknown) => err)
}

t.test('asks what the channel says of itself, and from then on under its journal alone', async (t) => {
  const { server, http } = open({ base: 'wss://x/api/v1?tenant=7', token: 'abc' })
  const facts = http.facts()
  const first = await server.next()
  t.match(first, { method: 'GET', url: 'https://x/api/v1/agents?tenant=7', headers: { authorization: 'Bearer abc' }, body: undefined })
  t.notOk('channel-journal' in first.headers)
  first.answers({ agents: [], channel: FACTS })
  t.strictSame(await facts, FACTS)
  const asked = http.ask('agents/main/chat', { body: { message: 'x' }, headers: { prefer: 'respond-async' }, query: { limit: 7, before: undefined } })
  const second = await server.next()
  t.match(second, { method: 'POST', url: 'https://x/api/v1/agents/main/chat?tenant=7&limit=7', body: { message: 'x' } })
  t.strictSame(second.headers, {
    authorization: 'Bearer abc', 'channel-journal': 'j1', 'content-type': 'application/json', prefer: 'respond-async'
  })
  second.answers({ type: 'ack' })
  t.strictSame(await asked, { type: 'ack' })
})

t.test('what is no channel of ours', async (t) => {
  for (const answer of ['<html>', { agents: [] }, { channel: {} }]) {
    const { server, http, clock } = open()
    const facts = http.facts()
    const request = await server.next()
    request.answers(answer)
    t.notMatch(await failure(facts), { name: 'HttpRefusal' })
    t.equal(clock.pending, 0)
  }
})

t.test('a refusal says what the channel says, and what stands in front of it says by its status', async (t) => {
  const cases: Array<[body: object | string, expected: object]> = [
    [{ code: 'QUEUE_FULL', message: 'Full', retryable: true, retryAfterMs: 70 },
      { code: 'QUEUE_FULL', message: 'Full', isRetryable: true, retryAfterMs: 70 }],
    [{ code: 'FORBIDDEN', message: 'No', retryable: false }, { code: 'FORBIDDEN', isRetryable: false, retryAfterMs: undefined }],
    [{ code: 'FST_X', message: 'A hook' }, { code: undefined, message: 'A hook', isRetryable: false }],
    ['<html>', { code: undefined, message: 'The server has answered 429', isRetryable: false, retryAfterMs: undefined }],
    ['null', { code: undefined, message: 'The server has answered 429' }]
  ]
  for (const [body, expected] of cases) {
    const { server, http } = open()
    const asked = http.ask('agents')
    const request = await server.next()
    request.answers(body, 429)
    const err = await failure(asked)
    t.ok(err instanceof HttpRefusal)
    t.match(err, { status: 429 })
    t.match(err, expected)
  }
})

t.test('an answer that does not come in time, awake, is none', async (t) => {
  const { server, http, clock } = open()
  const asked = http.ask('agents')
  const followed = http.follow('x/events', {}, new AbortController())
  const requests = [await server.next(), await server.next()]
  clock.stall(60_000)
  t.strictSame(requests.map(({ isAborted }) => isAborted), [false, false], 'who was asleep waits again')
  clock.advance(30_000)
  t.strictSame(requests.map(({ isAborted }) => isAborted), [true, true])
  await t.rejects(asked, { message: 'aborted' })
  await t.rejects(followed, { message: 'aborted' })
  t.equal(clock.pending, 0)
})

t.test('follows what is told, and notices when it is not any more', async (t) => {
  await t.test('for too long', async (t) => {
    const { server, http, clock, told, tools } = open()
    const facts = http.facts()
    const about = await server.next()
    about.answers({ channel: FACTS })
    await facts
    const following = http.follow('s/events', { 'last-event-id': 'e:1' }, new AbortController())
    const request = await server.next()
    t.match(request, { method: 'GET', headers: { accept: 'text/event-stream', 'last-event-id': 'e:1', 'channel-journal': 'j1' } })
    request.begins({ type: 'reconnect', reason: 'x', afterMs: 1 })
    const tell = await following
    t.equal(clock.pending, 0, 'it has begun')
    const over = tell(tools)
    await eventually(() => told.length === 1)
    clock.advance(34_999)
    request.says(':\n\n')
    await eventually(() => told.length === 2)
    clock.advance(34_999)
    t.equal(request.isAborted, false)
    clock.advance(1)
    t.equal(request.isAborted, true)
    await t.rejects(over, { message: 'aborted' })
    t.strictSame(told, [{ type: 'reconnect', reason: 'x', afterMs: 1 }, 'silence'])
    t.equal(clock.pending, 0)
  })

  await t.test('of a server that has not said how often it is heard', async (t) => {
    const { server, http, clock, tools } = open()
    const following = http.follow('s/events', {}, new AbortController())
    const request = await server.next()
    request.begins()
    const over = (await following)(tools)
    clock.advance(10_000)
    t.equal(request.isAborted, true)
    await t.rejects(over)
  })

  await t.test('because it has ended', async (t) => {
    const { server, http, clock, tools } = open()
    const controller = new AbortController()
    const following = http.follow('s/events', {}, controller)
    const request = await server.next()
    request.begins()
    const over = (await following)(tools)
    request.ends()
    await over
    t.equal(controller.signal.aborted, true)
    t.equal(clock.pending, 0)
  })

  await t.test('because it was refused', async (t) => {
    const { server, http, clock } = open()
    const following = http.follow('s/events', {}, new AbortController())
    const request = await server.next()
    request.answers('no', 404)
    await t.rejects(following, { name: 'HttpRefusal', message: 'The server has answered 404' })
    t.equal(clock.pending, 0)
  })
})

t.test('closed, it ends all at once, and asks nothing more', async (t) => {
  const { server, http, clock, tools } = open()
  const asked = http.ask('agents')
  const following = http.follow('s/events', {}, new AbortController())
  const [request, stream] = [await server.next(), await server.next()]
  stream.begins()
  const over = (await following)(tools)
  const late = http.ask('agents')
  const third = await server.next()
  third.answers({})
  await late
  http.close()
  t.ok(request.isAborted && stream.isAborted)
  await t.rejects(asked)
  await t.rejects(over)
  await t.rejects(http.ask('agents'))
  t.equal(clock.pending, 0)
})
