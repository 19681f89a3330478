import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

import { Type, type Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { WebSocket } from 'ws'

import type { Awaitable } from '../awaitable.js'
import { CLOSE_CODES } from '../protocol/codes.js'
import { MAX_NAME_LENGTH, NAME_PATTERN } from '../protocol/names.js'
import { Admission } from './admission.js'
import { injectWebsocket, type InjectWs } from './inject-websocket.js'
import type { OriginRule } from './origin.js'
import { refuseForeignOrigin } from './origin-gate.js'
import { answerError, compileSerializer, HOST_REFUSAL_BODY, Refusal, REFUSAL_BODY, type RefusalBody } from './refusal.js'
import { checkRouteOptions, hookList, type ChannelRouteOptions } from './route-options.js'
import { readSubprotocolOffer } from './subprotocol.js'
import { addWebsocketScope, markChannelUpgrade } from './websocket-scope.js'

export interface WebsocketRouteOptions extends OriginRule {
  /** Within the given scope, with a leading slash. */
  path: string
  /** Where the AsyncAPI document is, within the given scope. */
  documentPath?: string | undefined
  /** The largest message, in bytes. */
  maxPayload: number
  routeOptions?: ChannelRouteOptions | undefined
}

/** What a connection keeps of its request, and all that it may keep: the request holds 3.5 kB for as long as it is held. */
export interface ConnectionFacts {
  /** The client offered our subprotocol, and got it. */
  readonly subprotocol: boolean
  readonly agentId: string | undefined
  readonly sessionId: string | undefined
  /** What the WebSocket writes to. */
  readonly stream: Duplex
}

/** `Peer` is what admission finds out, and may be a reserved slot: each is either accepted or released, once. */
export interface WebsocketRouteHandlers<Peer> {
  /** The last word on an upgrade, after all hooks of the host and the origin rule. Refuses by throwing. */
  admit (request: FastifyRequest): Awaitable<Peer>
  /** The same refusals for a plain `GET`; takes nothing. */
  check (request: FastifyRequest): Awaitable<void>
  /**
   * Called at once when the socket is open: listeners that are attached before it returns miss nothing. The socket has
   * no `error` listener but those attached here.
   */
  accept (socket: WebSocket, peer: Peer, facts: ConnectionFacts): void
  /** An admitted peer came to nothing: it went away, its handshake was bad, or `accept` threw. */
  release (peer: Peer): void
}

export interface WebsocketRoute {
  /** The route's URL, prefix included. */
  readonly url: string
  /** In bytes; smaller than asked for where the host's own `@fastify/websocket` allows less. */
  readonly maxPayload: number
  injectWS: InjectWs
}

/** What the query of an upgrade may set. */
export const CHANNEL_QUERY = Type.Object({
  agentId: Type.Optional(Type.String({
    maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, description: 'The agent of frames that name none'
  })),
  sessionId: Type.Optional(Type.String({
    maxLength: MAX_NAME_LENGTH, pattern: NAME_PATTERN, description: 'The session of frames that name none'
  }))
})

const queryCheck = TypeCompiler.Compile(CHANNEL_QUERY)

type Query = Static<typeof CHANNEL_QUERY>
type ChannelRequest = FastifyRequest<{ Querystring: Query }>

/** Adds the route that upgrades to a WebSocket, in a scope where it can. Call it while the given scope is loading. */
export function registerWebsocketRoute<Peer> (
  fastify: FastifyInstance, options: WebsocketRouteOptions, handlers: WebsocketRouteHandlers<Peer>
): WebsocketRoute {
  const { path, routeOptions = {} } = options
  checkRouteOptions(routeOptions)
  const url = urlOf(fastify, path)
  const entrance = new Entrance(options, handlers)
  let scopeOfRoute = fastify
  const maxPayload = addWebsocketScope(fastify, options, (scope) => {
    scopeOfRoute = scope
    scope.route<{ Querystring: Query }>({
      ...routeOptions,
      method: 'GET',
      url: path,
      schema: schemaOf(options, fastify),
      // A host's compilers and transforms may know only their own kind of schema.
      config: { swaggerTransform: false, ...routeOptions.config },
      validatorCompiler: () => validateQuery,
      serializerCompiler: compileSerializer,
      errorHandler: answerError,
      preHandler: [...hookList(routeOptions.preHandler), entrance.gate],
      handler: requireUpgrade,
      wsHandler: (socket, request) => {
        // Whoever closes or calls all clients of the server means the host's own.
        scope.websocketServer.clients.delete(socket)
        entrance.open(socket, request)
      }
    })
  })
  return {
    url,
    maxPayload,
    injectWS: async (injectOptions = {}) => await injectWebsocket(fastify, () => scopeOfRoute, url, injectOptions)
  }
}

class Entrance<Peer> {
  readonly #rule: OriginRule
  readonly #handlers: WebsocketRouteHandlers<Peer>
  readonly #admissionByRequest = new WeakMap<IncomingMessage, Admission<Peer>>()

  constructor (rule: OriginRule, handlers: WebsocketRouteHandlers<Peer>) {
    this.#rule = rule
    this.#handlers = handlers
  }

  /** The last `preHandler`. */
  readonly gate = async (request: ChannelRequest, reply: FastifyReply): Promise<void> => {
    await refuseForeignOrigin(request, this.#rule)
    if (!request.ws || request.method !== 'GET') {
      await this.#handlers.check(request)
      return
    }
    const peer = await this.#handlers.admit(request)
    const admission = Admission.start(peer, reply.raw, (unclaimed) => { this.#handlers.release(unclaimed) })
    if (admission === undefined) {
      reply.hijack()
      return
    }
    markChannelUpgrade(request.raw)
    this.#admissionByRequest.set(request.raw, admission)
  }

  open (socket: WebSocket, request: ChannelRequest): void {
    const { raw, query } = request
    const admission = this.#admissionByRequest.get(raw)
    // It leads to its request: as long as the map has it, that outlives the collections of what is young, and becomes old.
    this.#admissionByRequest.delete(raw)
    // @fastify/websocket's own listener holds the request and the reply.
    socket.removeAllListeners('error')
    if (admission === undefined) return socket.terminate()
    const peer = admission.take()
    const { offered } = readSubprotocolOffer(raw.headers['sec-websocket-protocol'])
    const { agentId, sessionId } = query
    try {
      this.#handlers.accept(socket, peer, { subprotocol: offered, agentId, sessionId, stream: admission.stream })
    } catch (err) {
      request.log.error({ err }, 'could not accept a WebSocket')
      this.#handlers.release(peer)
      socket.on('error', (error) => { request.log.info({ err: error }, 'a WebSocket that was not accepted failed') })
      socket.close(CLOSE_CODES.INTERNAL.code, CLOSE_CODES.INTERNAL.reason)
    }
  }
}

/** The answer to a plain request that the hooks have let through. */
function requireUpgrade (request: FastifyRequest, reply: FastifyReply): void {
  // RFC 9110 wants the `Upgrade`; HTTP/2 has no such fields.
  if (request.raw.httpVersionMajor === 1) reply.headers({ upgrade: 'websocket', connection: 'Upgrade' })
  reply.code(426).send({
    statusCode: 426,
    code: 'UPGRADE_REQUIRED',
    error: 'Upgrade Required',
    message: 'This is a WebSocket: connect to it with ws:// or wss://',
    retryable: false
  } satisfies RefusalBody)
}

function validateQuery (value: unknown): true | { error: Error } {
  if (queryCheck.Check(value)) return true
  const fault = queryCheck.Errors(value).First()
  return fault === undefined || { error: new Refusal('VALIDATION_FAILED', { hint: `query ${fault.path}` }) }
}

function urlOf ({ prefix }: FastifyInstance, path: string): string {
  return `${prefix}${path}`.replace(/\/{2,}/g, '/')
}

function schemaOf ({ routeOptions, documentPath }: WebsocketRouteOptions, fastify: FastifyInstance): object {
  const ours = { ...REFUSAL_BODY, description: 'Refused by the channel' }
  const hosts = { ...HOST_REFUSAL_BODY, description: 'Refused by a hook, or by the channel' }
  return {
    summary: 'A WebSocket to the agent',
    ...documentPath === undefined
      ? {}
      : { externalDocs: { description: 'What goes over it, as AsyncAPI', url: urlOf(fastify, documentPath) } },
    ...routeOptions?.schema,
    querystring: CHANNEL_QUERY,
    response: {
      101: Type.Null({ description: 'From here on it is a WebSocket' }),
      400: ours,
      401: hosts,
      403: hosts,
      426: { ...ours, description: 'The request asks for no upgrade' },
      429: hosts,
      503: hosts
    }
  }
}
