// An outbox whose socket takes bytes: what is left out here is as in outbox.test.ts.
import { setImmediate as tick } from 'node:timers/promises'

import t from 'tap'

import { Coalescer } from '../../lib/transports/coalescer.js'
import type { FrameBatch } from '../../lib/transports/frame-bytes.js'
import { LOST, WRITTEN, type FrameSource } from '../../lib/transports/frame-source.js'
import { Outbox } from '../../lib/transports/outbox.js'
import type { ChannelSocket } from '../../lib/transports/socket.js'
import { eventually } from '../helpers/eventually.js'
import { bufferBytes } from '../helpers/garbage.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Keeps each write as the texts of its frames, until the test lets the peer take it. */
class DirectSocket implements Pick<ChannelSocket, 'isDirect' | 'bufferedBytes' | 'unsentBytes' | 'write'> {
  readonly isDirect = true
  readonly writes: string[][] = []
  readonly #waiting: Array<{ bytes: number, written: () => void }> = []

  get bufferedBytes (): number { return this.#waiting.reduce((sum, { bytes }) => sum + bytes, 0) }
  get unsentBytes (): number { return this.bufferedBytes }

  write (first: Buffer, rest: readonly Buffer[], written: () => void): void {
    const bytes = Buffer.concat([first, ...rest])
    this.writes.push(textsIn(bytes))
    this.#waiting.push({ bytes: bytes.length, written })
  }

  take (): void {
    for (const { written } of this.#waiting.splice(0)) written()
  }
}

/** Frames of less than 126 bytes, and of less than 64 KiB. */
function textsIn (bytes: Buffer): string[] {
  const texts: string[] = []
  for (let at = 0; at < bytes.length;) {
    const [header, length] = bytes[at + 1] === 126 ? [4, bytes.readUInt16BE(at + 2)] : [2, bytes[at + 1] ?? 0]
    texts.push(bytes.toString('utf8', at + header, at + header + length))
    at += header + length
  }
  return texts
}

class Source implements FrameSource {
  readonly frames: Array<string | typeof LOST | Error>
  asked = 0

  constructor (...frames: Source['frames']) {
    this.frames = frames
  }

  next (_isBehind: boolean, batch?: FrameBatch): string | typeof LOST | typeof WRITTEN | undefined {
    this.asked++
    const frame = this.frames.shift()
    if (frame instanceof Error) throw frame
    if (frame === undefined || frame === LOST) return frame
    // As bytes and as text in turn.
    if (batch === undefined || this.asked % 2 === 0) return frame
    batch.text(frame)
    return WRITTEN
  }
}

function makeOutbox (highWaterBytes = 1_000, coalesceMs?: number) {
  const socket = new DirectSocket()
  const events = { pumped: 0, replies: 0, lost: 0, failures: [] as unknown[] }
  const outbox = new Outbox(socket as unknown as ChannelSocket, { highWaterBytes }, new ManualClock(), {
    onPumped () { events.pumped++ },
    onReplyWritten () { events.replies++ },
    onLost () { events.lost++ },
    onSourceFailed (err) { events.failures.push(err) }
  }, coalesceMs === undefined ? undefined : new Coalescer(coalesceMs))
  return { socket, events, outbox }
}

const soon = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

t.test('replies and what sources have leave in one write, each in its order', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  const source = new Source('a')
  outbox.add(source)
  outbox.reply('ack')
  source.frames.push('b')
  t.strictSame([socket.writes, outbox.pendingReplyBytes], [[], 5])
  await soon()
  t.strictSame([socket.writes, events.pumped], [[['ack', 'a', 'b']], 1])
  t.strictSame([outbox.pendingReplyBytes, events.replies], [5, 0])
  socket.take()
  t.strictSame([outbox.pendingReplyBytes, events.replies], [0, 1])
})

t.test('what is much leaves in the next tick, also where it would have waited, and once', async (t) => {
  const nextTick = (): Promise<void> => new Promise((resolve) => { process.nextTick(resolve) })
  const { socket, outbox } = makeOutbox(1_000, 60_000)
  const source = new Source('a')
  outbox.add(source)
  outbox.wake(true, true)
  await nextTick()
  t.strictSame(socket.writes, [['a']])
  await soon()
  t.equal(source.asked, 2, 'what was due before has been sent')
  source.frames.push('b')
  outbox.wake()
  await soon()
  t.equal(socket.writes.length, 1, 'it waits for what may follow')
  outbox.wake(true, true)
  await nextTick()
  t.strictSame(socket.writes.slice(1), [['b']])
})

t.test('it is told of pumps behind which something may have ended: not where all that was sent goes on', async (t) => {
  const { events, outbox } = makeOutbox()
  const pieces: FrameSource = { next: (_, batch) => frames.shift() === undefined ? undefined : (batch?.text('piece'), WRITTEN) }
  const frames = ['piece', 'piece']
  outbox.add(pieces)
  await soon()
  t.equal(events.pumped, 0)
  outbox.wake()
  await soon()
  t.equal(events.pumped, 1, 'nothing was sent')
  frames.push('piece')
  const end = ['end']
  outbox.add({ next: () => end.shift() })
  await soon()
  t.equal(events.pumped, 2, 'a piece of one source, and the end of another')
})

t.test('it is told of a pump of pieces alone where something was urgent: what was asked of a source may be done without a word', async (t) => {
  const { socket, events, outbox } = makeOutbox(10)
  const frames: string[] = []
  outbox.add({
    next (_, batch) {
      const frame = frames.shift()
      if (frame === undefined) return undefined
      batch?.text(frame)
      return WRITTEN
    }
  })
  await soon()
  const before = events.pumped
  frames.push('piece')
  outbox.wake()
  await soon()
  t.equal(events.pumped, before)
  frames.push('piece')
  outbox.wake(true)
  await soon()
  t.equal(events.pumped, before + 1)
  frames.push('0123456789', 'piece')
  outbox.wake()
  await soon()
  outbox.wake(true)
  socket.take()
  await soon()
  t.equal(events.pumped, before + 2, 'also where the socket was full at that time')
  frames.push('piece')
  outbox.wake()
  await soon()
  t.equal(events.pumped, before + 2, 'once')
})

t.test('it is told where one source ends before another goes on', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  const end = ['end']
  const pieces = ['piece']
  outbox.add({ next: () => end.shift() })
  outbox.add({ next: (_, batch) => pieces.shift() === undefined ? undefined : (batch?.text('piece'), WRITTEN) })
  await soon()
  t.strictSame(socket.writes, [['end', 'piece']])
  t.equal(events.pumped, 1)
})

