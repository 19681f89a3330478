import { EventEmitter, once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { Agent as SecureAgent, request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'

import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import { WebSocket } from 'ws'

import { joinUpgrades, pathPattern } from '../../lib/transports/upgrade-listener.js'
import { deferred } from '../helpers/deferred.js'
import { certificate, privateKey } from './certificate.js'
import {
  addEcho, close, Connections, countConnections, echo, EchoHandlers, everythingFrom, HANDSHAKE, listen, open, portOf, refused, requestText
} from './echo-channel.js'

const H2C = { host: '127.0.0.1', connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }

t.test('a thousand refused upgrades of each kind leave no connection, and the server closes', async (t) => {
  const kinds: Record<string, [path: string, headers: Record<string, string>]> = {
    401: ['/ws', {}],
    403: ['/ws', { authorization: 'yes', origin: 'https://evil.test' }],
    404: ['/nowhere', { authorization: 'yes' }],
    429: ['/ws', { authorization: 'yes', 'x-busy': 'yes' }]
  }
  for (const [status, [path, headers]] of Object.entries(kinds)) {
    const app = guarded()
    const port = await listen(t, app)
    const connections = new Connections(app.server)
    await repeat(1000, async () => {
      const answer = await refused(port, path, headers)
      if (!answer.startsWith(`HTTP/1.1 ${status} `)) t.fail(answer)
    })
    await connections.none()
    t.equal(await countConnections(app.server), 0, status)
    await app.close()
  }
})

for (const isHosted of [false, true]) {
  t.test(`a client that comes back during a drain gets 503 and leaves nothing ${isHosted ? 'under the host\'s own plugin' : ''}`, async (t) => {
    const app = Fastify()
    if (isHosted) await app.register(websocket, { options: { maxPayload: 1000 } })
    const handlers = new EchoHandlers()
    await app.register(async (api) => { addEcho(api, {}, handlers) })
    const draining = deferred()
    const gate = deferred()
    app.addHook('preClose', async () => {
      draining.resolve()
      await gate.promise
    })
    const port = await listen(t, app)
    const client = await open(port)
    const connections = new Connections(app.server)
    const closed = app.close()
    await draining.promise
    await repeat(1000, async () => {
      const answer = await refused(port, '/ws')
      if (!answer.startsWith('HTTP/1.1 503 ')) t.fail(answer)
    })
    await connections.none()
    t.equal(await countConnections(app.server), 1)
    t.equal(await echo(client, 'still here'), 'still here')
    gate.resolve()
    await close(client)
    await closed
    t.equal(handlers.admitted, 1)
    t.equal(app.server.listenerCount('upgrade'), 0)
  })
}

t.test('a client that dies while a hook decides leaves nothing', async (t) => {
  const app = Fastify()
  const asked = new EventEmitter()
  const gate = deferred()
  app.addHook('onRequest', async (request, reply) => {
    asked.emit('asked')
    await gate.promise
    if (request.headers['x-refuse'] !== undefined) await reply.code(401).send('no')
  })
  const handlers = new EchoHandlers()
  await app.register(async (api) => { addEcho(api, {}, handlers) })
  const port = await listen(t, app)
  const connections = new Connections(app.server)
  for (const headers of [{}, { 'x-refuse': 'yes' }]) {
    const socket = connect(port, '127.0.0.1')
    const isAsked = once(asked, 'asked')
    socket.write(requestText('GET /ws', { ...HANDSHAKE, ...headers }))
    await isAsked
    socket.resetAndDestroy()
  }
  await connections.none()
  gate.resolve()
  await app.close()
  t.strictSame(handlers.accepted, [])
  t.strictSame(handlers.released.length, handlers.admitted)
})

t.test('a WebSocket upgrade to a plain route gets that route\'s answer, and the connection ends', async (t) => {
  const app = Fastify()
  app.get('/orders', () => ({ orders: [] }))
  await app.register(async (api) => { addEcho(api) })
  const port = await listen(t, app)
  const answer = await refused(port, '/orders')
  t.match(answer, /^HTTP\/1\.1 200 /)
  t.match(answer, /\{"orders":\[\]\}$/)
  t.match(await refused(port, '/%zz'), /^HTTP\/1\.1 400 /)
  await app.close()
})

t.test('an upgrade to something else is served as the plain request that it is', async (t) => {
  const app = Fastify()
  app.get('/orders', (request) => ({ connection: request.headers.connection, upgrade: request.headers.upgrade ?? null }))
  app.post('/orders', (request) => ({ got: request.body }))
  await app.register(async (api) => { addEcho(api) })
  const port = await listen(t, app)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.removeListener('warning', onWarning))
  for (let i = 0; i < 20; i++) {
    t.strictSame(await send({ port, agent, path: '/orders', headers: H2C }), {
      status: 200, body: { connection: 'HTTP2-Settings', upgrade: null }
    })
    const headers = { ...H2C, connection: 'Upgrade', 'content-type': 'application/json' }
    const order = { text: 'ä'.repeat(100_000) }
    const answer = await send({ port, agent, path: '/orders', method: 'POST', headers }, JSON.stringify(order))
    t.strictSame(answer, { status: 200, body: { got: order } })
  }
  t.equal(await countConnections(app.server), 1)
  const headers = { ...HANDSHAKE, 'content-type': 'application/json' }
  const answer = await send({ port, agent, method: 'POST', path: '/orders', headers }, '{"a":1}')
  t.strictSame(answer, { status: 200, body: { got: { a: 1 } } }, 'a WebSocket is opened with GET')
  agent.destroy()
  await app.close()
  t.strictSame(warnings, [])
})

t.test('the same over https', async (t) => {
  const app = Fastify({ https: { cert: certificate, key: privateKey } })
  app.get('/orders', () => ({ orders: [] }))
  app.post('/orders', (request) => ({ got: request.body }))
  // Fastify types an instance by its server.
  const plain = app as unknown as FastifyInstance
  await app.register(async () => { addEcho(plain) })
  const port = await listen(t, plain)
  const agent = new SecureAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
  t.strictSame(await send({ secure: true, port, agent, path: '/orders', headers: H2C }), { status: 200, body: { orders: [] } })
  const headers = { ...H2C, 'content-type': 'application/json' }
  t.strictSame(await send({ secure: true, port, agent, path: '/orders', method: 'POST', headers }, '{"a":1}'), { status: 200, body: { got: { a: 1 } } })
  const client = new WebSocket(`wss://127.0.0.1:${port}/ws`, { rejectUnauthorized: false })
  await once(client, 'open')
  t.equal(await echo(client, 'over TLS'), 'over TLS')
  await close(client)
  agent.destroy()
  await app.close()
})

t.test('both addresses of localhost are served', async (t) => {
  const app = Fastify()
  app.get('/orders', () => 'ok')
  await app.register(async (api) => { addEcho(api) })
  await app.listen({ port: 0, host: 'localhost' })
  const port = portOf(app)
  for (const listening of app.addresses()) {
    const { address } = typeof listening === 'string' ? { address: listening } : listening
    const agent = new Agent()
    const client = new WebSocket(`ws://${address.includes(':') ? `[${address}]` : address}:${port}/ws`)
    await once(client, 'open')
    t.equal(await echo(client, 'hi'), 'hi', address)
    await close(client)
    t.equal((await send({ host: address, port, agent, path: '/orders', headers: H2C })).status, 200)
  }
  await app.close()
})

t.test('a secondary server gets its own request back', async (t) => {
  const main = new EventEmitter()
  const secondary = new EventEmitter()
  const leave = joinUpgrades(main, { path: /^\/ws$/, router: undefined })
  const socket = Object.assign(new PassThrough(), { server: secondary })
  const handedBack = once(secondary, 'connection')
  main.emit('upgrade', { headers: {} }, socket, Buffer.from('rest'))
  t.strictSame(await handedBack, [socket])
  t.equal(String(socket.read()), 'GET / HTTP/undefined\r\n\r\nrest')
  leave()
  t.strictSame(main.eventNames(), [])
})

t.test('a browser\'s token becomes the Authorization header before any hook runs, and is not echoed', async (t) => {
  const { app, seen } = recording()
  const port = await listen(t, app)
  const client = await open(port, '/api/ws', ['agent-channel.v1', 'bearer', 'secret-token'])
  t.equal(client.protocol, 'agent-channel.v1')
  t.equal(seen[0]?.headers.authorization, 'Bearer secret-token')
  t.notMatch(JSON.stringify([seen[0]?.headers['sec-websocket-protocol'], seen[0]?.raw.rawHeaders]), 'secret')
  await close(client)
  await close(await open(port, '/api/ws', ['agent-channel.v1', 'bearer.b64', Buffer.from('a/b=').toString('base64url')]))
  t.equal(seen[1]?.headers.authorization, 'Bearer a/b=')
  await close(await open(port, '/api/ws', ['agent-channel.v1', 'bearer', 'other'], { headers: { authorization: 'Basic eA==' } }))
  t.equal(seen[2]?.headers.authorization, 'Basic eA==', 'one that is there wins')
  await app.close()
})

t.test('a token that is not for us stays where it is', async (t) => {
  const { app, seen } = recording()
  const port = await listen(t, app)
  await t.rejects(open(port, '/api/ws', ['theirs', 'bearer', 'token']), { message: 'Server sent no subprotocol' })
  t.equal(seen[0]?.headers.authorization, undefined)
  t.equal(seen[0]?.headers['sec-websocket-protocol'], 'theirs,bearer,token')
  await refused(port, '/elsewhere', { 'sec-websocket-protocol': 'agent-channel.v1, bearer, token' })
  t.strictSame(seen.at(-1)?.headers['sec-websocket-protocol'], 'agent-channel.v1, bearer, token')
  t.equal(seen.at(-1)?.headers.authorization, undefined)
  await app.close()
})

t.test('a path is recognised as Fastify\'s router would', async (t) => {
  const pattern = pathPattern('/api/v1.0/:tenant/ws', { caseSensitive: true })
  t.match('/api/v1.0/acme/ws', pattern)
  t.match('/api//v1.0/acme/ws/', pattern)
  t.notMatch('/api/v1x0/acme/ws', pattern)
  t.notMatch('/api/v1.0/acme/corp/ws', pattern)
  t.notMatch('/API/v1.0/acme/ws', pattern)
  t.match('/API/v1.0/acme/ws', pathPattern('/api/v1.0/:tenant/ws', { caseSensitive: false }))
  t.match('/a/b/c/ws', pathPattern('/*/ws', { caseSensitive: true }))
})

t.test('an upgrade that another listener takes is left alone, and one that none takes is answered at last', async (t) => {
  const app = Fastify()
  app.get('/orders', () => 'ok')
  app.server.on('upgrade', (request, socket) => {
    if (request.url === '/theirs') socket.end('HTTP/1.1 101 Theirs\r\n\r\n')
    if (request.url === '/later') setImmediate(() => { socket.end('HTTP/1.1 101 Later\r\n\r\n') })
  })
  await app.register(async (api) => { addEcho(api) })
  const port = await listen(t, app)
  const text = async (path: string): Promise<string> => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.write(requestText(`GET ${path}`, HANDSHAKE))
    return await everythingFrom(socket)
  }
  t.equal(await text('/theirs'), 'HTTP/1.1 101 Theirs\r\n\r\n')
  t.equal(await text('/later'), 'HTTP/1.1 101 Later\r\n\r\n')
  t.match(await text('/nowhere'), /^HTTP\/1\.1 404 /)
  const client = await open(port)
  t.equal(await echo(client, 'ours'), 'ours')
  await close(client)
  await app.close()
})

