import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'

import { buildServer, type Env } from '../../examples/app.js'

/** examples/app.ts as this environment makes it; closed with its test. */
export async function server (t: Test, env: Env = {}): Promise<FastifyInstance> {
  const app = await buildServer({ LOG_LEVEL: 'silent', ...env })
  t.teardown(() => app.close())
  return app
}

/** Its channel's address. */
export async function listen (app: FastifyInstance): Promise<string> {
  const address = await app.listen({ port: 0, host: 'localhost' })
  return `${address.replace('http', 'ws').replace(/\/\/[^/]+:/, '//localhost:')}/api/v1/ws`
}
