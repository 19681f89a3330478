import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'

import type { AgentExecutor } from './agent/executor.js'
import { asyncApiPath, DEFAULT_PREFIX } from './channel-path.js'
import { ChannelRuntime, type Channel } from './channel.js'
import { FST_WS_CHANNEL_SECOND } from './errors.js'
import { resolveLimits, type WsChannelOptions } from './options.js'
import { linkRuntime } from './runtimes.js'
import type { SessionStore } from './sessions/session-store.js'
import { AsyncApi } from './transports/asyncapi-route.js'
import { registerWebsocketRoute } from './transports/websocket-route.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The agent channel of this scope. */
    channel: Channel
    /** The agent of the channel: set it before the channel is ready, or read what it uses. */
    agentExecutor: AgentExecutor
    /** The history of the channel: set it before the channel is ready, or read what it uses. */
    sessionStore: SessionStore
  }
}

const DEFAULT_PATH = '/ws'

const channel: FastifyPluginAsync<WsChannelOptions> = async (fastify, options) => {
  if (Object.hasOwn(fastify, 'channel')) throw new FST_WS_CHANNEL_SECOND()
  const limits = resolveLimits(options)
  const runtime = new ChannelRuntime(fastify, options, limits)
  const { origin, allowedHosts = [], routeOptions, asyncapi = {} } = options
  const path = routePath(fastify, options)
  const documentPath = asyncapi === false ? undefined : asyncApiPath(path)
  const routeSetup = { path, documentPath, maxPayload: limits.maxPayload, origin, allowedHosts, routeOptions }
  const route = registerWebsocketRoute(fastify, routeSetup, {
    async admit (request) {
      const identity = await runtime.identify(request)
      runtime.connections.reserve(identity.owner)
      return identity
    },
    async check (request) {
      runtime.connections.check((await runtime.identify(request)).owner)
    },
    accept (socket, identity, facts) { runtime.connections.accept(socket, identity, facts) },
    release (identity) { runtime.connections.release(identity.owner) }
  })

  const documented = new AsyncApi(fastify, {
    settings: asyncapi === false ? {} : asyncapi,
    limits,
    url: route.url,
    routeOptions: routeOptions ?? {},
    hostTypes: runtime.hostSchemas,
    async check (request) { await runtime.identify(request) }
  })
  if (documentPath !== undefined) documented.addRoute(documentPath)

  const decorated: Channel = {
    stats: () => runtime.stats(),
    drain: (drainOptions = {}) => runtime.drain(drainOptions.timeoutMs),
    disconnect: (owner) => runtime.disconnect(owner),
    define: (type, definition) => { runtime.define(type, definition) },
    startTurn: async (chat) => await runtime.host.startTurn(chat),
    follow: (session, followOptions) => runtime.host.follow(session, followOptions),
    cancel: async (session) => await runtime.host.cancel(session),
    publish: async (session, name, data) => await runtime.host.publish(session, name, data),
    injectWS: route.injectWS,
    asyncapi: () => documented.document()
  }
  linkRuntime(decorated, runtime)
  fastify.decorate('channel', decorated)

  fastify.addHook('onReady', async () => { runtime.start(route.maxPayload) })
  // A drain may take longer than a `preClose` hook has (`pluginTimeout`): it is begun here, and awaited in `onClose`.
  // The server's own close waits for the sockets meanwhile.
  fastify.addHook('preClose', async () => {
    runtime.beginDrain()
  })
  fastify.addHook('onClose', async () => { await runtime.close() })
}

/** `prefix` (option, else the scope's, else `/api/v1`) and `path`; relative to the scope, as Fastify wants it. */
function routePath (fastify: FastifyInstance, { prefix, path = DEFAULT_PATH }: WsChannelOptions): string {
  if (prefix !== undefined) return prefix + path
  return fastify.prefix === '' ? DEFAULT_PREFIX + path : path
}

/**
 * Gives a Fastify app a live WebSocket channel to its agent, by default at `/api/v1/ws`.
 * @throws at register time for unknown or impossible options, and for a second channel in one scope
 */
export const wsChannel: FastifyPluginAsync<WsChannelOptions> = fp(channel, { fastify: '5.x', name: 'fastify-ws-channel' })
