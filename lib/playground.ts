import { posix } from 'node:path'

import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'

import { DEFAULT_PREFIX } from './channel-path.js'
import { FST_WS_CHANNEL_OPTION, FST_WS_CHANNEL_PLAYGROUND } from './errors.js'
import { policyOf } from './playground/content-policy.js'
import { documentOf, freshNonce, type KnownAgent } from './playground/document.js'
import { readPageFiles } from './playground/page-files.js'
import { refuseForeignOrigin } from './transports/origin-gate.js'
import { originFault, type OriginOption, type OriginRule } from './transports/origin.js'
import { answerError, compileSerializer } from './transports/refusal.js'
import { checkRouteOptions, hookList, type ChannelRouteOptions } from './transports/route-options.js'

/** Options of `channelPlayground`. */
export interface ChannelPlaygroundOptions {
  /** Prefix of the page, put behind the scope's own. @default the scope's, or `/api/v1` where that has none */
  prefix?: string
  /** Path of the page, behind the prefix. @default '/ws/playground' */
  path?: string | undefined
  /** Where the channel is: its whole path, prefix included. @default that of the page, without its last part */
  channel?: string | undefined
  /** Ids of agents to choose from; the page takes any other too. @default those of the scope's `agentExecutor`, if a record */
  agents?: readonly string[] | undefined
  /** Web origins whose pages may read this one, as `@fastify/cors` takes them. @default the server's own */
  origin?: OriginOption | undefined
  /** Host names, beside `localhost` and IP addresses, under which the server's own pages may read it without TLS. @default [] */
  allowedHosts?: readonly string[] | undefined
  /** Hooks, `config` and documentation for the route. @default none */
  routeOptions?: ChannelRouteOptions | undefined
}

const DEFAULT_PATH = '/ws/playground'

/** `logLevel` and `logSerializers` are Fastify's own, for any plugin. */
const KNOWN = ['prefix', 'path', 'channel', 'agents', 'origin', 'allowedHosts', 'routeOptions', 'logLevel', 'logSerializers']

const playground: FastifyPluginAsync<ChannelPlaygroundOptions> = async (fastify, options) => {
  checkOptions(options)
  const { path = DEFAULT_PATH, routeOptions = {}, origin, allowedHosts = [] } = options
  // Fastify has put the option `prefix` behind the scope's already.
  const route = (fastify.prefix === '' ? DEFAULT_PREFIX : '') + path
  const url = fastify.prefix + route
  const channel = options.channel ?? posix.dirname(url)
  // What the page works with is read now, so that what is missing is missed at start.
  const files = await readPageFiles()
  const rule: OriginRule = { origin, allowedHosts }

  fastify.route({
    ...routeOptions,
    method: 'GET',
    url: route,
    // What a host says there is for people, and of the types that documents want.
    schema: { hide: true, ...routeOptions.schema } as FastifySchema,
    // A host's compilers and transforms may know only their own kind of schema.
    config: { swaggerTransform: false, ...routeOptions.config },
    serializerCompiler: compileSerializer,
    errorHandler: answerError,
    preHandler: [...hookList(routeOptions.preHandler), async (request: FastifyRequest) => { await refuseForeignOrigin(request, rule) }],
    handler: async (request: FastifyRequest, reply: FastifyReply) => {
      const nonce = freshNonce()
      reply.headers({
        'content-type': 'text/html; charset=utf-8',
        // Of a host that has its own policy for all responses, this one is the page's.
        'content-security-policy': policyOf(nonce, request.host),
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff'
      })
      const agents = options.agents?.map((id) => ({ id })) ?? agentsOf(fastify)
      return documentOf(files, { channel: addressOf(channel, url), agents }, nonce)
    }
  })

  fastify.addHook('onReady', async () => {
    const { constraints = {} } = routeOptions
    if (!fastify.hasRoute({ method: 'GET', url: channel, constraints })) throw new FST_WS_CHANNEL_PLAYGROUND(url, channel)
  })
}

/** Relative to the page: a proxy may have put both elsewhere. */
function addressOf (channel: string, page: string): string {
  return posix.join(posix.relative(posix.dirname(page), posix.dirname(channel)), posix.basename(channel))
}

/** The agents of a record; one function answers for ids that nobody knows beforehand. */
function agentsOf (fastify: FastifyInstance): KnownAgent[] {
  // Not there where the channel is in another scope.
  const { agentExecutor } = fastify as Partial<FastifyInstance>
  if (agentExecutor === undefined || typeof agentExecutor === 'function') return []
  return Object.entries(agentExecutor).map(([id, agent]) => ({ id, description: typeof agent === 'function' ? undefined : agent.description }))
}

function checkOptions (options: ChannelPlaygroundOptions): void {
  const { path, channel, agents, origin, allowedHosts, routeOptions = {} } = options
  for (const key of Object.keys(options)) {
    if (!KNOWN.includes(key)) throw new FST_WS_CHANNEL_OPTION(key, `no such option of channelPlayground; there are ${KNOWN.join(', ')}`)
  }
  for (const [key, value] of Object.entries({ path, channel })) {
    if (value !== undefined && !(typeof value === 'string' && value.startsWith('/'))) {
      throw new FST_WS_CHANNEL_OPTION(key, 'expected a string that starts with /')
    }
  }
  for (const [key, value] of Object.entries({ agents, allowedHosts })) {
    if (value !== undefined && !(Array.isArray(value) && value.every((item) => typeof item === 'string'))) {
      throw new FST_WS_CHANNEL_OPTION(key, 'expected an array of strings')
    }
  }
  const fault = originFault(origin)
  if (fault !== undefined) throw new FST_WS_CHANNEL_OPTION('origin', fault)
  checkRouteOptions(routeOptions)
}

/**
 * One page to try the channel in, by default at `/api/v1/ws/playground`, where the channel is at `/api/v1/ws`. It is for
 * people who build: whoever gets it can talk to the agent as far as the channel's own hooks let them.
 * @throws at register time for unknown or impossible options; when the app gets ready, where there is no channel
 */
export const channelPlayground: FastifyPluginAsync<ChannelPlaygroundOptions> = fp(playground, {
  fastify: '5.x', name: 'fastify-ws-channel-playground', encapsulate: true
})
