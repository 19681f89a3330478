import { Value } from '@sinclair/typebox/value'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import OpenAI from 'openai'
import t from 'tap'

import { AgentError, AgentNotFoundError, channelRest, wsChannel, type Turn } from '../../lib/index.js'
import { COMPLETION, COMPLETION_CHUNK, COMPLETION_ERROR, MODELS } from '../../lib/transports/completion-schemas.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { completionOf, refusal, serveDoor, streamOf, textOf } from './completion-host.js'

t.test('the official client gets an answer', async (t) => {
  const { client } = await serveDoor(t, { agentExecutor: ({ message }) => `You said: ${message}` })
  const answer = await client.chat.completions.create(completionOf('Hello'))
  t.match(answer, { id: /^chatcmpl-/, object: 'chat.completion', model: 'main' })
  t.strictSame(answer.choices, [{ index: 0, message: { role: 'assistant', content: 'You said: Hello', refusal: null }, logprobs: null, finish_reason: 'stop' }])
  t.ok(Math.abs(answer.created * 1000 - Date.now()) < 60_000, 'created just now')
  t.notOk('usage' in answer, 'the agent has not said what it cost')
  t.ok(Value.Check(COMPLETION, answer))
})

t.test('it streams', async (t) => {
  const { client, app } = await serveDoor(t, {
    agentExecutor: function * () {
      yield 'Once '
      yield { type: 'event', name: 'progress', data: 1 }
      yield 'upon'
      yield { type: 'finish', finishReason: 'length', usage: { inputTokens: 3, outputTokens: 2, cachedInputTokens: 1, reasoningTokens: 0 } }
    }
  })
  const chunks = []
  for await (const chunk of await client.chat.completions.create(streamOf('A story', { stream_options: { include_usage: true } }))) chunks.push(chunk)
  t.ok(chunks.every((chunk) => Value.Check(COMPLETION_CHUNK, chunk)))
  t.equal(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size, 1, 'all of one answer')
  t.strictSame(chunks.map(({ choices, usage }) => [choices[0]?.delta, choices[0]?.finish_reason, usage]), [
    [{ role: 'assistant', content: '' }, null, null],
    [{ content: 'Once ' }, null, null],
    [{ content: 'upon' }, null, null],
    [{}, 'length', null],
    [undefined, undefined, {
      prompt_tokens: 3,
      completion_tokens: 2,
      total_tokens: 5,
      prompt_tokens_details: { cached_tokens: 1 },
      completion_tokens_details: { reasoning_tokens: 0 }
    }]
  ])
  await eventually(() => app.channel.stats().turns === 0)
})