t.test('a socket that was reset before its turn is forgotten', async (t) => {
  const server = new EventEmitter()
  const router = new EventEmitter()
  const leave = joinUpgrades(server, { path: /^\/ws$/, router })
  router.on('upgrade', () => { t.fail('nobody is there') })
  const socket = new PassThrough()
  server.emit('upgrade', { method: 'GET', url: '/ws', headers: { upgrade: 'websocket' } }, socket, Buffer.alloc(0))
  socket.emit('error', new Error('reset'))
  await once(socket, 'close')
  t.equal(socket.destroyed, true)
  leave()
})

function guarded (): FastifyInstance {
  const app = Fastify()
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers.authorization === undefined) await reply.code(401).send({ error: 'Unauthorized' })
    else if (request.headers['x-busy'] !== undefined) await reply.code(429).send({ error: 'Too Many Requests' })
  })
  app.register(async (api) => { addEcho(api) })
  return app
}

function recording (): { app: FastifyInstance, seen: FastifyRequest[] } {
  const app = Fastify()
  const seen: FastifyRequest[] = []
  app.addHook('onRequest', async (request) => { seen.push(request) })
  app.register(async (api) => { addEcho(api) }, { prefix: '/api' })
  return { app, seen }
}

async function repeat (times: number, task: () => Promise<void>): Promise<void> {
  const worker = async (): Promise<void> => {
    while (times-- > 0) await task()
  }
  await Promise.all(Array.from({ length: 50 }, worker))
}

interface SendOptions {
  secure?: boolean
  host?: string
  port: number
  agent: Agent
  path: string
  method?: string
  headers: Record<string, string>
}

async function send ({ secure = false, ...options }: SendOptions, body = ''): Promise<{ status: number | undefined, body: unknown }> {
  const headers: Record<string, string | number> = { ...options.headers, 'content-length': Buffer.byteLength(body) }
  const request = (secure ? httpsRequest : httpRequest)({ host: '127.0.0.1', ...options, headers })
  request.end(body)
  return await new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
      response.on('end', () => {
        resolve({ status: response.statusCode, body: response.headers['content-type']?.includes('json') === true ? JSON.parse(text) : text })
      })
    })
  })
}
