// One node of the run over several, in a process of its own: it can be killed. Run by `Fleet`.
import process from 'node:process'

import Fastify from 'fastify'
import { Redis } from 'ioredis'

import { wsChannel, type Executor } from '../../../lib/index.js'
import { redisJournal, redisSessionStore } from '../../../lib/redis.js'
import { BUGS } from './bugs.js'
import type { NodeConfig } from './fleet.js'

const config = JSON.parse(process.argv[2] ?? '{}') as NodeConfig
if (config.bug !== undefined) BUGS[config.bug]?.plant()

/** Says as many pieces as it is asked for, with a pause of so many milliseconds before each. */
const executor: Executor = async function * ({ id, message, signal }) {
  console.log(`BEGUN ${id}`)
  const [count = 0, pauseMs = 0] = message.split(' ').map(Number)
  for (let index = 0; index < count && !signal.aborted; index++) {
    if (pauseMs > 0) await new Promise((resolve) => { setTimeout(resolve, pauseMs) })
    yield `${id}:${index} `
  }
}

const client = new Redis({ port: config.redisPort, host: '127.0.0.1' })
client.on('error', () => {})
const { prefix, leaseMs, sweepMs } = config
const app = Fastify({ forceCloseConnections: true })
app.register(wsChannel, {
  agentExecutor: executor,
  journal: redisJournal(client, { prefix: `${prefix}journal:`, leaseMs, sweepMs, maxEntries: 8_192, maxBytes: 4_000_000, commandTimeoutMs: 500, stopTimeoutMs: 300 }),
  sessionStore: redisSessionStore(client, { prefix: `${prefix}history:`, commandTimeoutMs: 500 }),
  drainTimeoutMs: 1
})
await app.listen({ port: config.port, host: '127.0.0.1' })
console.log('LISTENING')
// Whoever has started it is gone.
process.stdin.on('end', () => { process.exit() }).resume()