t.test('what goes over the wire is that API\'s', async (t) => {
  const { post } = await serveDoor(t, { agentExecutor: () => ['A'] })
  const answer = await post(streamOf('Hello', { stream_options: null, n: 1, temperature: 0.5 }))
  t.equal(answer.status, 200)
  t.match(Object.fromEntries(answer.headers), {
    'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no'
  })
  const events = (await answer.text()).split('\n\n')
  t.equal(events.length, 5)
  t.strictSame(events.slice(3), ['data: [DONE]', ''])
  t.match(events[1], /^data: \{"id":"chatcmpl-[^"]+","object":"chat\.completion\.chunk","created":\d+,"model":"main","choices":\[\{"index":0,"delta":\{"content":"A"\},"logprobs":null,"finish_reason":null\}\]\}$/)
})

t.test('whole messages are paragraphs of the one text, as in the history', async (t) => {
  const { client, app } = await serveDoor(t, {
    identify: () => 'ada',
    agentExecutor: function * () {
      yield { type: 'message', content: 'First.' }
      yield 'Then '
      yield 'this.'
      yield { type: 'message', content: '' }
      yield { type: 'message', content: 'Last.' }
      yield 'End.'
    }
  })
  const expected = 'First.\n\nThen this.\n\nLast.\n\nEnd.'
  const answer = await client.chat.completions.create(completionOf('Hi', { sessionId: 'tea' }))
  t.equal(answer.choices[0]?.message.content, expected)
  t.equal(await textOf(await client.chat.completions.create(streamOf('Hi', { sessionId: 'tea' }))), expected)
  const { messages } = await app.sessionStore.messages({ owner: 'ada', agentId: 'main', sessionId: 'tea' }, { limit: 10 })
  t.strictSame(messages.map(({ content }) => content), ['Hi', expected, 'Hi', expected])
  t.equal(messages[1]?.turnId, answer.id, 'and its turn has the id of the answer')
})

t.test('an answer without a word', async (t) => {
  const { client } = await serveDoor(t, { agentExecutor: () => [] })
  t.equal((await client.chat.completions.create(completionOf('Hi'))).choices[0]?.message.content, '')
  t.equal(await textOf(await client.chat.completions.create(streamOf('Hi'))), '')
})

t.test('how turns end', async (t) => {
  const { client } = await serveDoor(t, {
    agentExecutor: function * ({ message }) {
      yield 'x'
      yield { type: 'finish', finishReason: message as 'stop', usage: { inputTokens: 1, outputTokens: 1, totalTokens: 9 } }
    }
  })
  for (const [reason, expected] of Object.entries({
    stop: 'stop', length: 'length', 'content-filter': 'content_filter', 'tool-calls': 'stop', aborted: 'length', error: 'stop', other: 'stop'
  })) {
    const answer = await client.chat.completions.create(completionOf(reason))
    t.equal(answer.choices[0]?.finish_reason, expected, reason)
    t.equal(answer.usage?.total_tokens, 9)
  }
})

t.test('without a session the given messages are the history, and nothing is kept', async (t) => {
  const turns: Turn[] = []
  const { client, app } = await serveDoor(t, {
    identify: () => 'ada',
    agentExecutor: async function * (turn) {
      turns.push(turn)
      yield JSON.stringify((await turn.history()).map(({ role, content, metadata }) => [role, content, metadata]))
    }
  })
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: 'system', content: 'Be brief' },
    { role: 'user', content: 'I am Ada' },
    { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } }] },
    { role: 'tool', content: 'from a tool', tool_call_id: 'c1' },
    { role: 'assistant', content: [{ type: 'text', text: 'Hello ' }, { type: 'text', text: 'Ada' }] },
    { role: 'user', content: [{ type: 'text', text: 'Who ' }, { type: 'text', text: 'am I?' }] },
    { role: 'developer', content: 'Be kind' }
  ]
  const answer = await client.chat.completions.create({ model: 'main', messages, metadata: { place: 'Lisbon' } })
  t.strictSame(JSON.parse(answer.choices[0]?.message.content ?? ''), [
    ['user', 'Be brief', { role: 'system' }],
    ['user', 'I am Ada', null],
    ['user', 'from a tool', { role: 'tool' }],
    ['assistant', 'Hello Ada', null],
    ['user', 'Be kind', { role: 'developer' }]
  ])
  t.match(turns[0], { message: 'Who am I?', metadata: { place: 'Lisbon' }, owner: 'ada', agentId: 'main' })
  t.match(await textOf(await client.chat.completions.create({ model: 'main', messages, stream: true })), 'Hello Ada')
  t.strictSame((await app.sessionStore.list({ owner: 'ada', agentId: 'main' }, { limit: 10 })).sessions, [])
  await eventually(() => app.channel.stats().sessions === 0)
  t.equal(turns[0]?.sessionId === turns[1]?.sessionId, false, 'each has a session of its own')
})

t.test('with a session the last message of the user is the chat, and the history is the session\'s', async (t) => {
  const { client, connect } = await serveDoor(t, {
    agentExecutor: async (turn) => JSON.stringify((await turn.history()).map(({ content }) => content))
  })
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: 'user', content: 'made up' }, { role: 'assistant', content: 'made up too' }, { role: 'user', content: 'one' }
  ]
  const first = await client.chat.completions.create({ model: 'main', messages, ...{ sessionId: 'tea' } })
  t.equal(first.choices[0]?.message.content, '[]')
  const second = await client.chat.completions.create(completionOf('two', { user: 'tea' }))
  t.equal(second.choices[0]?.message.content, '["one","[]"]', '`user` names it for clients that can say nothing else')
  const third = await client.chat.completions.create(completionOf('three', { sessionId: 'coffee', user: 'tea' }))
  t.equal(third.choices[0]?.message.content, '[]')

  const socket = await connect({ query: '?sessionId=tea' })
  socket.send({ type: 'chat', message: 'three' })
  t.match((await socket.next()).content, '"two"', 'the same session as over the socket')
  await socket.close()
})

