import { once } from 'node:events'

import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import t from 'tap'
import type { WebSocket } from 'ws'

import type { ConnectionFacts, WebsocketRoute } from '../../lib/transports/websocket-route.js'
import { deferred } from '../helpers/deferred.js'
import { addEcho, echo, EchoHandlers, textOf } from './echo-channel.js'
import { channel } from './route-host.js'

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
