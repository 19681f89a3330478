import { connect, type Socket } from 'node:net'

import t from 'tap'

import type { Attendant } from '../helpers/channel-client.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { serveDoor, streamOf, completionOf } from './completion-host.js'
import { serveRest, type RestHost } from './rest-host.js'
import { Stage } from './stage.js'

const HOST = 'Host: 127.0.0.1\r\n'
const FOLLOW = `GET /api/v1/agents/main/sessions/s/events HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n\r\n`
const UPGRADE = `GET /api/v1/ws HTTP/1.1\r\n${HOST}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`

function post (path: string, body: object): string {
  const text = JSON.stringify(body)
  return `POST /api/v1${path} HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`
}

/** Says all of it before anything is answered. */
async function say (t: Attendant, { port }: { port: number }, requests: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  t.teardown(async () => { socket.destroy() })
  socket.write(requests)
  const answer = await new Promise<Buffer>((resolve) => { socket.once('data', resolve) })
  if (!String(answer).startsWith('HTTP/1.1 200 OK')) throw new Error(`refused: ${String(answer)}`)
  return socket
}

async function followers ({ app }: Pick<RestHost, 'app'>, count: number): Promise<void> {
  await eventually(() => app.channel.stats().followers === count)
}

t.test('answers that wait behind another one leave nothing behind when their client goes', async (t) => {
  await t.test('events', async (t) => {
    const host = await serveRest(t, { agentExecutor: () => 'hi', identify: () => 'ada', maxConnectionsPerOwner: 12 })
    const socket = await say(t, host, FOLLOW.repeat(12))
    await followers(host, 12)
    t.match(await host.chat({ message: 'x' }), { status: 429 })
    socket.destroy()
    await followers(host, 0)
    t.match(await host.chat({ message: 'x' }), { status: 200 })
  })

  await t.test('turns of no session', async (t) => {
    const stage = new Stage()
    const door = await serveDoor(t, { agentExecutor: stage.executor })
    const asked = [
      post('/chat/completions', streamOf('streamed')), post('/chat/completions', completionOf('whole')), post('/agents/main/chat', { message: 'chat' })
    ]
    const socket = await say(t, door, FOLLOW + asked.join(''))
    const turns = await Promise.all(['streamed', 'whole', 'chat'].map(async (message) => await stage.act(message).started.promise))
    socket.destroy()
    await eventually(() => turns.every(({ signal }) => signal.aborted))
    await eventually(() => door.app.channel.stats().turns === 0)
    await followers(door, 0)
    t.pass('all have ended')
  })

  await t.test('before it is known who asks', async (t) => {
    const identity = deferred<string>()
    let asked = 0
    const host = await serveRest(t, { agentExecutor: () => 'hi', identify: async () => asked++ === 0 ? 'ada' : await identity.promise })
    const gone = deferred()
    host.app.server.once('connection', (socket: Socket) => { socket.once('close', () => { gone.resolve() }) })
    const socket = await say(t, host, FOLLOW.repeat(2))
    await eventually(() => asked === 2)
    socket.destroy()
    await gone.promise
    identity.resolve('ada')
    await followers(host, 0)
    await host.chat({ message: 'x' })
    await followers(host, 0)
    t.pass('nobody follows')
  })

  await t.test('an upgrade behind one', async (t) => {
    const clock = new ManualClock()
    const host = await serveRest(t, { agentExecutor: () => 'hi', clock })
    const socket = await say(t, host, FOLLOW + UPGRADE)
    await followers(host, 1)
    socket.resetAndDestroy()
    // Nobody reads a connection that has asked for an upgrade: it is known to be gone when it is written to.
    await eventually(() => {
      clock.advance(1_000)
      return host.app.channel.stats().followers === 0
    })
    t.pass('nobody follows')
  })
})

t.test('an answer that waits behind another one and cannot be told is cut off', async (t) => {
  const clock = new ManualClock()
  const host = await serveRest(t, { agentExecutor: () => 'hi', clock, slowConsumerTimeoutMs: 4_000 })
  const socket = await say(t, host, FOLLOW.repeat(2))
  await followers(host, 2)
  const ended = new Promise((resolve) => { socket.once('close', resolve) })
  socket.resume()
  await eventually(() => {
    clock.advance(1_000)
    return host.app.channel.stats().followers === 0
  })
  await ended
  t.pass('with its connection')
})

t.test('an answer has its place until its client has taken it', async (t) => {
  const host = await serveDoor(t, { agentExecutor: ({ message }) => message.repeat(4_000), identify: () => 'ada', maxConnectionsPerOwner: 1 })
  const long = 'x'.repeat(1_000)
  for (const request of [post('/agents/main/chat', { message: long }), post('/chat/completions', completionOf(long))]) {
    const socket = connect(host.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(request)
    await new Promise((resolve) => { socket.once('readable', resolve) })
    t.equal((await host.post(completionOf('y'))).status, 429)
    socket.resume()
    let status = 429
    while (status === 429) ({ status } = await host.post(completionOf('y')))
    t.equal(status, 200)
    socket.destroy()
  }
})
