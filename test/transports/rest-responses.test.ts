import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'

import { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'

import type { WsChannelOptions } from '../../lib/index.js'
import { serverFrameSchemas, type ServerFrameType } from '../../lib/protocol/server-frames.js'
import { compileCheck } from '../../lib/protocol/schema-check.js'
import { eventOf } from '../helpers/http-client.js'
import { addDocument, documentOf, type OpenApiDocument } from './rest-document.js'
import { serveRest, type RestHost } from './rest-host.js'
import { Stage } from './stage.js'

const SESSION = '/agents/main/sessions/s'
const PATHS: Record<string, [method: string, path: string]> = {
  agents: ['get', '/agents'],
  chat: ['post', '/agents/{agentId}/chat'],
  sessions: ['get', '/agents/{agentId}/sessions'],
  messages: ['get', '/agents/{agentId}/sessions/{sessionId}/messages'],
  events: ['get', '/agents/{agentId}/sessions/{sessionId}/events'],
  cancel: ['post', '/agents/{agentId}/sessions/{sessionId}/cancel'],
  forget: ['delete', '/agents/{agentId}/sessions/{sessionId}'],
  socket: ['get', '/ws']
}

/** What was answered, checked against the document, so that at the end it can be said what never was. */
class Answers {
  readonly produced = new Set<string>()
  readonly #document: OpenApiDocument
  readonly #t: Test

  constructor (t: Test, document: OpenApiDocument) {
    this.#t = t
    this.#document = document
  }

  /** All that the document says may be answered: a route, a status and a type. */
  get documented (): string[] {
    return Object.keys(PATHS).flatMap((route) => Object.entries(this.#responses(route)).flatMap(([status, { content }]) =>
      Object.keys(content ?? { none: 1 }).map((type) => `${route} ${status} ${type}`)))
  }

  async take (route: string, status: number, asked: Response | Promise<Response>): Promise<void> {
    const response = await asked
    const text = response.body === null ? '' : await firstOf(response)
    const type = response.headers.get('content-type')?.split(';')[0] ?? 'none'
    this.#t.equal(response.status, status, `${route}: ${text}`)
    this.#t.equal(this.faultOf(route, response.status, type, text), undefined, `${route} ${status}`)
    this.produced.add(`${route} ${response.status} ${type}`)
  }

  faultOf (route: string, status: number, type: string, text: string): string | undefined {
    const response = this.#responses(route)[String(status)]
    if (response === undefined) return 'no such status'
    if (response.content === undefined) return text === '' ? undefined : 'a body'
    const schema = response.content[type]?.schema
    if (schema === undefined) return `no such type: ${type}`
    const validate = new Ajv2020({ strict: false }).compile(schema)
    const value: unknown = type === 'application/json' ? JSON.parse(text) : text
    if (!validate(value)) return JSON.stringify(validate.errors)
    return type === 'application/json' ? undefined : frameFault(text)
  }

  #responses (route: string) {
    const [method = '', path = ''] = PATHS[route] ?? []
    return this.#document.paths[`/api/v1${path}`]?.[method]?.responses ?? {}
  }
}

/** The body; of one that does not end by itself, the first event. */
async function firstOf (response: Response): Promise<string> {
  if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true) return await response.text()
  const reader = response.body?.getReader()
  const chunk = await reader?.read()
  await reader?.cancel()
  return Buffer.from(chunk?.value ?? []).toString()
}

/** Each event has a frame of the protocol. */
function frameFault (text: string): string | undefined {
  for (const block of text.split('\n\n').slice(0, -1)) {
    const { frame } = eventOf(block)
    const fault = compileCheck(serverFrameSchemas[frame.type as ServerFrameType])(frame)
    if (fault !== undefined) return JSON.stringify({ fault, frame })
  }
  return undefined
}

/** A request to each route that would be answered well. */
function requestsTo ({ base }: RestHost, headers: Record<string, string> = {}): Record<string, () => Promise<Response>> {
  const json = { ...headers, 'content-type': 'application/json' }
  return {
    agents: () => fetch(`${base}/agents`, { headers }),
    chat: () => fetch(`${base}/agents/main/chat`, { method: 'POST', headers: json, body: '{"message":"say","sessionId":"s"}' }),
    sessions: () => fetch(`${base}/agents/main/sessions`, { headers }),
    messages: () => fetch(`${base}${SESSION}/messages`, { headers }),
    events: () => fetch(`${base}${SESSION}/events`, { headers }),
    cancel: () => fetch(`${base}${SESSION}/cancel`, { method: 'POST', headers }),
    forget: () => fetch(`${base}${SESSION}`, { method: 'DELETE', headers }),
    socket: () => fetch(`${base}/ws`, { headers })
  }
}

