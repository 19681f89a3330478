import { Validator } from '@seriousme/openapi-schema-validator'
import { HttpAgent } from '@ag-ui/client'
import { EventType, type AGUIEvent, type Message } from '@ag-ui/core'
import { EventSchema } from '@ag-ui/core/schemas'
import t, { type Test } from 'tap'

import { AgentError, channelRest, type ChannelRestOptions, type Part, type Turn } from '../../lib/index.js'
import { serve, type ServeOptions } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { addDocument, documentOf } from './rest-document.js'

async function serveAgUi (t: Test, { rest = {}, ...options }: ServeOptions & { rest?: ChannelRestOptions } = {}) {
  const host = await serve(t, {
    // Node's `fetch` opens a connection in advance after one that was aborted, and a server waits long for its first request.
    fastify: { forceCloseConnections: true },
    ...options,
    after (app) { app.register(channelRest, { agUi: true, ...rest }) }
  })
  const url = `${host.origin}/api/v1/agents/main/ag-ui`
  return {
    ...host,
    url,
    post: async (body: unknown) => await fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
  }
}

function input (content: unknown, more: object = {}): object {
  return { threadId: 'tea', runId: 'r1', messages: [{ id: 'm1', role: 'user', content }], tools: [], context: [], state: {}, ...more }
}

/** A run by the package's client, which refuses events that are none, or out of order. */
async function run (agent: HttpAgent, message: string, parameters: Parameters<HttpAgent['runAgent']>[0] = {}): Promise<AGUIEvent[]> {
  const events: AGUIEvent[] = []
  agent.addMessage({ id: `said-${message}`, role: 'user', content: message })
  await agent.runAgent(parameters, { onEvent ({ event }) { events.push(event as AGUIEvent) } })
  return events
}

async function eventsIn (response: Response): Promise<AGUIEvent[]> {
  const lines = (await response.text()).split('\n\n').filter((line) => line.startsWith('data: '))
  return lines.map((line) => EventSchema.parse(JSON.parse(line.slice(6))) as AGUIEvent)
}

function shortOf (events: AGUIEvent[]): string[] {
  return events.map((event) => `${event.type}${'delta' in event && typeof event.delta === 'string' ? ` ${event.delta}` : ''}`)
}

t.test('the client of AG-UI runs an agent', async (t) => {
  const turns: Turn[] = []
  const { url, app } = await serveAgUi(t, {
    agentExecutor: async function * (turn) {
      turns.push(turn)
      yield 'You '
      yield `said: ${turn.message}`
      yield { type: 'finish', finishReason: 'length', usage: { inputTokens: 3, outputTokens: 2 } }
    }
  })
  const agent = new HttpAgent({ url, threadId: 'tea' })
  const events = await run(agent, 'Hello', { runId: 'r1', forwardedProps: { mood: 'well' }, tools: [{ name: 'look', description: 'Looks', parameters: {} }] })
  t.match(events, [
    { type: 'RUN_STARTED', threadId: 'tea', runId: 'r1' },
    { type: 'TEXT_MESSAGE_START', role: 'assistant' },
    { type: 'TEXT_MESSAGE_CONTENT', delta: 'You ' },
    { type: 'TEXT_MESSAGE_CONTENT', delta: 'said: Hello' },
    { type: 'TEXT_MESSAGE_END' },
    {
      type: 'RUN_FINISHED', threadId: 'tea', runId: 'r1', outcome: { type: 'success' }, metadata: { finishReason: 'length' },
      usage: [{ inputTokens: 3, outputTokens: 2 }]
    }
  ])
  t.match(turns[0], { sessionId: 'tea', message: 'Hello', metadata: { mood: 'well', agUi: { tools: [{ name: 'look' }] } } })
  await run(agent, 'Again')
  t.strictSame(agent.messages.map(({ role, content }) => [role, content]), [
    ['user', 'Hello'], ['assistant', 'You said: Hello'], ['user', 'Again'], ['assistant', 'You said: Again']
  ])
  t.match(await turns[1]?.history(), [{ content: 'Hello' }, { content: 'You said: Hello' }], 'a thread is a session, which has its own history')
  t.equal(turns[1]?.metadata, undefined)
  await eventually(() => app.channel.stats().turns === 0)
})

