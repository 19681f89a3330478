// npx tsx examples/auth-jwt.ts
//
// One hook guards the REST API and the socket. It prints a token; with it: CHANNEL_TOKEN=<token> node examples/client.mjs "hello"
import { randomBytes } from 'node:crypto'

import jwt from '@fastify/jwt'
import Fastify from 'fastify'

import wsChannel, { type Executor } from '../lib/index.js'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    user: { sub: string, name: string, iat: number, exp: number }
  }
}

const app = Fastify({ logger: true })
await app.register(jwt, { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') })

// The request is gone when a turn runs: what the agent needs of it is the `context` that `identify` made below.
const agent: Executor = ({ context, owner }) => {
  const { name } = context as { name: string }
  return `Hello ${name}, your sessions are kept for ${owner}.`
}

app.register(async (api) => {
  api.addHook('onRequest', async (request) => { await request.jwtVerify() })
  api.get('/me', async ({ user }) => ({ id: user.sub, name: user.name }))
  api.register(wsChannel, {
    agentExecutor: agent,
    // By default the owner is `user.sub`, until `user.exp`; this one also says what the agent may know of the request.
    identify: ({ user }) => ({ owner: user.sub, expiresAt: user.exp * 1000, context: { name: user.name } })
  })
}, { prefix: '/api/v1' })

await app.listen({ port: Number(process.env.PORT ?? 9527) })
console.log(`CHANNEL_TOKEN=${app.jwt.sign({ sub: 'user-1', name: 'Ada' }, { expiresIn: '1h' })}`)
