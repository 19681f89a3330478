import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

import { Parser } from '@asyncapi/parser'
import { Type } from '@sinclair/typebox'
import swagger from '@fastify/swagger'
import { Ajv } from 'ajv'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { z } from 'zod'

import { wsChannel, type AsyncApiDocument, type WsChannelOptions } from '../../lib/index.js'
import { hostFrameShape } from '../../lib/protocol/host-frame.js'
import { listeningAt } from '../../lib/transports/asyncapi-host.js'

/** Error and warning. */
const WORSE_THAN_INFO = [0, 1]

// The parser compiles its schemas, which takes a while.
t.setTimeout(120_000)

t.test('the document of a plain host', async (t) => {
  const app = await host(t)
  const document = app.channel.asyncapi()
  await isValid(t, document)
  t.match(document, {
    asyncapi: '3.0.0',
    info: { title: 'Agent channel', version: '1.0.0' },
    servers: { main: { host: 'localhost', protocol: 'ws' } },
    channels: { agent: { address: '/api/v1/ws', bindings: { ws: { method: 'GET', query: { properties: { agentId: {}, sessionId: {} } } } } } }
  })
  t.notOk('securitySchemes' in document.components)
  t.notOk('schemas' in document.components)
  t.strictSame(Object.keys(document.operations), [
    'receive.chat', 'receive.ping', 'receive.cancel', 'receive.subscribe', 'receive.unsubscribe', 'receive.history',
    'send.ready', 'send.feed', 'send.reconnect'
  ])
  for (const key of ['client.chat', 'server.stream', 'server.message', 'server.ack']) t.ok(document.components.messages[key], key)
  t.ok(examplesOf(document).length > 40, 'it has examples')
  t.ok(Object.values(document.components.messages).every((message) => 'examples' in message), 'of every frame')
})

t.test('each call makes a document of its own', async (t) => {
  const app = await host(t)
  const first = app.channel.asyncapi()
  first.info.title = 'changed'
  t.equal(app.channel.asyncapi().info.title, 'Agent channel')
})

t.test('schemas are compiled once, however often somebody asks', async (t) => {
  // Each request took 12 ms of the one thread: a hundred of them per second, and nobody else was served.
  let reads = 0
  const app = await host(t, {}, (channel) => {
    channel.define('rate', { schema: { type: 'object', get examples () { reads++; return [{ stars: 1 }] } }, handler: () => true })
  })
  const first = app.channel.asyncapi()
  const readsOfOne = reads
  t.ok(readsOfOne > 0)
  t.strictSame(app.channel.asyncapi(), first)
  t.equal((await app.inject('/api/v1/ws/asyncapi.json')).statusCode, 200)
  t.equal(reads, readsOfOne)
})

t.test('is not to be had before the app is ready', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(wsChannel)
  t.throws(() => app.channel.asyncapi(), { code: 'FST_WS_CHANNEL_NOT_READY' })
})

t.test('the limits of the host are those of the document, and examples that they refuse are left out', async (t) => {
  const app = await host(t, { maxMessageLength: 11 })
  const document = app.channel.asyncapi()
  const { payload, examples } = messageOf(document, 'client.chat')
  t.match(payload, { properties: { message: { maxLength: 11 } } })
  t.strictSame(examples?.map((example) => example.payload['message']), ['Plan a day', 'Hello'])
  await isValid(t, document)
  const shortest = (await host(t, { maxMessageLength: 1 })).channel.asyncapi()
  t.notOk('examples' in messageOf(shortest, 'client.chat'))
  await isValid(t, shortest)
})

