import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'

import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import mercurius from 'mercurius'
import t from 'tap'
import { WebSocket } from 'ws'

import type { WebsocketRoute } from '../../lib/transports/websocket-route.js'
import { deferred } from '../helpers/deferred.js'
import { certificate, privateKey } from './certificate.js'
import {
  addEcho, close, closed, Connections, countConnections, echo, EchoHandlers, listen, message, open, refused, textOf
} from './echo-channel.js'

const SMALL = { options: { maxPayload: 1000 } }

/** Each makes an app with a channel at /a/ws and, where the host has sockets of its own, one at /host. */
const ORDERS: Record<string, { host: boolean, build: (app: FastifyInstance) => void }> = {
  'the channel alone': { host: false, build: (app) => { addChannel(app, '/a') } },
  'the host\'s own plugin before': {
    host: true,
    build: (app) => {
      app.register(websocket, SMALL)
      addHostRoute(app)
      addChannel(app, '/a')
    }
  },
  'the host\'s own plugin after, at the root': {
    host: true,
    build: (app) => {
      addChannel(app, '/a')
      app.register(websocket, SMALL)
      addHostRoute(app)
    }
  },
  'the host\'s own plugin in a scope beside, before': {
    host: true,
    build: (app) => {
      addHostScope(app)
      addChannel(app, '/a')
    }
  },
  'the host\'s own plugin in a scope beside, after': {
    host: true,
    build: (app) => {
      addChannel(app, '/a')
      addHostScope(app)
    }
  },
  'mercurius with subscriptions before': {
    host: false,
    build: (app) => {
      addMercurius(app)
      addChannel(app, '/a')
    }
  },
  'mercurius with subscriptions after': {
    host: false,
    build: (app) => {
      addChannel(app, '/a')
      addMercurius(app)
    }
  },
  'mercurius, the host\'s own plugin and several channels': {
    host: true,
    build: (app) => {
      addChannel(app, '/a')
      addMercurius(app)
      addHostScope(app)
      for (let i = 0; i < 12; i++) addChannel(app, `/more${i}`)
    }
  },
  'several channels under the host\'s own plugin': {
    host: true,
    build: (app) => {
      app.register(websocket, SMALL)
      addHostRoute(app)
      for (let i = 0; i < 12; i++) addChannel(app, `/more${i}`)
      addChannel(app, '/a')
    }
  }
}

for (const [name, { host, build }] of Object.entries(ORDERS)) {
  t.test(`works with ${name}`, async (t) => {
    const warnings: Error[] = []
    const onWarning = (warning: Error): void => { warnings.push(warning) }
    process.on('warning', onWarning)
    t.teardown(() => process.removeListener('warning', onWarning))
    const app = Fastify()
    app.get('/plain', () => 'plain')
    build(app)
    const port = await listen(t, app)
    const connections = new Connections(app.server)
    const client = await open(port, '/a/ws', ['agent-channel.v1'])
    t.equal(client.protocol, 'agent-channel.v1')
    t.equal(await echo(client, 'hello'), 'hello')
    await close(client)
    if (host) {
      const theirs = await open(port, '/host')
      t.equal(await echo(theirs, 'host'), 'host: host')
      await close(theirs)
    }
    for (const prefix of name.includes('several') ? ['/more0', '/more11'] : []) {
      const another = await open(port, `${prefix}/ws`)
      t.equal(await echo(another, prefix), prefix)
      await close(another)
    }
    t.match(await refused(port, '/a/nowhere'), /^HTTP\/1\.1 404 /)
    await connections.none()
    t.equal(await countConnections(app.server), 0)
    await app.close()
    t.strictSame(warnings, [])
  })
}

t.test('mercurius keeps its own subscriptions', async (t) => {
  const app = Fastify()
  addChannel(app, '/a')
  addMercurius(app)
  const port = await listen(t, app)
  const client = await open(port, '/graphql', ['graphql-transport-ws'])
  t.equal(client.protocol, 'graphql-transport-ws')
  const answer = message(client)
  client.send('{"type":"connection_init"}')
  t.match(await answer, '{"type":"connection_ack"}')
  await close(client)
})

t.test('nobody else closes an accepted socket: it is no client of the host\'s server', async (t) => {
  for (const isHosted of [true, false]) {
    const app = Fastify()
    if (isHosted) await app.register(websocket, SMALL)
    const sizes: number[] = []
    await app.register(async (api) => { addEcho(api, {}, counting(api, sizes)) })
    app.addHook('preClose', async () => {
      t.equal(await echo(client, 'during close'), 'during close')
      client.close(4000)
    })
    const port = await listen(t, app)
    const client = await open(port)
    const ended = closed(client)
    await app.close()
    const [code] = await ended
    t.equal(code, 4000)
    t.strictSame(sizes, isHosted ? [0] : [])
  }
})

t.test('a client that offers our subprotocol gets it, whatever the host\'s handleProtocols says', async (t) => {
  for (const handleProtocols of [() => false as const, () => 'theirs', () => 'agent-channel.v1']) {
    const app = Fastify()
    await app.register(websocket, { options: { maxPayload: 1000, handleProtocols } })
    app.get('/host', { websocket: true }, (socket) => { socket.close(4001, socket.protocol) })
    const handlers = new EchoHandlers()
    await app.register(async (api) => { addEcho(api, {}, handlers) })
    const port = await listen(t, app)
    const client = await open(port, '/ws', ['x', 'agent-channel.v1', 'bearer', 'secret'])
    t.equal(client.protocol, 'agent-channel.v1')
    t.equal(handlers.accepted[0]?.facts.subprotocol, true)
    await close(client)
    await close(await open(port))
    t.equal(handlers.accepted[1]?.facts.subprotocol, false)
    const theirs = new WebSocket(`ws://127.0.0.1:${port}/host`, ['agent-channel.v1', 'theirs'])
    await Promise.race([once(theirs, 'error').catch(() => {}), once(theirs, 'open').catch(() => {})])
    t.equal(theirs.protocol, handleProtocols() === false ? '' : handleProtocols(), 'the host\'s routes are its own')
    theirs.terminate()
    await app.close()
  }
})

