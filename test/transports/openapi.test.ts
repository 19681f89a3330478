import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import swagger from '@fastify/swagger'
import openapiTypes, { astToString } from 'openapi-typescript'
import t, { type Test } from 'tap'

import { channelRest, wsChannel } from '../../lib/index.js'
import { typeFaults } from '../docs/type-check.js'
import { root, run } from '../examples/processes.js'
import { addDocument, documentOf, type OpenApiDocument } from './rest-document.js'
import { serveRest } from './rest-host.js'

// Starting a process through a compiler takes its time on a busy machine.
t.setTimeout(120_000)

const ROUTES: Array<[method: string, path: string, operationId: string]> = [
  ['get', '/api/v1/agents', 'listAgents'],
  ['post', '/api/v1/agents/{agentId}/chat', 'chat'],
  ['get', '/api/v1/agents/{agentId}/sessions', 'listSessions'],
  ['get', '/api/v1/agents/{agentId}/sessions/{sessionId}/messages', 'listMessages'],
  ['get', '/api/v1/agents/{agentId}/sessions/{sessionId}/events', 'followSession'],
  ['post', '/api/v1/agents/{agentId}/sessions/{sessionId}/cancel', 'cancel'],
  ['delete', '/api/v1/agents/{agentId}/sessions/{sessionId}', 'forgetSession']
]

async function assertValid (t: Test, document: OpenApiDocument): Promise<void> {
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.equal(valid, true, JSON.stringify(errors))
}

t.test('one document has the host\'s neighbours, the routes and the socket, and is valid', async (t) => {
  for (const openapi of ['3.0.3', '3.1.0'] as const) {
    const { app } = await serveRest(t, {
      agentExecutor: () => 'hi',
      before (app) {
        addDocument(app, openapi)
        app.register(async (scope) => {
          scope.get('/orders', { schema: { response: { 200: { type: 'array', items: { type: 'string' } } } } }, async () => [])
        })
      }
    })
    const document = documentOf(app)
    await assertValid(t, document)
    t.equal(document.openapi, openapi)
    t.ok(document.paths['/orders'])
    for (const [method, path, operationId] of ROUTES) {
      t.match(document.paths[path]?.[method], { operationId, summary: String, tags: ['agent channel'] }, operationId)
    }
    const socket = document.paths['/api/v1/ws']?.['get']
    t.strictSame(Object.keys(socket?.responses ?? {}), ['101', '400', '401', '403', '426', '429', '503'])
    t.equal(socket?.externalDocs?.url, '/api/v1/ws/asyncapi.json')
    const chat = document.paths['/api/v1/agents/{agentId}/chat']?.['post']
    t.strictSame(Object.keys(chat?.responses['200']?.content ?? {}), ['application/json', 'text/event-stream'])
    t.match(chat?.parameters, [{ name: 'agentId', in: 'path', required: true }, { name: 'idempotency-key', in: 'header' }])
    t.strictSame(Object.keys(chat?.responses ?? {}), ['200', '202', '400', '401', '403', '404', '406', '409', '412', '413', '415', '429', '500', '502', '503', '504'])
  }
})

t.test('what a host says for people is there; what is for machines stays', async (t) => {
  const { app } = await serveRest(t, {
    agentExecutor: () => 'hi',
    before (app) { addDocument(app) },
    rest: { routeOptions: { schema: { tags: ['mine'], security: [{ token: [] }] } } }
  })
  for (const [method, path, operationId] of ROUTES) {
    t.match(documentOf(app).paths[path]?.[method], { operationId, tags: ['mine'], security: [{ token: [] }] })
  }
})

t.test('two channels of one app have operations of their own', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  addDocument(app)
  for (const prefix of ['/one', '/two']) {
    app.register(async (scope) => {
      scope.register(wsChannel, { agentExecutor: () => prefix })
      scope.register(channelRest)
    }, { prefix })
  }
  await app.ready()
  const document = documentOf(app)
  await assertValid(t, document)
  t.equal(document.paths['/one/agents']?.['get']?.operationId, 'listAgents')
  t.equal(document.paths['/two/agents']?.['get']?.operationId, 'listAgents2')
  const answer = await app.inject({ method: 'POST', url: '/two/agents/main/chat', payload: { message: 'x' } })
  t.match(answer.json(), { content: '/two' })
})

t.test('a host whose own schemas are zod\'s starts, and documents the routes', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'zod', version: '1' } }, transform: jsonSchemaTransform })
  app.register(wsChannel, { agentExecutor: () => 'hi' })
  app.register(channelRest)
  await app.ready()
  const document = documentOf(app)
  await assertValid(t, document)
  t.match(document.paths['/api/v1/agents']?.['get'], { operationId: 'listAgents' })
  const answer = await app.inject({ method: 'POST', url: '/api/v1/agents/main/chat', payload: { message: 'x' } })
  t.match(answer.json(), { content: 'hi' })
})

t.test('a client that a public generator makes of the document compiles, and makes a chat', async (t) => {
  const { app, origin } = await serveRest(t, { agentExecutor: ({ message }) => ['You said: ', message], before (app) { addDocument(app) } })
  const types = astToString(await openapiTypes(documentOf(app) as unknown as Parameters<typeof openapiTypes>[0]))
  const folder = t.testdir({ 'tsconfig.json': JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions: { rootDir: '/' }, include: ['*.ts'] }) })
  writeFileSync(join(folder, 'paths.ts'), types)
  const program = join(folder, 'client.ts')
  writeFileSync(program, `
import createClient from 'openapi-fetch'
import type { paths } from './paths.js'

const client = createClient<paths>({ baseUrl: ${JSON.stringify(origin)} })
const path = { agentId: 'main', sessionId: 'tea' }
const { data, error } = await client.POST('/api/v1/agents/{agentId}/chat', {
  params: { path, header: { 'idempotency-key': 'q1' } }, body: { sessionId: 'tea', message: 'hello' }
})
// JSON or events, by the header 'accept'.
const content: string | undefined = typeof data === 'object' ? data.content : data
const history = await client.GET('/api/v1/agents/{agentId}/sessions/{sessionId}/messages', { params: { path, query: { limit: 1 } } })
const said: string[] | undefined = history.data?.messages.map(({ content }) => content)
const events = await client.POST('/api/v1/agents/{agentId}/chat', {
  params: { path }, headers: { accept: 'text/event-stream' }, body: { message: 'again' }, parseAs: 'stream'
})
const text = await new Response(events.data as ReadableStream).text()
const refused = await client.POST('/api/v1/agents/{agentId}/chat', { params: { path }, body: { message: '' } })
const code: string | undefined = refused.error?.code
const forgotten = await client.DELETE('/api/v1/agents/{agentId}/sessions/{sessionId}', { params: { path } })
console.log(JSON.stringify({ content, error, said, pieces: text.split('\\n\\n').length - 1, code, forgotten: forgotten.response.status }))
`)
  t.strictSame(typeFaults(folder), [])
  const { code, stdout, stderr } = await run(t, process.execPath, ['--import', 'tsx', program], {
    env: { TSX_TSCONFIG_PATH: join(folder, 'tsconfig.json') }
  })
  t.equal(code, 0, stderr)
  t.strictSame(JSON.parse(stdout), {
    content: 'You said: hello', said: ['You said: hello'], pieces: 3, code: 'VALIDATION_FAILED', forgotten: 204
  })
})