t.test('types of the host\'s own', async (t) => {
  const app = await host(t, {}, (channel) => {
    const rating = Type.Object({ turnId: Type.String(), stars: Type.Integer({ minimum: 1, maximum: 5 }) }, {
      description: 'Rates an answer', additionalProperties: false, examples: [{ turnId: 'q1', stars: 5 }, { turnId: 'q1', stars: 9 }, 'no frame']
    })
    channel.define('rate', { schema: rating, handler: () => true })
    channel.define('order/ship', { schema: Type.Object({ type: Type.String(), id: Type.String({ maxLength: 3 }), orderId: Type.Integer() }), handler: () => true })
    channel.define('order ship', { schema: {}, handler: () => true })
    channel.define('batch', { schema: z.toJSONSchema(z.object({ pair: z.tuple([z.string(), z.number()]) })), handler: () => true })
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  const rate = messageOf(document, 'client.rate')
  t.strictSame(rate.payload, {
    additionalProperties: false,
    type: 'object',
    description: 'Rates an answer',
    properties: {
      turnId: { type: 'string' },
      stars: { type: 'integer', minimum: 1, maximum: 5 },
      type: { type: 'string', const: 'rate' },
      id: { type: 'string', minLength: 1, maxLength: 128, description: 'Given back in the answer' }
    },
    required: ['type', 'turnId', 'stars']
  })
  t.equal(rate.summary, 'Rates an answer')
  t.strictSame(rate.examples, [{ name: 'rate-1', summary: 'A frame rate', payload: { turnId: 'q1', stars: 5, type: 'rate' } }])
  t.strictSame(messageOf(document, 'client.order_ship').payload, {
    type: 'object',
    properties: { id: { type: 'string', maxLength: 3 }, orderId: { type: 'integer' }, type: { type: 'string', const: 'order/ship' } },
    required: ['type', 'id', 'orderId']
  })
  t.match(messageOf(document, 'client.order_ship_2').payload, { properties: { type: { const: 'order ship' } }, required: ['type'] })
  t.match(document.operations['receive.rate'], {
    action: 'receive',
    messages: [{ $ref: '#/channels/agent/messages/client.rate' }],
    reply: { messages: [{ $ref: '#/channels/agent/messages/server.rate' }, { $ref: '#/channels/agent/messages/server.error' }] }
  })
  t.match(messageOf(document, 'server.rate').payload, { properties: { type: { const: 'rate' }, data: {} }, required: ['type'] })
})

t.test('what a type\'s schema lets through, its payload does too, with the type', async (t) => {
  const tree = Type.Recursive((self) => Type.Object({ name: Type.String(), children: Type.Optional(Type.Array(self)) }), { $id: 'Tree' })
  const schemas: Record<string, { schema: object, good: object, bad: object }> = {
    union: {
      schema: Type.Union([
        Type.Object({ kind: Type.Literal('a'), n: Type.Integer() }, { additionalProperties: false }),
        Type.Object({ kind: Type.Literal('b') }, { additionalProperties: false })
      ], { title: 'a or b' }),
      good: { kind: 'a', n: 1 },
      bad: { kind: 'b', n: 1 }
    },
    both: {
      schema: Type.Intersect([Type.Object({ a: Type.String() }), Type.Object({ b: Type.String() })]),
      good: { a: '', b: '' },
      bad: { a: '' }
    },
    tree: { schema: tree, good: { name: 'root', children: [{ name: 'leaf' }] }, bad: { name: 'root', children: [{}] } },
    defined: {
      schema: {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        properties: { 'a/b': { $ref: '#/$defs/word' } },
        required: ['a/b'],
        $defs: { word: { type: 'string', minLength: 2 } }
      },
      good: { 'a/b': 'ab' },
      bad: { 'a/b': 'a' }
    }
  }
  const app = await host(t, {}, (channel) => {
    for (const [type, { schema }] of Object.entries(schemas)) channel.define(type, { schema, handler: () => true })
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  for (const [type, { schema, good, bad }] of Object.entries(schemas)) {
    const shape = hostFrameShape(schema)
    t.ok('frame' in shape.read({ type, ...good }), `${type}: the channel takes it`)
    t.ok('fault' in shape.read({ type, ...bad }), `${type}: the channel refuses it`)
    const { payload } = messageOf(document, `client.${type}`)
    t.equal(check(document, payload, { type, id: 'x1', ...good }), undefined, type)
    t.ok(check(document, payload, { type, ...bad }), `${type}: the document does too`)
    t.ok(check(document, payload, { type: 'other', ...good }), `${type} has no other type`)
  }
})

t.test('a schema that no type could be added to stands beside it', async (t) => {
  const schemas = {
    record: Type.Record(Type.String(), Type.Integer()),
    rest: { type: 'object', properties: {}, additionalProperties: { type: 'integer' } },
    counted: { type: 'object', properties: { a: {} }, maxProperties: 1 },
    mixed: { properties: { a: {} }, anyOf: [{ required: ['a'] }] },
    nested: { anyOf: [{ type: 'object', maxProperties: 1 }, true] }
  }
  const app = await host(t, {}, (channel) => {
    for (const [type, schema] of Object.entries(schemas)) {
      channel.define(type, { schema, handler: () => true })
    }
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  for (const [type, schema] of Object.entries(schemas)) {
    t.match(messageOf(document, `client.${type}`).payload, {
      properties: { type: { const: type }, id: { type: 'string' } }, required: ['type'], 'x-fields': JSON.parse(JSON.stringify(schema)) as unknown
    }, type)
  }
})

t.test('a field may be called as something that objects inherit', async (t) => {
  // There was no document at all for such a host.
  const app = await host(t, {}, (channel) => {
    channel.define('build', { schema: Type.Object({ constructor: Type.String(), toString: Type.Boolean() }), handler: () => true })
  })
  const document = app.channel.asyncapi()
  t.match(messageOf(document, 'client.build').payload, { properties: { constructor: { type: 'string' }, toString: { type: 'boolean' } } })
  await isValid(t, document)
})

t.test('a path with parameters', async (t) => {
  for (const [path, address, names] of [
    ['/rooms/:room/ws', '/api/v1/rooms/{room}/ws', ['room']],
    ['/:a(^\\d+)-:b/ws', '/api/v1/{a}-{b}/ws', ['a', 'b']],
    ['/at::ws', '/api/v1/at:ws', []],
    ['/any/*', '/api/v1/any/{rest}', ['rest']]
  ] as const) {
    const document = (await host(t, { path })).channel.asyncapi()
    t.equal(document.channels['agent']?.['address'], address)
    t.strictSame(Object.keys(document.channels['agent']?.['parameters'] ?? {}), names)
    await isValid(t, document)
  }
})

t.test('the host\'s OpenAPI document says who and where it is, and how one gets in', async (t) => {
  const app = await openApiHost(t, {
    info: {
      title: 'Tea shop', version: '2.1.0', description: 'Sells tea', summary: 'Tea',
      contact: { name: 'Ada' }, license: { name: 'MIT', url: 'https://example.com/license', identifier: 'MIT' }
    },
    servers: [
      { url: 'https://tea.example.com/api', description: 'Live' },
      { url: 'http://localhost:{port}/shop/', variables: { port: { default: '9527', enum: ['9527', '9528'] } } },
      { url: '/api' }
    ],
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'session' },
        certificate: { type: 'mutualTLS' },
        login: { type: 'openIdConnect', openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration' },
        oauth: { type: 'oauth2', flows: { clientCredentials: { tokenUrl: 'https://login.example.com/token', scopes: { chat: 'May chat' } } } },
        unused: { type: 'http', scheme: 'basic' }
      }
    },
    security: [{ bearer: [] }, { cookie: [] }, { certificate: [] }, { login: ['chat'] }, { oauth: ['chat'] }]
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  t.strictSame(document.info, {
    title: 'Tea shop', version: '2.1.0', description: 'Sells tea', contact: { name: 'Ada' },
    license: { name: 'MIT', url: 'https://example.com/license' }
  })
  const security = ['bearer', 'cookie', 'certificate', 'login', 'oauth'].map((name) => ({ $ref: `#/components/securitySchemes/${name}` }))
  t.strictSame(document.servers, {
    server1: { host: 'tea.example.com', protocol: 'wss', description: 'Live', security },
    server2: {
      host: 'localhost:{port}', protocol: 'ws', pathname: '/shop', variables: { port: { default: '9527', enum: ['9527', '9528'] } }, security
    }
  })
  t.strictSame(document.components.securitySchemes, {
    bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    cookie: { type: 'httpApiKey', in: 'cookie', name: 'session' },
    certificate: { type: 'X509' },
    login: { type: 'openIdConnect', openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration', scopes: ['chat'] },
    oauth: {
      type: 'oauth2',
      flows: { clientCredentials: { tokenUrl: 'https://login.example.com/token', availableScopes: { chat: 'May chat' } } },
      scopes: ['chat']
    }
  })
})

t.test('the route may ask for something else than the rest of the host, or for nothing', async (t) => {
  const openapi = {
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' }, key: { type: 'apiKey', in: 'query', name: 'key' } } },
    security: [{ bearer: [] }]
  }
  const other = await openApiHost(t, openapi, { routeOptions: { schema: { security: [{ key: [] }] } } })
  t.strictSame(Object.keys(other.channel.asyncapi().components.securitySchemes ?? {}), ['key'])
  await isValid(t, other.channel.asyncapi())
  const none = await openApiHost(t, openapi, { routeOptions: { schema: { security: [{}, { key: [] }] } } })
  t.notOk('securitySchemes' in none.channel.asyncapi().components)
  t.notOk('security' in (none.channel.asyncapi().servers['main'] ?? {}))
})

t.test('what the option says comes first', async (t) => {
  const asyncapi = {
    info: { title: 'Chat', version: '3' },
    servers: { live: { host: 'chat.example.com', protocol: 'wss' as const } },
    securitySchemes: { ticket: { type: 'httpApiKey', in: 'query', name: 'ticket' } }
  }
  const app = await openApiHost(t, { info: { title: 'Tea shop', version: '1' }, servers: [{ url: 'https://tea.example.com' }] }, { asyncapi })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  t.strictSame(document.info, asyncapi.info)
  t.strictSame(document.servers, { live: { ...asyncapi.servers.live, security: [{ $ref: '#/components/securitySchemes/ticket' }] } })
  t.strictSame(document.components.securitySchemes, asyncapi.securitySchemes)
})

t.test('an OpenAPI document of version 2 says nothing', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { swagger: { info: { title: 'Old', version: '1' } } })
  app.register(wsChannel)
  await app.ready()
  t.equal(app.channel.asyncapi().info.title, 'Agent channel')
})

t.test('one that is incomplete says what it can', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const swagger = () => ({
    openapi: '3.0.3', info: { title: 'Half', license: {} }, servers: [null], security: [{ missing: [] }, { oauth: 'chat' }],
    components: { securitySchemes: { oauth: { type: 'oauth2' } } }
  })
  app.decorate('swagger', swagger as never)
  app.register(wsChannel)
  await app.ready()
  t.match(app.channel.asyncapi(), {
    info: { title: 'Half', version: '1.0.0' },
    servers: { main: { host: 'localhost', security: [{ $ref: '#/components/securitySchemes/oauth' }] } },
    components: { securitySchemes: { oauth: { type: 'oauth2', flows: {}, scopes: [] } } }
  })
})

t.test('says where a server listens that uses TLS, IPv6 or a Unix socket', async (t) => {
  const six = { address: '::1', family: 'IPv6', port: 9527 }
  t.strictSame(listeningAt({ initialConfig: { https: true }, addresses: () => [six] }), { host: '[::1]:9527', protocol: 'wss' })
  // Fastify's type knows of no path.
  t.strictSame(listeningAt({ initialConfig: {}, addresses: () => ['/run/host.sock'] as never }), { host: 'localhost', protocol: 'ws' })
})

t.test('settings that are none are refused at start', async (t) => {
  for (const asyncapi of [true, null, { title: 'x' }]) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => { await app.register(wsChannel, { asyncapi } as unknown as WsChannelOptions) }, { code: 'FST_WS_CHANNEL_OPTION', message: /asyncapi/ })
  }
})

t.test('the route', async (t) => {
  await t.test('tells the document, with the server as its client reached it', async (t) => {
    const app = await host(t)
    const { statusCode, headers, body } = await app.inject({ url: '/api/v1/ws/asyncapi.json', headers: { host: 'tea.example.com' } })
    t.equal(statusCode, 200)
    t.match(headers['content-type'], /^application\/json/)
    t.strictSame(JSON.parse(body), { ...app.channel.asyncapi(), servers: { main: { host: 'tea.example.com', protocol: 'ws' } } })
  })

  await t.test('is at the prefix and path of the channel', async (t) => {
    const app = Fastify({ trustProxy: true })
    t.teardown(() => app.close())
    app.register(async (scope) => { scope.register(wsChannel, { path: '/chat/' }) }, { prefix: '/v2' })
    const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'tea.example.com' }
    const answer = await app.inject({ url: '/v2/chat/asyncapi.json', headers })
    t.match(answer.json(), { channels: { agent: { address: '/v2/chat/' } }, servers: { main: { host: 'tea.example.com', protocol: 'wss' } } })
  })

  await t.test('says where the server listens, to who asks in the process', async (t) => {
    const app = await host(t)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    t.strictSame(app.channel.asyncapi().servers, { main: { host: `127.0.0.1:${port}`, protocol: 'ws' } })
  })

  await t.test('answers who names no host', async (t) => {
    const app = await host(t)
    await app.listen({ port: 0, host: '127.0.0.1' })
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    socket.end('GET /api/v1/ws/asyncapi.json HTTP/1.0\r\n\r\n')
    const [, body = ''] = (await text(socket)).split('\r\n\r\n')
    t.match(JSON.parse(body), { servers: { main: { host: /^localhost$/, protocol: 'ws' } } })
  })

  await t.test('can be left out', async (t) => {
    const app = await host(t, { asyncapi: false })
    t.equal((await app.inject('/api/v1/ws/asyncapi.json')).statusCode, 404)
    t.equal(app.channel.asyncapi().asyncapi, '3.0.0', 'the host can still ask')
    const wild = await host(t, { path: '/any/*' })
    t.equal((await wild.inject('/api/v1/any/asyncapi.json')).statusCode, 426, 'behind a wildcard nothing can stand')
  })

  await t.test('is guarded by the hooks of the scope, and by those of the channel\'s route', async (t) => {
    const refuse = async (): Promise<never> => { throw Object.assign(new Error('who are you?'), { statusCode: 401 }) }
    const guarded = Fastify()
    t.teardown(() => guarded.close())
    guarded.addHook('onRequest', refuse)
    guarded.register(wsChannel)
    const refused = await guarded.inject('/api/v1/ws/asyncapi.json')
    t.equal(refused.statusCode, 401)
    t.match(refused.json(), { message: 'who are you?' })

    const byRoute = await host(t, { routeOptions: { onRequest: refuse } })
    t.equal((await byRoute.inject('/api/v1/ws/asyncapi.json')).statusCode, 401)
  })

  await t.test('is guarded by `identify`, as the channel is', async (t) => {
    // Where nothing else guards the channel anybody could read the host's own types.
    const app = await host(t, {
      identify ({ headers }) {
        if (headers.authorization === 'Bearer ada') return 'ada'
        throw Object.assign(new Error('who are you?'), { statusCode: 401 })
      }
    })
    const refused = await app.inject('/api/v1/ws/asyncapi.json')
    t.equal(refused.statusCode, 401)
    t.match(refused.json(), { message: 'who are you?' })
    t.equal((await app.inject({ url: '/api/v1/ws/asyncapi.json', headers: { authorization: 'Bearer ada' } })).statusCode, 200)
  })

  await t.test('fails as the host\'s OpenAPI document does', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.decorate('swagger', () => { throw new Error('no document') })
    app.register(wsChannel)
    t.equal((await app.inject('/api/v1/ws/asyncapi.json')).statusCode, 500)
  })

  await t.test('is in the host\'s OpenAPI document, unless that hides the channel', async (t) => {
    const shown = await openApiHost(t, {}, { routeOptions: { schema: { tags: ['agent'], security: [], operationId: 'openSocket' } } })
    t.match((await shown.inject('/openapi.json')).json(), { paths: { '/api/v1/ws/asyncapi.json': { get: { tags: ['agent'], security: [], responses: { 200: {} } } } } })
    t.equal((await shown.inject('/openapi.json')).body.split('openSocket').length, 2, 'the id of an operation is of one')
    const linked = await openApiHost(t, {})
    t.match((await linked.inject('/openapi.json')).json(), { paths: { '/api/v1/ws': { get: { externalDocs: { url: '/api/v1/ws/asyncapi.json' } } } } })
    const without = await openApiHost(t, {}, { asyncapi: false })
    t.notMatch((await without.inject('/openapi.json')).body, /asyncapi/)
    const hidden = await openApiHost(t, {}, { routeOptions: { schema: { hide: true } } })
    t.notMatch((await hidden.inject('/openapi.json')).json(), { paths: { '/api/v1/ws/asyncapi.json': {} } })
  })
})

