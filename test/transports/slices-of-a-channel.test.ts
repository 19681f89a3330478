import type { WebSocket } from 'ws'
import t from 'tap'

import type { ClientFrame } from '../../lib/protocol/client-frames.js'
import type { HostFrame } from '../../lib/protocol/host-frame.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Twice the slice. */
const FRAME_MS = 10
const LIMITS = { heartbeatMs: 1_000_000, maxFramesPerSecond: 1_000_000, maxPendingRequests: 1_000, maxTurnsPerConnection: 1_000 }

/** A close without a code, and a frame of a kind that is not defined. */
const CLOSE = Buffer.from([0x88, 0x80, 0, 0, 0, 0])
const RESERVED = Buffer.from([0x83, 0x80, 0, 0, 0, 0])

t.test('a client of many slow frames keeps no other waiting, and each has its answers in order', async (t) => {
  const clock = new ManualClock()
  const order: string[] = []
  const { connect } = await serve(t, {
    ...LIMITS,
    clock,
    maxQueuedTurns: 1_000,
    agentExecutor: ({ message }) => message,
    authorize (frame) {
      const message = messageOf(frame)
      order.push(message)
      if (message.startsWith('slow')) clock.advance(FRAME_MS)
      if (message === 'slow 3') for (const text of ['quick 0', 'quick 1']) other.send({ type: 'chat', message: text })
      return true
    }
  })
  const [slow, other] = [await connect(), await connect()]
  const messages = Array.from({ length: 300 }, (_, index) => `slow ${index}`)
  slow.ws.send('{}')
  await slow.next('error')
  stream(slow.ws).write(Buffer.concat(messages.map((message) => raw({ type: 'chat', message }))))
  for (const message of messages) t.equal((await slow.next('message')).content, message)
  for (const message of ['quick 0', 'quick 1']) t.equal((await other.next('message')).content, message)
  t.strictSame(order.filter((message) => message.startsWith('slow')), messages)
  t.ok(order.indexOf('quick 1') < order.indexOf('slow 299'), 'the other was heard in between')
  await slow.close()
  await other.close()
})

t.test('chats that were read before a close run, also where they had to wait for their turn', async (t) => {
  const clock = new ManualClock()
  const [asked, run]: [string[], string[]] = [[], []]
  const { connect, app } = await serve(t, {
    ...LIMITS,
    clock,
    agentExecutor ({ message }) { run.push(message); return message },
    authorize (frame) {
      asked.push(messageOf(frame))
      clock.advance(FRAME_MS)
      return true
    }
  })
  const client = await connect()
  const messages = Array.from({ length: 60 }, (_, index) => `${index}`)
  const chats = messages.map((message) => raw({ type: 'chat', sessionId: message, message }))
  stream(client.ws).write(Buffer.concat([...chats, CLOSE]))
  await eventually(() => app.channel.stats().connections === 0)
  t.strictSame(asked, messages)
  await eventually(() => app.channel.stats().runningTurns === 0)
  t.strictSame(run, messages)
  await client.closed
  while (client.unread().length > 0) await client.next()
})

t.test('chats that were read before a broken frame run, and nothing after it', async (t) => {
  const clock = new ManualClock()
  const run: string[] = []
  const { connect, app } = await serve(t, {
    ...LIMITS,
    clock,
    agentExecutor ({ message }) { run.push(message); return message },
    authorize () { clock.advance(FRAME_MS); return true }
  })
  const client = await connect()
  const chats = ['a', 'b', 'c'].map((message) => raw({ type: 'chat', sessionId: message, message }))
  stream(client.ws).write(Buffer.concat([...chats, RESERVED, raw({ type: 'chat', sessionId: 'd', message: 'd' })]))
  t.equal((await client.closed).code, 1002)
  await eventually(() => app.channel.stats().connections === 0 && app.channel.stats().runningTurns === 0)
  t.strictSame(run, ['a', 'b', 'c'])
  while (client.unread().length > 0) await client.next()
})

t.test('a drain answers what had been read before it, and then closes', async (t) => {
  // A connection whose frames waited for their turn was closed as one that had nothing to do.
  const clock = new ManualClock()
  const { connect, app } = await serve(t, {
    ...LIMITS,
    clock,
    agentExecutor: () => 'x',
    authorize (frame) {
      clock.advance(FRAME_MS)
      // Before the next run of the loop.
      if (frame.id === 'first') process.nextTick(() => { void app.channel.drain() })
      return frame.id !== 'first'
    }
  })
  const client = await connect()
  const chats = ['first', 'second', 'third'].map((id) => raw({ type: 'chat', id, sessionId: 's', message: 'x' }))
  stream(client.ws).write(Buffer.concat(chats))
  t.match(await client.next('error'), { id: 'first', code: 'FORBIDDEN' })
  await client.next('reconnect')
  for (const id of ['second', 'third']) t.match(await client.next('error'), { id, code: 'SHUTTING_DOWN' })
  t.equal((await client.closed).code, 1012)
})

t.test('a drain closes a connection when the last frame that waited is answered', async (t) => {
  const clock = new ManualClock()
  const { connect, app } = await serve(t, {
    ...LIMITS,
    clock,
    authorize () {
      clock.advance(FRAME_MS)
      process.nextTick(() => { void app.channel.drain() })
      return false
    }
  })
  const client = await connect()
  const chats = ['a', 'b', 'c'].map((id) => raw({ type: 'chat', id, sessionId: 's', message: 'x' }))
  stream(client.ws).write(Buffer.concat([...chats, raw({ type: 'ping' })]))
  t.strictSame((await client.until('pong')).map(({ type }) => type).filter((type) => type !== 'reconnect'), ['error', 'error', 'error', 'pong'])
  t.equal((await client.closed).code, 1012)
})

t.test('a client whose frames wait for their turn is not taken for dead', async (t) => {
  const clock = new ManualClock()
  let handled = 0
  const { connect } = await serve(t, {
    ...LIMITS,
    clock,
    heartbeatMs: 5_000,
    pongTimeoutMs: 2_000,
    agentExecutor: () => 'x',
    authorize () { handled++; clock.advance(1_000); return true }
  })
  const client = await connect()
  stream(client.ws).write(Buffer.concat(Array.from({ length: 20 }, (_, index) => raw({ type: 'chat', message: `${index}` }))))
  // What the system holds back as long as nothing is read, and the pongs behind it.
  client.send({ type: 'none', padding: 'x'.repeat(900_000) })
  const frames = await client.until('error')
  for (let answers = frames.length - 1; answers < 20; answers++) await client.next('message')
  t.equal(handled, 20)
  await client.fence()
  await client.close()
})

function messageOf (frame: ClientFrame | HostFrame): string {
  return 'message' in frame ? String(frame.message) : frame.type
}

/** What is written to it reaches the server in one piece. */
function stream (socket: WebSocket): NodeJS.WritableStream {
  return Reflect.get(socket, '_socket') as NodeJS.WritableStream
}

/** A client's frame as it goes over the wire: text, final, masked with zeros, of at most 125 bytes. */
function raw (frame: object): Buffer {
  const payload = Buffer.from(JSON.stringify(frame))
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload])
}
