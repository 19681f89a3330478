import t from 'tap'

import { memoryJournal, memorySessionStore, type Executor, type SessionStore } from '../../lib/index.js'
import { ERROR_CODES, type ErrorCode } from '../../lib/protocol/codes.js'
import { JournalDouble } from '../faults/journal-double.js'
import { readableLog } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import type { JsonAnswer } from '../helpers/http-client.js'
import { serveRest } from './rest-host.js'
import { Stage } from './stage.js'

const SESSION = '/agents/main/sessions/s'

/** An answer that refuses, with the status of its code. */
function refusal (code: ErrorCode, more: object = {}): object {
  const { httpStatus, retryable } = ERROR_CODES[code]
  return { status: httpStatus, body: { statusCode: httpStatus, code, retryable, ...more } }
}

/** A store whose database is away. */
class FailingStore implements SessionStore {
  readonly #fail = (): never => { throw new Error('secret') }
  readonly append = this.#fail
  readonly messages = this.#fail
  readonly turn = this.#fail
  readonly list = this.#fail
  readonly delete = this.#fail
}

const seen = ({ status, body }: JsonAnswer) => ({ status, body })

t.test('the agents are listed with their descriptions; one function answers as `main`', async (t) => {
  const execute: Executor = () => 'hi'
  const many = await serveRest(t, { agentExecutor: { main: execute, clerk: { execute, description: 'Knows the orders' }, plain: { execute } } })
  const { status, body } = await many.ask('/agents')
  t.equal(status, 200)
  t.strictSame(body?.['agents'], [{ agentId: 'main' }, { agentId: 'clerk', description: 'Knows the orders' }, { agentId: 'plain' }])
  const one = await serveRest(t, { agentExecutor: execute })
  t.strictSame((await one.ask('/agents')).body?.['agents'], [{ agentId: 'main' }])
})

t.test('with the agents comes what a socket is told by `ready`', async (t) => {
  const { ask, connect } = await serveRest(t, { agentExecutor: () => 'hi', heartbeatMs: 7_000, maxPayload: 3_000 })
  const client = await connect({ protocols: ['agent-channel.v1'] })
  const { protocol, journal, maxPayload, maxFrameBytes, heartbeatMs } = await client.next('ready')
  t.strictSame((await ask('/agents')).body?.['channel'], { protocol, journal, maxPayload, maxFrameBytes, heartbeatMs })
  await client.close()
})

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

t.test('who does not want to wait is told what became of its chat', async (t) => {
  const stage = new Stage()
  const { app, chat, follow } = await serveRest(t, { agentExecutor: stage.executor, maxQueuedTurns: 1 })
  const prefer = { prefer: 'wait=10, Respond-Async' }
  const reader = await follow('s')
  await reader.frame()
  const first = await chat({ id: 'a', sessionId: 's', message: 'x' }, prefer)
  const epoch = first.body?.['epoch']
  t.strictSame(seen(first), {
    status: 202, body: { type: 'ack', id: 'a', agentId: 'main', sessionId: 's', status: 'started', epoch, seq: 0 }
  })
  t.match(await chat({ id: 'b', sessionId: 's', message: 'y' }, prefer), { status: 202, body: { id: 'b', status: 'queued', position: 1 } })
  t.match(await chat({ id: 'c', sessionId: 's', message: 'z' }, prefer), refusal('QUEUE_FULL'))
  stage.act('x').say('one')
  t.match(await reader.frame(), { name: 'turn-started', id: 'a' })
  t.match(await reader.frame(), { content: 'one' })
  const again = await chat({ id: 'a', sessionId: 's', message: 'x' }, prefer)
  t.match(again, { status: 202, body: { status: 'duplicate', content: 'one' } })
  t.notOk(Object.hasOwn(again.body ?? {}, 'end'), 'it runs')
  stage.act('x').end()
  stage.act('y').say('two').end(new Error('secret'))
  await eventually(() => app.channel.stats().turns === 0)
  t.match((await chat({ id: 'a', sessionId: 's', message: 'x' }, prefer)).body, {
    status: 'duplicate', content: 'one', end: { type: 'stream', content: '', done: true, id: 'a', finishReason: 'stop' }
  })
  t.match(await chat({ id: 'b', sessionId: 's', message: 'y' }, prefer), {
    status: 202, body: { status: 'duplicate', content: 'two', end: { type: 'error', code: 'AGENT_ERROR', done: true } }
  })
  stage.act('w').returns('whole')
  t.match(await chat({ message: 'w' }, { prefer: 'respond-async, x' }), { status: 200, body: { content: 'whole' } }, 'without a session there is nothing to follow')
  t.match(await chat({ sessionId: 'q', message: 'w' }, { prefer: 'wait=1' }), { status: 200 })
})

