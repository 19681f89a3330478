// npx tsx examples/executor.ts
//
// Writing an agent: it gets a turn, and yields its answer. Talk to it with: node examples/client.mjs
import { setTimeout as pause } from 'node:timers/promises'

import Fastify from 'fastify'

import wsChannel, { AgentError, type Executor } from '../lib/index.js'

const storyteller: Executor = async function * (turn) {
  // Only an AgentError's message reaches the client. Other errors are logged, and the client gets AGENT_ERROR.
  if (turn.message.length > 200) throw new AgentError('One word is enough: what should the story be about?')

  // What was said in this session before, oldest first.
  const earlier = await turn.history({ limit: 20 })
  const chapter = earlier.filter(({ role, complete }) => role === 'assistant' && complete).length + 1

  // Neither text nor an end: only clients that follow the turn by an id see it.
  yield { type: 'event', name: 'progress', data: { chapter } }

  yield `Chapter ${chapter}. `
  for (const word of `Once there was ${turn.message}, and everybody was happy.`.split(/(?<= )/)) {
    // Hand the signal to whatever waits: a cancelled turn then stops here, and not at its end.
    await pause(100, undefined, { signal: turn.signal })
    yield word
  }

  turn.log.info({ chapter }, 'told a chapter')
  yield { type: 'finish', finishReason: 'stop', usage: { inputTokens: turn.message.length, outputTokens: 9 } }
}

const app = Fastify({ logger: true })
app.decorate('agentExecutor', storyteller)
app.register(wsChannel)
await app.listen({ port: Number(process.env.PORT ?? 9527) })