async function host (t: Test, options: WsChannelOptions = {}, define: (channel: FastifyInstance['channel']) => void = () => {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(wsChannel, options)
  define(app.channel)
  await app.ready()
  return app
}

async function openApiHost (t: Test, openapi: object, options: WsChannelOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  let scope: FastifyInstance = app
  await app.register(async (api) => {
    scope = api
    await api.register(wsChannel, options)
  }, { prefix: '/api/v1' })
  await app.ready()
  return scope
}

/** No error, no warning; and each example is as its message says, which the parser does not look at. */
async function isValid (t: Test, document: AsyncApiDocument): Promise<void> {
  const diagnostics = await new Parser().validate(JSON.stringify(document))
  t.strictSame(diagnostics.filter(({ severity }) => WORSE_THAN_INFO.includes(severity)).map(({ message, path }) => `${path.join('.')}: ${message}`), [])
  for (const { key, payload, example } of examplesOf(document)) t.equal(check(document, payload, example), undefined, `${key}: ${JSON.stringify(example)}`)
}

/** By another validator than ours, and with the references as they are in the document. */
function check (document: AsyncApiDocument, payload: object, value: unknown): string | undefined {
  const ajv = new Ajv({ strict: false })
  // Its payloads refer to it.
  const validate = ajv.compile({ components: document.components, allOf: [payload] })
  return validate(value) ? undefined : ajv.errorsText(validate.errors)
}

function examplesOf ({ components }: AsyncApiDocument): Array<{ key: string, payload: object, example: unknown }> {
  return Object.keys(components.messages).flatMap((key) => {
    const { payload, examples = [] } = messageOf({ components }, key)
    return examples.map((example) => ({ key, payload, example: example.payload }))
  })
}

function messageOf ({ components }: Pick<AsyncApiDocument, 'components'>, key: string): Message {
  const message = components.messages[key]
  if (message === undefined) throw new Error(`no message ${key}`)
  return message as unknown as Message
}

interface Message {
  summary: string
  payload: Record<string, unknown>
  examples?: Array<{ name: string, summary: string, payload: Record<string, unknown> }>
}