t.test('abort stops the executor, streamed or not, kept or not', async (t) => {
  for (const more of [{ sessionId: 'tea' }, {}]) {
    for (const isStreamed of [true, false]) {
      const stopped = deferred()
      const running = deferred()
      const { client, app } = await serveDoor(t, {
        agentExecutor: async function * ({ signal }) {
          yield 'Once'
          running.resolve()
          await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
          stopped.resolve()
        }
      })
      const abort = new AbortController()
      if (isStreamed) {
        const stream = await client.chat.completions.create(streamOf('A story', more), { signal: abort.signal })
        for await (const { choices } of stream) if (choices[0]?.delta.content === 'Once') break
        stream.controller.abort()
      } else {
        const asked = client.chat.completions.create(completionOf('A story', more), { signal: abort.signal })
        asked.catch(() => {})
        await running.promise
        abort.abort()
        t.ok(await asked.then(() => undefined, (err: unknown) => err) instanceof OpenAI.APIUserAbortError)
      }
      await stopped.promise
      await eventually(() => app.channel.stats().turns === 0 && app.channel.stats().followers === 0)
      t.pass(`stopped: ${JSON.stringify({ ...more, isStreamed })}`)
    }
  }
})

t.test('a turn that somebody cancels ends as one that was cut off', async (t) => {
  const running = deferred()
  const { client, app } = await serveDoor(t, {
    identify: () => 'ada',
    agentExecutor: async function * ({ signal }) {
      yield 'Once'
      running.resolve()
      await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
    }
  })
  const asked = client.chat.completions.create(completionOf('A story', { sessionId: 'tea' }))
  await running.promise
  t.strictSame((await app.channel.cancel({ owner: 'ada', sessionId: 'tea' })).length, 1)
  t.match((await asked).choices[0], { message: { content: 'Once' }, finish_reason: 'length' })
})

t.test('what is wrong with a request is said in the way of that API', async (t) => {
  const { client, post } = await serveDoor(t, { maxMessageLength: 20, agentExecutor: { main: () => 'x', strict: { execute: () => 'x', metadata: { required: ['to'] } } } })
  const user = [{ role: 'user', content: 'Hi' }]
  const cases: Array<[body: unknown, status: number, error: object]> = [
    [{ messages: user }, 400, { type: 'invalid_request_error', param: 'model', code: 'invalid_value' }],
    [{ model: 'main' }, 400, { param: 'messages' }],
    [{ model: 'main', messages: [] }, 400, { param: 'messages' }],
    [{ model: 'main', messages: [{ role: 'system', content: 'x' }] }, 400, { param: 'messages', message: 'A field is wrong: messages needs one of the user' }],
    [{ model: 'main', messages: [{ role: 'user', content: '' }] }, 400, { param: 'messages' }],
    [{ model: 'main', messages: [{ role: 'user' }] }, 400, { param: 'messages' }],
    [{ model: 'main', messages: [{ role: 'user', content: 'x'.repeat(21) }] }, 400, { param: 'messages' }],
    [{ model: 'main', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }, 400, { param: 'messages.0.content' }],
    [{ model: 'main', messages: user, n: 2 }, 400, { param: 'n' }],
    [{ model: 'main', messages: user, sessionId: '' }, 400, { param: 'sessionId' }],
    [{ model: 'main', messages: user, sessionId: 'a\nb' }, 400, { param: 'sessionId' }],
    [{ model: 'strict', messages: user }, 400, { param: 'metadata', code: 'invalid_value' }],
    [{ model: 'nobody', messages: user }, 404, { type: 'invalid_request_error', param: 'model', code: 'model_not_found', message: 'No such agent' }],
    ['"text"', 400, { param: null }],
    ['{', 400, { type: 'invalid_request_error', param: null, code: 'fst_err_ctp_invalid_json_body' }]
  ]
  for (const [body, status, error] of cases) {
    for (const stream of [false, true]) {
      const asked = typeof body === 'string' ? body : { ...body as object, stream }
      const answer = await post(asked)
      t.equal(answer.status, status, JSON.stringify(asked))
      const told: unknown = await answer.json()
      t.match(told, { error }, JSON.stringify(asked))
      t.ok(Value.Check(COMPLETION_ERROR, told))
    }
  }
  t.ok(await refusal(client.chat.completions.create({ ...completionOf('Hi'), model: 'nobody' })) instanceof OpenAI.NotFoundError)
  const large = await post(completionOf('x', { padding: 'x'.repeat(1024 * 1024) }))
  t.equal(large.status, 413)
  t.match(await large.json(), { error: { type: 'invalid_request_error' } })
  const form = await post('a=b', { headers: { 'content-type': 'application/x-www-form-urlencoded' } })
  t.equal(form.status, 415)
})