t.test('a chat is answered by its final message: four keys without a session, tracked with one', async (t) => {
  const { app, chat, ask } = await serveRest(t, { agentExecutor: ({ message, agentId }) => [agentId, ' heard ', message] })
  const answer = await chat({ message: 'tea' })
  t.strictSame(seen(answer), { status: 200, body: { type: 'message', agentId: 'main', content: 'main heard tea', done: true } })
  t.equal(answer.headers.get('cache-control'), 'no-store')
  t.strictSame((await chat({ id: 'a', sessionId: 's', message: 'tea', stream: true, unknown: 1 })).body, {
    type: 'message', agentId: 'main', content: 'main heard tea', done: true, id: 'a', sessionId: 's', seq: 5, finishReason: 'stop'
  })
  t.match((await ask('/agents/clerk/chat', { body: { message: 'x', agentId: 'main' } })).body, { agentId: 'clerk', content: 'clerk heard x' })
  await eventually(() => app.channel.stats().sessions === 1)
  t.match(app.channel.stats(), { connections: 0, followers: 0, turns: 0, claims: 1 })
})

t.test('whole messages that came before the end are there too, and what the turn cost', async (t) => {
  const { chat } = await serveRest(t, {
    * agentExecutor () {
      yield { type: 'message', content: 'I shall ask.' }
      yield { type: 'event', name: 'progress' }
      yield 'It is ready.'
      yield { type: 'finish', finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 } }
    }
  })
  t.match((await chat({ sessionId: 's', message: 'x' })).body, {
    content: 'It is ready.', messages: ['I shall ask.'], finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 }
  })
  t.strictSame((await chat({ message: 'x' })).body, {
    type: 'message', agentId: 'main', content: 'It is ready.', done: true, messages: ['I shall ask.']
  })
})

t.test('the header Idempotency-Key is the id of a chat, which runs once', async (t) => {
  const stage = new Stage()
  const { chat, tell } = await serveRest(t, { agentExecutor: stage.executor })
  const key = { 'idempotency-key': 'a' }
  stage.act('x').say('one ', 'two')
  const [first, second] = [chat({ sessionId: 's', message: 'x' }, key), chat({ sessionId: 's', message: 'x', id: 'a' }, key)]
  await stage.act('x').started.promise
  stage.act('x').end()
  t.match(await first, { status: 200, body: { id: 'a', content: 'one two' } })
  t.strictSame((await second).body, (await first).body)
  t.strictSame((await chat({ sessionId: 's', message: 'x' }, key)).body, (await first).body, 'also when it is over')
  t.match((await (await tell({ sessionId: 's', message: 'x' }, key)).rest())[0]?.frame, { status: 'duplicate', content: 'one two' })
  t.strictSame(stage.begun, ['x'])
  t.match(await chat({ sessionId: 's', message: 'y' }, key), refusal('ID_CONFLICT'))
  t.match(await chat({ message: 'x' }, key), refusal('VALIDATION_FAILED', { message: /sessionId/ }))
  t.match(await chat({ sessionId: 's', message: 'x', id: 'b' }, key), refusal('VALIDATION_FAILED', { message: /Idempotency-Key and \/id differ/ }))
  t.match(await chat({ sessionId: 's', message: 'x' }, { 'idempotency-key': 'x'.repeat(129) }), refusal('VALIDATION_FAILED', { message: /headers/ }))
})

