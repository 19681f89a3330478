import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import t from 'tap'

import wsChannelDefault, { wsChannel, type WsChannelOptions } from '../lib/index.js'
import { DEFAULT_LIMITS } from '../lib/options.js'
import { readableLog, serve } from './helpers/app.js'
import { attend, connect, wrap, type ChannelClient } from './helpers/channel-client.js'
import { ask, say } from './helpers/plain-answer.js'

t.test('the default export is the named one', (t) => {
  t.equal(wsChannelDefault, wsChannel)
  t.end()
})

t.test('register alone gives an app a channel at /api/v1/ws that echoes, and says so once', async (t) => {
  const { lines, logger } = readableLog()
  const { url, connect } = await serve(t, { fastify: { logger } })
  t.match(url, /\/api\/v1\/ws$/)
  const client = await connect()
  client.send({ type: 'chat', agentId: 'main', message: '你好 you' })
  const frames = await client.until('stream')
  while (frames.at(-1)?.['done'] !== true) frames.push(await client.next('stream'))
  t.equal(frames.map(({ content }) => content).join(''), '你好 you')
  t.ok(frames.length > 2, 'in pieces')
  t.equal(lines.filter(({ msg }) => String(msg).includes('agentExecutor')).length, 1)
  await client.close()
})

t.test('the route is the prefix, of the option or the scope, and the path', async (t) => {
  const cases: Array<[scope: string | undefined, options: WsChannelOptions, url: string]> = [
    [undefined, {}, '/api/v1/ws'],
    [undefined, { prefix: '/v2' }, '/v2/ws'],
    [undefined, { prefix: '', path: '/chat' }, '/chat'],
    ['/api', {}, '/api/ws'],
    ['/api', { prefix: '/v2', path: '/live' }, '/api/v2/live']
  ]
  for (const [scope, options, url] of cases) {
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    if (scope === undefined) app.register(wsChannel, options)
    else app.register(async (api) => { api.register(wsChannel, options) }, { prefix: scope })
    await app.ready()
    t.equal((await app.inject(url)).statusCode, 426, url)
  }
})

t.test('options that do not exist or cannot be are refused at once, with what to write instead', async (t) => {
  const cases: Array<[options: object, text: RegExp]> = [
    [{ maxPaylod: 1 }, /`maxPaylod`.*no such option; there are .*maxPayload/],
    [{ maxPayload: 0 }, /`maxPayload`.*whole number from 1/],
    [{ maxPayload: '1' }, /`maxPayload`/],
    [{ heartbeatMs: 2 ** 31 }, /`heartbeatMs`.*from 1 to 2147483647/],
    [{ path: 'ws' }, /`path`.*starts with \//],
    [{ prefix: 7 }, /`prefix`/],
    [{ onBusy: 'wait' }, /`onBusy`.*queue, reject, interrupt/],
    [{ onDisconnect: 'wait' }, /`onDisconnect`.*continue, cancel/],
    [{ handlerTimeoutMs: 0 }, /`handlerTimeoutMs`.*whole number from 1/],
    [{ identify: 'me' }, /`identify`.*function/],
    [{ authorize: true }, /`authorize`.*function/],
    [{ allowedHosts: 'me' }, /`allowedHosts`/],
    [{ routeOptions: { method: 'POST' } }, /routeOptions/]
  ]
  for (const [options, text] of cases) {
    const app = Fastify()
    await t.rejects(async () => { await app.register(wsChannel, options as WsChannelOptions) }, { message: text }, JSON.stringify(options))
    await app.close()
  }
})

t.test('a limit that is undefined is the default, and Fastify\'s own keys are known', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(wsChannel, { maxPayload: undefined, sessionStore: undefined, logLevel: 'warn' })
  await app.ready()
  let client: ChannelClient | undefined
  await app.channel.injectWS({ protocols: 'agent-channel.v1', onInit: (ws) => { client = wrap(ws) } })
  t.match(await client?.next('ready'), { maxPayload: DEFAULT_LIMITS.maxPayload })
  await client?.terminate()
})

t.test('a second channel in one scope is refused, in a scope of its own it is another channel', async (t) => {
  const twice = Fastify()
  twice.register(wsChannel)
  twice.register(wsChannel)
  await t.rejects(async () => { await twice.ready() }, { code: 'FST_WS_CHANNEL_SECOND' })
  await twice.close()

  const { app, port, connect: connectOuter } = await serve(t, {
    agentExecutor: say('outer'),
    before (app) {
      app.register(async (scope) => { scope.register(wsChannel, { agentExecutor: say('inner') }) }, { prefix: '/inner' })
    }
  })
  const outer = await connectOuter()
  const inner = attend(t, await connect(`ws://127.0.0.1:${port}/inner/ws`))
  t.equal(await ask(outer), 'outer')
  t.equal(await ask(inner), 'inner')
  t.equal(app.channel.stats().connections, 1)
  await outer.close()
  await inner.close()
})

t.test('the socket\'s route is in the host\'s OpenAPI document, beside its neighbours', async (t) => {
  const { app } = await serve(t, {
    isolated: '/api',
    routeOptions: { schema: { tags: ['agent'] } },
    before (app) {
      app.register(swagger, { openapi: {} })
      app.register(async (api) => { api.get('/orders', async () => []) }, { prefix: '/api' })
    }
  })
  const { paths } = app.swagger() as { paths: Record<string, { get?: { tags?: string[], responses: object } }> }
  t.same(Object.keys(paths).sort(), ['/api/orders', '/api/ws', '/api/ws/asyncapi.json'])
  t.same(paths['/api/ws']?.get?.tags, ['agent'])
  t.same(Object.keys(paths['/api/ws']?.get?.responses ?? {}), ['101', '400', '401', '403', '426', '429', '503'])
})

t.test('before the app is ready the channel says so, and a host that never gets ready can close', async (t) => {
  const app = Fastify()
  app.register(wsChannel)
  app.register(async () => { throw new Error('boom') })
  await t.rejects(async () => { await app.ready() }, { message: 'boom' })
  await app.close()
  const early = Fastify()
  await early.register(wsChannel)
  t.throws(() => early.channel.stats(), { code: 'FST_WS_CHANNEL_NOT_READY' })
  t.throws(() => early.channel.drain(), { code: 'FST_WS_CHANNEL_NOT_READY' })
  const session = { owner: 'o', sessionId: 's' }
  t.throws(() => early.channel.follow(session), { code: 'FST_WS_CHANNEL_NOT_READY' })
  await t.rejects(early.channel.startTurn({ ...session, message: 'x' }), { code: 'FST_WS_CHANNEL_NOT_READY' })
  await t.rejects(early.channel.cancel(session), { code: 'FST_WS_CHANNEL_NOT_READY' })
  await t.rejects(early.channel.publish(session, 'x'), { code: 'FST_WS_CHANNEL_NOT_READY' })
  await early.close()
})

t.test('the channel leaves the host\'s other routes alone: no hook, no decorator', async (t) => {
  const { app, origin } = await serve(t, {
    before (app) { app.get('/api/v1/orders', async (request) => ({ ws: 'ws' in request })) }
  })
  t.same(await (await fetch(`${origin}/api/v1/orders`)).json(), { ws: false })
  t.notOk(app.hasRequestDecorator('ws'))
})
