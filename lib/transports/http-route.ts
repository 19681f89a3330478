import type { FastifyReply, FastifyRequest, FastifySchema, preHandlerAsyncHookHandler, RouteOptions } from 'fastify'

import type { FrameLimits } from '../protocol/client-frames.js'
import { refuseForeignOrigin } from './origin-gate.js'
import type { OriginRule } from './origin.js'
import { compileSerializer } from './refusal.js'
import { answerRestError, forbidStoring } from './rest-errors.js'
import { compileRestValidator } from './rest-validator.js'
import { hookList, type ChannelRouteOptions } from './route-options.js'

export interface HttpRoutesOptions {
  /** Put before each path, within the given scope. */
  prefix: string
  /** Makes the operation ids differ from those of other channels in one document. */
  operationSuffix: string
  originRule: OriginRule
  limits: FrameLimits & { maxPayload: number }
  routeOptions?: ChannelRouteOptions | undefined
}

export interface HttpRoute {
  method: 'GET' | 'POST' | 'DELETE'
  url: string
  operationId: string
  bodyLimit?: number
  schema: object
  /** Runs after the host's hooks, and not for pages of other sites. */
  preHandler?: preHandlerAsyncHookHandler
  /** @default Fastify's shape of errors, as in protocol section 8 */
  errorHandler?: RouteOptions['errorHandler']
  /** @default the schemas decide */
  validatorCompiler?: RouteOptions['validatorCompiler']
  // Each knows what its route's schemas have made of the request.
  handler: (request: FastifyRequest<any>, reply: FastifyReply) => Promise<unknown> // eslint-disable-line @typescript-eslint/no-explicit-any
}

/** As Fastify takes it: with the hooks and documentation of the host, closed to pages of other sites, stored by nobody on the way. */
export function httpRoute ({ url, operationId, schema, preHandler, ...route }: HttpRoute, options: HttpRoutesOptions): RouteOptions {
  const { prefix, operationSuffix, originRule, routeOptions = {} } = options
  const gate = async (request: FastifyRequest): Promise<void> => { await refuseForeignOrigin(request, originRule) }
  return {
    ...routeOptions,
    validatorCompiler: compileRestValidator,
    errorHandler: answerRestError,
    ...route,
    url: prefix + url,
    // What a host says there is for people, and of the types that documents want.
    schema: { tags: ['agent channel'], ...routeOptions.schema, ...schema, operationId: operationId + operationSuffix } as FastifySchema,
    // A host's compilers and transforms may know only their own kind of schema.
    config: { swaggerTransform: false, ...routeOptions.config },
    serializerCompiler: compileSerializer,
    // One that follows would never end.
    exposeHeadRoute: false,
    onRequest: [forbidStoring, ...hookList(routeOptions.onRequest)],
    preHandler: [...hookList(routeOptions.preHandler), gate, ...hookList(preHandler)]
  } as RouteOptions
}