t.test('each source tells all, also when the first has nothing, or is gone', async (t) => {
  const { socket, outbox } = makeOutbox(10_000)
  const many = Array.from({ length: 100 }, (_, index) => `${index}`)
  const [first, second, third] = [new Source(), new Source(...many), new Source('third')]
  for (const source of [first, second, third]) outbox.add(source)
  await soon()
  t.strictSame(socket.writes.flat(), [...many.slice(0, 32), 'third', ...many.slice(32)])
  outbox.remove(first)
  outbox.remove(third)
  outbox.remove(new Source())
  for (const source of [first, second, third]) source.frames.push('more')
  outbox.wake()
  await soon()
  t.strictSame(socket.writes.slice(1), [['more']])
  t.strictSame(second.frames, [])
})

t.test('a source that tells several at once has its turn by frames too', async (t) => {
  const { socket, outbox } = makeOutbox(10_000)
  const many = Array.from({ length: 100 }, (_, index) => `${index}`)
  const frames = [...many]
  outbox.add({
    next: (_, batch) => {
      const told = frames.splice(0, 10)
      for (const frame of told) batch?.text(frame)
      return told.length === 0 ? undefined : WRITTEN
    }
  })
  outbox.add(new Source('other'))
  await soon()
  t.strictSame(socket.writes.flat(), [...many.slice(0, 40), 'other', ...many.slice(40)])
})

t.test('a socket that has taken everything is not asked how much waits', async (t) => {
  const { socket, outbox } = makeOutbox()
  const source = new Source()
  outbox.add(source)
  let asked = 0
  Object.defineProperty(socket, 'bufferedBytes', { get () { asked++; return 0 } })
  for (let i = 0; i < 3; i++) {
    source.frames.push('piece')
    outbox.wake()
    await soon()
    socket.take()
  }
  t.strictSame([socket.writes.length, asked], [3, 0])
})

t.test('a reply leaves also while the sources are held, or the socket is full', async (t) => {
  const { socket, outbox } = makeOutbox(10)
  const source = new Source('0123456789', 'next')
  outbox.hold()
  outbox.add(source)
  outbox.reply('1')
  await soon()
  t.strictSame(socket.writes, [['1']])
  outbox.release()
  await soon()
  t.strictSame(socket.writes, [['1'], ['0123456789']])
  outbox.reply('2')
  await soon()
  t.strictSame(socket.writes.slice(2), [['2']])
  socket.take()
  await soon()
  t.strictSame(socket.writes.slice(3), [['next']])
})

t.test('bytes that are ready leave at once when they are alone, else behind what is gathered', async (t) => {
  const { socket, events, outbox } = makeOutbox()
  const pong = Buffer.from([0x81, 1, 0x70])
  outbox.replyBytes(pong)
  t.strictSame([socket.writes, outbox.pendingReplyBytes], [[['p']], 3])
  socket.take()
  t.strictSame([outbox.pendingReplyBytes, events.replies], [0, 1])
  outbox.reply('ack')
  outbox.replyBytes(pong)
  outbox.replyBytes(pong)
  t.equal(outbox.pendingReplyBytes, 5 + 3 + 3)
  await soon()
  t.strictSame(socket.writes, [['p'], ['ack', 'p', 'p']])
  socket.take()
  t.equal(outbox.pendingReplyBytes, 0)
})

