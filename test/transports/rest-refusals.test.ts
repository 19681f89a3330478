import t from 'tap'

import { memoryJournal } from '../../lib/index.js'
import { JournalDouble } from '../faults/journal-double.js'
import { readableLog } from '../helpers/app.js'
import { serveRest } from './rest-host.js'
import { FailingStore, refusal, seen, SESSION } from './rest-scene.js'
import { Stage } from './stage.js'

t.test('a request that is meant for another journal is refused, whatever it asks for', async (t) => {
  const { ask, chat, app } = await serveRest(t, { agentExecutor: () => 'hi' })
  const channel = (await ask('/agents')).body?.['channel'] as { journal: string }
  const refused = { status: 412, body: { statusCode: 412, code: 'OTHER_JOURNAL', error: 'Precondition Failed', retryable: false } }
  t.match(await chat({ sessionId: 's', message: 'x' }, { 'channel-journal': 'gone' }), refused)
  for (const path of ['/agents', '/agents/main/sessions', `${SESSION}/messages`, `${SESSION}/events`]) {
    t.match(await ask(path, { headers: { 'channel-journal': 'gone' } }), refused, path)
  }
  t.match(await ask(`${SESSION}/cancel`, { body: {}, headers: { 'channel-journal': 'gone' } }), refused)
  t.match(await ask(SESSION, { method: 'DELETE', headers: { 'channel-journal': 'gone' } }), refused)
  t.equal(app.channel.stats().claims, 0)
  t.match(await chat({ sessionId: 's', message: 'x' }, { 'channel-journal': channel.journal }), { status: 200 })
})