t.test('all that an agent tells is an event of a run', async (t) => {
  const call = { toolCallId: 'c1', toolName: 'look' }
  const other = { toolCallId: 'c2', toolName: 'buy' }
  const parts: Part[] = [
    { type: 'event', name: 'reasoning', data: { id: 'a', text: 'Let me ' } },
    { type: 'event', name: 'reasoning', data: { id: 'a', text: '' } },
    { type: 'event', name: 'reasoning', data: { id: 'a', text: 'see.' } },
    { type: 'event', name: 'reasoning', data: { id: 'b', text: 'So.' } },
    'I look.',
    { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: 'early' } },
    { type: 'event', name: 'tool-input-start', data: call },
    { type: 'event', name: 'tool-input-start', data: call },
    { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: '{"at":' } },
    { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: '1}' } },
    { type: 'event', name: 'tool-input', data: { ...call, input: { at: 1 } } },
    { type: 'event', name: 'tool-input', data: { ...other, input: { what: 'tea' } } },
    { type: 'event', name: 'tool-input', data: { ...other, input: { what: 'tea' } } },
    { type: 'event', name: 'tool-approval-request', data: { ...other, approvalId: 'a1', input: { what: 'tea' } } },
    { type: 'event', name: 'tool-output', data: { ...call, output: 'half', preliminary: true } },
    { type: 'event', name: 'tool-output', data: { ...call, output: { cups: 2 } } },
    { type: 'event', name: 'tool-denied', data: other },
    { type: 'event', name: 'tool-output', data: { toolCallId: 'c3', toolName: 'late', output: 'text' } },
    { type: 'event', name: 'tool-output', data: { toolCallId: 'c4', toolName: 'none' } },
    { type: 'event', name: 'tool-error', data: { toolCallId: 'c5', toolName: 'broken' } },
    { type: 'event', name: 'progress', data: 50 },
    { type: 'event', name: 'pause' },
    'There are ',
    { type: 'message', content: 'two.' },
    { type: 'event', name: 'tool-input-start', data: { toolCallId: 'c6', toolName: 'open' } }
  ]
  const { url, post } = await serveAgUi(t, { agentExecutor: () => parts })
  const events = await eventsIn(await post(input([{ type: 'text', text: 'Hel' }, { type: 'text', text: 'lo' }])))
  t.strictSame(shortOf(events), [
    'RUN_STARTED',
    'REASONING_START', 'REASONING_MESSAGE_START', 'REASONING_MESSAGE_CONTENT Let me ', 'REASONING_MESSAGE_CONTENT see.', 'REASONING_MESSAGE_END', 'REASONING_END',
    'REASONING_START', 'REASONING_MESSAGE_START', 'REASONING_MESSAGE_CONTENT So.', 'REASONING_MESSAGE_END', 'REASONING_END',
    'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT I look.', 'TEXT_MESSAGE_END',
    'TOOL_CALL_START', 'TOOL_CALL_ARGS {"at":', 'TOOL_CALL_ARGS 1}', 'TOOL_CALL_END',
    'TOOL_CALL_START', 'TOOL_CALL_ARGS {"what":"tea"}', 'TOOL_CALL_END',
    'CUSTOM', 'CUSTOM', 'TOOL_CALL_RESULT', 'TOOL_CALL_RESULT',
    'TOOL_CALL_START', 'TOOL_CALL_ARGS {}', 'TOOL_CALL_END', 'TOOL_CALL_RESULT',
    'TOOL_CALL_START', 'TOOL_CALL_ARGS {}', 'TOOL_CALL_END', 'TOOL_CALL_RESULT',
    'TOOL_CALL_START', 'TOOL_CALL_ARGS {}', 'TOOL_CALL_END', 'TOOL_CALL_RESULT',
    'CUSTOM', 'CUSTOM',
    'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT There are ', 'TEXT_MESSAGE_END',
    'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT two.', 'TEXT_MESSAGE_END',
    'TOOL_CALL_START', 'TOOL_CALL_END',
    'RUN_FINISHED'
  ])
  t.match(events.filter(({ type }) => type === EventType.TOOL_CALL_RESULT), [
    { toolCallId: 'c1', content: '{"cups":2}' }, { toolCallId: 'c2', content: 'The user does not want that' }, { toolCallId: 'c3', content: 'text' },
    { toolCallId: 'c4', content: 'null' }, { toolCallId: 'c5', content: 'The tool failed' }
  ])
  t.match(events.filter(({ type }) => type === EventType.CUSTOM), [
    { name: 'tool-approval-request', value: { approvalId: 'a1' } }, { name: 'tool-output', value: { preliminary: true } },
    { name: 'progress', value: 50 }, { name: 'pause', value: null }
  ])
  t.equal(new Set(events.flatMap((event) => event.type.endsWith('_START') && 'messageId' in event ? [event.messageId] : [])).size, 5, 'each message has its id')
  const agent = new HttpAgent({ url, threadId: 'tea' })
  t.equal((await run(agent, 'Hello')).length, events.length, 'and the client takes them all')
  t.equal(agent.messages.filter(({ role }: Message) => role === 'tool').length, 5)
})

