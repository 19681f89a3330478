import t from 'tap'

import { createChannelClient, type ChannelClientOptions, type SessionNews } from '../../lib/client/index.js'
import { eventually } from '../helpers/eventually.js'
import { FakeSockets, type AnyFrame, type FakeSocket } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

async function open (options: Partial<ChannelClientOptions> = {}) {
  const clock = new ManualClock()
  const sockets = new FakeSockets()
  const client = createChannelClient({
    url: 'ws://x/ws?sessionId=trip', WebSocket: sockets.WebSocket, clock, random: () => 0, fetch: async () => { throw new Error('no network') }, ...options
  })
  const told: unknown[] = []
  client.on('state', (state) => told.push(state))
  client.on('error', ({ code }) => told.push({ code }))
  client.on('event', ({ name }) => told.push({ name }))
  const socket = await sockets.nth(1)
  return { client, clock, sockets, socket, told }
}

/** The id of the frame that was sent last. */
function idOf (frames: AnyFrame[]): string {
  return String(frames.at(-1)?.id)
}

const SESSION = { agentId: 'main', sessionId: 'trip' }

function answer (socket: FakeSocket, id: string, content: string): void {
  socket.says(
    { type: 'ack', id, ...SESSION, status: 'started', epoch: 'e', seq: 0 },
    { type: 'event', id, ...SESSION, seq: 1, name: 'turn-started', data: { message: 'x' } },
    { type: 'message', ...SESSION, id, seq: 2, content, done: true, finishReason: 'stop' }
  )
}

t.test('is told of states, events and faults', async (t) => {
  const { client, socket, told } = await open()
  t.equal(client.state, 'connecting')
  socket.isReady()
  socket.says({ type: 'event', ...SESSION, seq: 1, name: 'shipped', data: 1 })
  socket.says({ type: 'error', code: 'INVALID_FRAME', message: 'x', retryable: false })
  socket.says({ type: 'error', id: 'nobody waits for it', code: 'INVALID_FRAME', message: 'x', retryable: false })
  socket.says({ type: 'unsubscribed', ...SESSION })
  client.close()
  t.strictSame(told, ['open', { name: 'shipped' }, { code: 'INVALID_FRAME' }, 'closed'])
})

t.test('chats in the session that is meant', async (t) => {
  const { client, socket } = await open()
  socket.isReady()
  const turn = client.chat({ message: 'Hello' })
  t.match(turn, { ...SESSION, id: /^[0-9a-f]{32}$/ })
  t.strictSame(socket.take(), [{ type: 'chat', id: turn.id, ...SESSION, message: 'Hello' }])
  answer(socket, turn.id, 'Hi.')
  t.strictSame(await turn.finished, { text: 'Hi.', finishReason: 'stop' })
  client.chat({ message: 'Hello', id: 'q', agentId: 'a', sessionId: 's', onBusy: 'reject', stream: false, metadata: { x: 1 } })
  t.strictSame(socket.take(), [{
    type: 'chat', id: 'q', agentId: 'a', sessionId: 's', message: 'Hello', onBusy: 'reject', stream: false, metadata: { x: 1 }
  }])
  client.close()
})

t.test('one id is one chat', async (t) => {
  const { client, socket } = await open()
  socket.isReady()
  const turn = client.chat({ message: 'Hello', id: 'q' })
  t.equal(client.chat({ message: 'Hello', id: 'q' }), turn)
  await t.rejects(client.chat({ message: 'Bye', id: 'q' }).finished, { code: 'ID_CONFLICT' })
  t.equal(socket.take().length, 1)
  client.close()
})

t.test('finds whose refusal it is', async (t) => {
  const { client, socket } = await open()
  socket.isReady()
  const turns = [client.chat({ message: 'x', sessionId: 'a', id: 'q1' }), client.chat({ message: 'x', sessionId: 'b', id: 'q2' })]
  socket.says({ type: 'error', id: 'q2', code: 'FORBIDDEN', message: 'no', retryable: false })
  await t.rejects(async () => { await turns[1]?.finished }, { code: 'FORBIDDEN' })
  answer(socket, 'q1', 'told in another session than it was asked in')
  client.close()
  await t.rejects(async () => { await turns[0]?.finished }, { code: 'CLOSED' })
})

