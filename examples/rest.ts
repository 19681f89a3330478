// npx tsx examples/rest.ts
//
// The same turns over HTTP, documented at /docs: for `curl`, cron jobs, and clients that a generator makes.
//   curl -N http://localhost:9527/api/v1/agents/main/chat -H 'accept: text/event-stream' -H 'content-type: application/json' \
//     -H 'idempotency-key: q1' -d '{"sessionId":"tea","message":"count to 20"}'
// Stop it by Ctrl-C, and go on behind the last `id:` that was printed:
//   curl -N http://localhost:9527/api/v1/agents/main/sessions/tea/events -H 'last-event-id: <id>'
import { setTimeout as pause } from 'node:timers/promises'

import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify from 'fastify'

import wsChannel, { channelRest, type Executor } from '../lib/index.js'

const counter: Executor = async function * ({ message, signal }) {
  const count = Number(/\d+/.exec(message)?.[0] ?? 3)
  for (let number = 1; number <= count; number++) {
    yield `${number} `
    await pause(200, undefined, { signal })
  }
}

const app = Fastify({ logger: true })
// Before the routes: it listens for them.
await app.register(swagger, { openapi: { info: { title: 'An agent', version: '1.0.0' } } })
await app.register(swaggerUi, { routePrefix: '/docs' })

app.register(async (api) => {
  // Your hooks here guard REST, these routes and the socket alike.
  api.get('/health', async () => ({ ok: true }))
  api.register(wsChannel, {
    agentExecutor: { main: { execute: counter, description: 'Counts to the number in your message' } }
  })
  api.register(channelRest)
}, { prefix: '/api/v1' })

await app.listen({ port: Number(process.env.PORT ?? 9527) })