t.test('every answer that the document has is given by the routes, and matches its schema', async (t) => {
  const stage = new Stage()
  const options: WsChannelOptions = {
    identify ({ headers }) {
      if (headers['x-fault'] === 'yes') throw new Error('no owner')
      return 'ada'
    },
    agentExecutor: { main: stage.executor },
    maxPayload: 2_000,
    firstPartTimeoutMs: 500
  }
  const host = await serveRest(t, {
    ...options,
    before (app) {
      addDocument(app)
      app.addHook('onRequest', async ({ headers }) => {
        const { 'x-refuse': status } = headers
        if (status !== undefined) throw Object.assign(new Error('refused by the host'), { statusCode: Number(status) })
      })
    }
  })
  const { base } = host
  const answers = new Answers(t, documentOf(host.app))
  const post = async (path: string, body: string, headers: Record<string, string> = {}) =>
    await fetch(base + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body })
  const chat = async (body: object, headers = {}) => await post('/agents/main/chat', JSON.stringify(body), headers)

  for (const status of [401, 403, 429, 503]) {
    for (const [route, ask] of Object.entries(requestsTo(host, { 'x-refuse': String(status) }))) await answers.take(route, status, ask())
  }
  const fault = requestsTo(host, { 'x-fault': 'yes' })
  for (const route of Object.keys(PATHS)) if (route !== 'socket') await answers.take(route, 500, fault[route]?.() ?? Response.error())

  // All is well.
  stage.act('say').say({ type: 'message', content: 'first' }, 'hi', { type: 'finish', usage: { inputTokens: 1, outputTokens: 1 } }).end()
  const good = requestsTo(host)
  for (const [route, status] of [['agents', 200], ['chat', 200], ['sessions', 200], ['messages', 200], ['events', 200]] as const) {
    await answers.take(route, status, good[route]?.() ?? Response.error())
  }
  await answers.take('chat', 202, chat({ message: 'say', sessionId: 'later' }, { prefer: 'respond-async' }))
  for (const [route, ask] of Object.entries(requestsTo(host, { 'channel-journal': 'gone' }))) {
    if (route !== 'socket') await answers.take(route, 412, ask())
  }
  stage.act('tell').say('hi').end()
  await answers.take('chat', 200, chat({ message: 'tell', sessionId: 's', id: 'a' }, { accept: 'text/event-stream' }))
  const running = chat({ message: 'run', sessionId: 's' })
  // Its first part is there: only how long the next may take on a busy machine is left.
  await stage.act('run').say('so far').started.promise
  await answers.take('chat', 409, chat({ message: 'y', sessionId: 's', onBusy: 'reject' }))
  await answers.take('cancel', 200, good['cancel']?.() ?? Response.error())
  await answers.take('chat', 200, running)
  await answers.take('cancel', 404, good['cancel']?.() ?? Response.error())
  await answers.take('forget', 204, good['forget']?.() ?? Response.error())

  // What clients do wrong.
  await answers.take('chat', 400, chat({ message: '' }))
  await answers.take('chat', 404, post('/agents/none/chat', '{"message":"x"}'))
  await answers.take('chat', 406, chat({ message: 'x' }, { accept: 'image/png' }))
  await answers.take('events', 406, fetch(`${base}${SESSION}/events`, { headers: { accept: 'image/png' } }))
  for (const [route, path] of [['chat', '/agents/main/chat'], ['cancel', `${SESSION}/cancel`]] as const) {
    await answers.take(route, 413, post(path, JSON.stringify({ message: 'x'.repeat(3_000) })))
    await answers.take(route, 415, post(path, '<x/>', { 'content-type': 'text/xml' }))
  }
  await answers.take('cancel', 400, post(`${SESSION}/cancel`, '[]'))
  await answers.take('sessions', 400, fetch(`${base}/agents/main/sessions?limit=0`))
  await answers.take('messages', 400, fetch(`${base}${SESSION}/messages?limit=0`))
  await answers.take('events', 400, fetch(`${base}${SESSION}/events?lastEventId=x`))
  await answers.take('forget', 400, fetch(`${base}/agents/main/sessions/%00`, { method: 'DELETE' }))

  // What agents do wrong.
  stage.act('fail').end(new Error('no'))
  await answers.take('chat', 502, chat({ message: 'fail' }))
  await answers.take('chat', 504, chat({ message: 'wait' }))

  // The socket.
  await answers.take('socket', 426, good['socket']?.() ?? Response.error())
  await answers.take('socket', 400, fetch(`${base}/ws?agentId=%00`))
  const socket = new WebSocket(host.url)
  const upgraded = once(socket, 'upgrade')
  await once(socket, 'open')
  const [{ statusCode = 0 }] = await upgraded as [IncomingMessage]
  t.equal(answers.faultOf('socket', statusCode, 'none', ''), undefined)
  answers.produced.add(`socket ${statusCode} none`)
  socket.terminate()
  await once(socket, 'close')

  t.strictSame([...answers.produced].sort(), answers.documented.sort())
  t.ok(answers.documented.length > 50)
})

t.test('an answer that the document does not have is found', async (t) => {
  const { app } = await serveRest(t, { agentExecutor: () => 'hi', before (app) { addDocument(app) } })
  const answers = new Answers(t, documentOf(app))
  t.equal(answers.faultOf('agents', 418, 'application/json', '{}'), 'no such status')
  t.match(answers.faultOf('agents', 200, 'application/json', '{}'), /agents/)
  t.equal(answers.faultOf('agents', 200, 'text/html', ''), 'no such type: text/html')
  t.equal(answers.faultOf('forget', 204, 'none', 'x'), 'a body')
  t.match(answers.faultOf('events', 200, 'text/event-stream', 'data: {"type":"pong","id":1}\n\n'), /fault/)
  t.match(answers.faultOf('chat', 400, 'application/json', '{"statusCode":400}'), /required/)
})
