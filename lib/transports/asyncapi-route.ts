import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'

import { FST_WS_CHANNEL_NOT_READY } from '../errors.js'
import { asyncApiDocument, describeFrames, type AsyncApiDocument, type AsyncApiServer, type DescribedFrames } from '../protocol/asyncapi.js'
import type { FrameLimits } from '../protocol/client-frames.js'
import { hostFacts, listeningAt, type AsyncApiSettings } from './asyncapi-host.js'
import { answerError, compileSerializer, HOST_REFUSAL_BODY } from './refusal.js'
import type { ChannelRouteOptions } from './route-options.js'
import { CHANNEL_QUERY } from './websocket-route.js'

export interface AsyncApiTools {
  settings: AsyncApiSettings
  limits: FrameLimits
  /** The URL of the channel, prefix included. */
  url: string
  routeOptions: ChannelRouteOptions
  hostTypes: ReadonlyMap<string, object>
  /** Throws what the channel would refuse the request with. */
  check: (request: FastifyRequest) => Promise<void>
}

/** What the host says of the channel's route in its OpenAPI document, and means of this one too. */
const SHARED: readonly string[] = ['tags', 'security', 'hide']

/** The AsyncAPI document of a channel. Nothing of it is made before somebody asks. */
export class AsyncApi {
  readonly #fastify: FastifyInstance
  readonly #tools: AsyncApiTools
  #isReady = false
  /** Made with the first document: types can no longer be defined then. */
  #frames: DescribedFrames | undefined

  constructor (fastify: FastifyInstance, tools: AsyncApiTools) {
    this.#fastify = fastify
    this.#tools = tools
    fastify.addHook('onReady', async () => { this.#isReady = true })
  }

  /**
   * @param reachedAt where the server is, unless the host has said
   * @throws FST_WS_CHANNEL_NOT_READY while types can still be defined
   */
  document (reachedAt: AsyncApiServer = listeningAt(this.#fastify)): AsyncApiDocument {
    if (!this.#isReady) throw new FST_WS_CHANNEL_NOT_READY()
    const { settings, limits, url, routeOptions, hostTypes } = this.#tools
    const facts = hostFacts(this.#fastify, settings, { url, reachedAt, routeSecurity: routeOptions.schema?.security })
    this.#frames ??= describeFrames(limits, hostTypes)
    return asyncApiDocument({ ...facts, url, query: CHANNEL_QUERY, frames: this.#frames })
  }

  /** Serves it beside the channel, guarded as that is: by the hooks of the scope, those of the channel's own route, and `identify`. */
  addRoute (path: string): void {
    const { routeOptions, check } = this.#tools
    const shared = Object.entries(routeOptions.schema ?? {}).filter(([key]) => SHARED.includes(key))
    this.#fastify.route({
      ...routeOptions,
      method: 'GET',
      url: path,
      schema: {
        summary: 'The AsyncAPI document of the WebSocket',
        ...Object.fromEntries(shared),
        response: {
          200: Type.Object({ asyncapi: Type.String() }, { additionalProperties: true, description: 'AsyncAPI 3' }),
          '4xx': { ...HOST_REFUSAL_BODY, description: 'Refused by a hook, or by the channel' },
          '5xx': { ...HOST_REFUSAL_BODY, description: 'It could not be made' }
        }
      },
      config: { swaggerTransform: false, ...routeOptions.config },
      serializerCompiler: compileSerializer,
      errorHandler: answerError,
      handler: async (request: FastifyRequest) => {
        await check(request)
        return this.document(reachedBy(request))
      }
    })
  }
}

/** As its client reached the server, `trustProxy` respected. */
function reachedBy ({ host, protocol }: FastifyRequest): AsyncApiServer {
  return { host: host === '' ? 'localhost' : host, protocol: protocol === 'https' ? 'wss' : 'ws' }
}
