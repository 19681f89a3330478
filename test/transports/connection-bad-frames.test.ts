import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'

import t from 'tap'

import { serve, readableLog } from '../helpers/app.js'
import type { Frame } from '../helpers/channel-client.js'
import { eventually } from '../helpers/eventually.js'

t.test('a bad frame gets an error with its id, reaches no executor, and the connection lives on', async (t) => {
  let calls = 0
  const { connect } = await serve(t, { agentExecutor: () => { calls++; return 'x' } })
  const client = await connect()
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  const cases: Array<[string | Uint8Array, Partial<Frame>]> = [
    ['no json', { code: 'INVALID_FRAME' }],
    ['"text"', { code: 'INVALID_FRAME' }],
    ['[]', { code: 'INVALID_FRAME' }],
    [deep, { code: 'INVALID_FRAME' }],
    [Buffer.from('{"type":"ping"}'), { code: 'INVALID_FRAME' }],
    ['{"type":"nope","id":"a"}', { code: 'UNKNOWN_TYPE', id: 'a' }],
    ['{"type":"ack","id":"a"}', { code: 'UNKNOWN_TYPE', id: 'a', details: { path: '/type', rule: 'no such type' } }],
    ['{"type":"cancel","id":"a","turnId":""}', { code: 'VALIDATION_FAILED', id: 'a', details: { path: '/turnId' } }],
    ['{"type":"subscribe","id":"a"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"subscribe","id":"a","sessionId":"s","after":1}', { code: 'VALIDATION_FAILED', id: 'a', details: { path: '/epoch' } }],
    ['{"type":"subscribe","id":"a","sessionId":"s","epoch":"e","after":-1}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"unsubscribe","id":"a"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"history","id":"a"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"history","id":"a","sessionId":"s","limit":201}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"id":"a"}', { code: 'VALIDATION_FAILED', id: 'a', details: { path: '/type', rule: 'expected a string' } }],
    ['{"type":"chat","id":"a","message":1}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"chat","id":"a","message":"x"}', { code: 'VALIDATION_FAILED', id: 'a' }],
    ['{"type":"chat","message":"x","sessionId":"\\ud800"}', { code: 'VALIDATION_FAILED', agentId: 'main', done: true }],
    ['{"type":"chat","message":"x","agentId":""}', { code: 'VALIDATION_FAILED', agentId: 'main', done: true }],
    ['{"type":"chat","message":"x","__proto__":{}}', { code: 'VALIDATION_FAILED', agentId: 'main', done: true }],
    [`{"type":"chat","message":"x","metadata":{"a":${deep}}}`, { code: 'VALIDATION_FAILED', agentId: 'main', done: true }]
  ]
  for (const [data, expected] of cases) {
    if (typeof data === 'string') client.sendRaw(data)
    else client.sendRaw(data, { binary: true })
    t.match(await client.next('error'), { ...expected, retryable: false }, String(data).slice(0, 60))
  }
  await client.fence()
  t.equal(calls, 0)
  await client.close()
})

t.test('a message that is too big closes 1009, bytes that are not UTF-8 close 1007, and the process lives on', async (t) => {
  const { connect, app } = await serve(t, { maxPayload: 1024 * 1024 })
  const big = await connect()
  big.send({ type: 'chat', message: 'x'.repeat(2 * 1024 * 1024) })
  t.equal((await big.closed).code, 1009)
  const garbled = await connect()
  garbled.sendRaw(Buffer.from([0xc3, 0x28]), { binary: false })
  t.equal((await garbled.closed).code, 1007)
  const fine = await connect()
  await fine.fence()
  await fine.close()
  t.match(app.channel.stats(), { turns: 0, followers: 0 })
})

t.test('frames of a type that is none are bad frames, and the host is not asked about them', async (t) => {
  const asked: string[] = []
  const { connect } = await serve(t, { maxErrorsPerMinute: 2, authorize (frame) { asked.push(frame.type); return true } })
  const client = await connect()
  for (let i = 0; i < 2; i++) {
    client.send({ type: 'subscribed' })
    await client.next('error')
  }
  client.send({ type: 'subscribed' })
  t.equal((await client.closed).code, 4400)
  t.same(asked, [])
})

t.test('too many bad frames close 4400', async (t) => {
  const { connect } = await serve(t, { maxErrorsPerMinute: 3 })
  const client = await connect()
  for (let i = 0; i < 3; i++) {
    client.sendRaw('?')
    await client.next('error')
  }
  client.sendRaw('?')
  t.equal((await client.closed).code, 4400)
})

t.test('a client that breaks the WebSocket protocol is closed and logged', async (t) => {
  const { lines, logger } = readableLog()
  const { port, app } = await serve(t, { fastify: { logger } })
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
  await once(socket, 'data')
  // A text frame without the mask that a client owes.
  socket.write(Buffer.from([0x81, 0x01, 0x61]))
  socket.resume()
  await once(socket, 'close')
  await eventually(() => app.channel.stats().connections === 0)
  t.ok(lines.some(({ msg }) => String(msg).includes('broke the WebSocket protocol')))
})
