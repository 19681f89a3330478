import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'

import { memoryJournal, memorySessionStore, wsChannel, type Executor, type WsChannelOptions } from '../lib/index.js'
import { serve } from './helpers/app.js'
import { attend, connect } from './helpers/channel-client.js'
import { ask, say } from './helpers/plain-answer.js'

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
  t.match(await failing({ agentExecutor: 'x' }), { code: 'FST_WS_CHANNEL_INJECTED', message: /expected a function, or .*; it is x$/ })
  t.match(await failing({ sessionStore: 7 }), { code: 'FST_WS_CHANNEL_INJECTED', message: /expected what `memorySessionStore\(\)` returns, .* it is 7$/ })
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
