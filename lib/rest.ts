import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

import { DEFAULT_PREFIX } from './channel-path.js'
import { FST_WS_CHANNEL_OPTION } from './errors.js'
import { runtimeOf } from './runtimes.js'
import type { HttpRoutesOptions } from './transports/http-route.js'
import { RestHandlers, type RestHandlersTools } from './transports/rest-handlers.js'
import { registerRestRoutes } from './transports/rest-routes.js'
import type { ChannelRouteOptions } from './transports/route-options.js'
import { SseTellings } from './transports/sse-tellings.js'

/** Options of `channelRest`. What turns may cost, and who may ask, is the channel's own. */
export interface ChannelRestOptions {
  /** Prefix of the routes, put behind the scope's own. @default the scope's, or `/api/v1` where that has none */
  prefix?: string
  /** Hooks, `config` and documentation for the routes. @default none */
  routeOptions?: ChannelRouteOptions | undefined
  /** Adds `/chat/completions` and `/models`, for clients of OpenAI's API; a model there is an agent. @default false */
  openAi?: boolean | undefined
  /** Adds `POST /agents/:agentId/ag-ui`, for clients of AG-UI such as its `HttpAgent`; a thread there is a session. @default false */
  agUi?: boolean | undefined
}

/** `logLevel` and `logSerializers` are Fastify's own, for any plugin. */
const KNOWN = ['prefix', 'routeOptions', 'openAi', 'agUi', 'logLevel', 'logSerializers']

const rest: FastifyPluginAsync<ChannelRestOptions> = async (fastify, options) => {
  for (const key of Object.keys(options)) {
    if (!KNOWN.includes(key)) throw new FST_WS_CHANNEL_OPTION(key, `no such option of channelRest; there are ${KNOWN.join(', ')}`)
  }
  const runtime = runtimeOf(fastify.channel)
  if (runtime === undefined) throw new FST_WS_CHANNEL_OPTION('channel', '`app.channel` is not what `wsChannel` has made')
  const { limits, originRule } = runtime
  const tellings = new SseTellings(runtime.clock, limits)
  runtime.join(tellings)
  const tools: RestHandlersTools = {
    tools: () => runtime.tools,
    tellings,
    identify: async (request) => await runtime.identify(request)
  }
  // Fastify has put the option `prefix` behind the scope's already.
  const prefix = options.prefix === undefined && fastify.prefix === '' ? DEFAULT_PREFIX : ''
  const { routeOptions, openAi = false, agUi = false } = options
  const routes: HttpRoutesOptions = { prefix, operationSuffix: operationSuffix(fastify), originRule, limits, routeOptions }
  registerRestRoutes(fastify, new RestHandlers(tools), routes)
  // What most hosts do without is loaded where it is asked for.
  if (agUi) {
    const { registerAgUiRoute } = await import('./transports/ag-ui-routes.js')
    registerAgUiRoute(fastify, tools, routes)
  }
  if (openAi) {
    const { CompletionHandlers } = await import('./transports/completion-handlers.js')
    const { registerCompletionRoutes } = await import('./transports/completion-routes.js')
    registerCompletionRoutes(fastify, new CompletionHandlers(tools, runtime.clock.date()), routes)
  }
}

const countByServer = new WeakMap<object, number>()

/** Nothing for the first of an app; its second has operations of its own in the one document. */
function operationSuffix ({ server }: FastifyInstance): string {
  const count = (countByServer.get(server) ?? 0) + 1
  countByServer.set(server, count)
  return count === 1 ? '' : String(count)
}

/**
 * The turns, sessions and positions of the channel of its scope over HTTP, as JSON and server-sent events: for clients
 * that have no WebSocket. Register it behind `wsChannel`, in the same scope or one inside.
 * @throws at register time for unknown options, and without a channel
 */
export const channelRest: FastifyPluginAsync<ChannelRestOptions> = fp(rest, {
  fastify: '5.x', name: 'fastify-ws-channel-rest', dependencies: ['fastify-ws-channel'], encapsulate: true
})
