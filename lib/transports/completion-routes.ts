import type { TSchema } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'

import { answerCompletionError } from './completion-errors.js'
import type { CompletionHandlers } from './completion-handlers.js'
import { COMPLETION, COMPLETION_CHUNK, COMPLETION_ERROR, COMPLETION_REQUEST, MODELS } from './completion-schemas.js'
import { httpRoute, type HttpRoute, type HttpRoutesOptions } from './http-route.js'

/** Adds the routes by which clients of OpenAI's API talk to the agents. Call it while the given scope is loading. */
export function registerCompletionRoutes (fastify: FastifyInstance, handlers: CompletionHandlers, options: HttpRoutesOptions): void {
  for (const route of routesOf(handlers, options.limits.maxPayload)) {
    // The handler reads the body, to say in the way of that API what is wrong.
    fastify.route(httpRoute({ ...route, validatorCompiler: () => () => true, errorHandler: answerCompletionError }, options))
  }
}

function routesOf (handlers: CompletionHandlers, bodyLimit: number): HttpRoute[] {
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
