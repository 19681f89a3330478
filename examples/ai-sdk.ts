// npx tsx examples/ai-sdk.ts
//
// An agent of the AI SDK with a tool that asks its user first. Set OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_API_KEY, and try:
//   node examples/resume.mjs shop "buy 3 teapots"
// and answer by a line: {"type":"approve","ok":true,"approvalId":"…"}
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { stepCountIs, streamText, tool } from 'ai'

import { fromAiSdk } from '../lib/adapters/ai-sdk.js'
import { Approvals } from './approvals.js'
import { API, buy, BUY, INSTRUCTIONS, MODEL, serveAgent } from './shop.js'

const approvals = new Approvals()
const model = createOpenAICompatible({ name: 'shop', ...API })(MODEL)

const tools = {
  buy: tool({ description: BUY.description, inputSchema: BUY.schema, needsApproval: true, execute: ({ what }) => buy(what) })
}

// The SDK tells the question as an event, ends its call, and is called again with the answer: all that in one turn.
const agent = fromAiSdk((call) => streamText({ model, system: INSTRUCTIONS, tools, stopWhen: stepCountIs(5), ...call }), {
  approve: async (call, turn) => ({ approved: await approvals.open(turn, call.approvalId, call).answered })
})

await serveAgent(agent, approvals)
