import t from 'tap'

import { Allowance } from '../../lib/transports/allowance.js'
import { LOST, type FrameSource } from '../../lib/transports/frame-source.js'
import { Outbox } from '../../lib/transports/outbox.js'
import type { ChannelSocket } from '../../lib/transports/socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** A socket whose peer reads when the test says so. */
class FakeSocket implements Pick<ChannelSocket, 'bufferedBytes' | 'unsentBytes' | 'send' | 'batch'> {
  readonly sent: string[] = []
  /** Of the frame that is on its way, so much the peer has taken. */
  partly = 0
  /** One item per batch: what left in one write. */
  readonly batches: number[] = []
  #waiting: Array<{ bytes: number, written: () => void }> = []

  get bufferedBytes (): number { return this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0) }

  get unsentBytes (): number { return this.bufferedBytes - this.partly }

  send (frame: string, written: () => void): void {
    this.sent.push(frame)
    this.#waiting.push({ bytes: frame.length, written })
  }

  batch (send: () => void): void {
    const before = this.sent.length
    send()
    this.batches.push(this.sent.length - before)
  }

  /** The peer takes the first `count` frames. */
  take (count = Infinity): void {
    const taken = this.#waiting.splice(0, count)
    for (const { written } of taken) written()
  }
}

class Source implements FrameSource {
  readonly frames: Array<string | typeof LOST>
  readonly askedBehind: boolean[] = []

  constructor (...frames: Array<string | typeof LOST>) {
    this.frames = frames
  }

  next (isBehind: boolean): string | typeof LOST | undefined {
    this.askedBehind.push(isBehind)
    return this.frames.shift()
  }
}

function makeOutbox (highWaterBytes = 100) {
  const [socket, clock] = [new FakeSocket(), new ManualClock()]
  const events = { pumped: 0, replies: 0, lost: 0, failures: [] as unknown[] }
  const outbox = new Outbox(socket as unknown as ChannelSocket, { highWaterBytes }, clock, {
    onPumped () { events.pumped++ },
    onReplyWritten () { events.replies++ },
    onLost () { events.lost++ },
    onSourceFailed (err) { events.failures.push(err) }
  })
  return { socket, clock, events, outbox }
}

const soon = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

t.test('what comes in one run of the event loop leaves in one write', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  const source = new Source('a')
  outbox.add(source)
  source.frames.push('b')
  outbox.wake()
  t.same(socket.sent, [])
  await soon()
  t.same([socket.sent, socket.batches, events.pumped], [['a', 'b'], [2], 1])
})

t.test('nothing more is taken from a source above the high-water mark, until half of it is free', async (t) => {
  const { socket, outbox } = makeOutbox(30)
  const source = new Source(...'abcdefgh'.split('').map((letter) => letter.repeat(10)))
  outbox.add(source)
  await soon()
  t.equal(socket.sent.length, 3)
  outbox.wake()
  await soon()
  t.equal(socket.sent.length, 3, 'a wake changes nothing')
  socket.take(1)
  await soon()
  t.equal(socket.sent.length, 3)
  socket.take(1)
  await soon()
  t.equal(socket.sent.length, 5)
  socket.take()
  await soon()
  socket.take()
  await soon()
  t.equal(source.frames.length, 0)
})

t.test('a peer that keeps the buffer full for long is behind until it has caught up', async (t) => {
  const { socket, clock, outbox } = makeOutbox(20)
  const source = new Source('a'.repeat(20), 'b'.repeat(20), 'c')
  outbox.add(source)
  await soon()
  clock.advance(19)
  socket.take()
  await soon()
  t.same(source.askedBehind, [false, false], 'a moment is nothing')
  clock.advance(20)
  socket.take()
  await soon()
  t.same(source.askedBehind.slice(2), [true, true])
  source.frames.push('d')
  outbox.wake()
  await soon()
  t.same(source.askedBehind.slice(4), [false, false])
})

t.test('sources have their turn one after the other', async (t) => {
  const { socket, outbox } = makeOutbox(1_000_000)
  outbox.add(new Source(...Array.from({ length: 100 }, () => 'a')))
  outbox.add(new Source('b'))
  await soon()
  t.equal(socket.sent.indexOf('b'), 32)
  t.equal(socket.sent.length, 101)
})

