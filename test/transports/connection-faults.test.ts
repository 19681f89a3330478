// What no client can bring about: faults of ours, told to a connection by doubles.
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import { setImmediate as nextRun } from 'node:timers/promises'

import Fastify from 'fastify'
import t from 'tap'
import type { WebSocket } from 'ws'

import { DEFAULT_LIMITS } from '../../lib/options.js'
import { createDecoder } from '../../lib/protocol/decode.js'
import { Connections } from '../../lib/transports/connections.js'
import { HostTypes } from '../../lib/transports/host-types.js'
import type { Engine } from '../../lib/turns/engine.js'
import { readableLog } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'

class FakeWebSocket extends EventEmitter {
  bufferedAmount = 0
  readonly CLOSING = 2
  readyState = 1
  pings = 0
  readonly sent: string[] = []
  readonly closings: number[] = []
  terminated = 0

  send (frame: string, written: () => void): void {
    this.sent.push(frame)
    written()
  }

  close (code: number): void { this.closings.push(code) }
  terminate (): void { this.terminated++ }
  pause (): void {}
  resume (): void {}
  ping (): void { this.pings++ }

  receive (data: unknown): void { this.emit('message', data, false) }
}

function makeConnections (engine: Partial<Engine>, decode = createDecoder(DEFAULT_LIMITS)) {
  const { lines, logger } = readableLog()
  const { log } = Fastify({ logger })
  const ready = { journal: 'j', maxPayload: 1, maxFrameBytes: 1, heartbeatMs: 1, types: [] }
  const clock = new ManualClock()
  const connections = new Connections(
    { engine: engine as Engine, decode, hostTypes: new HostTypes(), authorize: undefined, ready, clock, log }, DEFAULT_LIMITS)
  const accept = (owner = 'anonymous', stream = new PassThrough()): FakeWebSocket => {
    const socket = new FakeWebSocket()
    connections.reserve(owner)
    const facts = { subprotocol: false, agentId: undefined, sessionId: undefined, stream }
    connections.accept(socket as unknown as WebSocket, { owner }, facts)
    return socket
  }
  return { connections, accept, lines, clock }
}

/** What was read is handled in the next run of the loop, and what comes later of that is told in the one behind it. */
async function settled (): Promise<void> {
  for (let run = 0; run < 2; run++) await nextRun()
}

t.test('an engine that fails is an INTERNAL error, and a log line', async (t) => {
  const { accept, lines } = makeConnections({
    startTurn: () => Promise.reject(new Error('boom')),
    endUnnamed: () => Promise.reject(new Error('boom'))
  })
  const socket = accept()
  socket.receive(Buffer.from('{"type":"chat","message":"x"}'))
  await settled()
  t.same(socket.sent.map((frame) => JSON.parse(frame) as unknown), [
    { type: 'error', agentId: 'main', code: 'INTERNAL', message: 'The server failed', retryable: true, done: true }
  ])
  socket.emit('close')
  await settled()
  t.same(lines.filter(({ level }) => level === 50).map(({ msg }) => msg),
    ['a chat could not be started', 'the session of a connection could not be ended'])
})

t.test('an engine that throws is an INTERNAL error too, and a log line', async (t) => {
  const { accept, lines } = makeConnections({
    startTurn: () => { throw new Error('boom') },
    endUnnamed: () => Promise.resolve()
  })
  const socket = accept()
  socket.receive(Buffer.from('{"type":"chat","message":"x"}'))
  await settled()
  t.match(socket.sent.map((frame) => JSON.parse(frame) as unknown), [{ code: 'INTERNAL', done: true }])
  t.match(lines.find(({ level }) => level === 50), { msg: 'a chat could not be started', err: { message: 'boom' } })
})

t.test('a failure that comes after the connection has gone is told nobody', async (t) => {
  const gate = deferred()
  const { accept } = makeConnections({
    startTurn: () => gate.promise.then(() => { throw new Error('boom') }),
    endUnnamed: () => Promise.resolve()
  })
  const socket = accept()
  socket.receive(Buffer.from('{"type":"chat","message":"x"}'))
  socket.emit('close')
  gate.resolve()
  await settled()
  t.same(socket.sent, [])
})

t.test('a frame whose handling throws is an INTERNAL error, and the connection lives on', async (t) => {
  let calls = 0
  const decode = createDecoder(DEFAULT_LIMITS)
  const { accept, lines } = makeConnections({}, (data) => {
    if (calls++ === 0) throw new Error('boom')
    return decode(data)
  })
  const socket = accept()
  for (let i = 0; i < 2; i++) socket.receive(Buffer.from('{"type": "ping"}'))
  await settled()
  t.match(socket.sent[0], /"code":"INTERNAL"/)
  t.equal(socket.sent[1], '{"type":"pong"}')
  t.ok(lines.some(({ msg }) => msg === 'a frame could not be handled'))
})

t.test('a feed that fails closes its connection 1011, and the process lives on', async (t) => {
  const follower = { epoch: 'e', seq: 0, next () { throw new Error('boom') }, narrow () {}, view: () => undefined, close () {} }
  const { accept, lines } = makeConnections({ followSession: () => ({ follower: follower as never, recovered: false, turns: [] }) })
  const socket = accept()
  socket.receive(Buffer.from('{"type":"subscribe","sessionId":"s"}'))
  await settled()
  t.match(socket.sent, [/"type":"subscribed"/])
  t.same(socket.closings, [1011])
  t.match(lines.find(({ level }) => level === 50), { msg: 'a connection could not be told what it follows', err: { message: 'boom' } })
  socket.emit('close')
})

