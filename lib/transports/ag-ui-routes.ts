import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import { AgUiEvents } from './ag-ui-events.js'
import { runReader, type ReadRun } from './ag-ui-request.js'
import { RUN_EVENT, RUN_INPUT } from './ag-ui-schemas.js'
import { httpRoute, type HttpRoutesOptions } from './http-route.js'
import type { RestHandlersTools } from './rest-handlers.js'
import { AGENT_PARAMS, refusals } from './rest-schemas.js'
import { streamAnswer } from './stream-answer.js'

/** Adds the route by which clients of AG-UI run the agents. Call it while the given scope is loading. */
export function registerAgUiRoute (fastify: FastifyInstance, tools: RestHandlersTools, options: HttpRoutesOptions): void {
  const read = runReader()
  fastify.route(httpRoute({
    method: 'POST',
    url: '/agents/:agentId/ag-ui',
    operationId: 'runAgent',
    bodyLimit: options.limits.maxPayload,
    schema: SCHEMA,
    handler: async (request: AgentRequest, reply) => await run(tools, read, request, reply)
  }, options))
}

async function run (tools: RestHandlersTools, read: ReadRun, request: AgentRequest, reply: FastifyReply): Promise<FastifyReply> {
  const identity = await tools.identify(request)
  const { connections, decode } = tools.tools()
  const ask = read(request.body, request.params.agentId, decode)
  const { threadId, runId, chat } = ask
  connections.reserveRequest(identity.owner)
  return await streamAnswer(tools, reply, identity, ask, new AgUiEvents({ threadId, runId, turnId: chat.id }))
}

type AgentRequest = FastifyRequest<{ Params: { agentId: string } }>

const SCHEMA = {
  summary: 'Runs an agent, in the way of AG-UI: its turn ends with whoever asked',
  params: AGENT_PARAMS,
  body: RUN_INPUT,
  response: {
    200: {
      description: 'The events of the run. What fails once it has begun is its `RUN_ERROR`',
      content: { 'text/event-stream': { schema: RUN_EVENT } }
    },
    ...refusals({
      400: 'A field is wrong',
      404: 'There is no such agent',
      409: 'The session is busy',
      413: 'The body is too large',
      415: 'The body is no JSON'
    })
  }
}