t.test('a whole answer is a message', async (t) => {
  const { post } = await serveAgUi(t, { agentExecutor: () => 'All of it' })
  t.strictSame(shortOf(await eventsIn(await post(input('Hello')))), [
    'RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT All of it', 'TEXT_MESSAGE_END', 'RUN_FINISHED'
  ])
})

t.test('what fails', async (t) => {
  await t.test('on its way is an error of the run', async (t) => {
    const { url, post } = await serveAgUi(t, {
      agentExecutor: function * ({ message }) {
        yield message
        if (message === 'secret') throw new Error('of the server')
        throw new AgentError('The shop is closed.')
      }
    })
    t.match((await eventsIn(await post(input('secret')))).slice(-2), [
      { type: 'TEXT_MESSAGE_END' }, { type: 'RUN_ERROR', code: 'AGENT_ERROR', message: 'The agent failed' }
    ])
    const failures: unknown[] = []
    const agent = new HttpAgent({ url, threadId: 'tea' })
    agent.addMessage({ id: 'm1', role: 'user', content: 'closed' })
    await agent.runAgent({}, { onRunErrorEvent ({ event }) { failures.push(event) } }).catch(() => {})
    t.match(failures, [{ message: 'The shop is closed.' }])
  })

  await t.test('before its first word too', async (t) => {
    const { post } = await serveAgUi(t, { agentExecutor: () => { throw new Error('of the server') } })
    const response = await post(input('Hello'))
    t.equal(response.status, 200)
    t.strictSame(shortOf(await eventsIn(response)), ['RUN_STARTED', 'RUN_ERROR'])
  })

  await t.test('before the run is a status', async (t) => {
    const { url, post, origin } = await serveAgUi(t, { agentExecutor: { main: { execute: () => 'x', metadata: { type: 'object', required: ['to'] } } } })
    const cases: Array<[body: unknown, text: string]> = [
      [{}, 'A field is wrong: threadId Expected required'],
      [input('x', { messages: [] }), 'A field is wrong: messages Expected array length'],
      [input('x', { messages: [{ role: 'user', content: 'x' }, { role: 'tool', content: 'y' }] }), 'A field is wrong: messages the last has to be the user'],
      [input([{ type: 'image', source: {} }]), 'A field is wrong: messages what the user says has to be text'],
      [input(''), 'A field is wrong: messages'],
      [input('x', { threadId: '' }), 'A field is wrong: threadId'],
      [input('x', { forwardedProps: [1] }), 'A field is wrong: forwardedProps'],
      [input('x', { forwardedProps: null }), 'A field is wrong: metadata must have']
    ]
    for (const [body, text] of cases) {
      const response = await post(body)
      t.equal(response.status, 400, text)
      t.match(await response.json(), { code: 'VALIDATION_FAILED', message: new RegExp(`^${text.slice(0, 40)}`) })
    }
    const init = { method: 'POST', body: JSON.stringify(input('x')), headers: { 'content-type': 'application/json' } }
    t.equal((await fetch(`${origin}/api/v1/agents/nobody/ag-ui`, init)).status, 404)
    t.equal((await fetch(url, { ...init, headers: { ...init.headers, origin: 'https://evil.example' } })).status, 403)
    t.match(await (await fetch(url, { ...init, body: '{' })).json(), { statusCode: 400, retryable: false })
  })
})

