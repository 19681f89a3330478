import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'

import Fastify from 'fastify'
import t from 'tap'

import { wsChannel } from '../lib/index.js'
import { serve } from './helpers/app.js'
import { connect, refusal, wrap, type ChannelClient } from './helpers/channel-client.js'
import { say } from './helpers/plain-answer.js'

t.test('more connections than allowed are refused with 429, in all and for one owner', async (t) => {
  const { url, connect: open, origin } = await serve(t, {
    maxConnections: 3, maxConnectionsPerOwner: 2, identify: (request) => String(request.headers['x-user'] ?? 'nobody')
  })
  const as = (user: string) => ({ headers: { 'x-user': user } })
  const clients = [await open(as('ada')), await open(as('ada'))]
  const refused = await refusal(connect(url, as('ada')))
  t.match(refused, { statusCode: 429, headers: { 'retry-after': '1' } })
  t.match(JSON.parse(refused.body), { code: 'RATE_LIMITED', retryable: true, retryAfterMs: 1000 })
  clients.push(await open(as('bob')))
  t.match(await refusal(connect(url, as('eve'))), { statusCode: 429 })
  t.equal((await fetch(`${origin}/api/v1/ws`, as('eve'))).status, 429, 'a browser can ask by a plain GET')
  await Promise.all(clients.map((client) => client.close()))
  const again = await open(as('ada'))
  await again.close()
})

t.test('injectWS has no network and all the rest', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const seen: unknown[] = []
  app.addHook('onRequest', async (request) => { seen.push([request.ip, request.host, request.headers.authorization]) })
  app.register(wsChannel, { agentExecutor: say('hi') })
  await app.ready()
  let client: ChannelClient | undefined
  const ws = await app.channel.injectWS({
    protocols: ['agent-channel.v1', 'bearer', 'secret'], onInit: (ws) => { client = wrap(ws) }
  })
  await client?.next('ready')
  client?.send({ type: 'chat', message: 'x' })
  t.equal((await client?.next('message'))?.content, 'hi')
  t.same(seen, [['127.0.0.1', 'localhost', 'Bearer secret']])
  const gone = once(ws, 'close')
  ws.terminate()
  await gone
})

t.test('a handshake that fails takes no connection\'s place', async (t) => {
  const { connect: open, port, app } = await serve(t, { maxConnections: 1 })
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: none\r\n\r\n')
  const [answer] = await once(socket, 'data') as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 400 /)
  socket.destroy()
  await once(socket, 'close')
  const client = await open()
  t.equal(app.channel.stats().connections, 1)
  await client.close()
})
