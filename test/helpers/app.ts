import type { AddressInfo } from 'node:net'

import Fastify, { type FastifyInstance, type FastifyLoggerOptions, type FastifyServerOptions } from 'fastify'

import { wsChannel, type WsChannelOptions } from '../../lib/index.js'
import { attend, connect, type Attendant, type ChannelClient, type ConnectOptions } from './channel-client.js'
import type { ManualClock } from './manual-clock.js'

/** A host with a channel, listening on a free port of loopback. Closed at the end of the test. */
export async function serve (t: Attendant, options: ServeOptions = {}): Promise<Host> {
  const { fastify = {}, before, after, isolated, at = 0, ...channel } = options
  const app = Fastify(fastify)
  t.teardown(async () => { await app.close() })
  before?.(app)
  const registered = { drainTimeoutMs: 1, ...channel }
  if (isolated === undefined) app.register(wsChannel, registered)
  else app.register(async (scope) => { scope.register(wsChannel, registered) }, { prefix: isolated })
  if (after !== undefined) app.register(async (scope) => { after(scope) })
  await app.listen({ port: at, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const origin = `http://127.0.0.1:${port}`
  const url = `ws://127.0.0.1:${port}${isolated ?? '/api/v1'}/ws`
  return {
    app,
    port,
    origin,
    url,
    connect: async (connectOptions = {}) => attend(t, await connect(url + (connectOptions.query ?? ''), connectOptions))
  }
}

/** A log that a test can read: one object a line. */
export function readableLog (): { lines: Array<Record<string, unknown>>, logger: FastifyLoggerOptions & { level: string } } {
  const lines: Array<Record<string, unknown>> = []
  const stream = { write (line: string) { lines.push(JSON.parse(line) as Record<string, unknown>) } }
  return { lines, logger: { level: 'debug', stream } }
}

export interface ServeOptions extends WsChannelOptions {
  fastify?: FastifyServerOptions
  /** What the host does before it registers the channel. */
  before?: (app: FastifyInstance) => void
  /** What it does once the channel is registered, and not ready. */
  after?: (app: FastifyInstance) => void
  /** Registers the channel in a scope of its own with this prefix. */
  isolated?: string
  /** A port that has been free before: for a server that comes back. */
  at?: number
  clock?: ManualClock
}

export interface Host {
  app: FastifyInstance
  port: number
  origin: string
  url: string
  connect: (options?: ConnectOptions & { query?: string }) => Promise<ChannelClient>
}