t.test('whoever aborts a run cancels its turn', async (t) => {
  const stopped = deferred()
  const { url, app } = await serveAgUi(t, {
    agentExecutor: async function * (turn) {
      turn.signal.addEventListener('abort', () => { stopped.resolve() })
      yield 'one'
      await turn.waitFor(new Promise(() => {}))
    }
  })
  const agent = new HttpAgent({ url, threadId: 'tea' })
  agent.addMessage({ id: 'm1', role: 'user', content: 'count' })
  await agent.runAgent({}, { onTextMessageContentEvent () { agent.abortRun() } }).catch(() => {})
  await stopped.promise
  await eventually(() => app.channel.stats().turns === 0)
})

t.test('a run that somebody else cancels says so', async (t) => {
  const { post, app } = await serveAgUi(t, {
    agentExecutor: async function * (turn) {
      yield 'one'
      await turn.waitFor(new Promise(() => {}))
    }
  })
  const response = await post(input('count'))
  await app.channel.cancel({ owner: 'anonymous', sessionId: 'tea' })
  t.match((await eventsIn(response)).at(-1), { type: 'RUN_FINISHED', outcome: { type: 'cancelled' } })
})

t.test('a run that waits behind another has begun for its client, who hears that it lives', async (t) => {
  const clock = new ManualClock()
  const gate = deferred()
  const { post, app } = await serveAgUi(t, { agentExecutor: async function * () { await gate.promise; yield 'x' }, clock, heartbeatMs: 1_000 })
  const first = post(input('first'))
  await eventually(() => app.channel.stats().runningTurns === 1)
  const second = post(input('second'))
  await eventually(() => app.channel.stats().turns === 2)
  clock.advance(3_000)
  const response = await second
  gate.resolve()
  t.strictSame(shortOf(await eventsIn(response)), ['RUN_STARTED', 'TEXT_MESSAGE_START', 'TEXT_MESSAGE_CONTENT x', 'TEXT_MESSAGE_END', 'RUN_FINISHED'])
  await (await first).text()
})

t.test('it is in the host\'s OpenAPI document, and there only where it is asked for', async (t) => {
  const { app } = await serveAgUi(t, { before (app) { addDocument(app) } })
  const document = documentOf(app)
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.equal(valid, true, JSON.stringify(errors))
  t.match(document.paths['/api/v1/agents/{agentId}/ag-ui']?.['post'], {
    operationId: 'runAgent', tags: ['agent channel'], parameters: [{ name: 'agentId', in: 'path' }],
    requestBody: { content: { 'application/json': { schema: { required: ['threadId', 'runId', 'messages'] } } } },
    responses: { 200: { content: { 'text/event-stream': {} } }, 400: {}, 404: {} }
  })
  const { post } = await serveAgUi(t, { rest: { agUi: false } })
  t.equal((await post(input('x'))).status, 404)
})
