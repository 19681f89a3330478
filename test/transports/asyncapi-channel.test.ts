import Fastify from 'fastify'
import t from 'tap'

import { wsChannel, type WsChannelOptions } from '../../lib/index.js'
import { listeningAt } from '../../lib/transports/asyncapi-host.js'
import { examplesOf, host, isValid, messageOf } from './asyncapi-document.js'

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
