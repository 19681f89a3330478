import { once } from 'node:events'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import fastifyCookie from '@fastify/cookie'
import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import fastifyJwt from '@fastify/jwt'
import fastifyRateLimit from '@fastify/rate-limit'
import fastifySwagger from '@fastify/swagger'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import t from 'tap'
import type { WebSocket } from 'ws'
import { z } from 'zod'

import { Admission } from '../../lib/transports/admission.js'
import { Refusal } from '../../lib/transports/refusal.js'
import type { ChannelRouteOptions } from '../../lib/transports/route-options.js'
import type { ConnectionFacts, WebsocketRoute, WebsocketRouteOptions } from '../../lib/transports/websocket-route.js'
import { deferred } from '../helpers/deferred.js'
import {
  addEcho, close, closed, echo, EchoHandlers, everythingFrom, HANDSHAKE, listen, open, refused, requestText, textOf
} from './echo-channel.js'

t.test('a plain GET that the hooks let through gets 426 and says what to do', async (t) => {
  const handlers = new EchoHandlers()
  const { app } = await channel({ handlers })
  const answer = await app.inject('/ws')
  t.equal(answer.statusCode, 426)
  t.match(answer.headers, { upgrade: 'websocket', connection: 'Upgrade' })
  t.strictSame(answer.json(), {
    statusCode: 426,
    code: 'UPGRADE_REQUIRED',
    error: 'Upgrade Required',
    message: 'This is a WebSocket: connect to it with ws:// or wss://',
    retryable: false
  })
  t.equal((await app.inject({ method: 'HEAD', url: '/ws' })).statusCode, 426)
  t.equal(handlers.checked, 2)
  t.equal(handlers.admitted, 0)
})

t.test('a refusal is an HTTP answer of one shape, to an upgrade and to a plain GET', async (t) => {
  const handlers = new class extends EchoHandlers {
    refusal = new Refusal('SHUTTING_DOWN')
    override admit (): number { throw this.refusal }
    override check (): void { throw this.refusal }
  }()
  const { app } = await channel({ handlers })
  const port = await listen(t, app)
  const drained = { statusCode: 503, code: 'SHUTTING_DOWN', error: 'Service Unavailable', message: 'The server is shutting down', retryable: true }
  t.strictSame((await app.inject('/ws')).json(), drained)
  t.strictSame(bodyOf(await refused(port, '/ws')), drained)
  handlers.refusal = new Refusal('RATE_LIMITED', { retryAfterMs: 1200, hint: 'connections' })
  const limited = await app.inject('/ws')
  t.equal(limited.headers['retry-after'], '2')
  t.strictSame(limited.json(), {
    statusCode: 429, code: 'RATE_LIMITED', error: 'Too Many Requests', message: 'Too much at once, slow down: connections', retryable: true, retryAfterMs: 1200
  })
  handlers.refusal = new Refusal('INTERNAL', { statusCode: 500 })
  t.strictSame((await app.inject('/ws')).json(), {
    statusCode: 500, code: 'INTERNAL', error: 'Internal Server Error', message: 'The server failed', retryable: true
  })
  t.equal(new Refusal('FORBIDDEN', { statusCode: 599 }).body().error, 'Error')
})

t.test('what is no refusal of ours keeps the shape that the host gives it', async (t) => {
  const handlers = new class extends EchoHandlers {
    override check (): void { throw Object.assign(new Error('who are you'), { statusCode: 401, code: 'MINE' }) }
  }()
  const { app } = await channel({ handlers })
  t.strictSame((await app.inject('/ws')).json(), { statusCode: 401, code: 'MINE', error: 'Unauthorized', message: 'who are you' })
  const styled = await channel({
    handlers, before: (app) => { app.setErrorHandler((_error, _request, reply) => reply.code(401).send({ problem: 'mine' })) }
  })
  t.strictSame((await styled.app.inject('/ws')).json(), { problem: 'mine' })
})

t.test('the names in the query are checked', async (t) => {
  const handlers = new EchoHandlers()
  const { app, route } = await channel({ handlers })
  for (const query of ['agentId=', 'sessionId=%00', `agentId=${'x'.repeat(129)}`, 'agentId=a&agentId=b', 'sessionId=a%7Fb']) {
    const answer = await app.inject(`/ws?${query}`)
    t.equal(answer.statusCode, 400, query)
    t.match(answer.json(), { code: 'VALIDATION_FAILED', retryable: false, message: /^A field is wrong: query \/(agentId|sessionId)$/ })
  }
  t.equal((await app.inject(`/ws?agentId=${'x'.repeat(128)}&token=theirs`)).statusCode, 426)
  const client = await route.injectWS({ query: { agentId: 'übung', sessionId: 'a b' } })
  t.match(handlers.accepted[0]?.facts, { subprotocol: false, agentId: 'übung', sessionId: 'a b' })
  client.terminate()
})