t.test('a host that allows larger messages than the channel is told at start', async (t) => {
  for (const options of [{}, { maxPayload: 65537 }, { maxPayload: 0 }]) {
    const app = Fastify()
    await app.register(websocket, { options })
    await t.rejects(async () => { await app.register(async (api) => { addEcho(api) }) }, { code: 'FST_WS_CHANNEL_HOST_MAX_PAYLOAD', message: /maxPayload/ })
  }
})

t.test('a host that allows smaller messages decides', async (t) => {
  const app = Fastify()
  await app.register(websocket, SMALL)
  await app.register(async (api) => { t.equal(addEcho(api).maxPayload, 1000) })
  await app.register(async (api) => { t.equal(addEcho(api, { path: '/same', maxPayload: 1000 }).maxPayload, 1000) })
  await app.close()
})

t.test('a message larger than the channel\'s own limit closes 1009', async (t) => {
  const app = Fastify()
  await app.register(async (api) => { t.equal(addEcho(api, { maxPayload: 10 }).maxPayload, 10) })
  const port = await listen(t, app)
  const client = await open(port, '/ws', [], { perMessageDeflate: true })
  t.equal(client.extensions, '')
  const ended = closed(client)
  client.send('12345678901')
  const [code] = await ended
  t.equal(code, 1009)
})

t.test('a request decorator `ws` of somebody else is told at start', async (t) => {
  const app = Fastify()
  app.decorateRequest('ws', false)
  await t.rejects(async () => { await app.register(async (api) => { addEcho(api) }) }, { code: 'FST_WS_CHANNEL_REQUEST_WS_TAKEN' })
})

t.test('HTTP/2 without HTTP/1.1 is refused at start', async (t) => {
  const tls = { cert: certificate, key: privateKey }
  for (const options of [{ http2: true }, { http2: true, https: tls }, { http2: true, https: { ...tls, allowHTTP1: false } }]) {
    const app = fastifyOf(options)
    await t.rejects(async () => { await app.register(async (api) => { addEcho(api) }) }, { code: 'FST_WS_CHANNEL_HTTP2_ONLY', message: /allowHTTP1/ })
  }
})

t.test('HTTP/2 with HTTP/1.1 allowed upgrades, and its HTTP/2 clients get 426', async (t) => {
  const app = fastifyOf({ http2: true, https: { cert: certificate, key: privateKey, allowHTTP1: true } })
  const seen: string[] = []
  app.addHook('onRequest', async (request) => { seen.push(request.protocol) })
  const route = deferred<WebsocketRoute>()
  await app.register(async (api) => { route.resolve(addEcho(api)) })
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.removeListener('warning', onWarning))
  const port = await listen(t, app)
  const client = new WebSocket(`wss://127.0.0.1:${port}/ws`, { rejectUnauthorized: false })
  await once(client, 'open')
  t.equal(await echo(client, 'hi'), 'hi')
  await close(client)
  const injected = await (await route.promise).injectWS()
  t.equal(await echo(injected, 'in memory'), 'in memory')
  await close(injected)
  t.strictSame(seen, ['https', 'https'])
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  const stream = session.request({ ':path': '/ws' })
  t.match(await once(stream, 'response'), [{ ':status': 426 }])
  stream.resume()
  await once(stream, 'close')
  session.close()
  await once(session, 'close')
  t.strictSame(warnings, [])
})

for (const options of [{ routerOptions: { caseSensitive: false } }, { caseSensitive: false }]) {
  testIgnoringCase(options)
}

function testIgnoringCase (options: FastifyServerOptions): void {
  t.test(`a channel under a prefix with parameters is found by a router of ${JSON.stringify(options)}`, async (t) => {
    const app = Fastify(options)
    const seen: Array<string | undefined> = []
    app.addHook('onRequest', async (request) => { seen.push(request.headers.authorization) })
    await app.register(async (api) => { addEcho(api) }, { prefix: '/tenants/:tenant' })
    const port = await listen(t, app)
    await close(await open(port, '/Tenants/acme/WS', ['agent-channel.v1', 'bearer', 'x']))
    t.strictSame(seen, ['Bearer x'])
  })
}

function addChannel (app: FastifyInstance, prefix: string): void {
  app.register(async (api) => { addEcho(api, { maxPayload: 65536 }) }, { prefix })
}

function addHostScope (app: FastifyInstance): void {
  app.register(async (scope) => {
    await scope.register(websocket, SMALL)
    addHostRoute(scope)
  })
}

function addHostRoute (scope: FastifyInstance): void {
  scope.register(async (inner) => {
    inner.get('/host', { websocket: true }, (socket) => {
      socket.on('message', (data) => { socket.send(`host: ${textOf(data)}`) })
    })
  })
}

function addMercurius (app: FastifyInstance): void {
  app.register(mercurius, { schema: 'type Query { hello: String } type Subscription { ticks: Int }', subscription: true })
}

function counting (api: FastifyInstance, sizes: number[]): EchoHandlers {
  return new class extends EchoHandlers {
    override accept (...args: Parameters<EchoHandlers['accept']>): void {
      if (api.hasDecorator('websocketServer')) sizes.push(api.websocketServer.clients.size)
      super.accept(...args)
    }
  }()
}

function fastifyOf (options: object): FastifyInstance {
  // Fastify types an instance by its server; the channel takes every kind.
  return Fastify(options as FastifyServerOptions)
}
