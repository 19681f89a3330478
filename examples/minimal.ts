// npx tsx examples/minimal.ts
//
// An agent on ws://localhost:9527/api/v1/ws that says what it hears. Talk to it with: node examples/client.mjs "hello"
import Fastify from 'fastify'

import wsChannel from '../lib/index.js'

const app = Fastify({ logger: true })
app.register(wsChannel)
await app.listen({ port: Number(process.env.PORT ?? 9527) })
