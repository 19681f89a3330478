import fastifyJwt from '@fastify/jwt'
import type { FastifyRequest } from 'fastify'
import t from 'tap'

import { readableLog, serve } from './helpers/app.js'
import { attend, connect, refusal } from './helpers/channel-client.js'
import { ManualClock } from './helpers/manual-clock.js'
import { ask } from './helpers/plain-answer.js'

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
