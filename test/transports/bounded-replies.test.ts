import type { Socket } from 'node:net'

import { WebSocket } from 'ws'
import t from 'tap'

import type { Executor } from '../../lib/agent/executor.js'
import type { ClientFrame } from '../../lib/protocol/client-frames.js'
import type { HostFrame } from '../../lib/protocol/host-frame.js'
import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { Stage } from './stage.js'

const TEXT = 'x'.repeat(2 * 1024 * 1024)
/** As many as are heard before a connection is paused, and one more. */
const SESSIONS = 17

/** A client's frame as it goes over the wire: text, final, masked with zeros, of at most 125 bytes. */
function rawFrame (frame: object): Buffer {
  const payload = Buffer.from(JSON.stringify(frame))
  if (payload.length > 125) throw new RangeError('too long for a short frame')
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload])
}

// `ws` goes on with the chunk that it has in its hands when it is paused: 95 snapshots used to be made at once, 371 MiB.
for (const [name, ask] of Object.entries({
  subscribe: (n: number) => ({ type: 'subscribe', id: `a${n}`, sessionId: 's' }),
  'the same chat': () => ({ type: 'chat', id: 'q', sessionId: 's', message: 'long' }),
  // Each used to find room, since none had been answered yet.
  'subscribe to several sessions': (n: number) => ({ type: 'subscribe', id: `a${n}`, sessionId: `s${n % SESSIONS}` }),
  'chats of several sessions again': (n: number) => ({ type: 'chat', id: 'q', sessionId: `s${n % SESSIONS}`, message: 'long' }),
  history: (n: number) => ({ type: 'history', id: `a${n}`, sessionId: 'told' })
})) {
  t.test(`one small packet of many frames (${name}) makes no more replies than a client takes`, async (t) => {
    const over = deferred()
    const agentExecutor: Executor = async function * ({ message }) {
      yield TEXT
      if (message === 'long') await over.promise
    }
    const { connect, app, url } = await serve(t, { agentExecutor, maxHistoryPageBytes: 4 * 1024 * 1024 })
    const other = await connect()
    const said = { owner: 'anonymous' }
    for (const sessionId of ['s', ...Array.from({ length: SESSIONS }, (_, n) => `s${n}`)]) {
      await app.channel.startTurn({ ...said, id: 'q', sessionId, message: 'long' })
    }
    await app.channel.startTurn({ ...said, id: 'p', sessionId: 'told', message: 'said' })
    await eventually(() => app.channel.stats().turns === SESSIONS + 1)

    const accepted = deferred<Socket>()
    app.server.once('connection', (socket: Socket) => { accepted.resolve(socket) })
    const socket = new WebSocket(url)
    t.teardown(() => { socket.terminate() })
    await new Promise((resolve) => { socket.once('open', resolve) })
    const server = await accepted.promise
    // Nobody reads at the other end; what is sent reaches the server in one piece.
    const stream = Reflect.get(socket, '_socket') as Socket
    stream.pause()
    stream.write(Buffer.concat(Array.from({ length: 95 }, (_, n) => rawFrame(ask(n)))))
    await eventually(() => server.writableLength > 0)
    await other.fence()
    t.ok(server.writableLength < 3 * TEXT.length, `${(server.writableLength / 1024 / 1024).toFixed(1)} MiB wait for the client`)

    let answers = 0
    socket.on('message', () => { answers++ })
    stream.resume()
    await eventually(() => answers >= 95)
    t.ok(answers >= 95, 'and each is answered once it does')
    over.resolve()
    await other.close()
  })
}

// Their refusals wait behind the running answer; the connection used not to be read until that had ended.
t.test('refused plain chats keep nobody from a pong and a cancel', async (t) => {
  const desk = new Desk()
  const { connect } = await serve(t, { agentExecutor: desk.executor })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'chat', message: 'runs' })
  for (let n = 0; n < 40; n++) client.send({ type: 'chat', message: `n${n}`, onBusy: 'reject' })
  await client.fence('still heard')
  client.send({ type: 'cancel' })
  t.match(await client.next('cancelled'), { sessionId: 's', turns: { length: 1 } })
  t.match(await client.next(), { type: 'stream', content: '', done: true })
  for (let n = 0; n < 40; n++) t.match(await client.next('error'), { code: 'SESSION_BUSY', done: true })
  await client.close()
})

// A host that lets nobody cancel turns of one agent used to be asked about another.
t.test('the host is asked about the turn that a cancel means', async (t) => {
  const asked: Array<ClientFrame | HostFrame> = []
  const stage = new Stage()
  const { connect } = await serve(t, {
    agentExecutor: stage.executor,
    authorize: async (frame) => {
      asked.push(frame)
      return frame.type !== 'cancel'
    }
  })
  const client = await connect()
  client.send({ type: 'chat', id: 'q', agentId: 'ops', sessionId: 's', message: 'go' })
  client.send({ type: 'cancel', id: 'c', turnId: 'q' })
  const frames = await client.until('event')
  t.match(frames.find(({ type }) => type === 'error'), { id: 'c', code: 'FORBIDDEN' })
  t.match(frames.at(-1), { name: 'turn-started', id: 'q' })
  t.strictSame(asked.at(-1), { type: 'cancel', id: 'c', turnId: 'q', agentId: 'ops', sessionId: 's' })
  stage.act('go').end()
  await client.until('stream')
  await client.close()
})

// The time that the host took over earlier frames used to count too.
t.test('the host has its time for each frame', async (t) => {
  const clock = new ManualClock()
  const verdicts = [deferred<boolean>(), deferred<boolean>()]
  let asked = 0
  const { connect } = await serve(t, {
    clock, authorizeTimeoutMs: 1_000, agentExecutor: ({ message }) => message, authorize: () => verdicts[asked++]?.promise ?? true
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'one' })
  client.send({ type: 'chat', message: 'two' })
  await client.fence()
  clock.advance(900)
  verdicts[0]?.resolve(true)
  t.match(await client.next('message'), { content: 'one' })
  clock.advance(900)
  verdicts[1]?.resolve(true)
  t.match(await client.next('message'), { content: 'two' })
  await client.close()
})