t.test('a chat whose answer was forgotten is answered by its end', async (t) => {
  const store = memorySessionStore()
  const { ask, chat } = await serveRest(t, { agentExecutor: () => ['hi'], sessionStore: store })
  await chat({ id: 'a', sessionId: 's', message: 'x' })
  t.equal((await ask(SESSION, { method: 'DELETE' })).status, 204)
  t.match(await chat({ id: 'a', sessionId: 's', message: 'x' }), { status: 200, body: { type: 'message', content: '', done: true, finishReason: 'stop' } })
})

t.test('a session\'s history comes in pages, newest first, each oldest first', async (t) => {
  const { ask, chat } = await serveRest(t, { agentExecutor: ({ message }) => message.toUpperCase() })
  for (const message of ['a', 'b', 'c']) await chat({ sessionId: 's', message, metadata: { n: message } })
  const newest = await ask(`${SESSION}/messages?limit=4`)
  const contents = ({ body }: JsonAnswer) => (body?.['messages'] as Array<{ content: string }>).map(({ content }) => content)
  t.strictSame(contents(newest), ['b', 'B', 'c', 'C'])
  t.match(newest.body, { messages: [{ role: 'user', metadata: { n: 'b' }, complete: true }, { role: 'assistant' }, {}, {}], before: String })
  const older = await ask(`${SESSION}/messages?before=${String(newest.body?.['before'])}`)
  t.strictSame(contents(older), ['a', 'A'])
  t.notOk(Object.hasOwn(older.body ?? {}, 'before'))
  t.strictSame(seen(await ask(`${SESSION}/messages?before=unknown`)), { status: 200, body: { messages: [] } })
  t.strictSame(seen(await ask('/agents/main/sessions/none/messages')), { status: 200, body: { messages: [] } })
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'before=', 'limit=1.5']) {
    t.match(await ask(`${SESSION}/messages?${query}`), refusal('VALIDATION_FAILED', { message: /querystring/ }), query)
  }
})

t.test('what a query names beside its own fields makes no other request of a page of history', async (t) => {
  const said: string[] = []
  const { ask, chat } = await serveRest(t, {
    agentExecutor ({ message }) {
      said.push(message)
      return 'hi'
    }
  })
  await chat({ sessionId: 's', message: 'x' })
  const page = seen(await ask(`${SESSION}/messages`))
  for (const query of ['type=chat&message=y', 'type=cancel', 'type=ping', 'agentId=other', 'sessionId=other', '__proto__=1']) {
    t.strictSame(seen(await ask(`${SESSION}/messages?${query}`)), page, query)
  }
  t.strictSame(said, ['x'])
})

t.test('an owner\'s sessions come in pages, newest first; nobody gets a list of everybody\'s', async (t) => {
  let owner = 'ada'
  const { ask, chat } = await serveRest(t, { agentExecutor: () => 'hi', identify: () => owner })
  for (const sessionId of ['one', 'two', 'three']) await chat({ sessionId, message: 'x' })
  const page = await ask('/agents/main/sessions?limit=2')
  t.match(page, { status: 200, body: { sessions: [{ sessionId: 'three', updatedAt: Number }, { sessionId: 'two' }], before: String } })
  t.match((await ask(`/agents/main/sessions?before=${String(page.body?.['before'])}`)).body, { sessions: [{ sessionId: 'one' }] })
  owner = 'bob'
  t.strictSame((await ask('/agents/main/sessions')).body, { sessions: [] })
  owner = 'anonymous'
  t.match(await ask('/agents/main/sessions'), refusal('FORBIDDEN', { message: /anonymous/ }))
})