t.test('messages may come as whatever `binaryType` makes of them', async (t) => {
  const { accept } = makeConnections({})
  const socket = accept()
  const bytes = Buffer.from('{"type":"ping"}')
  socket.receive([bytes.subarray(0, 5), bytes.subarray(5)])
  socket.receive(new Uint8Array(bytes).buffer)
  await settled()
  t.same(socket.sent, ['{"type":"pong"}', '{"type":"pong"}'])
})

t.test('a connection that was let in before a drain and opens in it is closed at once', async (t) => {
  const { connections, accept, clock } = makeConnections({})
  const early = new FakeWebSocket()
  connections.reserve('ada')
  connections.drain()
  t.throws(() => { connections.check('ada') }, { code: 'SHUTTING_DOWN' })
  const facts = { subprotocol: true, agentId: undefined, sessionId: undefined, stream: new PassThrough() }
  connections.accept(early as unknown as WebSocket, { owner: 'ada' }, facts)
  t.same(early.sent.map((frame) => (JSON.parse(frame) as { type: string }).type), ['ready', 'reconnect'])
  t.same(early.closings, [1012])
  const closed = connections.closeAll(500)
  early.receive(Buffer.from('{"type":"ping"}'))
  clock.advance(500)
  t.equal(early.terminated, 1)
  early.emit('close')
  early.emit('close')
  await closed
  t.same([connections.size, early.sent.length, clock.pending], [0, 2, 0])
  t.throws(() => accept(), { code: 'SHUTTING_DOWN' })
})

t.test('no timer runs while there is no connection, and none watches one that is closing', async (t) => {
  const { accept, clock } = makeConnections({})
  t.equal(clock.pending, 0)
  const [one, two] = [accept('ada'), accept('ada')]
  t.equal(clock.pending, 1)
  one.receive(Buffer.from([0xff]))
  await settled()
  t.same(one.closings, [1007])
  clock.advance(100_000)
  t.same([one.closings, two.closings], [[1007], [4408]])
  one.emit('close')
  two.emit('close')
  t.equal(clock.pending, 0)
})

t.test('a peer that has begun to close, or has broken the protocol, is cut off when it does not end its socket', async (t) => {
  // `ws` waits for half a minute, in which the connection kept its place and its turns their reader.
  const { connections, accept, clock } = makeConnections({})
  const [closing, broken] = [accept(), accept()]
  closing.readyState = closing.CLOSING
  broken.emit('error', new Error('bad frame'))
  broken.emit('error', new Error('bad frame'))
  clock.advance(1_000)
  clock.advance(500)
  t.same([closing.terminated, broken.terminated], [1, 1])
  for (const socket of [closing, broken]) {
    socket.receive(Buffer.from('{"type":"ping"}'))
    await settled()
    t.same(socket.sent, [])
    socket.emit('close')
  }
  t.equal(connections.size, 0)
})

t.test('nobody is dropped for a silence in which the server itself stood still', (t) => {
  // Peers whose answers waited to be read used to be dropped, all at once.
  const { accept, clock } = makeConnections({})
  const socket = accept()
  clock.advance(25_000)
  t.equal(socket.pings, 1)
  clock.stall(60_000)
  t.same(socket.closings, [])
  socket.emit('pong')
  clock.advance(1_000)
  t.same([socket.closings, socket.pings], [[], 2])
  clock.advance(10_000)
  t.same(socket.closings, [4408])
  socket.emit('close')
  t.end()
})

t.test('bytes of a message that takes long to come are a sign of life', (t) => {
  // Only whole messages used to count: a slow upload was dropped in its midst.
  const { accept, clock } = makeConnections({})
  const stream = new PassThrough()
  const socket = accept('anonymous', stream)
  for (let bytesRead = 0; bytesRead < 20; bytesRead++) {
    Reflect.set(stream, 'bytesRead', bytesRead)
    clock.advance(9_000)
  }
  t.same(socket.closings, [])
  clock.advance(45_000)
  t.same(socket.closings, [4408])
  socket.emit('close')
  t.end()
})

t.test('a peer has time for what it was told before a close, and then closeTimeoutMs for its answer', (t) => {
  // A close used to cut off the end of an answer that was still on its way over a slow link.
  const { connections, accept, clock } = makeConnections({})
  const [slow, stuck] = [accept('ada'), accept('ada')]
  slow.bufferedAmount = stuck.bufferedAmount = 1_000
  t.equal(connections.disconnect('ada', 'DISCONNECTED'), 2)
  clock.advance(3_000)
  t.same([slow.terminated, stuck.terminated], [0, 0])
  slow.bufferedAmount = 0
  clock.advance(500)
  t.equal(slow.terminated, 0, 'its time begins now')
  clock.advance(500)
  t.equal(slow.terminated, 1)
  clock.advance(DEFAULT_LIMITS.slowConsumerTimeoutMs)
  t.equal(stuck.terminated, 1)
  slow.emit('close')
  stuck.emit('close')
  t.equal(clock.pending, 0)
  t.end()
})
