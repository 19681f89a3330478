// A part of examples/server.ts: a REST API that was there before, and beside it, in the same scope, the channel.
import { createHash, timingSafeEqual } from 'node:crypto'

import createError from '@fastify/error'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'

import wsChannel, { channelPlayground, channelRest } from '../lib/index.js'
import { offlineAgent } from './agent.js'
import { openaiAgent } from './openai-agent.js'
import { OrderParams, orderRoutes, orders } from './orders.js'

export type Env = Record<string, string | undefined>

const Unauthorized = createError('UNAUTHORIZED', 'Send the token as "Authorization: Bearer <token>"', 401)

export async function buildServer (env: Env) {
  const app = Fastify({ logger: { level: env.LOG_LEVEL || 'info' } })

  await app.register(swagger, {
    openapi: {
      info: { title: 'Tea shop', version: '1.0.0' },
      tags: [{ name: 'orders', description: 'What was ordered, and where it is' }],
      ...(env.AUTH_TOKEN ? BEARER_DOCUMENTED : {})
    }
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect('/docs'))

  // Outside of what the token guards: a browser cannot send it with the address of a page, and the page has a field for it.
  app.register(channelPlayground)

  app.register(async (api) => {
    // Before the routes: REST and socket alike, since the channel's route is one of this scope.
    if (env.AUTH_TOKEN) api.addHook('onRequest', bearerAuth(env.AUTH_TOKEN))

    api.register(orderRoutes)

    // One function answers whatever agent id a client names; several-agents.ts shows one agent per id instead.
    api.decorate('agentExecutor', env.OPENAI_BASE_URL ? openaiAgent(env) : offlineAgent({ orders }))
    await api.register(wsChannel)
    // The same turns over HTTP, also for clients of OpenAI's API: examples/openai-client.mjs.
    api.register(channelRest, { openAi: true })

    // What REST tells of an order, over the socket: {"type":"order","id":"any","orderId":2} is answered by a frame of the same type.
    api.channel.define('order', {
      schema: OrderParams,
      handler: ({ orderId }) => orders.find(({ id }) => id === orderId) ?? null
    })
  }, { prefix: '/api/v1' })

  return app
}

function bearerAuth (token: string) {
  const expected = digest(token)
  return async function authenticate ({ headers }: FastifyRequest, reply: FastifyReply) {
    const given = /^bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1] ?? ''
    // Digests have one length: comparing them tells neither the token's length nor how much of it was right.
    if (timingSafeEqual(digest(given), expected)) return
    reply.header('www-authenticate', 'Bearer')
    throw new Unauthorized()
  }
}

function digest (text: string) {
  return createHash('sha256').update(text).digest()
}

const BEARER_DOCUMENTED = {
  components: { securitySchemes: { bearer: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ bearer: [] }]
}