t.test('asks', async (t) => {
  const { client, socket } = await open()
  socket.isReady()

  await t.test('for history', async (t) => {
    const page = client.history({ limit: 3, before: 'b' })
    const [frame] = socket.take()
    t.match(frame, { type: 'history', ...SESSION, limit: 3, before: 'b' })
    socket.says({ type: 'history', id: frame?.id, ...SESSION, messages: [], before: 'a' })
    t.match(await page, { messages: [], before: 'a' })
    const other = client.history()
    socket.says({ type: 'history', id: idOf(socket.take()), ...SESSION, messages: [] })
    t.match(await other, { messages: [] })
  })

  await t.test('that turns be stopped', async (t) => {
    const cancelled = client.cancel({ sessionId: 's', turnId: 'q1' })
    const frames = socket.take()
    t.match(frames, [{ type: 'cancel', turnId: 'q1', agentId: 'main', sessionId: 's' }])
    socket.says({ type: 'cancelled', id: idOf(frames), ...SESSION, turns: ['q1'] })
    t.strictSame(await cancelled, ['q1'])
    const nothing = client.cancel()
    socket.says({ type: 'error', id: idOf(socket.take()), code: 'TURN_NOT_FOUND', message: 'x', retryable: false })
    t.strictSame(await nothing, [])
    const refused = client.cancel()
    socket.says({ type: 'error', id: idOf(socket.take()), code: 'FORBIDDEN', message: 'x', retryable: false })
    await t.rejects(refused, { code: 'FORBIDDEN' })
  })

  await t.test('what the host has defined', async (t) => {
    const rated = client.send('rate', { stars: 5, type: 'not this' })
    const frames = socket.take()
    t.match(frames, [{ type: 'rate', stars: 5 }])
    socket.says({ type: 'rate', id: idOf(frames), data: { thanks: true } })
    t.strictSame(await rated, { thanks: true })
  })

  await t.test('nothing that the server does not take', async (t) => {
    socket.says({ type: 'ready', journal: 'j1', maxPayload: 100, heartbeatMs: 25_000 })
    await t.rejects(client.send('rate', { text: 'x'.repeat(200) }), { code: 'TOO_BIG' })
    await t.rejects(client.chat({ message: '长'.repeat(60) }).finished, { code: 'TOO_BIG' })
    socket.take()
    const short = client.send('a', {})
    t.equal(socket.sent.length, 1)
    socket.says({ type: 'a', id: idOf(socket.take()) })
    t.equal(await short, undefined)
  })
  client.close()
})

t.test('cancels turns', async (t) => {
  const { client, socket, told } = await open()
  const unsent = client.chat({ message: 'x', id: 'q0' })
  t.strictSame(await client.cancel({ turnId: 'q0' }), ['q0'])
  t.strictSame(await unsent.finished, { text: '', finishReason: 'aborted' })
  socket.isReady()

  await t.test('that were asked for', async (t) => {
    const turn = client.chat({ message: 'x', id: 'q1' })
    const cancelled = turn.cancel()
    const frames = socket.take()
    t.match(frames, [{ type: 'chat' }, { type: 'cancel', turnId: 'q1', ...SESSION }])
    socket.says({ type: 'cancelled', id: idOf(frames), ...SESSION, turns: ['q1'] })
    socket.says({ type: 'ack', id: 'q1', ...SESSION, status: 'started', epoch: 'e', seq: 0 })
    socket.says({ type: 'stream', id: 'q1', ...SESSION, content: '', done: true, seq: 1, finishReason: 'aborted' })
    await cancelled
    t.equal((await turn.finished).finishReason, 'aborted')
  })

  await t.test('by a signal', async (t) => {
    const [controller, reason] = [new AbortController(), new Error('enough')]
    const turn = client.chat({ message: 'x', id: 'q2', signal: controller.signal })
    socket.take()
    controller.abort(reason)
    await t.rejects(turn.finished, reason)
    const frames = socket.take()
    t.match(frames, [{ type: 'cancel', turnId: 'q2' }])
    told.length = 0
    socket.says({ type: 'error', id: idOf(frames), code: 'FORBIDDEN', message: 'x', retryable: false })
    await eventually(() => told.length > 0)
    t.strictSame(told, [{ code: 'FORBIDDEN' }], 'nobody else would learn of it')
    await t.rejects(client.chat({ message: 'x', signal: controller.signal }).finished, reason)
    t.strictSame(socket.take(), [])
  })

  await t.test('a signal that fires when all is over changes nothing', async (t) => {
    const controller = new AbortController()
    const turn = client.chat({ message: 'x', id: 'q3', signal: controller.signal })
    answer(socket, 'q3', 'Done.')
    await turn.finished
    socket.take()
    controller.abort()
    t.strictSame(socket.take(), [])
  })
  client.close()
})