t.test('another owner\'s session is answered exactly like one that does not exist', async (t) => {
  const stage = new Stage()
  const { ask, base, chat, follow } = await serveRest(t, { agentExecutor: stage.executor, identify: ({ headers }) => String(headers['x-owner']) })
  const [ada, bob] = [{ 'x-owner': 'ada' }, { 'x-owner': 'bob' }]
  const hers = chat({ id: 'a', sessionId: 's', message: 'x' }, ada)
  await stage.act('x').started.promise
  for (const sessionId of ['s', 'none']) {
    const session = `/agents/main/sessions/${sessionId}`
    t.strictSame((await ask(`${session}/messages`, { headers: bob })).body, { messages: [] })
    t.match(await ask(`${session}/cancel`, { method: 'POST', headers: bob }), refusal('TURN_NOT_FOUND'))
    t.strictSame(seen(await ask(session, { method: 'DELETE', headers: bob })), { status: 204, body: undefined })
    const reader = await follow(sessionId, bob)
    t.match(await reader.frame(), { type: 'subscribed', seq: 0, turns: [] })
    await reader.destroy()
  }
  stage.act('x').say('hers').end()
  t.match(await hers, { body: { content: 'hers' } })
  t.ok(base)
})

t.test('a cancel stops one turn or all, and the chat is answered with what there is', async (t) => {
  const stage = new Stage()
  const { ask, chat, app } = await serveRest(t, { agentExecutor: stage.executor })
  stage.act('x').say('so ')
  const running = chat({ id: 'a', sessionId: 's', message: 'x' })
  await stage.act('x').started.promise
  const [b, c] = [chat({ id: 'b', sessionId: 's', message: 'y' }), chat({ id: 'c', sessionId: 's', message: 'z' })]
  await eventually(() => app.channel.stats().turns === 3)
  await eventually(() => app.channel.stats().entries === 2)
  const cancel = async (body?: unknown) => seen(await ask(`${SESSION}/cancel`, { method: 'POST', ...(body === undefined ? {} : { body }) }))
  t.match(await cancel({ turnId: 'unknown' }), refusal('TURN_NOT_FOUND'))
  t.strictSame(await cancel({ turnId: 'b' }), { status: 200, body: { turns: ['b'] } })
  t.match(await b, { status: 200, body: { content: '', finishReason: 'aborted' } })
  t.match(await cancel(), { status: 200, body: { turns: ['a', 'c'] } })
  t.match(await running, { status: 200, body: { content: 'so ', finishReason: 'aborted' } })
  t.match(await c, { body: { finishReason: 'aborted' } })
  t.match(await cancel('null'), refusal('TURN_NOT_FOUND'), 'a body that says nothing is none')
  for (const body of [{ turnId: 1 }, [], '"x"']) t.match(await cancel(body), refusal('VALIDATION_FAILED'))
})

t.test('what is deleted is stopped and forgotten, and its chats are still known', async (t) => {
  const stage = new Stage()
  const { ask, chat } = await serveRest(t, { agentExecutor: stage.executor })
  stage.act('x').say('so')
  const running = chat({ id: 'a', sessionId: 's', message: 'x' })
  const { signal } = await stage.act('x').started.promise
  t.strictSame(seen(await ask(SESSION, { method: 'DELETE' })), { status: 204, body: undefined })
  t.ok(signal.aborted)
  t.match(await running, { status: 200, body: { content: 'so', finishReason: 'aborted' } })
  t.strictSame((await ask(`${SESSION}/messages`)).body, { messages: [] })
  t.match(await chat({ id: 'a', sessionId: 's', message: 'other' }), refusal('ID_CONFLICT'))
  t.equal((await ask(SESSION, { method: 'DELETE' })).status, 204, 'again too')
})