t.test('a failing agent', async (t) => {
  const { client, post } = await serveDoor(t, {
    agentExecutor: async function * ({ message }) {
      if (message.startsWith('late')) yield 'Once'
      if (message.endsWith('told')) throw new AgentError('The kettle is broken')
      if (message.endsWith('nobody')) throw new AgentNotFoundError('main')
      throw new Error('secret')
    }
  })
  for (const [message, status, told] of [
    ['early', 502, { message: 'The agent failed', type: 'server_error', code: 'agent_error', param: null }],
    ['early told', 502, { message: 'The kettle is broken', code: 'agent_error' }],
    ['early nobody', 404, { code: 'model_not_found' }]
  ] as const) {
    for (const stream of [false, true]) {
      const answer = await post({ ...completionOf(message), stream })
      t.equal(answer.status, status)
      t.equal(answer.headers.get('x-should-retry'), 'false', 'it has run, and is not to be run again unasked')
      t.match(await answer.json(), { error: told })
    }
  }
  const failed = await refusal(textOf(await client.chat.completions.create(streamOf('late told'))))
  t.match(failed, { status: undefined, code: 'agent_error', message: 'The kettle is broken' })
  const text = await (await post(streamOf('late'))).text()
  t.match(text, /"content":"Once"/)
  t.match(text, /data: \{"error":\{"message":"The agent failed","type":"server_error","param":null,"code":"agent_error"\}\}\n\n$/)
  t.notMatch(text, /DONE|secret/)
  t.match(await refusal(client.chat.completions.create(completionOf('late'))), { status: 502 })
})