t.test('a large batch is written before it is whole, and no more of it than the socket takes', async (t) => {
  const { socket, outbox } = makeOutbox(130_000)
  const source = new Source(...Array.from({ length: 40 }, () => 'x'.repeat(10_000)))
  outbox.add(source)
  await soon()
  t.strictSame(socket.writes.map(({ length }) => length), [7, 6])
  socket.take()
  await soon()
  t.strictSame(socket.writes.map(({ length }) => length), [7, 6, 7, 6])
})

t.test('a socket that takes nothing is full also when there is only a little to say each time', async (t) => {
  const { socket, outbox } = makeOutbox(100)
  const source = new Source()
  outbox.add(source)
  for (let i = 0; i < 100; i++) {
    source.frames.push('x'.repeat(10))
    outbox.wake()
    await soon()
  }
  t.equal(socket.bufferedBytes, 9 * 12)
  t.equal(source.frames.length, 91)
  socket.take()
  await soon()
  t.equal(source.frames.length, 82)
})

t.test('what a source has told before it fails, or is lost, is sent', async (t) => {
  for (const last of [new Error('boom'), LOST] as const) {
    const { socket, events, outbox } = makeOutbox()
    outbox.add(new Source('a', 'b', last))
    await soon()
    t.strictSame(socket.writes, [['a', 'b']])
    t.strictSame([events.failures.length, events.lost], last === LOST ? [0, 1] : [1, 0])
  }
})

t.test('a closed outbox writes nothing, and what was gathered is gone; replies can be sent before', async (t) => {
  const { socket, outbox } = makeOutbox()
  outbox.reply('sent')
  outbox.sendReplies()
  outbox.reply('lost')
  outbox.close()
  outbox.close()
  outbox.reply('never')
  outbox.replyBytes(Buffer.from([0x81, 0]))
  await soon()
  t.strictSame(socket.writes, [['sent']])
})

t.test('flush writes all there is, however full the socket is', async (t) => {
  const { socket, outbox } = makeOutbox(10)
  outbox.add(new Source('0123456789', 'a', 'b'))
  await soon()
  t.equal(socket.writes.length, 1)
  outbox.flush()
  t.strictSame(socket.writes.flat(), ['0123456789', 'a', 'b'])
})

t.test('the first piece and an end leave at once, what follows a write closely waits for the next', async (t) => {
  // So long that only what is urgent comes in this test's time.
  const { socket, outbox } = makeOutbox(1_000, 60_000)
  const source = new Source('first')
  outbox.add(source)
  await soon()
  t.strictSame(socket.writes, [['first']], 'a lone piece is not delayed')
  for (const piece of ['second', 'third']) {
    source.frames.push(piece)
    outbox.wake()
    await soon()
  }
  t.equal(socket.writes.length, 1)
  source.frames.push('end')
  outbox.wake(true)
  await soon()
  t.strictSame(socket.writes.slice(1), [['second', 'third', 'end']])
  outbox.pumpIfWaiting()
  t.equal(socket.writes.length, 2, 'whose time comes later finds nothing to do')
  outbox.close()
})

t.test('an answer keeps nothing waiting that comes by itself', async (t) => {
  const { socket, outbox } = makeOutbox(1_000, 60_000)
  outbox.reply('ack')
  await soon()
  outbox.add(new Source('first'))
  await soon()
  t.strictSame(socket.writes, [['ack'], ['first']])
})

t.test('what waits leaves when its time is over', async (t) => {
  const { socket, outbox } = makeOutbox(1_000, 1)
  const source = new Source('first')
  outbox.add(source)
  await soon()
  source.frames.push('second')
  const waited = new Promise<void>((resolve) => {
    const write = socket.write.bind(socket)
    socket.write = (...args) => { write(...args); resolve() }
  })
  outbox.wake()
  // The timer alone would keep no process.
  const alive = setTimeout(() => { t.fail('it waits for ever') }, 10_000)
  await waited
  clearTimeout(alive)
  t.strictSame(socket.writes, [['first'], ['second']])
})

t.test('what many connections have said at once keeps no memory', async (t) => {
  // A slab for each of them stayed for ever.
  const before = bufferBytes()
  const boxes = Array.from({ length: 1_000 }, () => makeOutbox())
  for (const { outbox } of boxes) outbox.reply('{"type":"reconnect"}')
  t.ok(bufferBytes() - before < 16 * 1024 * 1024, 'nor at that moment')
  await tick()
  for (const { socket } of boxes) socket.take()
  t.ok(boxes.every(({ socket }) => socket.writes.length === 1))
  await eventually(() => bufferBytes() - before < 16 * 1024 * 1024)
})
