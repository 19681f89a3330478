// npx tsx examples/openai-tools.ts
//
// An agent of the openai package with a tool that asks its user first: the loop of calls and tools is the host's own. Set
// OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_API_KEY, and try: node examples/resume.mjs shop "buy 3 teapots"
// and answer by a line: {"type":"approve","ok":true,"approvalId":"…"}
import OpenAI from 'openai'
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions'
import { z } from 'zod'

import { fromOpenAI, type OpenAIItem } from '../lib/adapters/openai.js'
import type { Turn } from '../lib/index.js'
import { Approvals } from './approvals.js'
import { API, buy, BUY, INSTRUCTIONS, MODEL, serveAgent } from './shop.js'

const MAX_CALLS = 5
const approvals = new Approvals()
const openai = new OpenAI(API)

const agent = fromOpenAI(async function * ({ messages, signal }, turn) {
  const said: ChatCompletionMessageParam[] = [{ role: 'system', content: INSTRUCTIONS }, ...messages]
  for (let calls = 0; calls < MAX_CALLS; calls++) {
    const stream = openai.chat.completions.stream({
      model: MODEL,
      messages: said,
      tools: [{ type: 'function', function: { name: 'buy', description: BUY.description, parameters: z.toJSONSchema(BUY.schema) } }],
      stream_options: { include_usage: true }
    }, { signal })
    // What the model streams is the answer; what is yielded beside it are parts of the host's own.
    for await (const chunk of stream) yield chunk
    const { message } = (await stream.finalChatCompletion()).choices[0] ?? {}
    if (!message?.tool_calls?.length) return
    said.push(message)
    for (const { id, function: { arguments: json } } of message.tool_calls) {
      const { what } = BUY.schema.parse(JSON.parse(json))
      const output = yield * bought(turn, id, what)
      said.push({ role: 'tool', tool_call_id: id, content: JSON.stringify(output) })
    }
  }
})

async function * bought (turn: Turn, toolCallId: string, what: string): AsyncGenerator<OpenAIItem, object> {
  const call = { toolCallId, toolName: 'buy' }
  const { approvalId, answered } = approvals.open(turn, undefined, { ...call, input: { what } })
  yield { type: 'event', name: 'tool-approval-request', data: { ...call, approvalId, input: { what } } }
  if (!await turn.waitFor(answered)) {
    yield { type: 'event', name: 'tool-denied', data: call }
    return { denied: true }
  }
  const output = buy(what)
  yield { type: 'event', name: 'tool-output', data: { ...call, output } }
  return output
}

await serveAgent(agent, approvals)
