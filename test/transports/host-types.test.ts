import { Type } from '@sinclair/typebox'
import t from 'tap'

import { ChannelError, type FrameSender } from '../../lib/index.js'
import { serverFrameSchemas } from '../../lib/protocol/server-frames.js'
import { HostTypes } from '../../lib/transports/host-types.js'
import { readableLog, serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { refused } from './expected.js'

const Order = Type.Object({ order: Type.Integer({ minimum: 1 }), note: Type.Optional(Type.String()) })

t.test('what is no type, or is one already, is refused when it is defined', async (t) => {
  const handler = (): void => {}
  const { app } = await serve(t, {
    after (app) {
      app.channel.define('order', { schema: Order, handler })
      const cases: Array<[type: string, definition: object, text: RegExp]> = [
        ['order', { schema: Order, handler }, /`order`.*defined already/],
        ...['chat', 'ping', 'cancel', 'subscribe', 'unsubscribe', 'history', ...Object.keys(serverFrameSchemas)]
          .map((type): [string, object, RegExp] => [type, { schema: Order, handler }, /type of the protocol itself/]),
        ...['', 'a\nb', 'x'.repeat(129), '\ud800', 7 as never]
          .map((type): [string, object, RegExp] => [type, { schema: Order, handler }, /a string of 1 to 128 characters/]),
        ['bad-handler', { schema: Order, handler: 'me' }, /handler must be a function/],
        ['bad-handler', { schema: Order }, /handler must be a function/],
        ['nothing', undefined as never, /an object of its schema and its handler/],
        ['nothing', null as never, /an object of its schema and its handler/],
        ['bad-schema', { handler }, /its schema cannot be used/],
        ['bad-schema', { schema: { type: 'nonsense' }, handler }, /its schema cannot be used/]
      ]
      for (const [type, definition, message] of cases) {
        t.throws(() => { app.channel.define(type, definition as { schema: object, handler: () => void }) }, { code: 'FST_WS_CHANNEL_DEFINE', message })
      }
    }
  })
  t.throws(() => { app.channel.define('late', { schema: Order, handler }) }, { code: 'FST_WS_CHANNEL_DEFINE', message: /before the app is ready/ })
})

t.test('a type that could not be defined leaves nothing behind', (t) => {
  const types = new HostTypes()
  t.throws(() => { types.define('x', { schema: { type: 'nonsense' }, handler: () => {} }) })
  t.strictSame([types.names, types.handlerOf('x')], [[], undefined])
  types.define('x', { schema: {}, handler: () => {} })
  t.strictSame(types.names, ['x'])
  t.end()
})

t.test('clients of the subprotocol are told which types there are', async (t) => {
  const { connect } = await serve(t, {
    after (app) { for (const type of ['one', 'two']) app.channel.define(type, { schema: Type.Object({}), handler: () => {} }) }
  })
  const client = await connect({ protocols: ['agent-channel.v1'] })
  t.strictSame((await client.next('ready')).types, ['one', 'two'])
  await client.close()
})

t.test('a handler gets what its schema says and who has sent it; its answer goes back with the type and the id', async (t) => {
  const got: Array<[frame: object, sender: FrameSender]> = []
  const { connect } = await serve(t, {
    identify: () => ({ owner: 'ada', context: { plan: 'pro' } }),
    after (app) {
      app.channel.define('order', {
        schema: Order,
        handler (frame, sender) {
          got.push([frame, sender])
          const { order, note = 'none' } = frame
          return { order: order + 1, note }
        }
      })
    }
  })
  const client = await connect({ query: '?agentId=sales&sessionId=s' })
  const other = await connect()
  client.send({ type: 'order', id: 'o', order: 1, note: 'n', admin: true })
  t.strictSame(await client.next(), { type: 'order', id: 'o', data: { order: 2, note: 'n' } })
  other.send({ type: 'order', order: 2 })
  t.strictSame(await other.next(), { type: 'order', data: { order: 3, note: 'none' } })
  t.strictSame(got.map(([frame]) => frame), [{ type: 'order', order: 1, note: 'n', id: 'o' }, { type: 'order', order: 2 }])
  const [first, second] = got.map(([, sender]) => sender)
  t.match(first, { owner: 'ada', context: { plan: 'pro' }, agentId: 'sales', sessionId: 's', connectionId: /^\S{36}$/ })
  t.match(second, { owner: 'ada', agentId: 'main', sessionId: undefined })
  t.not(first?.connectionId, second?.connectionId)
  await client.close()
  await other.close()
})

t.test('a handler may answer later, anything that is JSON, or nothing', async (t) => {
  const gate = deferred<unknown>()
  const answers: Record<string, () => unknown> = {
    later: () => gate.promise, null: () => null, list: () => [1], text: () => 'x', nothing: () => undefined, voids: async () => {}
  }
  const { connect } = await serve(t, {
    after (app) { app.channel.define('ask', { schema: Type.Object({ what: Type.String() }), handler: ({ what }) => answers[what]?.() }) }
  })
  const client = await connect()
  client.send({ type: 'ask', id: '1', what: 'later' })
  client.send({ type: 'ask', id: '2', what: 'null' })
  t.strictSame(await client.next(), { type: 'ask', id: '2', data: null }, 'one that thinks keeps no other waiting')
  gate.resolve({ at: 'last' })
  t.strictSame(await client.next(), { type: 'ask', id: '1', data: { at: 'last' } })
  for (const [what, data] of [['list', [1]], ['text', 'x'], ['null', null]] as const) {
    client.send({ type: 'ask', what })
    t.strictSame(await client.next(), { type: 'ask', data })
  }
  for (const what of ['nothing', 'voids']) {
    client.send({ type: 'ask', what })
    await client.fence()
    client.send({ type: 'ask', id: '3', what })
    t.strictSame(await client.next(), { type: 'ask', id: '3' }, 'who gave an id waits for an answer')
  }
  await client.close()
})

// The rejection used to be nobody's, which ends the process.
t.test('a refusal of a handler that is no JSON is INTERNAL, and logged', async (t) => {
  const details: { path: string, rule: string, self?: unknown } = { path: '/a', rule: 'goes round' }
  details.self = details
  const log = readableLog()
  const { connect } = await serve(t, {
    fastify: { logger: log.logger },
    after (app) { app.channel.define('ask', { schema: {}, handler: () => { throw new ChannelError('SESSION_BUSY', { details }) } }) }
  })
  const client = await connect()
  client.send({ type: 'ask', id: '1' })
  t.strictSame(await client.next('error'), refused('INTERNAL', { id: '1' }))
  t.ok(log.lines.some(({ msg }) => msg === 'the failure of a handler could not be told'))
  await client.close()
})

t.test('a bad frame of a host\'s type is VALIDATION_FAILED with its id, and counts as one', async (t) => {
  const got: unknown[] = []
  const { connect } = await serve(t, {
    maxErrorsPerMinute: 3, after (app) { app.channel.define('order', { schema: Order, handler: (frame) => { got.push(frame) } }) }
  })
  const client = await connect()
  for (const order of [0, 'x', undefined]) {
    client.send({ type: 'order', id: 'o', order })
    const frame = await client.next('error')
    t.strictSame(frame, refused('VALIDATION_FAILED', { details: frame.details, id: 'o' }))
    t.equal(frame.details?.path, '/order')
  }
  client.send({ type: 'order' })
  t.equal((await client.closed).code, 4400)
  t.strictSame(got, [])
})

t.test('a ChannelError of a handler is sent as it is; anything else is INTERNAL, logged, and its text is nobody\'s', async (t) => {
  const { lines, logger } = readableLog()
  const cyclic: { self?: object } = {}
  cyclic.self = cyclic
  const handlers: Record<string, () => unknown> = {
    forbidden () { throw new ChannelError('FORBIDDEN') },
    limited: () => Promise.reject(new ChannelError('RATE_LIMITED', { retryAfterMs: 77 })),
    invalid () { throw new ChannelError('VALIDATION_FAILED', { details: { path: '/a', rule: 'no' } }) },
    throws () { throw new Error('secret') },
    rejects: () => Promise.reject(new Error('secret')),
    odd: () => ({ then (resolve: unknown, reject: (reason: unknown) => void) { reject('secret') } }),
    cyclic: () => cyclic,
    big: () => 1n
  }
  const { connect } = await serve(t, {
    fastify: { logger },
    after (app) { for (const [type, handler] of Object.entries(handlers)) app.channel.define(type, { schema: {}, handler }) }
  })
  const client = await connect()
  const told: Record<string, object> = {
    forbidden: refused('FORBIDDEN'),
    limited: refused('RATE_LIMITED', { retryAfterMs: 77 }),
    invalid: refused('VALIDATION_FAILED', { details: { path: '/a', rule: 'no' } })
  }
  for (const type of Object.keys(handlers)) {
    const expected = told[type] ?? refused('INTERNAL')
    client.send({ type })
    t.strictSame(await client.next(), expected, type)
    client.send({ type, id: 'i' })
    t.strictSame(await client.next(), { ...expected, id: 'i' }, type)
  }
  t.equal(lines.filter(({ msg, level }) => msg === 'a handler of the host failed' && level === 50).length, 10)
  await client.fence()
  await client.close()
})

t.test('a handler that takes too long is INTERNAL, and what comes later is heard by nobody', async (t) => {
  const [clock, gate] = [new ManualClock(), deferred<unknown>()]
  let isAsked = false
  const { connect } = await serve(t, {
    clock,
    heartbeatMs: 1_000_000,
    handlerTimeoutMs: 2_000,
    after (app) { app.channel.define('slow', { schema: {}, handler () { isAsked = true; return gate.promise } }) }
  })
  const client = await connect()
  client.send({ type: 'slow', id: 'i' })
  await eventually(() => isAsked)
  clock.advance(1_999)
  await client.fence()
  clock.advance(1)
  t.strictSame(await client.next(), refused('INTERNAL', { id: 'i' }))
  gate.resolve('late')
  await client.fence()
  await client.close()
})

t.test('an answer whose asker has gone is dropped, and so is a failure', async (t) => {
  const gates = [deferred<unknown>(), deferred<unknown>()]
  let asked = 0
  const { app, connect } = await serve(t, {
    after (app) { app.channel.define('slow', { schema: {}, handler: () => gates[asked++]?.promise }) }
  })
  const client = await connect()
  for (const id of ['1', '2']) client.send({ type: 'slow', id })
  await eventually(() => asked === 2)
  await client.terminate()
  await eventually(() => app.channel.stats().connections === 0)
  gates[0]?.resolve('x')
  gates[1]?.reject(new Error('boom'))
  const other = await connect()
  await other.fence()
  await other.close()
})

t.test('authorize is asked about them, and the rates count them', async (t) => {
  const clock = new ManualClock()
  const asked: unknown[] = []
  const { connect } = await serve(t, {
    clock,
    heartbeatMs: 1_000_000,
    identify: () => 'ada',
    maxFramesPerSecond: 3,
    authorize (frame, owner) { asked.push([frame, owner]); return frame['id'] !== 'no' },
    after (app) { app.channel.define('order', { schema: Order, handler: ({ order }) => order }) }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'order', id: 'no', order: 1, extra: 1 })
  t.strictSame(await client.next(), refused('FORBIDDEN', { id: 'no' }))
  client.send({ type: 'order', id: 'yes', order: 1 })
  t.strictSame(await client.next(), { type: 'order', id: 'yes', data: 1 })
  await client.fence()
  for (const id of ['i', undefined]) {
    client.send({ type: 'order', id, order: 1 })
    const frame = await client.next('error')
    t.strictSame(frame, refused('RATE_LIMITED', { retryAfterMs: frame.retryAfterMs, ...(id === undefined ? {} : { id }) }))
  }
  t.strictSame(asked, [
    [{ type: 'order', order: 1, id: 'no' }, 'ada'],
    [{ type: 'order', order: 1, id: 'yes' }, 'ada']
  ])
  await client.close()
})
