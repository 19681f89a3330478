import { Type, type TObject } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'

import { httpRoute, type HttpRoute, type HttpRoutesOptions } from './http-route.js'
import type { RestHandlers } from './rest-handlers.js'
import {
  ACCEPTED, AGENT_PARAMS, AGENTS, ANSWER, answers, CANCELLED, cancelBody, CHAT_HEADERS, chatBody, EVENTS_HEADERS, EVENTS_QUERY, FORGOTTEN,
  JOURNAL_HEADERS, MESSAGES, JOURNAL_REFUSED, PAGE_QUERY, refusals, SESSION_PARAMS, SESSIONS
} from './rest-schemas.js'
import { checkRouteOptions } from './route-options.js'

const INVALID = 'A field is wrong'

/** Adds the routes, each with its schemas. Call it while the given scope is loading. */
export function registerRestRoutes (fastify: FastifyInstance, handlers: RestHandlers, options: HttpRoutesOptions): void {
  checkRouteOptions(options.routeOptions ?? {})
  for (const { schema, ...route } of routesOf(handlers, options)) {
    fastify.route(httpRoute({ ...route, schema: withJournal(schema), preHandler: handlers.requireJournal }, options))
  }
}

function routesOf (handlers: RestHandlers, { limits }: HttpRoutesOptions): RestRoute[] {
  return [
    {
      method: 'GET',
      url: '/agents',
      operationId: 'listAgents',
      schema: { summary: 'The agents and their descriptions', response: { 200: AGENTS, ...refusals({}) } },
      handler: handlers.agents
    },
    {
      method: 'POST',
      url: '/agents/:agentId/chat',
      operationId: 'chat',
      bodyLimit: limits.maxPayload,
      schema: {
        summary: 'Says something to an agent, and answers with what it says: as a whole, or in events while it is said',
        params: AGENT_PARAMS,
        headers: CHAT_HEADERS,
        body: chatBody(limits),
        response: {
          200: answers('The answer, or its events', { json: ANSWER }),
          202: ACCEPTED,
          ...refusals({
            400: INVALID,
            404: 'No such agent',
            406: 'The client takes no answer of a type that there is',
            409: 'The session is busy, or the `id` was used for another chat',
            413: 'The body is too large',
            415: 'The body is no JSON',
            502: 'The agent failed before its first word',
            504: 'The agent took too long to its first word'
          })
        }
      },
      handler: handlers.chat
    },
    {
      method: 'GET',
      url: '/agents/:agentId/sessions',
      operationId: 'listSessions',
      schema: {
        summary: 'The sessions of whoever asks, newest first',
        params: AGENT_PARAMS,
        querystring: PAGE_QUERY,
        response: { 200: SESSIONS, ...refusals({ 400: INVALID, 403: 'Who is anonymous gets no list, or refused by a hook' }) }
      },
      handler: handlers.sessions
    },
    {
      method: 'GET',
      url: '/agents/:agentId/sessions/:sessionId/messages',
      operationId: 'listMessages',
      schema: {
        summary: 'What was said in a session',
        params: SESSION_PARAMS,
        querystring: PAGE_QUERY,
        response: { 200: MESSAGES, ...refusals({ 400: INVALID }) }
      },
      handler: handlers.messages
    },
    {
      method: 'GET',
      url: '/agents/:agentId/sessions/:sessionId/events',
      operationId: 'followSession',
      schema: {
        summary: 'Follows a session, whichever way its turns come, from now on or from a position',
        params: SESSION_PARAMS,
        querystring: EVENTS_QUERY,
        headers: EVENTS_HEADERS,
        response: { 200: answers('The events, until one side ends', {}), ...refusals({ 400: INVALID, 406: 'The client takes no events' }) }
      },
      handler: handlers.events
    },
    {
      method: 'POST',
      url: '/agents/:agentId/sessions/:sessionId/cancel',
      operationId: 'cancel',
      schema: {
        summary: 'Stops a turn, or every running and queued turn of a session',
        params: SESSION_PARAMS,
        // Without one is fine too, which Fastify knows no schema for.
        body: cancelBody(limits),
        response: {
          200: CANCELLED,
          ...refusals({ 400: INVALID, 404: 'There is nothing to stop', 413: 'The body is too large', 415: 'The body is no JSON' })
        }
      },
      handler: handlers.cancel
    },
    {
      method: 'DELETE',
      url: '/agents/:agentId/sessions/:sessionId',
      operationId: 'forgetSession',
      schema: {
        summary: 'Stops what runs in a session, and forgets what was said there',
        params: SESSION_PARAMS,
        response: { 204: FORGOTTEN, ...refusals({ 400: INVALID }) }
      },
      handler: handlers.forget
    }
  ]
}

function withJournal ({ headers, response, ...schema }: RestRoute['schema']): object {
  return {
    ...schema,
    headers: headers === undefined ? JOURNAL_HEADERS : Type.Composite([headers, JOURNAL_HEADERS]),
    response: { 412: JOURNAL_REFUSED, ...response }
  }
}

interface RestRoute extends HttpRoute {
  schema: { headers?: TObject, response: object, [part: string]: unknown }
}
