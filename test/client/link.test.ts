import t from 'tap'

import { Link } from '../../lib/client/link.js'
import type { ServerFrame } from '../../lib/protocol/server-frames.js'
import { FakeSocket, READY } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

function open ({ heartbeatMs }: { heartbeatMs?: number } = {}) {
  const clock = new ManualClock()
  const socket = new FakeSocket('ws://x', [])
  const frames: ServerFrame[] = []
  const overs: number[] = []
  let readies = 0
  const link = new Link(socket, {
    clock,
    connectTimeoutMs: 10_000,
    heartbeatMs,
    pongTimeoutMs: 5_000,
    onReady: () => { readies++ },
    onFrame: (frame) => { frames.push(frame) },
    onOver: (code) => { overs.push(code) }
  })
  return { clock, socket, frames, overs, link, readies: () => readies }
}

t.test('is ready with the first frame, and gives what follows', async (t) => {
  const { socket, link, frames, readies } = open()
  t.notOk(link.hasOpened)
  socket.opens()
  t.ok(link.hasOpened)
  t.equal(link.ready, undefined)
  socket.says(READY)
  t.match(link.ready, READY)
  t.equal(readies(), 1)
  socket.says({ type: 'pong' }, { type: 'reconnect', reason: '', afterMs: 1 })
  socket.saysText('no JSON')
  socket.saysText('null')
  socket.saysText('{}')
  socket.saysText(new ArrayBuffer(1))
  t.match(frames, [{ type: 'reconnect' }])
  t.equal(frames.length, 1)
  link.send('{"type":"x"}')
  t.strictSame(socket.take(), [{ type: 'x' }])
})

t.test('one that does not get ready in time is over', async (t) => {
  const { clock, socket, overs } = open()
  socket.opens()
  clock.advance(9_999)
  t.strictSame(overs, [])
  clock.advance(1)
  t.strictSame(overs, [1006])
  t.equal(socket.closed, 'terminated')
  socket.closes(1006)
  socket.says(READY)
  socket.fails()
  t.strictSame(overs, [1006], 'it is over once')
  t.equal(clock.pending, 0)
})

t.test('a socket that cannot be terminated is closed', async (t) => {
  const { clock, socket } = open()
  Object.defineProperty(socket, 'terminate', { value: undefined })
  clock.advance(10_000)
  t.equal(socket.closed, 1005)
})

t.test('says with which code it was closed', async (t) => {
  const { clock, socket, overs } = open()
  socket.isReady()
  socket.closes(1012)
  t.strictSame(overs, [1012])
  t.equal(clock.pending, 0)
})

t.test('one that is closed from here says nothing more', async (t) => {
  const { clock, socket, overs, link, frames } = open()
  socket.isReady()
  link.close()
  t.equal(socket.closed, 1000)
  socket.says({ type: 'reconnect' })
  socket.closes(1000)
  t.strictSame([overs, frames], [[], []])
  t.equal(clock.pending, 0)
})

t.test('heartbeat', async (t) => {
  await t.test('pings after as much silence as the server says, and lives on with any answer', async (t) => {
    const { clock, socket, overs, link } = open()
    socket.isReady()
    clock.advance(20_000)
    socket.says({ type: 'reconnect' })
    clock.advance(24_999)
    t.strictSame(socket.take(), [])
    clock.advance(1)
    t.strictSame(socket.take(), [{ type: 'ping' }])
    clock.advance(4_999)
    socket.says({ type: 'pong' })
    t.equal(link.heard.now, clock.now())
    clock.advance(5_000)
    t.strictSame(overs, [])
    clock.advance(20_000)
    t.strictSame(socket.take(), [{ type: 'ping' }])
    clock.advance(5_000)
    t.strictSame(overs, [1006], 'nobody answered')
  })

  await t.test('an option says how often', async (t) => {
    const { clock, socket } = open({ heartbeatMs: 1_000 })
    socket.isReady()
    clock.advance(1_000)
    t.strictSame(socket.take(), [{ type: 'ping' }])
  })

  await t.test('can be asked for at any time, one at a time', async (t) => {
    const { clock, socket, link, overs } = open()
    link.check()
    socket.isReady()
    t.strictSame(socket.take(), [], 'what is not ready cannot answer')
    link.check()
    link.check()
    t.strictSame(socket.take(), [{ type: 'ping' }])
    clock.advance(5_000)
    t.strictSame(overs, [1006])
  })

  await t.test('a link that was asleep has a chance to answer', async (t) => {
    const { clock, socket, overs } = open()
    socket.isReady()
    clock.stall(3_600_000)
    t.strictSame(socket.take(), [{ type: 'ping' }])
    socket.says({ type: 'pong' })
    clock.advance(5_000)
    t.strictSame(overs, [])
  })
})