t.test('replies go out at once and are counted until they are taken', (t) => {
  const { socket, events, outbox } = makeOutbox()
  outbox.reply('你好')
  t.same([socket.sent, outbox.pendingReplyBytes, events.replies], [['你好'], 6, 0])
  socket.take()
  t.same([outbox.pendingReplyBytes, events.replies], [0, 1])
  t.end()
})

t.test('a source that cannot go on ends the pump', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  outbox.add(new Source('a', LOST, 'b'))
  await soon()
  t.same([socket.sent, events.lost], [['a'], 1])
})

t.test('a source that fails is told of, and ends no process', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  const boom = new Error('boom')
  outbox.add({ next () { throw boom } })
  await soon()
  t.same([socket.sent, events.failures, events.pumped], [[], [boom], 1])
})

t.test('while it is held nothing is taken from the sources, and replies go out', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  outbox.add(new Source('a'))
  for (let holds = 0; holds < 2; holds++) outbox.hold()
  await soon()
  outbox.reply('b')
  outbox.release()
  await soon()
  t.same([socket.sent, events.pumped], [['b'], 0])
  outbox.release()
  await soon()
  t.same([socket.sent, events.pumped], [['b', 'a'], 1])
})

t.test('a flush sends all there is, above the high-water mark too', async (t) => {
  const { socket, outbox } = makeOutbox(20)
  const source = new Source(...Array.from({ length: 9 }, () => 'a'.repeat(20)))
  outbox.add(source)
  await soon()
  t.equal(socket.sent.length, 1)
  outbox.flush()
  t.equal(socket.sent.length, 9)
  t.same(source.askedBehind.slice(1), Array.from({ length: 9 }, () => true), 'in as few frames as may be')
})

t.test('a removed source and a closed outbox send nothing', async (t) => {
  const { socket, outbox } = makeOutbox()
  const source = new Source('a')
  outbox.add(source)
  outbox.remove(source)
  outbox.remove(source)
  await soon()
  outbox.add(source)
  outbox.close()
  await soon()
  outbox.reply('b')
  outbox.wake()
  await soon()
  t.same(socket.sent, [])
})

t.test('a peer that takes nothing for so long is stuck, one that takes a little is not', async (t) => {
  const { socket, clock, outbox } = makeOutbox(20)
  const isStuck = (): boolean => outbox.isStuck(clock.now(), 1_000)
  t.notOk(isStuck(), 'nothing waits for it')
  const source = new Source(...Array.from({ length: 10 }, () => 'a'.repeat(20)))
  outbox.add(source)
  await soon()
  t.notOk(isStuck())
  clock.advance(999)
  t.notOk(isStuck())
  socket.take(1)
  await soon()
  clock.advance(1)
  t.notOk(isStuck(), 'it has taken something')
  t.notOk(isStuck())
  clock.advance(1_000)
  t.ok(isStuck())
})

t.test('a peer that takes one large frame bit by bit is not stuck', (t) => {
  // Only whole frames used to count: a slow link was closed in the middle of a long message.
  const { socket, clock, outbox } = makeOutbox(20)
  outbox.reply('x'.repeat(1_000))
  const isStuck = (): boolean => outbox.isStuck(clock.now(), 1_000)
  t.notOk(isStuck())
  for (socket.partly = 100; socket.partly < 500; socket.partly += 100) {
    clock.advance(900)
    t.notOk(isStuck())
    clock.advance(900)
    t.notOk(isStuck())
  }
  t.notOk(isStuck())
  t.notOk(isStuck())
  clock.advance(1_000)
  t.ok(isStuck())
  t.end()
})

t.test('an allowance refills with time, and tells who goes on all the same', (t) => {
  const allowance = new Allowance(2, 1_000, 0)
  t.same([allowance.take(0), allowance.take(0)], [0, 0])
  t.equal(allowance.take(0), 500)
  t.equal(allowance.take(500), 500)
  t.equal(allowance.take(1_500), 0)
  t.notOk(allowance.isAbused)
  for (let i = 0; i < 3; i++) allowance.take(1_500)
  t.ok(allowance.isAbused)
  for (let i = 0; i < 100; i++) allowance.take(1_500)
  t.equal(allowance.take(1_500 + 60_000), 0, 'a debt has a bound')
  t.end()
})
