import t from 'tap'

import { Refusal } from '../../lib/transports/refusal.js'
import { close, EchoHandlers, listen, open, refused } from './echo-channel.js'
import { bodyOf, channel } from './route-host.js'

t.test('a plain GET that the hooks let through gets 426 and says what to do', async (t) => {
  const handlers = new EchoHandlers()
  const { app } = await channel({ handlers })
  const answer = await app.inject('/ws')
  t.equal(answer.statusCode, 426)
  t.match(answer.headers, { upgrade: 'websocket', connection: 'Upgrade' })
  t.strictSame(answer.json(), {
    statusCode: 426,
    code: 'UPGRADE_REQUIRED',
    error: 'Upgrade Required',
    message: 'This is a WebSocket: connect to it with ws:// or wss://',
    retryable: false
  })
  t.equal((await app.inject({ method: 'HEAD', url: '/ws' })).statusCode, 426)
  t.equal(handlers.checked, 2)
  t.equal(handlers.admitted, 0)
})

t.test('a refusal is an HTTP answer of one shape, to an upgrade and to a plain GET', async (t) => {
  const handlers = new class extends EchoHandlers {
    refusal = new Refusal('SHUTTING_DOWN')
    override admit (): number { throw this.refusal }
    override check (): void { throw this.refusal }
  }()
  const { app } = await channel({ handlers })
  const port = await listen(t, app)
  const drained = { statusCode: 503, code: 'SHUTTING_DOWN', error: 'Service Unavailable', message: 'The server is shutting down', retryable: true }
  t.strictSame((await app.inject('/ws')).json(), drained)
  t.strictSame(bodyOf(await refused(port, '/ws')), drained)
  handlers.refusal = new Refusal('RATE_LIMITED', { retryAfterMs: 1200, hint: 'connections' })
  const limited = await app.inject('/ws')
  t.equal(limited.headers['retry-after'], '2')
  t.strictSame(limited.json(), {
    statusCode: 429, code: 'RATE_LIMITED', error: 'Too Many Requests', message: 'Too much at once, slow down: connections', retryable: true, retryAfterMs: 1200
  })
  handlers.refusal = new Refusal('INTERNAL', { statusCode: 500 })
  t.strictSame((await app.inject('/ws')).json(), {
    statusCode: 500, code: 'INTERNAL', error: 'Internal Server Error', message: 'The server failed', retryable: true
  })
  t.equal(new Refusal('FORBIDDEN', { statusCode: 599 }).body().error, 'Error')
})

t.test('what is no refusal of ours keeps the shape that the host gives it', async (t) => {
  const handlers = new class extends EchoHandlers {
    override check (): void { throw Object.assign(new Error('who are you'), { statusCode: 401, code: 'MINE' }) }
  }()
  const { app } = await channel({ handlers })
  t.strictSame((await app.inject('/ws')).json(), { statusCode: 401, code: 'MINE', error: 'Unauthorized', message: 'who are you' })
  const styled = await channel({
    handlers, before: (app) => { app.setErrorHandler((_error, _request, reply) => reply.code(401).send({ problem: 'mine' })) }
  })
  t.strictSame((await styled.app.inject('/ws')).json(), { problem: 'mine' })
})

t.test('the names in the query are checked', async (t) => {
  const handlers = new EchoHandlers()
  const { app, route } = await channel({ handlers })
  for (const query of ['agentId=', 'sessionId=%00', `agentId=${'x'.repeat(129)}`, 'agentId=a&agentId=b', 'sessionId=a%7Fb']) {
    const answer = await app.inject(`/ws?${query}`)
    t.equal(answer.statusCode, 400, query)
    t.match(answer.json(), { code: 'VALIDATION_FAILED', retryable: false, message: /^A field is wrong: query \/(agentId|sessionId)$/ })
  }
  t.equal((await app.inject(`/ws?agentId=${'x'.repeat(128)}&token=theirs`)).statusCode, 426)
  const client = await route.injectWS({ query: { agentId: 'übung', sessionId: 'a b' } })
  t.match(handlers.accepted[0]?.facts, { subprotocol: false, agentId: 'übung', sessionId: 'a b' })
  client.terminate()
})

t.test('a page of another origin is refused, with a log line that names the option', async (t) => {
  const handlers = new EchoHandlers()
  const { app, log } = await channel({ handlers })
  const port = await listen(t, app)
  const answer = await refused(port, '/ws', { origin: 'https://evil.test' })
  t.match(answer, /^HTTP\/1\.1 403 /)
  t.strictSame(bodyOf(answer), { statusCode: 403, code: 'FORBIDDEN', error: 'Forbidden', message: 'Not allowed', retryable: false })
  t.match(log.find(({ level }) => level === 40), { origin: 'https://evil.test', reachedBy: 'http://127.0.0.1', msg: /`origin`/ })
  t.equal((await app.inject({ url: '/ws', headers: { origin: 'https://evil.test' } })).statusCode, 403)
  t.equal(handlers.admitted, 0)
  await close(await open(port, '/ws', [], { headers: { origin: 'http://127.0.0.1:5173' } }))
})

t.test('behind a trusted proxy the origin is compared with what the proxy is reached by', async (t) => {
  const forwarded = { origin: 'https://api.example.com', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'api.example.com' }
  const trusting = await channel({ server: { trustProxy: true }, handlers: new EchoHandlers() })
  t.equal((await trusting.app.inject({ url: '/ws', headers: forwarded })).statusCode, 426)
  const other = await channel({ handlers: new EchoHandlers() })
  t.equal((await other.app.inject({ url: '/ws', headers: forwarded })).statusCode, 403)
  const listed = await channel({ options: { origin: [/example\.com$/], allowedHosts: [] }, handlers: new EchoHandlers() })
  t.equal((await listed.app.inject({ url: '/ws', headers: forwarded })).statusCode, 426)
})
