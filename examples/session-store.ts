// npx tsx examples/session-store.ts sessions.jsonl
//
// With a session store of your own, conversations outlive the process. Start it twice, and talk each time:
//   CHANNEL_URL="ws://localhost:9527/api/v1/ws?sessionId=tea" node examples/client.mjs "hello"
import Fastify from 'fastify'

import wsChannel, { type Executor } from '../lib/index.js'
import { fileSessionStore } from './file-session-store.js'

const counting: Executor = async (turn) => {
  const earlier = await turn.history()
  return `In ${turn.sessionId}, ${earlier.length} messages came before this one.`
}

const app = Fastify({ logger: true })
app.decorate('agentExecutor', counting)
app.register(wsChannel, { sessionStore: fileSessionStore(process.argv[2] ?? 'sessions.jsonl') })
await app.listen({ port: Number(process.env.PORT ?? 9527) })
