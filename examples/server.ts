// npm start
//
// A REST API under http://localhost:9527/api/v1 with an agent on ws://localhost:9527/api/v1/ws, documented at /docs;
// a page to try it in is at http://localhost:9527/api/v1/ws/playground.
//   PORT, HOST, LOG_LEVEL                          where it listens, and how much it says
//   AUTH_TOKEN                                     a bearer token that REST and socket then ask for
//   OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_API_KEY  a model in the place of the offline agent
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { buildServer, type Env } from './app.js'

export { buildServer }

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await start(process.env).catch(fail)
}

async function start (env: Env) {
  const port = portOf(env)
  const app = await buildServer(env)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Running answers come to their end first. A second signal finds no listener, and ends the process at once.
    process.once(signal, () => { app.close().catch(fail) })
  }
  // Not 127.0.0.1: where a system has IPv6, clients take `localhost` for ::1, and Fastify listens on both.
  await app.listen({ port, host: env.HOST || 'localhost' })
}

function portOf ({ PORT }: Env): number {
  const port = Number(PORT || 9527)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new Error(`PORT must be a whole number up to 65535, not ${JSON.stringify(PORT)}`)
}

function fail (error: Error & { code?: string, port?: number }) {
  console.error(error.code === 'EADDRINUSE' ? `Port ${String(error.port)} is taken: choose another with PORT=…` : error.message)
  process.exit(1)
}
