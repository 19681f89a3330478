// npx tsx examples/drain.ts
//
// Stop it by Ctrl-C while an answer runs (node examples/client.mjs "hello"): the answer comes to its end first.
import { setTimeout as pause } from 'node:timers/promises'

import Fastify from 'fastify'

import wsChannel, { type Executor } from '../lib/index.js'

const slow: Executor = async function * ({ signal }) {
  for (let word = 1; word <= 20; word++) {
    await pause(200, undefined, { signal })
    yield `${word} `
  }
}

const app = Fastify({ logger: true })
app.get('/health', async () => ({ ok: true }))
app.register(wsChannel, { agentExecutor: slow })

async function stop () {
  app.log.info('draining')
  // New chats are refused from here on, running turns go on, and the REST routes still answer; `close()` alone would
  // answer 503 to them while it waits. Give the process longer to end than this: Kubernetes' default is 30 s.
  await app.channel.drain({ timeoutMs: 20_000 })
  await app.close()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stop().catch((error: unknown) => {
      app.log.error(error)
      process.exit(1)
    })
  })
}

await app.listen({ port: Number(process.env.PORT ?? 9527) })
