import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'

import { channelRest, wsChannel, type ChannelRestOptions, type WsChannelOptions } from '../lib/index.js'

const CHANNEL: WsChannelOptions = { agentExecutor: () => 'hi' }

/** An app that is closed at the end of the test. */
function appOf (t: { teardown: (task: () => Promise<void>) => void }): FastifyInstance {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  return app
}

t.test('the routes are at the prefix, of the option or the scope, or where the channel is by default', async (t) => {
  const cases: Array<[scope: string | undefined, options: ChannelRestOptions, url: string]> = [
    [undefined, {}, '/api/v1/agents'],
    [undefined, { prefix: '/v2' }, '/v2/agents'],
    [undefined, { prefix: '' }, '/agents'],
    ['/api', {}, '/api/agents'],
    ['/api', { prefix: '/v2' }, '/api/v2/agents']
  ]
  for (const [scope, options, url] of cases) {
    const app = appOf(t)
    const register = (to: FastifyInstance): void => {
      to.register(wsChannel, CHANNEL)
      to.register(channelRest, options)
    }
    if (scope === undefined) register(app)
    else app.register(async (api) => { register(api) }, { prefix: scope })
    await app.ready()
    t.equal((await app.inject(url)).statusCode, 200, url)
  }
})

t.test('hooks of the host guard the routes as they guard its own; `routeOptions` guard the routes alone', async (t) => {
  const app = appOf(t)
  app.register(wsChannel, CHANNEL)
  app.register(channelRest, {
    routeOptions: {
      onRequest: async ({ headers }, reply) => { if (headers['x-key'] !== '1') await reply.code(401).send({ message: 'no key' }) },
      preHandler: [async (_request, reply) => { reply.header('x-pre', 'yes') }]
    }
  })
  app.get('/health', async () => 'ok')
  await app.ready()
  t.equal((await app.inject('/health')).statusCode, 200)
  const refused = await app.inject('/api/v1/agents')
  t.strictSame([refused.statusCode, refused.json()], [401, { message: 'no key' }])
  const { statusCode, headers } = await app.inject({ url: '/api/v1/agents', headers: { 'x-key': '1' } })
  t.match([statusCode, headers], [200, { 'x-pre': 'yes', 'cache-control': 'no-store' }])
})

t.test('what cannot work is refused at once', async (t) => {
  const without = Fastify()
  without.register(channelRest)
  await t.rejects(async () => { await without.ready() }, { code: 'FST_ERR_PLUGIN_DEPENDENCY_NOT_REGISTERED' })
  await without.close()

  const cases: Array<[options: object, text: RegExp]> = [
    [{ prefx: '/x' }, /`prefx`.*no such option of channelRest; there are prefix/],
    [{ routeOptions: { method: 'GET' } }, /`routeOptions.method`/]
  ]
  for (const [options, text] of cases) {
    const app = Fastify()
    app.register(wsChannel, CHANNEL)
    app.register(channelRest, options as ChannelRestOptions)
    await t.rejects(async () => { await app.ready() }, { message: text })
    await app.close()
  }
})

t.test('a channel that is not of this package is none', async (t) => {
  const app = Fastify()
  app.register(wsChannel, CHANNEL)
  app.register(async (scope) => {
    Object.defineProperty(scope, 'channel', { value: {} })
    scope.register(channelRest)
  })
  await t.rejects(async () => { await app.ready() }, { message: /`app.channel` is not what `wsChannel` has made/ })
  await app.close()
})

t.test('the routes are of the channel of their scope, or of the next one above', async (t) => {
  const app = appOf(t)
  app.register(wsChannel, { agentExecutor: () => 'outer' })
  app.register(async (scope) => { scope.register(channelRest) }, { prefix: '/above' })
  app.register(async (scope) => {
    scope.register(wsChannel, { agentExecutor: () => 'inner' })
    scope.register(channelRest)
  }, { prefix: '/own' })
  await app.ready()
  for (const [url, content] of [['/above', 'outer'], ['/own', 'inner']]) {
    const answer = await app.inject({ method: 'POST', url: `${url}/agents/main/chat`, payload: { message: 'x' } })
    t.match(answer.json(), { content })
  }
})

t.test('a channel that does not register it has nothing of it', async (t) => {
  const seen = async (register: (app: FastifyInstance) => void) => {
    const app = appOf(t)
    const routes: string[] = []
    app.addHook('onRoute', ({ method, url }) => { routes.push(`${String(method)} ${url}`) })
    register(app)
    await app.ready()
    return { routes, members: Object.getOwnPropertyNames(app).sort(), stats: app.channel.stats(), status: (await app.inject('/api/v1/agents')).statusCode }
  }
  const without = await seen((app) => { app.register(wsChannel, CHANNEL) })
  const own = ['/api/v1/ws', '/api/v1/ws/asyncapi.json'].flatMap((url) => [`GET ${url}`, `HEAD ${url}`])
  t.strictSame(without.routes.toSorted(), own.toSorted())
  t.equal(without.status, 404)
  const withRest = await seen((app) => {
    app.register(wsChannel, CHANNEL)
    app.register(channelRest)
  })
  t.strictSame(withRest.members, without.members, 'no decorator either')
  t.strictSame(withRest.stats, without.stats)
  t.equal(withRest.routes.length, without.routes.length + 7)
})

t.test('a name that is longer than the router takes is refused by it, unless the host lets it be', async (t) => {
  for (const [maxParamLength, statusCode] of [[100, 414], [128, 200]] as const) {
    const app = Fastify({ routerOptions: { maxParamLength } })
    t.teardown(async () => { await app.close() })
    app.register(wsChannel, CHANNEL)
    app.register(channelRest)
    await app.ready()
    t.equal((await app.inject(`/api/v1/agents/main/sessions/${encodeURIComponent('你'.repeat(128))}/messages`)).statusCode, statusCode)
  }
})
