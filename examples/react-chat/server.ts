// npx tsx examples/react-chat/server.ts
//
// A chat in React at http://localhost:9527/, by `useChat` of the AI SDK. Tell it something, or "buy 3 teapots"; reload the
// page in the middle, or before you answer.
import { setTimeout as pause } from 'node:timers/promises'

import Fastify from 'fastify'
import { build } from 'vite'

import wsChannel, { type Executor, type Part, type Turn } from '../../lib/index.js'
import { Approvals } from '../approvals.js'

const approvals = new Approvals()

const agent: Executor = async function * (turn) {
  turn.signal.addEventListener('abort', () => { turn.log.info('the agent was stopped') })
  yield { type: 'event', name: 'reasoning', data: { id: 'r', text: `The question has ${turn.message.length} characters.` } }
  const [, what] = /^buy (.+)/i.exec(turn.message) ?? []
  if (what === undefined) yield * slowly(`You said: ${turn.message}`, turn)
  else yield * purchase(what, turn)
}

async function * slowly (text: string, { signal }: Turn): AsyncGenerator<Part, void> {
  for (const word of text.split(/(?<= )/)) {
    yield word
    await pause(30, undefined, { signal })
  }
}

/** What an agent with a model does by a tool; see examples/ai-sdk.ts. */
async function * purchase (what: string, turn: Turn): AsyncGenerator<Part, void> {
  const call = { toolCallId: `buy-${turn.id}`, toolName: 'buy', input: { what } }
  const { approvalId, answered } = approvals.open(turn, undefined, call)
  yield * slowly('One moment, please. ', turn)
  yield { type: 'event', name: 'tool-input', data: call }
  yield { type: 'event', name: 'tool-approval-request', data: { ...call, approvalId } }
  if (await turn.waitFor(answered)) {
    yield { type: 'event', name: 'tool-output', data: { ...call, output: { bought: what } } }
    yield * slowly(`You have ${what} now.`, turn)
  } else {
    yield { type: 'event', name: 'tool-denied', data: call }
    yield * slowly('So be it.', turn)
  }
}

/** The page, as `npx vite build` makes it. */
async function pageFiles () {
  const built = await build({ root: import.meta.dirname, logLevel: 'error', build: { write: false } })
  const files = 'output' in built ? built.output : []
  return new Map(files.map((file) => [`/${file.fileName}`, file.type === 'chunk' ? file.code : file.source]))
}

const files = await pageFiles()
const app = Fastify({ logger: true })
app.register(async (api) => {
  // While a person thinks only this one runs.
  await api.register(wsChannel, { agentExecutor: agent, turnTimeoutMs: 3_600_000 })
  approvals.define(api.channel)
}, { prefix: '/api/v1' })
app.get('/', async (_request, reply) => reply.type('text/html').send(files.get('/index.html')))
app.get('/assets/*', async ({ url }, reply) => {
  if (!files.has(url)) return reply.callNotFound()
  return reply.type(url.endsWith('.css') ? 'text/css' : 'text/javascript').send(files.get(url))
})
await app.listen({ port: Number(process.env.PORT ?? 9527) })