t.test('limits, and hosts that refuse', async (t) => {
  await t.test('a busy session, with advice when to come back', async (t) => {
    const release = deferred()
    const { client, post, app } = await serveDoor(t, {
      onBusy: 'reject', retryAfterMs: 1_500, agentExecutor: async () => { await release.promise; return 'done' }
    })
    const first = client.chat.completions.create(completionOf('one', { sessionId: 'tea' }))
    await eventually(() => app.channel.stats().turns === 1)
    const busy = await post(completionOf('two', { sessionId: 'tea' }))
    t.equal(busy.status, 409)
    t.equal(busy.headers.get('retry-after'), '2')
    t.equal(busy.headers.get('retry-after-ms'), '1500')
    t.equal(busy.headers.get('x-should-retry'), null)
    t.match(await busy.json(), { error: { type: 'invalid_request_error', code: 'session_busy' } })
    release.resolve()
    t.equal((await first).choices[0]?.message.content, 'done')
  })

  await t.test('too many turns', async (t) => {
    const release = deferred()
    const { client, app } = await serveDoor(t, { maxTurns: 1, agentExecutor: async () => { await release.promise; return 'done' } })
    const first = client.chat.completions.create(completionOf('one'))
    await eventually(() => app.channel.stats().turns === 1)
    const refused = await refusal(client.chat.completions.create(streamOf('two')))
    t.ok(refused instanceof OpenAI.RateLimitError)
    t.match(refused, { status: 429, code: 'rate_limit_exceeded', type: 'rate_limit_error' })
    release.resolve()
    await first
    await eventually(() => app.channel.stats().turns === 0)
  })

  await t.test('too many requests', async (t) => {
    const release = deferred()
    const { client, app } = await serveDoor(t, {
      maxConnectionsPerOwner: 1, identify: () => 'ada', agentExecutor: async () => { await release.promise; return 'done' }
    })
    const first = client.chat.completions.create(completionOf('one'))
    await eventually(() => app.channel.stats().turns === 1)
    t.equal((await refusal(client.chat.completions.create(completionOf('two')))).status, 429)
    release.resolve()
    await first
    t.equal((await client.chat.completions.create(completionOf('three'))).choices[0]?.message.content, 'done', 'the place is free again')
  })

  await t.test('`authorize` is asked as for a frame', async (t) => {
    const frames: unknown[] = []
    const { client } = await serveDoor(t, {
      agentExecutor: () => 'x',
      authorize (frame) {
        frames.push(frame)
        if ('message' in frame && frame.message === 'fail') throw new Error('no')
        return 'message' in frame && frame.message === 'yes'
      }
    })
    t.equal((await client.chat.completions.create(completionOf('yes', { sessionId: 'tea' }))).choices[0]?.message.content, 'x')
    t.match(frames, [{ type: 'chat', agentId: 'main', sessionId: 'tea', message: 'yes' }])
    t.match(await refusal(client.chat.completions.create(completionOf('no'))), { status: 403, type: 'permission_error', code: 'forbidden' })
    t.match(await refusal(client.chat.completions.create(streamOf('fail'))), { status: 500, type: 'server_error', code: 'internal' })
  })

  await t.test('hooks of the host', async (t) => {
    const { client } = await serveDoor(t, {
      before (app) {
        app.addHook('onRequest', async ({ headers: { authorization } }) => {
          if (authorization === 'Bearer key') return
          if (authorization === 'Bearer teapot') throw Object.assign(new Error('odd'), { statusCode: 99 })
          throw Object.assign(new Error('Who are you?'), { statusCode: 401, code: authorization === 'Bearer any' ? 'WHO' : undefined })
        })
      }
    })
    t.match(await refusal(client.chat.completions.create(completionOf('Hi'))), {
      status: 401, type: 'authentication_error', code: 'who', error: { message: 'Who are you?' }
    })
    t.match(await refusal(client.withOptions({ apiKey: 'other' }).models.list()), { status: 401, code: null })
    t.match(await refusal(client.withOptions({ apiKey: 'teapot' }).models.list()), { status: 500, type: 'server_error', error: { message: 'The server failed' } })
    t.equal((await client.withOptions({ apiKey: 'key' }).chat.completions.create(completionOf('Hi'))).choices[0]?.message.content, 'Hi')
  })

  await t.test('hooks of the host that set a status, and throw an error without one', async (t) => {
    // It was a 500, whose text was hidden: a client tried again what it should have signed in for.
    const { post } = await serveDoor(t, {
      before (app) {
        app.addHook('onRequest', async ({ headers }, reply) => {
          if (headers['x-says'] === 'status') throw Object.assign(new Error('Pay first'), { status: 402 })
          reply.code(401)
          throw Object.assign(new Error('Who are you?'), headers['x-says'] === 'both' ? { statusCode: 403 } : {})
        })
      }
    })
    const answers = await Promise.all(['hook', 'both', 'status'].map(async (says) => {
      const answer = await post(completionOf('Hi'), { headers: { 'content-type': 'application/json', 'x-says': says } })
      return { status: answer.status, body: await answer.json() }
    }))
    t.match(answers, [
      { status: 401, body: { error: { message: 'Who are you?', type: 'authentication_error' } } },
      { status: 401 },
      { status: 402, body: { error: { message: 'Pay first' } } }
    ])
  })

  await t.test('pages of other sites', async (t) => {
    const { client } = await serveDoor(t)
    t.equal((await refusal(client.chat.completions.create(completionOf('Hi'), { headers: { origin: 'https://evil.example' } }))).status, 403)
  })
})

t.test('the agents are models', async (t) => {
  const { client } = await serveDoor(t, { agentExecutor: { main: () => 'x', other: { execute: () => 'y', description: 'Another' } } })
  const { data } = await client.models.list()
  t.match(data, [{ id: 'main', object: 'model', owned_by: 'host' }, { id: 'other' }])
  t.ok(Value.Check(MODELS, { object: 'list', data }))
  t.ok(Math.abs((data[0]?.created ?? 0) * 1000 - Date.now()) < 60_000)
})

t.test('it is there only where it is asked for', async (t) => {
  const { client } = await serveDoor(t, { rest: { openAi: false } })
  t.equal((await refusal(client.chat.completions.create(completionOf('Hi')))).status, 404)
  t.equal((await refusal(client.models.list())).status, 404)
})

t.test('it is in the host\'s OpenAPI document', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: { components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } } } })
  app.register(async (api) => {
    api.register(wsChannel)
    api.register(channelRest, { openAi: true, routeOptions: { schema: { security: [{ key: [] }] } } })
  }, { prefix: '/v1' })
  await app.ready()
  t.match(app.swagger(), {
    paths: {
      '/v1/chat/completions': {
        post: {
          operationId: 'createChatCompletion',
          security: [{ key: [] }],
          requestBody: { content: { 'application/json': { schema: { required: ['model', 'messages'] } } } },
          responses: { 200: { content: { 'application/json': {}, 'text/event-stream': {} } }, 404: {}, 502: {} }
        }
      },
      '/v1/models': { get: { operationId: 'listModels', responses: { 200: {} } } }
    }
  })
})
