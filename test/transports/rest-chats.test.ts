import t from 'tap'

import { memorySessionStore } from '../../lib/index.js'
import type { ErrorCode } from '../../lib/protocol/codes.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { serveRest } from './rest-host.js'
import { FailingStore, refusal, seen, SESSION } from './rest-scene.js'
import { Stage } from './stage.js'

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
