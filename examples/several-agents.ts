// npx tsx examples/several-agents.ts
//
// Several agents behind one socket, and a second channel with an agent, a prefix and limits of its own. Try:
//   CHANNEL_AGENT=spell node examples/client.mjs "hello"
//   CHANNEL_URL=ws://localhost:9527/admin/ws node examples/client.mjs "hello"
import Fastify from 'fastify'

import wsChannel, { type AgentExecutor, type Executor } from '../lib/index.js'

const main: Executor = ({ message }) => `You said: ${message}`

const spell: Executor = function * ({ message }) {
  for (const letter of message) yield `${letter} `
}

// One executor per agent id: a chat to another id is answered by AGENT_NOT_FOUND.
const agents: AgentExecutor = {
  main,
  spell: { execute: spell, description: 'Spells what it hears' }
}

const app = Fastify({ logger: true })

// Each channel has a scope of its own, and with it its own hooks, agents and sessions.
app.register(async (api) => {
  api.register(wsChannel, { agentExecutor: agents })
}, { prefix: '/api/v1' })

app.register(async (admin) => {
  admin.decorate('agentExecutor', ({ agentId }) => `This is ${agentId} of the back office.`)
  admin.register(wsChannel, { maxMessageLength: 500 })
}, { prefix: '/admin' })

await app.listen({ port: Number(process.env.PORT ?? 9527) })
