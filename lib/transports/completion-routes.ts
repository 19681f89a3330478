import type { TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'

import { answerCompletionError } from './completion-errors.js'
import type { CompletionHandlers } from './completion-handlers.js'
import { COMPLETION, COMPLETION_CHUNK, COMPLETION_ERROR, COMPLETION_REQUEST, MODELS } from './completion-schemas.js'
import { refuseForeignOrigin } from './origin-gate.js'
import { compileSerializer } from './refusal.js'
import { forbidStoring } from './rest-errors.js'
import type { RestRoutesOptions } from './rest-routes.js'
import { hookList } from './route-options.js'

const TAGS = ['agent channel']

/** Adds the routes by which clients of OpenAI's API talk to the agents. Call it while the given scope is loading. */
export function registerCompletionRoutes (fastify: FastifyInstance, handlers: CompletionHandlers, options: RestRoutesOptions): void {
  const { prefix, operationSuffix, originRule, limits, routeOptions = {} } = options
  for (const { operationId, url, schema, ...route } of routesOf(handlers, limits.maxPayload)) {
    fastify.route({
      ...routeOptions,
      ...route,
      url: prefix + url,
      schema: { tags: TAGS, ...routeOptions.schema, ...schema, operationId: operationId + operationSuffix } as FastifySchema,
      config: { swaggerTransform: false, ...routeOptions.config },
      // The handler reads the body, to say in the way of that API what is wrong.
      validatorCompiler: () => () => true,
      serializerCompiler: compileSerializer,
      errorHandler: answerCompletionError,
      exposeHeadRoute: false,
      onRequest: [forbidStoring, ...hookList(routeOptions.onRequest)],
      preHandler: [
        ...hookList(routeOptions.preHandler), async (request: FastifyRequest) => { await refuseForeignOrigin(request, originRule) }
      ]
    })
  }
}

function routesOf (handlers: CompletionHandlers, bodyLimit: number): CompletionRoute[] {
  return [
    {
      method: 'POST',
      url: '/chat/completions',
      operationId: 'createChatCompletion',
      bodyLimit,
      schema: {
        summary: 'Asks an agent, in the way of OpenAI\'s chat completions',
        body: COMPLETION_REQUEST,
        response: {
          200: {
            description: 'The answer, or the chunks of it, and `[DONE]` behind the last. A turn that fails on the way ends with an `error`',
            content: { 'application/json': { schema: COMPLETION }, 'text/event-stream': { schema: COMPLETION_CHUNK } }
          },
          ...failures({
            400: 'A field is wrong',
            404: 'There is no such agent',
            409: 'The session is busy',
            413: 'The body is too large',
            415: 'The body is no JSON',
            502: 'The agent failed',
            504: 'The agent took too long'
          })
        }
      },
      handler: handlers.complete
    },
    {
      method: 'GET',
      url: '/models',
      operationId: 'listModels',
      schema: { summary: 'The agents, in the way of OpenAI\'s models', response: { 200: MODELS, ...failures({}) } },
      handler: handlers.models
    }
  ]
}

function failures (byStatus: Readonly<Record<number, string>>): Record<string, TSchema> {
  const described = { 401: 'Refused by a hook', 403: REFUSED, 429: REFUSED, 500: 'It failed', 503: REFUSED, ...byStatus }
  return Object.fromEntries(Object.entries(described).map(([status, description]) => [status, { ...COMPLETION_ERROR, description }]))
}

const REFUSED = 'Refused by a hook, or by the channel'

interface CompletionRoute {
  method: 'GET' | 'POST'
  url: string
  operationId: string
  bodyLimit?: number
  schema: object
  handler: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
}