t.test('a page of another origin is refused, with a log line that names the option', async (t) => {
  const handlers = new EchoHandlers()
  const { app, log } = await channel({ handlers })
  const port = await listen(t, app)
  const answer = await refused(port, '/ws', { origin: 'https://evil.test' })
  t.match(answer, /^HTTP\/1\.1 403 /)
  t.strictSame(bodyOf(answer), { statusCode: 403, code: 'FORBIDDEN', error: 'Forbidden', message: 'Not allowed', retryable: false })
  t.match(log.find(({ level }) => level === 40), { origin: 'https://evil.test', reachedBy: 'http://127.0.0.1', msg: /`origin`/ })
  t.equal((await app.inject({ url: '/ws', headers: { origin: 'https://evil.test' } })).statusCode, 403)
  t.equal(handlers.admitted, 0)
  await close(await open(port, '/ws', [], { headers: { origin: 'http://127.0.0.1:5173' } }))
})

t.test('behind a trusted proxy the origin is compared with what the proxy is reached by', async (t) => {
  const forwarded = { origin: 'https://api.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'api.example.com' }
  const trusting = await channel({ server: { trustProxy: true }, handlers: new EchoHandlers() })
  t.equal((await trusting.app.inject({ url: '/ws', headers: forwarded })).statusCode, 426)
  const other = await channel({ handlers: new EchoHandlers() })
  t.equal((await other.app.inject({ url: '/ws', headers: forwarded })).statusCode, 403)
  const listed = await channel({ options: { origin: [/example\.com$/], allowedHosts: [] }, handlers: new EchoHandlers() })
  t.equal((await listed.app.inject({ url: '/ws', headers: forwarded })).statusCode, 426)
})

t.test('the host\'s jwt, cors, helmet, cookie and rate-limit hooks act on the upgrade', async (t) => {
  const app = Fastify()
  const cookies: unknown[] = []
  await app.register(fastifyJwt, { secret: 'a secret of the test' })
  await app.register(fastifyCors, { origin: 'https://app.example.com' })
  await app.register(fastifyHelmet)
  await app.register(fastifyCookie)
  await app.register(fastifyRateLimit, { global: false })
  const owners: unknown[] = []
  const handlers = new class extends EchoHandlers {
    override admit (request?: { user?: unknown }): number {
      owners.push(request?.user)
      return super.admit() as number // it answers at once
    }
  }()
  await app.register(async (api) => {
    api.addHook('onRequest', async (request) => {
      cookies.push(request.cookies)
      await request.jwtVerify()
    })
    addEcho(api, { routeOptions: { config: { rateLimit: { max: 1, timeWindow: '1 minute' } } } }, handlers)
  })
  const port = await listen(t, app)
  const token = app.jwt.sign({ sub: 'alice', name: 'Alice' })
  const denied = await refused(port, '/ws', { origin: 'https://app.example.com', cookie: 'a=b' })
  t.match(denied, /^HTTP\/1\.1 401 /)
  t.match(denied, /access-control-allow-origin: https:\/\/app\.example\.com/)
  t.match(denied, /content-security-policy: /i)
  t.match(bodyOf(denied), { statusCode: 401, code: 'FST_JWT_NO_AUTHORIZATION_IN_HEADER' })
  t.strictSame({ ...Object(cookies[0]) }, { a: 'b' })
  const client = await open(port, '/ws', ['agent-channel.v1', 'bearer', token])
  t.match(owners, [{ sub: 'alice' }])
  t.equal(await echo(client, 'hi'), 'hi')
  t.match(await refused(port, '/ws', { authorization: `Bearer ${token}` }), /^HTTP\/1\.1 429 /)
  await close(client)
})

t.test('a host whose routes speak zod boots, and documents the route', async (t) => {
  const app = Fastify().withTypeProvider<ZodTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  await app.register(fastifySwagger, { openapi: { openapi: '3.1.0', info: { title: 'x', version: '1' }, components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } } },
    transform: jsonSchemaTransform })
  app.get('/orders', { schema: { querystring: z.object({ q: z.string() }) } }, ({ query }) => query.q)
  await app.register(async (api) => {
    addEcho(api, {
      routeOptions: { schema: { tags: ['agent'], security: [{ bearer: [] }] } }
    })
  }, { prefix: '/api' })
  await app.ready()
  t.equal((await app.inject('/api/ws')).statusCode, 426)
  const operation: unknown = Reflect.get(Object(app.swagger().paths?.['/api/ws']), 'get')
  t.match(operation, { summary: 'A WebSocket to the agent', tags: ['agent'], security: [{ bearer: [] }] })
  t.match(operation, {
    parameters: [
      { in: 'query', name: 'agentId', required: false, schema: { maxLength: 128 } },
      { in: 'query', name: 'sessionId', required: false, schema: { maxLength: 128 } }
    ],
    responses: { 101: {}, 400: {}, 401: {}, 403: {}, 426: {}, 429: {}, 503: {} }
  })
  await app.close()
})

