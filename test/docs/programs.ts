import type { Test } from 'tap'

import { ask, askForText } from '../examples/conversation.js'
import type { Running } from '../examples/processes.js'
import { ask as askOverHttp } from '../helpers/http-client.js'
import { attend, connect, type ChannelClient, type ConnectOptions } from '../helpers/channel-client.js'
import { PostgresServer } from '../postgres/postgres-server.js'
import { RedisServer } from '../redis/redis-server.js'

/** What makes a program of a block of the README, and what is tried with it when it runs. */
export interface Program {
  /** The heading that the block stands under. */
  section: string
  /** Starts what it needs beside it, until the end of the test; answers the environment that tells it where that is. */
  prepare?: (t: Test) => Promise<Record<string, string>>
  before?: string
  after?: string
  /** Without it the program must end by itself, and well. */
  attempt?: (t: Test, host: Host) => Promise<void>
}

export interface Host {
  running: Running
  origin: string
  connect: (options?: ConnectOptions) => Promise<ChannelClient>
}

const APP = `
import Fastify from 'fastify'
import wsChannel from 'fastify-ws-channel'
const app = Fastify()
`
const LISTEN = `
await app.listen({ port: 9527 })
`
/** Printed once the app listens, wherever it is told to do so. */
export const LISTENING = /^LISTENING (\d+)$/m
export const SAY_WHERE = `
const address = app.server.address()
if (typeof address === 'object') console.log('LISTENING', address?.port)
`

const MODEL = `
const model = {
  async * stream (message: string, { signal }: { signal: AbortSignal }) {
    for (const text of [message, '!']) if (!signal.aborted) yield { text }
  }
}
`

