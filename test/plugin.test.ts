import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'

import fastifyJwt from '@fastify/jwt'
import swagger from '@fastify/swagger'
import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'

import wsChannelDefault, { memoryJournal, memorySessionStore, wsChannel, type Executor, type WsChannelOptions } from '../lib/index.js'
import { DEFAULT_LIMITS } from '../lib/options.js'
import { readableLog, serve } from './helpers/app.js'
import { attend, connect, refusal, wrap, type ChannelClient } from './helpers/channel-client.js'
import { deferred } from './helpers/deferred.js'
import { eventually } from './helpers/eventually.js'
import { ManualClock } from './helpers/manual-clock.js'

const say = (text: string): Executor => () => text

async function ask (client: ChannelClient, message = 'x'): Promise<unknown> {
  client.send({ type: 'chat', message })
  return (await client.next('message')).content
}

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

t.test('agent and store are injected by option or by decorator, also one set in onReady', async (t) => {
  const store = memorySessionStore()
  const ways: Array<[name: string, options: WsChannelOptions, before: (app: FastifyInstance) => void]> = [
    ['option', { agentExecutor: say('hi'), sessionStore: store }, () => {}],
    ['decorator', {}, (app) => { app.decorate('agentExecutor', say('hi')); app.decorate('sessionStore', store) }],
    ['onReady', {}, (app) => {
      app.addHook('onReady', async () => { app.decorate('agentExecutor', say('hi')); app.decorate('sessionStore', store) })
    }]
  ]
  for (const [name, options, before] of ways) {
    const { app, connect } = await serve(t, { ...options, before })
    t.equal(app.sessionStore, store, name)
    const client = await connect({ query: `?sessionId=${name}` })
    t.equal(await ask(client), 'hi')
    const key = { owner: 'anonymous', agentId: 'main', sessionId: name }
    t.same(store.turn(key, 'unknown'), [])
    t.equal(store.messages(key, { limit: 9 }).messages.length, 2)
    await client.close()
  }
})

t.test('a scope inherits its parent\'s agent and store, but not the defaults of its parent\'s channel', async (t) => {
  const { app, port } = await serve(t, {
    before (app) {
      app.register(async (scope) => { scope.register(wsChannel) }, { prefix: '/a' })
    }
  })
  const scoped = Fastify()
  t.teardown(async () => { await scoped.close() })
  scoped.decorate('agentExecutor', say('from above'))
  let inner: FastifyInstance | undefined
  scoped.register(async (scope) => { inner = scope; scope.register(wsChannel) }, { prefix: '/a' })
  await scoped.ready()
  t.equal(inner?.agentExecutor, scoped.agentExecutor)
  const client = attend(t, await connect(`ws://127.0.0.1:${port}/a/ws?sessionId=s`))
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  await client.next('stream')
  t.same(await app.sessionStore.list({ owner: 'anonymous', agentId: 'main' }, { limit: 9 }), { sessions: [] },
    'the inner channel has a store of its own')
  await client.close()
})

t.test('what cannot be an agent or a store is refused when the app gets ready', async (t) => {
  const failing = async (options: object, before: (app: FastifyInstance) => void = () => {}): Promise<Error> => {
    const app = Fastify()
    before(app)
    app.register(wsChannel, options as WsChannelOptions)
    const error = await app.ready().then(() => new Error('it was taken'), (err: unknown) => err as Error)
    await app.close()
    return error
  }
  t.match(await failing({ agentExecutor: {} }), { code: 'FST_WS_CHANNEL_INJECTED', message: /record of functions/ })
  t.match(await failing({ agentExecutor: { main: say('x'), bad: 7 } }), { message: /the agent "bad" is neither/ })
  t.match(await failing({ agentExecutor: { main: { execute: say('x'), metadata: { type: 'nonsense' } } } }),
    { code: 'FST_WS_CHANNEL_INJECTED', message: /agentExecutor/ })
  t.match(await failing({ sessionStore: { append () {} } }), { message: /lacks messages, turn, list, delete/ })
  t.match(await failing({ agentExecutor: say('x') }, (app) => { app.decorate('agentExecutor', say('y')) }),
    { code: 'FST_WS_CHANNEL_INJECTED_TWICE' })
  t.match(await failing({}, (app) => { app.decorate('agentExecutor', null as unknown as Executor) }),
    { code: 'FST_WS_CHANNEL_INJECTED' })
  t.match(await failing({}, (app) => {
    app.decorate('agentExecutor', { getter: (() => ({ text: 'x' })) as unknown as Executor })
  }), { message: /key `getter` or `setter`.*option/ })
})