t.test('hooks of the route run before the channel has its say', async (t) => {
  const order: string[] = []
  const handlers = new class extends EchoHandlers {
    override check (): void { order.push('channel') }
  }()
  const routeOptions: ChannelRouteOptions = {
    onRequest: async () => { order.push('onRequest') },
    preHandler: [(_request, _reply, done) => { order.push('first'); done() }, async () => { order.push('second') }],
    config: { mine: true },
    logLevel: 'error'
  }
  const { app } = await channel({ handlers, options: { routeOptions } })
  app.addHook('onRequest', async (request) => { t.match(request.routeOptions.config, { mine: true }) })
  await app.inject('/ws')
  t.strictSame(order, ['onRequest', 'first', 'second', 'channel'])
  const single = await channel({ handlers, options: { routeOptions: { preHandler: async (_request, reply) => reply.code(418).send({}) } } })
  t.equal((await single.app.inject('/ws')).statusCode, 418)
})

t.test('route options that would change what the route is are refused at start', async (t) => {
  for (const key of ['method', 'url', 'handler', 'websocket', 'wsHandler', 'validatorCompiler', 'attachValidation']) {
    await t.rejects(channel({ options: { routeOptions: { [key]: true } } }), { code: 'FST_WS_CHANNEL_ROUTE_OPTION', message: new RegExp(`routeOptions\\.${key}\``) })
  }
  const schema = { tags: [], querystring: {} }
  await t.rejects(channel({ options: { routeOptions: { schema } } }), { message: /routeOptions\.schema\.querystring`/ })
})

t.test('a message that comes with the handshake is not lost', async (t) => {
  const gate = deferred()
  const handlers = new class extends EchoHandlers {
    override async admit (): Promise<number> {
      await gate.promise
      return 1
    }
  }()
  const { app } = await channel({ handlers })
  const port = await listen(t, app)
  const socket = connect(port, '127.0.0.1')
  const frame = Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69, 0x88, 0x80, 0, 0, 0, 0])
  socket.write(Buffer.concat([Buffer.from(requestText('GET /ws', HANDSHAKE)), frame]))
  const answer = everythingFrom(socket)
  gate.resolve()
  t.ok((await answer).includes('\r\n\r\n\x81\x02hi\x88'))
})

t.test('an admitted peer that comes to nothing is released, once', async (t) => {
  t.test('when its handshake is bad', async (t) => {
    const handlers = new EchoHandlers()
    const { app } = await channel({ handlers })
    const port = await listen(t, app)
    t.match(await refused(port, '/ws', { 'sec-websocket-key': 'bad' }), /^HTTP\/1\.1 400 /)
    await app.close()
    t.strictSame([handlers.admitted, handlers.released, handlers.accepted], [1, [1], []])
  })

  t.test('when the client goes away while it is being admitted', async (t) => {
    const asked = deferred()
    const gate = deferred()
    const released = deferred<number>()
    const handlers = new class extends EchoHandlers {
      override async admit (): Promise<number> {
        asked.resolve()
        await gate.promise
        return await super.admit()
      }

      override release (peer: number): void {
        super.release(peer)
        released.resolve(peer)
      }
    }()
    const { app } = await channel({ handlers })
    const port = await listen(t, app)
    const gone = deferred()
    app.server.on('connection', (socket) => { socket.once('close', () => { gone.resolve() }) })
    const socket = connect(port, '127.0.0.1')
    socket.write(requestText('GET /ws', HANDSHAKE))
    await asked.promise
    socket.resetAndDestroy()
    await gone.promise
    gate.resolve()
    t.equal(await released.promise, 1)
    await app.close()
    t.strictSame([handlers.released, handlers.accepted], [[1], []])
  })

  t.test('when the client goes away between admission and handshake', async (t) => {
    const released: number[] = []
    const socket = new PassThrough()
    Admission.start(1, responseOn(socket), (peer) => { released.push(peer) })
    socket.destroy()
    await once(socket, 'close')
    t.strictSame(released, [1])
    t.equal(Admission.start(2, responseOn(null), (peer) => { released.push(peer) }), undefined)
    t.strictSame(released, [1, 2])
  })

  t.test('when accepting it fails: the socket is closed 1011, and the error logged', async (t) => {
    const handlers = new class extends EchoHandlers {
      override accept (...args: Parameters<EchoHandlers['accept']>): void {
        super.accept(...args)
        const [socket] = args
        socket.removeAllListeners('error')
        throw new Error('accept failed')
      }
    }()
    const { app, log } = await channel({ handlers })
    const port = await listen(t, app)
    const client = await open(port)
    t.strictSame(await closed(client), [1011, 'the server failed'])
    t.match(log.find(({ level }) => level === 50), { err: { message: 'accept failed' } })
    handlers.accepted[0]?.socket.emit('error', new Error('late'))
    t.match(log.at(-1), { level: 30, err: { message: 'late' } })
    t.strictSame(handlers.released, [1])
  })

  t.test('and one that was accepted is not', async (t) => {
    const handlers = new EchoHandlers()
    const { app } = await channel({ handlers })
    const port = await listen(t, app)
    await close(await open(port))
    await app.close()
    t.strictSame(handlers.released, [])
  })
})

t.test('an accepted socket keeps neither request nor reply', async (t) => {
  setFlagsFromString('--expose_gc')
  // The flag makes it a global of every new context.
  const collect = runInNewContext('gc') as () => void
  for (const isHosted of [false, true]) {
    const held: Array<WeakRef<object>> = []
    const handlers = new EchoHandlers()
    const { app } = await channel({
      handlers,
      server: { connectionTimeout: 60_000 },
      before: async (app) => {
        if (isHosted) await app.register(websocket, { options: { maxPayload: 1000 } })
        app.addHook('onTimeout', async () => {})
        app.addHook('onRequest', async (request, reply) => {
          held.push(new WeakRef(request), new WeakRef(request.raw), new WeakRef(reply), new WeakRef(reply.raw))
        })
      }
    })
    const port = await listen(t, app)
    const client = await open(port)
    t.equal(await echo(client, 'hi'), 'hi')
    // A plain request, so that what Node reuses no longer points to the last upgrade.
    await app.inject('/ws')
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    t.strictSame(held.slice(0, 4).map((ref) => ref.deref() === undefined), [true, true, true, true], isHosted ? 'hosted' : 'private')
    t.equal(await echo(client, 'hi'), 'hi')
    t.equal(handlers.accepted[0]?.socket.listenerCount('error'), 1)
    await close(client)
  }
})

t.test('a host\'s onTimeout hook does not keep the request of a WebSocket', async (t) => {
  const socket = Object.assign(new PassThrough(), { _meta: {} })
  socket.on('timeout', () => { t.fail('there is no request any more') })
  t.equal(Admission.start('peer', responseOn(socket), () => { t.fail('was taken') })?.take(), 'peer')
  socket.emit('timeout')
  t.equal(socket._meta, undefined)
})

t.test('injectWS', async (t) => {
  for (const isHosted of [false, true]) {
    t.test(isHosted ? 'under the host\'s own plugin' : 'in a private scope', async (t) => {
      const seen: unknown[] = []
      const handlers = new class extends EchoHandlers {
        override accept (socket: WebSocket, peer: number, facts: ConnectionFacts): void {
          super.accept(socket, peer, facts)
          socket.send('at once')
        }
      }()
      const { app, route } = await channel({
        handlers,
        prefix: '/api',
        before: async (app) => {
          if (isHosted) await app.register(websocket, { options: { maxPayload: 1000 } })
          app.addHook('onRequest', async (request, reply) => {
            const { url, ip, host, protocol, headers } = request
            seen.push({ url, ip, host, protocol, authorization: headers.authorization })
            if (request.headers['x-refuse'] !== undefined) await reply.code(401).send({})
          })
        }
      })
      const texts: string[] = []
      const client = await route.injectWS({
        protocols: ['agent-channel.v1', 'bearer', 'secret'],
        query: { agentId: 'a b' },
        headers: { 'x-test': '1' },
        onInit: (socket) => { socket.on('message', (data) => texts.push(textOf(data))) }
      })
      t.strictSame(seen, [{ url: '/api/ws?agentId=a+b', ip: '127.0.0.1', host: 'localhost', protocol: 'http', authorization: 'Bearer secret' }])
      t.equal(client.protocol, 'agent-channel.v1')
      client.send('hi')
      while (!texts.includes('hi')) await once(client, 'message')
      t.strictSame(texts, ['at once', 'hi'])
      const server = handlers.accepted[0]?.socket
      const gone = Promise.all([once(client, 'close'), server === undefined ? undefined : once(server, 'close')])
      client.close(4001, 'bye')
      t.match(await gone, [[4001], [4001]], 'both sides hear of the end')
      await t.rejects(route.injectWS({ headers: { 'x-refuse': '1' } }), { message: 'Unexpected server response: 401' })
      const cut = await route.injectWS({ headers: { host: 'api.test' } })
      t.match(seen.at(-1), { host: 'api.test' })
      const dropped = once(cut, 'close')
      handlers.accepted[1]?.socket.terminate()
      t.match(await dropped, [1006])
      await app.close()
      await t.rejects(route.injectWS(), { message: 'Unexpected server response: 503' })
    })
  }

  t.test('boots the app itself, and fills in a path with parameters', async (t) => {
    const app = Fastify()
    const params: unknown[] = []
    app.addHook('onRequest', async (request) => { params.push(request.params) })
    const route = deferred<WebsocketRoute>()
    app.register(async (api) => { route.resolve(addEcho(api)) }, { prefix: '/tenants/:tenant' })
    await app.register(async () => {})
    const client = await (await route.promise).injectWS({ path: '/tenants/acme/ws' })
    t.strictSame({ ...Object(params[0]) }, { tenant: 'acme' })
    client.terminate()
    await app.close()
  })

  t.test('says so when the host has hidden the class of its sockets', async (t) => {
    const { app, route } = await channel({
      before: async (app) => {
        await app.register(websocket, { options: { maxPayload: 1000 } })
        delete app.websocketServer.options.WebSocket
      }
    })
    await t.rejects(route.injectWS(), { message: /which class/ })
    await app.close()
  })

  t.test('and the host\'s own injectWS opens the channel too', async (t) => {
    const handlers = new EchoHandlers()
    const { app } = await channel({
      handlers, before: async (app) => { await app.register(websocket, { options: { maxPayload: 1000 } }) }
    })
    await app.ready()
    const client = await app.injectWS('/ws', { headers: { 'sec-websocket-protocol': 'agent-channel.v1, bearer, x' } })
    t.equal(await echo(client, 'hi'), 'hi')
    t.match(handlers.accepted[0]?.facts, { subprotocol: true, agentId: undefined, sessionId: undefined })
    t.type(handlers.accepted[0]?.facts.stream.writableLength, 'number')
    client.terminate()
    await app.close()
  })
})

interface ChannelSettings {
  handlers?: EchoHandlers
  options?: Partial<WebsocketRouteOptions>
  server?: object
  prefix?: string
  before?: (app: FastifyInstance) => void | Promise<void>
}

async function channel ({ handlers = new EchoHandlers(), options, server, prefix = '', before }: ChannelSettings): Promise<{
  app: FastifyInstance
  route: WebsocketRoute
  log: Array<Record<string, unknown>>
}> {
  const log: Array<Record<string, unknown>> = []
  // A line of the log is an object.
  const stream = { write: (line: string) => { log.push(JSON.parse(line) as Record<string, unknown>) } }
  const app: FastifyInstance = Fastify({ ...server, logger: { stream } })
  await before?.(app)
  const route = deferred<WebsocketRoute>()
  await app.register(async (api) => { route.resolve(addEcho(api, options, handlers)) }, { prefix })
  return { app, route: await route.promise, log }
}

function bodyOf (answer: string): unknown {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))
}

/** Of a response, only what an admission looks at. */
function responseOn (socket: PassThrough | null): Parameters<typeof Admission.start>[1] {
  return { socket, detachSocket () {} } as unknown as Parameters<typeof Admission.start>[1]
}