/** For each block of TypeScript, in the order of the page. */
export const PROGRAMS: Program[] = [
  {
    section: 'In your own app',
    async attempt (t, { origin, connect }) {
      t.strictSame(await (await fetch(`${origin}/api/v1/health`)).json(), { ok: true })
      const client = await connect()
      t.equal(await askForText(client, 'hi'), 'You said: hi. Before that, 0 messages were said here.')
      t.equal(await askForText(client, 'hi'), 'You said: hi. Before that, 2 messages were said here.')
      await client.close()
    }
  },
  {
    section: 'Sharing your auth',
    before: `
import jwt from '@fastify/jwt'
${APP}
declare module '@fastify/jwt' {
  interface FastifyJWT { user: { sub: string, exp: number, plan: string } }
}
const secret = 'only for this test'
const suspended = new Set(['eve'])
`,
    after: `
${LISTEN}
for (const sub of ['ada', 'eve']) console.log(\`\${sub.toUpperCase()} \${app.jwt.sign({ sub, plan: 'free' }, { expiresIn: '1h' })}\`)
`,
    async attempt (t, { running, origin, connect }) {
      const [[, ada = ''], [, eve = '']] = [await running.printed(/^ADA (.+)$/m), await running.printed(/^EVE (.+)$/m)]
      t.equal((await fetch(`${origin}/api/v1/me`)).status, 401)
      t.match(await (await fetch(`${origin}/api/v1/me`, { headers: bearer(ada) })).json(), { sub: 'ada' })
      await t.rejects(connect(), { name: 'UpgradeRefused', statusCode: 401 })
      t.equal((await fetch(`${origin}/api/v1/ws`, { headers: bearer(ada) })).status, 426, 'a GET says that all is well')

      const client = await connect({ headers: bearer(ada) })
      t.equal(await askForText(client, 'hi'), 'Hello ada: {"plan":"free"}')
      await client.close()
      const browser = await connect({ protocols: ['agent-channel.v1', 'bearer', ada] })
      t.equal((await browser.next('ready')).protocol, 'agent-channel.v1')
      await browser.close()
      const suspended = await connect({ headers: bearer(eve) })
      t.match(await ask(suspended, 'hi'), [{ type: 'error', code: 'FORBIDDEN', done: true }])
      await suspended.fence()
      await suspended.close()
    }
  },
  {
    section: 'Writing an executor',
    before: `
import { Type } from '@sinclair/typebox'
import type { AgentExecutor } from 'fastify-ws-channel'
${APP}${MODEL}
const storyUrl = 'data:text/plain,Once there was tea.'
const translate = (message: string, to: string) => \`\${message} in \${to}\`
`,
    after: `
app.register(wsChannel, { agentExecutor: agents })
${LISTEN}`,
    async attempt (t, { connect }) {
      const client = await connect()
      t.match(await ask(client, 'tea', { agentId: 'whole' }), [{ type: 'message', content: 'You said: tea', done: true }])
      t.match(await ask(client, 'tea', { agentId: 'list' }), [
        { type: 'stream', content: 'one, ', done: false },
        { type: 'stream', content: 'two', done: false },
        { type: 'stream', content: '', done: true }
      ])
      t.equal(await askForText(client, 'tea', { agentId: 'model' }), 'tea!')
      t.equal(await askForText(client, 'tea', { agentId: 'web' }), 'Once there was tea.')
      t.match(await ask(client, 'tea', { agentId: 'translator' }), [{ code: 'VALIDATION_FAILED', details: { path: '/metadata/to' } }])
      client.send({ type: 'chat', agentId: 'translator', message: 'tea', metadata: { to: 'zh' } })
      t.match(await client.next('message'), { content: 'tea in zh', done: true })
      t.match(await ask(client, 'tea', { agentId: 'nobody' }), [{ code: 'AGENT_NOT_FOUND' }])
      await client.close()
    }
  },
  {
    section: 'Writing an executor',
    before: `
import { AgentError, type Executor } from 'fastify-ws-channel'
${APP}
const supervisor = { adviceOn: async (message: string) => \`drink \${message}\` }
`,
    after: `
app.register(wsChannel, { agentExecutor: clerk })
${LISTEN}`,
    async attempt (t, { connect }) {
      const client = await connect()
      t.match(await ask(client, 'tea'), [
        { type: 'message', content: 'I shall ask my supervisor.', done: false },
        { type: 'stream', content: 'The advice is: drink tea', done: false },
        { type: 'stream', content: '', done: true }
      ])
      t.match(await ask(client, 'tea'.repeat(1_000)), [{ code: 'AGENT_ERROR', message: 'Please put it in fewer words.' }])
      await client.close()
    }
  },
  {
    section: 'Bring your agent',
    before: `
import { HttpAgent } from '@ag-ui/client'
import { FakeListChatModel } from '@langchain/core/utils/testing'
import { simulateReadableStream, streamText, type ToolSet } from 'ai'
import { MockLanguageModelV3 } from 'ai/test'
import OpenAI from 'openai'
import type { AgentExecutor } from 'fastify-ws-channel'
import { fromAgUi } from 'fastify-ws-channel/adapters/ag-ui'
import { fromAiSdk } from 'fastify-ws-channel/adapters/ai-sdk'
import { fromLangChain } from 'fastify-ws-channel/adapters/langchain'
import { fromOpenAI } from 'fastify-ws-channel/adapters/openai'
${APP}
const tools: ToolSet = {}
const model = new MockLanguageModelV3({
  doStream: async ({ prompt }) => ({ stream: simulateReadableStream({ chunks: [
    { type: 'text-start', id: '1' }, { type: 'text-delta', id: '1', delta: \`\${prompt.length} said\` }, { type: 'text-end', id: '1' }
  ] }) })
})
const chunk = JSON.stringify({ id: 'm1', choices: [{ index: 0, delta: { content: 'tea' }, finish_reason: 'stop' }] })
const events = { headers: { 'content-type': 'text/event-stream' } }
const openai = new OpenAI({ apiKey: 'none', fetch: async () => new Response(\`data: \${chunk}\n\ndata: [DONE]\n\n\`, events) })
const runnable = new FakeListChatModel({ responses: ['tea'] })
const run = [{ type: 'TEXT_MESSAGE_CONTENT', messageId: 'm1', delta: 'tea' }, { type: 'RUN_FINISHED', threadId: 't', runId: 'r' }]
const agentUrl = 'data:text/event-stream,' + encodeURIComponent(run.map((event) => \`data: \${JSON.stringify(event)}\n\n\`).join(''))
`,
    after: `
app.register(wsChannel, { agentExecutor: agents })
${LISTEN}`,
    async attempt (t, { connect }) {
      const client = await connect()
      for (const agentId of ['openai', 'chain', 'agui']) t.equal(await askForText(client, 'hi', { agentId }), 'tea', agentId)
      t.equal(await askForText(client, 'hi', { agentId: 'sdk', sessionId: 's' }), '1 said')
      t.equal(await askForText(client, 'hi', { agentId: 'sdk', sessionId: 's' }), '3 said')
      await client.close()
    }
  },
  {
    section: 'Writing a session store',
    before: `
import test from 'node:test'
import { memorySessionStore, type SessionStore } from 'fastify-ws-channel'
import { sessionStoreSuite } from 'fastify-ws-channel/conformance'
let tables = 0
const myStore = ({ table }: { table: string }): SessionStore => memorySessionStore({ maxSessions: table.length * 100 })
`
  },
  {
    section: 'Writing a session store',
    before: `${APP}
app.register(async (api) => {
`,
    after: `
}, { prefix: '/api/v1' })
${LISTEN}`,
    async attempt (t, { origin, connect }) {
      const client = await connect()
      t.equal(await askForText(client, 'tea', { sessionId: 'one' }), 'tea')
      const read = async (sessionId: string): Promise<unknown> => await (await fetch(`${origin}/api/v1/sessions/${sessionId}`)).json()
      t.match(await read('one'), { messages: [{ role: 'user', content: 'tea' }, { role: 'assistant', content: 'tea', complete: true }] })
      t.strictSame(await read('two'), { messages: [] })
      await client.close()
    }
  },
  {
    section: 'Writing a session store',
    async prepare (t) {
      const [{ url }, { folder }] = await Promise.all([RedisServer.start(t), PostgresServer.start(t)])
      return { REDIS_URL: url, PGHOST: folder }
    },
    before: `
import { Redis } from 'ioredis'
import { Pool } from 'pg'
import { migratePostgresSessions, postgresSessionStore } from 'fastify-ws-channel/postgres'
import { redisSessionStore } from 'fastify-ws-channel/redis'
${APP}
const { REDIS_URL: redisUrl = '' } = process.env
const pool = new Pool({ user: 'postgres', database: 'postgres' })
`,
    after: `
const key = { owner: 'ada', agentId: 'main', sessionId: 's' }
await stores.postgres.append(key, [{ role: 'user', content: 'tea', turnId: 't', at: Date.now(), complete: true }])
console.log('KEPT', (await stores.postgres.turn(key, 't'))[0]?.content)
${LISTEN}`,
    async attempt (t, { running, connect }) {
      await running.printed(/^KEPT tea$/m)
      const client = await connect()
      t.equal(await askForText(client, 'tea', { sessionId: 'one' }), 'tea')
      client.send({ type: 'history', sessionId: 'one' })
      t.match(await client.next('history'), { messages: [{ role: 'user', content: 'tea' }, { role: 'assistant', content: 'tea', complete: true }] })
      await client.close()
    }
  },
  {
    section: 'Several nodes',
    async prepare (t) {
      return { REDIS_URL: (await RedisServer.start(t)).url }
    },
    before: `
import { Redis } from 'ioredis'
import { redisJournal, redisSessionStore } from 'fastify-ws-channel/redis'
${APP}
const { REDIS_URL: redisUrl = '' } = process.env
`,
    after: `
await journal.ready()
${LISTEN}`,
    async attempt (t, { connect }) {
      const client = await connect()
      t.match(await askForText(client, 'tea', { sessionId: 'one' }), /tea/)
      client.send({ type: 'history', sessionId: 'one' })
      t.match(await client.next('history'), { messages: [{ role: 'user', content: 'tea' }, { role: 'assistant', complete: true }] })
      await client.close()
    }
  },
  {
    section: 'A client',
    before: `
import assert from 'node:assert/strict'
import { createChannelClient } from 'fastify-ws-channel/client'
import { WebSocket } from 'ws'
${APP}
const user = 'ada'
const renewals: boolean[] = []
const tokenOf = (name: string, { isRenewed }: { isRenewed: boolean }): string => {
  renewals.push(isRenewed)
  return isRenewed ? name : 'old'
}
app.addHook('onRequest', async ({ headers: { authorization } }, reply) => {
  if (authorization !== 'Bearer ada') await reply.code(401).send()
})
app.register(wsChannel, {
  agentExecutor: async function * ({ message }) { yield 'You said: '; yield message },
  identify: () => user,
  authorize: ({ type }) => {
    // On another device, as soon as the session is followed.
    if (type === 'subscribe') setImmediate(() => { void app.channel.startTurn({ owner: user, sessionId: 'tea', message: 'Good morning' }) })
    return true
  }
})
await app.listen({ port: 9527 })
const address = app.server.address()
const url = \`http://127.0.0.1:\${typeof address === 'object' ? address?.port : ''}/api/v1/ws\`
const written: string[] = []
const log = console.log
console.log = (text: string) => {
  written.push(text)
  subscription.close()
}
const { write } = process.stdout
process.stdout.write = (text: string | Uint8Array) => written.push(String(text)) > 0
`,
    after: `
process.stdout.write = write
console.log = log
assert.deepEqual(written, ['You said: ', 'Say hello', 'Good morning You said: Good morning'])
assert.deepEqual([finishReason, usage], ['stop', undefined])
assert.deepEqual(messages.map(({ content }) => content), ['Say hello', 'You said: Say hello'])
assert.deepEqual(renewals, [false, true])
client.close()
await app.close()
`
  },
  {
    section: 'A client',
    before: `
import { createChannelClient } from 'fastify-ws-channel/client'
import { sseTransport } from 'fastify-ws-channel/client/sse'
import { channelRest } from 'fastify-ws-channel'
import { WebSocket } from 'ws'
${APP}
let refused = 0
app.addHook('onRequest', async ({ headers }, reply) => {
  if (headers.upgrade === undefined) return
  refused++
  await reply.code(501).send()
})
app.register(wsChannel, { agentExecutor: ({ message }) => \`You said: \${message}\` })
app.register(channelRest)
await app.listen({ port: 9527 })
const address = app.server.address()
const url = \`http://127.0.0.1:\${typeof address === 'object' ? address?.port : ''}/api/v1/ws\`
const written: string[] = []
const { log } = console
console.log = (text: string) => { written.push(text) }
`,
    after: `
console.log = log
client.close()
if (written.join() !== 'You said: Say hello' || refused !== 2) throw new Error(JSON.stringify({ written, refused }))
await app.close()
`
  },
  {
    section: 'Bring your front end',
    before: `
import assert from 'node:assert/strict'
import { Chat } from '@ai-sdk/react'
import { channelChatTransport } from 'fastify-ws-channel/ai-sdk'
import { WebSocket } from 'ws'
${APP}
app.register(wsChannel, {
  agentExecutor: async function * ({ message, metadata }) { yield \`\${message}: \`; yield String(metadata?.mood) }
})
await app.listen({ port: 9527 })
const address = app.server.address()
const url = \`http://127.0.0.1:\${typeof address === 'object' ? address?.port : ''}/api/v1/ws\`
`,
    after: `
assert.equal(chat.error, undefined)
assert.deepEqual(chat.messages.map(({ role, parts }) => [role, parts.map((part) => part.type === 'text' ? part.text : part.type)]), [
  ['user', ['Say hello']], ['assistant', ['step-start', 'Say hello: well']]
])
assert.deepEqual((await transport.messages('tea')).messages.map(({ id }) => id), chat.messages.map(({ id }) => id))
transport.close()
await app.close()
`
  },
  {
    section: 'Frames of your own, and turns',
    before: `
import assert from 'node:assert/strict'
import { Type } from '@sinclair/typebox'
import { once } from 'node:events'
${APP}
const ratings = { add: (owner: string, turnId: string, stars: number) => \`\${owner} gives \${turnId} \${stars}\` }
const log = console.log
const types: unknown[] = []
console.log = (type: unknown) => { types.push(type) }
`,
    after: `
console.log = log
assert.deepEqual(types, ['subscribed', 'event', 'message'])
assert.deepEqual(stopped, [])
const socket = await app.channel.injectWS()
const say = async (frame: object): Promise<unknown> => {
  socket.send(JSON.stringify(frame))
  const [answer] = await once(socket, 'message') as [Buffer]
  return JSON.parse(answer.toString())
}
assert.deepEqual(await say({ type: 'rate', id: 'r', turnId: turn.id, stars: 5 }), { type: 'rate', id: 'r', data: \`ada gives \${turn.id} 5\` })
assert.equal((await say({ type: 'rate', id: 'r', turnId: turn.id, stars: 6 }) as { code: string }).code, 'VALIDATION_FAILED')
socket.close()
await once(socket, 'close')
await app.close()
`
  },
  {
    section: 'The same turns over HTTP',
    before: `
import Fastify from 'fastify'
import wsChannel, { channelRest } from 'fastify-ws-channel'
const app = Fastify()
`,
    after: LISTEN,
    async attempt (t, { origin }) {
      const body = { id: 'q1', sessionId: 'tea', message: 'hello' }
      t.match((await askOverHttp(`${origin}/api/v1/agents/main/chat`, { body })).body, { id: 'q1', content: 'You said: hello' })
      t.match((await askOverHttp(`${origin}/api/v1/agents`)).body, { agents: [{ agentId: 'main' }], channel: { protocol: 'agent-channel.v1' } })
    }
  },
  {
    section: 'Shutting down',
    before: `${APP}
let release = () => {}
const released = new Promise<void>((resolve) => { release = resolve })
app.get('/release', async () => { release(); return 'released' })
app.register(wsChannel, {
  agentExecutor: async function * () {
    yield 'begun'
    await released
    yield 'ended'
  }
})
`,
    after: LISTEN,
    async attempt (t, { running, origin, connect }) {
      const client = await connect({ protocols: ['agent-channel.v1'] })
      await client.next('ready')
      client.send({ type: 'chat', message: 'x' })
      t.equal((await client.next('stream')).content, 'begun')
      running.child.kill('SIGTERM')
      await client.next('reconnect')
      await t.rejects(connect(), { name: 'UpgradeRefused', statusCode: 503 })
      t.equal((await fetch(`${origin}/release`)).status, 200, 'REST is served while the channel drains')
      t.equal((await client.next('stream')).content, 'ended')
      t.match(await client.next('stream'), { content: '', done: true })
      t.match(await client.closed, { code: 1012 })
      t.equal((await running.ended).code, 0)
    }
  },
  {
    section: 'The playground',
    before: `
import { channelPlayground } from 'fastify-ws-channel'
${APP}
app.register(wsChannel)
`,
    after: LISTEN,
    async attempt (t, { origin }) {
      const page = await fetch(`${origin}/api/v1/ws/playground`)
      t.equal(page.status, 200)
      t.match(await page.text(), /<title>Channel playground<\/title>/)
    }
  },
  {
    section: 'Testing your host',
    before: `
import assert from 'node:assert/strict'
import { once } from 'node:events'
${APP}`,
    after: `
socket.close()
await once(socket, 'close')
assert.deepEqual([app.channel.stats().connections, app.channel.stats().turns], [0, 0])
await app.close()
`
  }
]

/** Says where the program listens, and what to connect to it with. */
export async function hostOf (t: Test, running: Running): Promise<Host> {
  const [, port = ''] = await running.printed(LISTENING)
  const url = `ws://127.0.0.1:${port}/api/v1/ws`
  return {
    running,
    origin: `http://127.0.0.1:${port}`,
    connect: async (options) => attend(t, await connect(url, options))
  }
}

function bearer (token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` }
}