t.test('a record with an agent named getter works as an option', async (t) => {
  const { app, connect } = await serve(t, { agentExecutor: { getter: say('got'), main: { execute: say('hi') } } })
  const client = await connect()
  client.send({ type: 'chat', agentId: 'getter', message: 'x' })
  t.equal((await client.next('message')).content, 'got')
  t.equal(await ask(client), 'hi')
  t.same(Object.keys(app.agentExecutor), ['getter', 'main'])
  await client.close()
})

t.test('an agent\'s metadata schema is checked before its turn starts, by TypeBox or any JSON Schema', async (t) => {
  const schema = { type: 'object', required: ['plan'], properties: { plan: { type: 'string' } } }
  const { connect } = await serve(t, { agentExecutor: { main: { execute: say('hi'), metadata: schema } } })
  const client = await connect()
  client.send({ type: 'chat', message: 'x', metadata: { plan: 7 } })
  t.match(await client.next('error'), { code: 'VALIDATION_FAILED', details: { path: '/metadata/plan' }, done: true })
  client.send({ type: 'chat', message: 'x' })
  t.match(await client.next('error'), { code: 'VALIDATION_FAILED', details: { path: '/metadata' } })
  client.send({ type: 'chat', message: 'x', metadata: { plan: 'pro' } })
  t.equal((await client.next('message')).content, 'hi')
  await client.close()
})

t.test('one onRequest hook with @fastify/jwt guards REST and socket alike', async (t) => {
  const { app, url, origin } = await serve(t, {
    isolated: '/api',
    agentExecutor: ({ owner }) => owner,
    before (app) {
      app.register(fastifyJwt, { secret: 'for this test only' })
      app.addHook('onRequest', async (request) => { await request.jwtVerify() })
      app.get('/api/orders', async () => [])
    }
  })
  t.equal((await fetch(`${origin}/api/orders`)).status, 401)
  t.match(await refusal(connect(url)), { statusCode: 401 })
  const headers = { authorization: `Bearer ${app.jwt.sign({ sub: 'ada', name: 'Ada' })}` }
  t.equal((await fetch(`${origin}/api/orders`, { headers })).status, 200)
  const client = attend(t, await connect(url, { headers }))
  t.equal(await ask(client), 'ada')
  await client.close()

  const token = app.jwt.sign({ sub: 'bob', name: 'Bob' })
  const browser = attend(t, await connect(url, { protocols: ['agent-channel.v1', 'bearer', token] }))
  t.equal(browser.ws.protocol, 'agent-channel.v1')
  await browser.next('ready')
  t.equal(await ask(browser), 'bob')
  await browser.close()
  t.match(await refusal(connect(url, { headers: { ...headers, origin: 'https://evil.example' } })), { statusCode: 403 })
})

t.test('a token\'s exp ends the connection, one that is over opens none', async (t) => {
  const clock = new ManualClock()
  const users: object[] = [{ sub: 'ada', exp: clock.date() / 1000 + 10 }, { sub: 'ada', exp: clock.date() / 1000 }]
  const { url } = await serve(t, {
    clock,
    before (app) {
      app.decorateRequest('user', null as never)
      app.addHook('onRequest', async (request) => { setUser(request, users.shift()) })
    }
  })
  const client = attend(t, await connect(url))
  t.match(await refusal(connect(url)), { statusCode: 401, body: /expired/ })
  clock.advance(11_000)
  t.equal((await client.closed).code, 4401)
})

t.test('a number is an owner too', async (t) => {
  const { connect } = await serve(t, {
    agentExecutor: ({ owner }) => owner,
    before (app) {
      app.decorateRequest('user', null as never)
      app.addHook('onRequest', async (request) => { setUser(request, { id: 7 }) })
    }
  })
  const client = await connect()
  t.equal(await ask(client), '7')
  await client.close()
})

t.test('a user with neither sub nor id is a 500, and the log names identify', async (t) => {
  const { lines, logger } = readableLog()
  const { url } = await serve(t, {
    fastify: { logger },
    before (app) {
      app.decorateRequest('user', null as never)
      app.addHook('onRequest', async (request) => { setUser(request, { name: 'ada', iat: 1, sub: '' }) })
    }
  })
  const body = '{"statusCode":500,"code":"INTERNAL","error":"Internal Server Error","message":"The server failed","retryable":true}'
  t.match(await refusal(connect(url)), { statusCode: 500, body })
  t.match(lines.find(({ err }) => err !== undefined), { err: { message: /`identify`/ } })
})