t.test('bad bodies are refused in one shape, with where the fault is', async (t) => {
  const { ask, chat } = await serveRest(t, { agentExecutor: () => 'hi', maxPayload: 2_000, maxMessageLength: 1_000, maxMetadataBytes: 20 })
  const deep = `{"message":"x","metadata":${'{"a":'.repeat(40)}1${'}'.repeat(40)}}`
  const cases: Array<[body: unknown, message: RegExp]> = [
    [{}, /\/message/], [{ message: '' }, /\/message/], [{ message: 'x'.repeat(1_001) }, /\/message/], [{ message: 1 }, /\/message/],
    [{ message: 'x', onBusy: 'wait' }, /\/onBusy/], [{ message: 'x', sessionId: '\u0000' }, /\/sessionId/],
    [{ message: 'x', metadata: { a: 'x'.repeat(20) } }, /\/metadata at most 20 bytes/], [deep, /\/metadata at most 32 levels/],
    [[], /JSON object/], ['null', /JSON object/], ['"x"', /JSON object/], ['1', /JSON object/],
    ['{"message":"x","metadata":{"constructor":{"prototype":1}}}', /Body is not valid JSON|not allowed/]
  ]
  for (const [body, message] of cases) {
    t.match(await chat(body), { status: 400, body: { statusCode: 400, message, retryable: false } }, JSON.stringify(body))
  }
  t.match(seen(await chat('{"message":')), { status: 400, body: { code: 'FST_ERR_CTP_INVALID_JSON_BODY', error: 'Bad Request', retryable: false } })
  t.match(seen(await chat('')), { status: 400, body: { code: 'FST_ERR_CTP_EMPTY_JSON_BODY', retryable: false } })
  t.match(seen(await chat({ message: 'x'.repeat(2_000) })), {
    status: 413, body: { statusCode: 413, code: 'FST_ERR_CTP_BODY_TOO_LARGE', error: 'Payload Too Large', retryable: false }
  })
  t.match(seen(await chat({ message: 'x', pad: 'x'.repeat(1_950) })), { status: 413, body: { code: 'VALIDATION_FAILED' } }, 'with what the path says')
  t.match(seen(await chat('<x/>', { 'content-type': 'text/xml' })), {
    status: 415, body: { statusCode: 415, code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE', error: 'Unsupported Media Type', retryable: false }
  })
  t.match(await ask('/agents/%00/chat', { body: { message: 'x' } }), refusal('VALIDATION_FAILED', { message: /params \/agentId/ }))
})

t.test('a body that the host\'s own parser has made is read with the same care', async (t) => {
  const loop: Record<string, unknown> = { message: 'x' }
  loop['metadata'] = { loop }
  const { chat } = await serveRest(t, {
    agentExecutor: () => 'hi',
    before (app) { app.addContentTypeParser('text/xml', (_request, _payload, done) => { done(null, loop) }) }
  })
  t.match(await chat('<x/>', { 'content-type': 'text/xml' }), refusal('VALIDATION_FAILED', { message: /JSON can say/ }))
})

t.test('what a client takes decides what it gets', async (t) => {
  const { ask, base, chat } = await serveRest(t, { agentExecutor: () => 'hi' })
  for (const accept of ['application/json', '*/*', 'application/*', 'application/json, text/event-stream', 'text/event-stream;q=0.5, */*;q=0.8']) {
    const { status, headers } = await chat({ message: 'x' }, { accept })
    t.strictSame([status, headers.get('content-type')], [200, 'application/json; charset=utf-8'], accept)
  }
  for (const accept of ['text/event-stream', 'text/event-stream, application/json', 'text/*']) {
    const response = await fetch(`${base}/agents/main/chat`, {
      method: 'POST', headers: { 'content-type': 'application/json', accept }, body: '{"message":"x"}'
    })
    t.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8', accept)
    await response.text()
  }
  const body = { statusCode: 406, code: 'NOT_ACCEPTABLE', error: 'Not Acceptable', retryable: false }
  t.match(seen(await chat({ message: 'x' }, { accept: 'image/png' })), { status: 406, body })
  t.match(seen(await ask(`${SESSION}/events`, { headers: { accept: 'application/json' } })), { status: 406, body })
})

t.test('a position that is none is refused', async (t) => {
  const { ask } = await serveRest(t, { agentExecutor: () => 'hi' })
  for (const id of ['x', ':1', 'x:', 'x:-1', 'x:1.5', 'x:1e3', `x:${'9'.repeat(16)}`, '\u0080:1']) {
    for (const [query, headers] of [['', { 'last-event-id': id }], [`?lastEventId=${encodeURIComponent(id)}`, {}]] as const) {
      t.match(await ask(`${SESSION}/events${query}`, { headers }), refusal('VALIDATION_FAILED'), id)
    }
  }
  t.match(await ask(`${SESSION}/events?lastEventId=${'x'.repeat(200)}`), refusal('VALIDATION_FAILED', { message: /lastEventId/ }))
})

t.test('`authorize` is asked as for a frame, with the agent and session of the path', async (t) => {
  const asked: unknown[] = []
  let verdict: unknown = false
  const { lines, logger } = readableLog()
  const { ask, chat, follow } = await serveRest(t, {
    agentExecutor: () => 'hi',
    fastify: { logger },
    authorize (frame, owner) {
      asked.push({ ...frame, owner })
      if (verdict instanceof Error) throw verdict
      return verdict as boolean
    }
  })
  const refusals = async () => [
    await chat({ message: 'x', id: 'a', sessionId: 's' }),
    await ask(`${SESSION}/messages`),
    await ask(`${SESSION}/events`),
    await ask(`${SESSION}/cancel`, { method: 'POST' }),
    await ask(SESSION, { method: 'DELETE' })
  ]
  for (const answer of await refusals()) t.match(answer, refusal('FORBIDDEN'))
  const named = { agentId: 'main', sessionId: 's', owner: 'anonymous' }
  t.strictSame(asked, [
    { type: 'chat', id: 'a', message: 'x', stream: false, ...named },
    { type: 'history', ...named }, { type: 'subscribe', ...named }, { type: 'cancel', ...named }, { type: 'cancel', ...named }
  ])
  verdict = new Error('secret')
  for (const answer of await refusals()) t.match(answer, refusal('INTERNAL'))
  t.equal(lines.filter(({ msg }) => String(msg).includes('(`authorize`)')).length, 5)
  verdict = Promise.resolve(true)
  t.equal((await ask(SESSION, { method: 'DELETE' })).status, 204)
  await (await follow('s')).destroy()
})

t.test('pages of other sites are refused, and the log says how to let them in', async (t) => {
  const { lines, logger } = readableLog()
  const { ask } = await serveRest(t, { agentExecutor: () => 'hi', origin: 'https://app.example', fastify: { logger } })
  t.match(await ask('/agents', { headers: { origin: 'https://evil.example' } }), refusal('FORBIDDEN'))
  t.ok(lines.some(({ msg }) => String(msg).includes('`origin` option')))
  t.equal((await ask('/agents', { headers: { origin: 'https://app.example' } })).status, 200)
})

t.test('a host that cannot say who asks is a fault, and what it refuses is its answer', async (t) => {
  const refusing: Error & { statusCode?: number } = new Error('no token')
  let thrown: Error = new Error('secret')
  const { ask, chat } = await serveRest(t, { agentExecutor: () => 'hi', identify () { throw thrown } })
  t.match(seen(await ask('/agents')), refusal('INTERNAL'))
  refusing.statusCode = 401
  thrown = refusing
  t.match(seen(await chat({ message: 'x' })), { status: 401, body: { statusCode: 401, message: 'no token' } })
})

t.test('a store or journal that fails is one that cannot be reached', async (t) => {
  const { lines, logger } = readableLog()
  class Failing extends JournalDouble {
    override forget (): never { throw new Error('secret') }
  }
  const sessionStore = new FailingStore()
  const { ask } = await serveRest(t, {
    agentExecutor: () => 'hi', identify: () => 'ada', sessionStore, journal: new Failing(memoryJournal()), fastify: { logger }
  })
  const answers = [await ask('/agents/main/sessions'), await ask(`${SESSION}/messages`), await ask(SESSION, { method: 'DELETE' })]
  for (const answer of answers) {
    t.match(answer, refusal('STORE_UNAVAILABLE'))
    t.notMatch(JSON.stringify(answer.body), /secret/)
  }
  t.equal(lines.filter(({ level }) => level === 50).length, 3)
})

t.test('requests have places among the connections, and give them back', async (t) => {
  const stage = new Stage()
  const { app, ask, chat } = await serveRest(t, { agentExecutor: stage.executor, maxConnectionsPerOwner: 1, identify: () => 'ada' })
  const running = chat({ sessionId: 's', message: 'x' })
  await stage.act('x').started.promise
  t.match(await chat({ message: 'y' }), refusal('RATE_LIMITED', { retryAfterMs: 1_000 }))
  t.match(await ask(`${SESSION}/messages`), refusal('RATE_LIMITED'))
  stage.act('x').end()
  t.match(await running, { status: 200 })
  t.match(await ask(`${SESSION}/messages`), { status: 200 })
  t.equal(app.channel.stats().followers, 0)
})
