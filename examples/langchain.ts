// npx tsx examples/langchain.ts
//
// An agent of LangChain with a tool that asks its user first. Set OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_API_KEY, and try:
//   node examples/resume.mjs shop "buy 3 teapots"
// and answer by a line: {"type":"approve","ok":true,"approvalId":"…"}
import { dispatchCustomEvent } from '@langchain/core/callbacks/dispatch'
import { RunnableLambda } from '@langchain/core/runnables'
import { tool, type ToolRunnableConfig } from '@langchain/core/tools'
import { ChatOpenAI } from '@langchain/openai'

import { fromLangChain, type SdkCall } from '../lib/adapters/langchain.js'
import type { Turn } from '../lib/index.js'
import { Approvals } from './approvals.js'
import { API, buy, BUY, INSTRUCTIONS, MODEL, serveAgent } from './shop.js'

const MAX_CALLS = 5
const approvals = new Approvals()
const model = new ChatOpenAI({ model: MODEL, apiKey: API.apiKey, configuration: { baseURL: API.baseURL } })

function buyFor (turn: Turn) {
  return tool(async ({ what }: { what: string }, config: ToolRunnableConfig) => {
    const call = { toolCallId: config.toolCall?.id, toolName: 'buy', input: { what } }
    const { approvalId, answered } = approvals.open(turn, undefined, call)
    // What a tool dispatches is an event of the turn.
    await dispatchCustomEvent('tool-approval-request', { ...call, approvalId }, config)
    return await turn.waitFor(answered) ? JSON.stringify(buy(what)) : 'The user does not want that.'
  }, { name: 'buy', description: BUY.description, schema: BUY.schema })
}

/** Calls the model until it calls no tool any more; an agent of LangGraph does the same, and is read the same way. */
function agentFor (turn: Turn) {
  const buyer = buyFor(turn)
  const caller = model.bindTools([buyer])
  return RunnableLambda.from(async (messages: SdkCall['messages'], config) => {
    const said: unknown[] = [{ role: 'system', content: INSTRUCTIONS }, ...messages]
    for (let calls = 0; calls < MAX_CALLS; calls++) {
      const answer = await caller.invoke(said as Parameters<typeof caller.invoke>[0], config)
      said.push(answer)
      if (!answer.tool_calls?.length) break
      for (const call of answer.tool_calls) said.push(await buyer.invoke({ ...call, type: 'tool_call' }, config))
    }
    return said.at(-1)
  })
}

const agent = fromLangChain(({ messages, ...config }, turn) => agentFor(turn).streamEvents(messages, { version: 'v2', ...config }))

await serveAgent(agent, approvals)
