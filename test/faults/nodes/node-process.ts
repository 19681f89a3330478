// One node of the run over several, in a process of its own: it can be killed. Run by `Fleet`.
import type { AddressInfo } from 'node:net'
import process from 'node:process'

import Fastify from 'fastify'
import { Redis } from 'ioredis'

import { wsChannel, type Executor } from '../../../lib/index.js'
import type { Run, TurnEnd } from '../../../lib/journal/journal.js'
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
const journal = redisJournal(client, {
  prefix: `${prefix}journal:`, leaseMs, sweepMs, maxEntries: 8_192, maxBytes: 4_000_000, commandTimeoutMs: 500, stopTimeoutMs: 300
})
const { append, release } = journal
journal.append = (run, batch, entries) => {
  const last = entries.at(-1)
  if (last?.kind === 'end') announce(run, last.end)
  return append.call(journal, run, batch, entries)
}
journal.release = (run, end) => {
  announce(run, end)
  return release.call(journal, run, end)
}
/** What this node is about to say of the turn. */
function announce ({ chat }: Run, { error, finishReason }: TurnEnd): void {
  console.log(`ENDS ${chat.turnId} ${error?.code ?? finishReason}`)
}
const app = Fastify({ forceCloseConnections: true })
app.register(wsChannel, {
  agentExecutor: executor,
  journal,
  sessionStore: redisSessionStore(client, { prefix: `${prefix}history:`, commandTimeoutMs: 500 }),
  drainTimeoutMs: 1
})
await app.listen({ port: 0, host: '127.0.0.1' })
// A server that listens on a port has one.
console.log(`LISTENING ${(app.server.address() as AddressInfo).port}`)
// Whoever has started it is gone.
process.stdin.on('end', () => { process.exit() }).resume()