t.test('a host without users is told once that everybody is anonymous', async (t) => {
  const { lines, logger } = readableLog()
  const { connect } = await serve(t, { fastify: { logger } })
  for (let i = 0; i < 2; i++) await (await connect()).close()
  t.equal(lines.filter(({ msg, level }) => level === 40 && String(msg).includes('`anonymous`')).length, 1)
})

t.test('a user who is named as everybody is gets no connection', async (t) => {
  // Such a user used to share sessions with all who have none.
  const { lines, logger } = readableLog()
  const { url } = await serve(t, {
    fastify: { logger },
    before (app) {
      app.decorateRequest('user', null as never)
      app.addHook('onRequest', async (request) => { setUser(request, { sub: 'anonymous' }) })
    }
  })
  t.match(await refusal(connect(url)), { statusCode: 500 })
  t.match(lines.find(({ err }) => err !== undefined), { err: { message: /`identify`/ } })
})

t.test('an expiry that could never be reached is a fault, not a connection without end', async (t) => {
  for (const expiresAt of [NaN, Infinity, '2030-01-01', new Date()]) {
    const { url } = await serve(t, { identify: () => ({ owner: 'ada', expiresAt: expiresAt as number }) })
    t.match(await refusal(connect(url)), { statusCode: 500 }, String(expiresAt))
  }
})

t.test('identify may refuse with a status of its own', async (t) => {
  const { url } = await serve(t, {
    identify () { throw Object.assign(new Error('no seat left'), { statusCode: 403 }) }
  })
  t.match(await refusal(connect(url)), { statusCode: 403, body: /no seat left/ })
  const broken = await serve(t, { identify () { throw Object.assign(new Error('secret'), { statusCode: 503 }) } })
  const refused = await refusal(connect(broken.url))
  t.match(refused, { statusCode: 500 })
  t.notMatch(refused.body, /secret/)
})

t.test('what identify answers is copied', async (t) => {
  const identity = { owner: 'ada', context: { plan: 'pro' }, request: 'kept' }
  const { app, connect } = await serve(t, {
    identify: () => identity, agentExecutor: ({ owner, context }) => JSON.stringify({ owner, context })
  })
  const client = await connect()
  identity.owner = 'eve'
  identity.context.plan = 'none'
  t.equal(await ask(client), '{"owner":"ada","context":{"plan":"pro"}}')
  t.equal(app.channel.disconnect('ada'), 1)
  await client.closed
})

t.test('an identify that answers no owner is a 500', async (t) => {
  for (const answer of ['', { owner: '' }, {}, 7, null]) {
    const { url } = await serve(t, { identify: () => answer as string })
    t.match(await refusal(connect(url)), { statusCode: 500 }, JSON.stringify(answer))
  }
})

function setUser (request: FastifyRequest, user: unknown): void {
  Reflect.set(request, 'user', user)
}

