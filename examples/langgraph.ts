// npx tsx examples/langgraph.ts
//
// An agent of LangGraph that works for long, step by step, whoever is there: ask it, go away, come back for the answer. Try:
//   node examples/resume.mjs tea "why is tea good?"
// and cut its line, or end it by Ctrl-C: the answer comes to its end, and waits in the history of the session.
import { setTimeout as pause } from 'node:timers/promises'

import { dispatchCustomEvent } from '@langchain/core/callbacks/dispatch'
import { FakeListChatModel } from '@langchain/core/utils/testing'
import { Annotation, END, START, StateGraph } from '@langchain/langgraph'
import Fastify from 'fastify'

import { fromLangChain } from '../lib/adapters/langchain.js'
import wsChannel from '../lib/index.js'

const STEP_MS = Number(process.env.STEP_MS ?? 2_000)
// In its place stands a model of yours, such as ChatOpenAI: whatever it streams is the answer's text.
const model = new FakeListChatModel({ responses: ['I have read all that there is: it is warm, and it is quiet while one drinks it.'] })

const State = Annotation.Root({
  question: Annotation<string>,
  notes: Annotation<string[]>({ reducer: (before, more) => [...before, ...more], default: () => [] })
})

const graph = new StateGraph(State)
  .addNode('research', async ({ notes }, config) => {
    // What is worth to be told meanwhile: an event of the turn, which keeps its time-out from thinking that nothing happens.
    await dispatchCustomEvent('progress', { read: notes.length + 1, of: 3 }, config)
    await pause(STEP_MS, undefined, { signal: config.signal })
    return { notes: [`note ${notes.length + 1}`] }
  })
  .addNode('write', async ({ question, notes }, config) => {
    await model.invoke([['human', `${question}\n${notes.join('\n')}`]], config)
    return {}
  })
  .addEdge(START, 'research')
  .addConditionalEdges('research', ({ notes }) => notes.length < 3 ? 'research' : 'write')
  .addEdge('write', END)
  .compile()

const agent = fromLangChain(({ messages, ...config }) =>
  graph.streamEvents({ question: messages.at(-1)?.content ?? '' }, { version: 'v2', ...config }))

const app = Fastify({ logger: true })
// A turn goes on when nobody is connected: `continue` is the default. How long it may take is the host's to say.
app.register(wsChannel, { agentExecutor: agent, onDisconnect: 'continue', turnTimeoutMs: 3_600_000 })
await app.listen({ port: Number(process.env.PORT ?? 9527) })