t.test('subscribes', async (t) => {
  const { client, socket } = await open()
  socket.isReady()
  const controller = new AbortController()
  const subscription = client.subscribe({ signal: controller.signal })
  const frames = socket.take()
  t.match(frames, [{ type: 'subscribe', ...SESSION }])
  socket.says({ type: 'subscribed', id: idOf(frames), ...SESSION, epoch: 'e', seq: 0, recovered: false, turns: [] })
  await subscription.ready
  const news: SessionNews[] = []
  const read = (async () => { for await (const one of subscription) news.push(one) })()
  socket.says({ type: 'event', ...SESSION, seq: 1, name: 'shipped', data: 1 })
  await eventually(() => news.length === 1)
  controller.abort()
  await read
  t.match(socket.take(), [{ type: 'unsubscribe' }])
  client.close()
})

t.test('goes on with all of it after a loss', async (t) => {
  const { client, clock, sockets, socket, told } = await open()
  socket.isReady()
  const turn = client.chat({ message: 'x', id: 'q1' })
  const page = client.history()
  socket.closes(1006)
  clock.advance(1)
  const second = await sockets.nth(2)
  second.isReady()
  const frames = second.take()
  t.match(frames, [{ type: 'history' }, { type: 'chat', id: 'q1' }])
  second.says({ type: 'history', id: frames[0]?.id, ...SESSION, messages: [] })
  await page
  answer(second, 'q1', 'Hi.')
  t.equal((await turn.finished).text, 'Hi.')
  t.strictSame(told, ['open', 'reconnecting', 'open', { name: 'turn-started' }])
  client.wake()
  t.match(second.take(), [{ type: 'ping' }])
  client.close()
})

t.test('a server that does not want it is the end', async (t) => {
  const { client, socket, told, clock } = await open()
  socket.isReady()
  const [turn, subscription, page] = [client.chat({ message: 'x' }), client.subscribe({ sessionId: 's' }), client.history()]
  socket.closes(4403)
  await t.rejects(turn.finished, { code: 'OUTCOME_UNKNOWN', cause: { code: 'CONNECTION_REFUSED', status: 4403 } })
  await t.rejects(subscription.ready, { code: 'CONNECTION_REFUSED' })
  await t.rejects(page, { code: 'CONNECTION_REFUSED' })
  t.strictSame(told, ['open', 'reconnecting', 'closed', { code: 'CONNECTION_REFUSED' }])
  await t.rejects(client.chat({ message: 'x' }).finished, { code: 'CONNECTION_REFUSED' })
  await t.rejects(client.subscribe().ready, { code: 'CONNECTION_REFUSED' })
  await t.rejects(client.history(), { code: 'CONNECTION_REFUSED' })
  t.equal(clock.pending, 0)
  client.close()
  t.equal(told.length, 4, 'it has ended once')
})

t.test('trouble with its credentials it tells, and tries again', async (t) => {
  const clock = new ManualClock()
  const sockets = new FakeSockets()
  let asked = 0
  const client = createChannelClient({
    url: 'ws://x', WebSocket: sockets.WebSocket, clock, random: () => 0, token: () => { if (asked++ === 0) throw new Error('offline'); return undefined }
  })
  const codes: string[] = []
  client.on('error', ({ code }) => codes.push(code))
  await eventually(() => clock.pending > 0)
  t.strictSame(codes, ['UNAUTHORIZED'])
  clock.advance(1)
  await sockets.nth(1)
  client.close()
})

t.test('closes', async (t) => {
  await t.test('and whatever is open says so', async (t) => {
    const { client, socket, clock } = await open()
    socket.isReady()
    const turn = client.chat({ message: 'x' })
    await client[Symbol.asyncDispose]()
    t.equal(client.state, 'closed')
    await t.rejects(turn.finished, { code: 'CLOSED' })
    const late = client.chat({ message: 'x' })
    await t.rejects(late.finished, { code: 'CLOSED' })
    await late.cancel()
    for await (const news of client.subscribe()) t.fail(`nothing is told: ${news.type}`)
    t.equal(clock.pending, 0)
  })

  await t.test('by a signal', async (t) => {
    const controller = new AbortController()
    const { client } = await open({ signal: controller.signal })
    controller.abort()
    t.equal(client.state, 'closed')
    const sockets = new FakeSockets()
    const late = createChannelClient({ url: 'ws://x', WebSocket: sockets.WebSocket, signal: controller.signal })
    await new Promise(setImmediate)
    t.equal(late.state, 'closed')
    t.strictSame(sockets.made, [], 'it connects no more')
  })
})