t.test('more connections than allowed are refused with 429, in all and for one owner', async (t) => {
  const { url, connect: open, origin } = await serve(t, {
    maxConnections: 3, maxConnectionsPerOwner: 2, identify: (request) => String(request.headers['x-user'] ?? 'nobody')
  })
  const as = (user: string) => ({ headers: { 'x-user': user } })
  const clients = [await open(as('ada')), await open(as('ada'))]
  const refused = await refusal(connect(url, as('ada')))
  t.match(refused, { statusCode: 429, headers: { 'retry-after': '1' } })
  t.match(JSON.parse(refused.body), { code: 'RATE_LIMITED', retryable: true, retryAfterMs: 1000 })
  clients.push(await open(as('bob')))
  t.match(await refusal(connect(url, as('eve'))), { statusCode: 429 })
  t.equal((await fetch(`${origin}/api/v1/ws`, as('eve'))).status, 429, 'a browser can ask by a plain GET')
  await Promise.all(clients.map((client) => client.close()))
  const again = await open(as('ada'))
  await again.close()
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

t.test('close lets running turns end, refuses new ones, and closes everybody 1012', async (t) => {
  const [started, gate] = [deferred(), deferred()]
  const { app, connect: open } = await serve(t, {
    drainTimeoutMs: 20_000,
    async * agentExecutor (turn) {
      started.resolve()
      yield 'begun '
      await gate.promise
      yield turn.message
    }
  })
  const [busy, idle, told] = [await open(), await open(), await open({ protocols: ['agent-channel.v1'] })]
  await told.next('ready')
  busy.send({ type: 'chat', sessionId: 's', message: 'and ended' })
  busy.send({ type: 'chat', sessionId: 's', message: 'never runs' })
  await started.promise
  await busy.next('stream')
  const closing = app.close()
  t.match(await told.next('reconnect'), { reason: 'the server is shutting down', afterMs: 1000 })
  for (const client of [idle, told]) t.same(await client.closed, { code: 1012, reason: 'the server is shutting down' })
  busy.send({ type: 'chat', agentId: 'other', message: 'too late' })
  t.match(await busy.next('error'), { agentId: 'other', code: 'SHUTTING_DOWN', retryable: true, done: true })
  await busy.fence()
  gate.resolve()
  t.equal((await busy.next('stream')).content, 'and ended')
  t.equal((await busy.next('stream')).done, true)
  t.match(await busy.next('error'), { code: 'SHUTTING_DOWN', done: true })
  t.equal((await busy.closed).code, 1012)
  await closing
})

t.test('drain can be called before close, while REST still answers', async (t) => {
  const { app, connect: open, origin, url } = await serve(t, { before (app) { app.get('/orders', async () => []) } })
  const client = await open()
  await app.channel.drain({ timeoutMs: 10 })
  t.equal((await client.closed).code, 1012)
  t.equal((await fetch(`${origin}/orders`)).status, 200)
  t.match(await refusal(connect(url)), { statusCode: 503, body: /SHUTTING_DOWN/ })
  await app.channel.drain()
})

t.test('a drain waits for whoever still reads, and cuts off nobody before its end', async (t) => {
  // Ends used to be dropped with everything else that a slower reader had not been sent yet.
  const piece = 'x'.repeat(1_000)
  let yielded = 0
  const { app, connect } = await serve(t, {
    drainTimeoutMs: 60_000,
    maxAnswerBytes: 64 * 1024 * 1024,
    * agentExecutor () { for (; yielded < 20_000; yielded++) yield piece }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.ws.pause()
  client.send({ type: 'chat', message: 'x' })
  await eventually(() => yielded > 1_000)
  const closing = app.close()
  let seen = -1
  await eventually(() => {
    const isStill = yielded === seen
    seen = yielded
    return isStill
  })
  client.ws.resume()
  let length = 0
  let frame = await client.next()
  for (; frame['done'] !== true; frame = await client.next()) length += String(frame['content']).length
  t.same([frame.type, length], ['stream', 20_000_000])
  t.equal((await client.closed).code, 1012)
  await closing
})

t.test('a drain takes any time there is, and nothing that is none', async (t) => {
  const { app, connect } = await serve(t, { agentExecutor: async function * () { yield 'a'; await gate.promise; yield 'b' } })
  const gate = deferred()
  t.throws(() => app.channel.drain({ timeoutMs: NaN }), { code: 'FST_WS_CHANNEL_OPTION' })
  t.throws(() => app.channel.drain({ timeoutMs: -1 }), { code: 'FST_WS_CHANNEL_OPTION' })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  const drained = app.channel.drain({ timeoutMs: Infinity })
  await client.fence()
  gate.resolve()
  t.equal((await client.next('stream')).content, 'b')
  t.equal((await client.next('stream')).done, true)
  t.equal((await client.closed).code, 1012)
  await drained
})

t.test('a drain keeps the process alive until the last turn has ended', async (t) => {
  // A turn whose client had gone used to end with the process, and `close()` never settled.
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const gate = deferred()
  const { app, connect } = await serve(t, {
    drainTimeoutMs: 60_000, async * agentExecutor () { yield 'a'; await gate.promise; yield 'b' }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  await client.terminate()
  await eventually(() => app.channel.stats().connections === 0)
  const before = timers()
  const drained = app.channel.drain()
  t.equal(timers(), before + 1)
  gate.resolve()
  await drained
  t.equal(timers(), before)
  const { messages } = await app.sessionStore.messages({ owner: 'anonymous', agentId: 'main', sessionId: 's' }, { limit: 2 })
  t.match(messages[1], { content: 'ab', complete: true })
})

t.test('a drain that fails is logged', async (t) => {
  class BrokenClock extends ManualClock {
    isBroken = false

    override after (ms: number, task: () => void): () => void {
      if (this.isBroken) throw new Error('no timer left')
      return super.after(ms, task)
    }
  }
  const { lines, logger } = readableLog()
  const clock = new BrokenClock()
  const app = Fastify({ logger })
  app.register(wsChannel, { clock } as WsChannelOptions)
  await app.ready()
  clock.isBroken = true
  await t.rejects(app.close(), { message: 'no timer left' })
  t.ok(lines.some(({ msg }) => msg === 'the channel could not be drained'))
})

t.test('a drain may take longer than pluginTimeout, and a second channel drains beside it', async (t) => {
  const gates = [deferred(), deferred()]
  const slow = (i: number): Executor => async function * () { yield 'x'; await gates[i]?.promise; yield 'y' }
  const { app, connect: open, port } = await serve(t, {
    fastify: { pluginTimeout: 50 },
    drainTimeoutMs: 60_000,
    agentExecutor: slow(0),
    before (app) {
      app.register(async (scope) => { scope.register(wsChannel, { agentExecutor: slow(1), drainTimeoutMs: 60_000 }) }, { prefix: '/b' })
    }
  })
  const clients = [await open(), attend(t, await connect(`ws://127.0.0.1:${port}/b/ws`))]
  for (const client of clients) {
    client.send({ type: 'chat', message: 'x' })
    await client.next('stream')
  }
  const closing = app.close()
  const longer = performance.now() + 100
  await eventually(() => performance.now() > longer)
  for (const gate of gates) gate.resolve()
  for (const client of clients) {
    t.equal((await client.next('stream')).content, 'y')
    await client.next('stream')
    t.equal((await client.closed).code, 1012)
  }
  await closing
})

t.test('a host\'s @fastify/websocket does not close our clients before our drain', async (t) => {
  const gate = deferred()
  const { app, connect } = await serve(t, {
    drainTimeoutMs: 60_000,
    before (app) { app.register(websocket, { options: { maxPayload: 1024 } }) },
    async * agentExecutor () { yield 'x'; await gate.promise; yield 'y' }
  })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  await client.next('stream')
  const closing = app.close()
  await client.fence()
  gate.resolve()
  t.equal((await client.next('stream')).content, 'y')
  await client.next('stream')
  t.equal((await client.closed).code, 1012)
  await closing
})

t.test('the channel closes the store and journal that it made, and no others', async (t) => {
  let closed = 0
  const store = memorySessionStore()
  store.close = () => { closed++ }
  const journal = memoryJournal()
  const theirs = await serve(t, { sessionStore: store, journal })
  await theirs.app.close()
  t.equal(closed, 0)
  t.equal(journal.stats().sessions, 0)
  await journal.offer({ owner: 'a', agentId: 'b', sessionId: 'c' }, { turnId: 't', message: 'm', acceptedAt: 0 },
    { onBusy: 'queue', maxQueued: 1, displacedEnd: { finishReason: 'aborted' } })
  t.equal(journal.stats().sessions, 1, 'still open')
  const ours = await serve(t)
  await ours.app.close()
  t.throws(() => ours.app.sessionStore.list({ owner: 'a', agentId: 'b' }, { limit: 1 }))
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

t.test('injectWS has no network and all the rest', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const seen: unknown[] = []
  app.addHook('onRequest', async (request) => { seen.push([request.ip, request.host, request.headers.authorization]) })
  app.register(wsChannel, { agentExecutor: say('hi') })
  await app.ready()
  let client: ChannelClient | undefined
  const ws = await app.channel.injectWS({
    protocols: ['agent-channel.v1', 'bearer', 'secret'], onInit: (ws) => { client = wrap(ws) }
  })
  await client?.next('ready')
  client?.send({ type: 'chat', message: 'x' })
  t.equal((await client?.next('message'))?.content, 'hi')
  t.same(seen, [['127.0.0.1', 'localhost', 'Bearer secret']])
  const gone = once(ws, 'close')
  ws.terminate()
  await gone
})

t.test('the channel leaves the host\'s other routes alone: no hook, no decorator', async (t) => {
  const { app, origin } = await serve(t, {
    before (app) { app.get('/api/v1/orders', async (request) => ({ ws: 'ws' in request })) }
  })
  t.same(await (await fetch(`${origin}/api/v1/orders`)).json(), { ws: false })
  t.notOk(app.hasRequestDecorator('ws'))
})

t.test('a handshake that fails takes no connection\'s place', async (t) => {
  const { connect: open, port, app } = await serve(t, { maxConnections: 1 })
  const socket = connectTcp(port, '127.0.0.1')
  socket.write('GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: none\r\n\r\n')
  const [answer] = await once(socket, 'data') as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 400 /)
  socket.destroy()
  await once(socket, 'close')
  const client = await open()
  t.equal(app.channel.stats().connections, 1)
  await client.close()
})
