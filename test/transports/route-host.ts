import type { PassThrough } from 'node:stream'

import Fastify, { type FastifyInstance } from 'fastify'

import type { Admission } from '../../lib/transports/admission.js'
import type { WebsocketRoute, WebsocketRouteOptions } from '../../lib/transports/websocket-route.js'
import { deferred } from '../helpers/deferred.js'
import { addEcho, EchoHandlers } from './echo-channel.js'

interface ChannelSettings {
  handlers?: EchoHandlers
  options?: Partial<WebsocketRouteOptions>
  server?: object
  prefix?: string
  before?: (app: FastifyInstance) => void | Promise<void>
}

export async function channel ({ handlers = new EchoHandlers(), options, server, prefix = '', before }: ChannelSettings): Promise<{
  app: FastifyInstance
  route: WebsocketRoute
  log: Array<Record<string, unknown>>
}> {
  const log: Array<Record<string, unknown>> = []
  // A line of the log is an object.
  const stream = { write: (line: string) => { log.push(JSON.parse(line) as Record<string, unknown>) } }
  const app: FastifyInstance = Fastify({ ...server, logger: { stream } })
  await before?.(app)
  const route = deferred<WebsocketRoute>()
  await app.register(async (api) => { route.resolve(addEcho(api, options, handlers)) }, { prefix })
  return { app, route: await route.promise, log }
}

export function bodyOf (answer: string): unknown {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))
}

/** Of a response, only what an admission looks at. */
export function responseOn (socket: PassThrough | null): Parameters<typeof Admission.start>[1] {
  return { socket, detachSocket () {} } as unknown as Parameters<typeof Admission.start>[1]
}
