import { connect, type AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

import Fastify from 'fastify'
import t from 'tap'

import { wsChannel } from '../../lib/index.js'
import { host, openApiHost } from './asyncapi-document.js'

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