t.test('every way in which a turn fails has its status', async (t) => {
  const cases: Array<[code: ErrorCode, options: Parameters<typeof serveRest>[1]]> = [
    ['AGENT_ERROR', { agentExecutor: () => { throw new Error('secret') } }],
    ['AGENT_TIMEOUT', { agentExecutor: () => new Promise<string>(() => {}), firstPartTimeoutMs: 1 }],
    ['ANSWER_TOO_LARGE', { agentExecutor: () => 'xx', maxAnswerBytes: 1 }],
    ['AGENT_NOT_FOUND', { agentExecutor: { other: () => 'hi' } }],
    ['RATE_LIMITED', { agentExecutor: () => 'hi', maxQueuedBytes: 1 }],
    ['STORE_UNAVAILABLE', { agentExecutor: () => 'hi', sessionStore: new FailingStore() }],
    ['VALIDATION_FAILED', { agentExecutor: { main: { execute: () => 'hi', metadata: { type: 'object', required: ['to'] } } } }]
  ]
  for (const [code, options] of cases) {
    const { chat } = await serveRest(t, options)
    // What is said in no session is kept in memory, whatever the host's store is.
    for (const session of code === 'STORE_UNAVAILABLE' ? [{ sessionId: 's' }] : [{}, { sessionId: 's' }]) {
      const answer = await chat({ message: 'xx', ...session })
      t.match(seen(answer), refusal(code), code)
      t.notMatch(JSON.stringify(answer.body), /secret/)
    }
  }
})

t.test('a session that is busy is one', async (t) => {
  const stage = new Stage()
  const { app, chat } = await serveRest(t, { agentExecutor: stage.executor, maxQueuedTurns: 1 })
  const running = chat({ sessionId: 's', message: 'x' })
  await stage.act('x').started.promise
  t.match(await chat({ sessionId: 's', message: 'y', onBusy: 'reject' }), refusal('SESSION_BUSY', { retryAfterMs: 1_000 }))
  const waiting = chat({ sessionId: 's', message: 'y' })
  await eventually(() => app.channel.stats().turns === 2)
  const full = await chat({ sessionId: 's', message: 'z' })
  t.match(seen(full), refusal('QUEUE_FULL', { retryAfterMs: 1_000 }))
  t.equal(full.headers.get('retry-after'), '1')
  stage.act('x').end()
  stage.act('y').end()
  t.match([await running, await waiting], [{ status: 200 }, { status: 200 }])
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

t.test('a client that goes away leaves nothing behind', async (t) => {
  const stage = new Stage()
  const history = deferred()
  const inner = memorySessionStore()
  const { app, base } = await serveRest(t, {
    agentExecutor: stage.executor,
    identify: () => 'ada',
    maxConnectionsPerOwner: 3,
    sessionStore: {
      append: inner.append.bind(inner),
      turn: inner.turn.bind(inner),
      list: inner.list.bind(inner),
      delete: inner.delete.bind(inner),
      async messages () {
        await history.promise
        return { messages: [] }
      }
    },
    authorize: async ({ type }) => {
      if (type === 'cancel') await history.promise
      return true
    }
  })
  const leave = new AbortController()
  const post = (body?: object): RequestInit => ({
    method: 'POST', signal: leave.signal, ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  })
  const left = [
    fetch(`${base}/agents/main/chat`, post({ message: 'x' })),
    fetch(`${base}${SESSION}/messages`, { signal: leave.signal }),
    fetch(`${base}${SESSION}/cancel`, post())
  ].map(async (asked) => { await t.rejects(asked) })
  const { signal } = await stage.act('x').started.promise
  await eventually(() => app.channel.stats().followers === 1)
  leave.abort()
  await Promise.all(left)
  await eventually(() => signal.aborted)
  await eventually(() => app.channel.stats().followers === 0 && app.channel.stats().turns === 0)
  history.resolve()
  // All places are free again.
  await eventually(() => app.channel.stats().sessions === 0)
  stage.act('z').end()
  const again = await Promise.all([1, 2, 3].map(async (n) => await fetch(`${base}/agents/main/sessions/${n}/messages`)))
  t.strictSame(again.map(({ status }) => status), [200, 200, 200])
})
