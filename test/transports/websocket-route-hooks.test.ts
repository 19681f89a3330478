import { PassThrough } from 'node:stream'

import fastifyCookie from '@fastify/cookie'
import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import fastifyJwt from '@fastify/jwt'
import fastifyRateLimit from '@fastify/rate-limit'
import fastifySwagger from '@fastify/swagger'
import Fastify from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import t from 'tap'
import { z } from 'zod'

import { Admission } from '../../lib/transports/admission.js'
import type { ChannelRouteOptions } from '../../lib/transports/route-options.js'
import { addEcho, close, echo, EchoHandlers, listen, open, refused } from './echo-channel.js'
import { bodyOf, channel, responseOn } from './route-host.js'

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

t.test('a host\'s onTimeout hook does not keep the request of a WebSocket', async (t) => {
  const socket = Object.assign(new PassThrough(), { _meta: {} })
  socket.on('timeout', () => { t.fail('there is no request any more') })
  t.equal(Admission.start('peer', responseOn(socket), () => { t.fail('was taken') })?.take(), 'peer')
  socket.emit('timeout')
  t.equal(socket._meta, undefined)
})
