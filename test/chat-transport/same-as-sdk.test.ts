import { simulateReadableStream, stepCountIs, streamText, tool, type ChatTransport, type ModelMessage, type UIMessage } from 'ai'
import * as sdk from 'ai'
import { MockLanguageModelV3 } from 'ai/test'
import t from 'tap'
import { z } from 'zod'

import { fromAiSdk } from '../../lib/adapters/ai-sdk.js'
import { serve } from '../helpers/app.js'
import type { ModelPart } from '../adapters/ai-sdk-model.js'
import { Page, partsOf } from './page.js'

const USAGE = {
  inputTokens: { total: 3, noCache: 3, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 2, text: 2, reasoning: 0 }
}

/** Thinks, speaks, calls two tools at once, one of which fails, and says what came of it. */
const STEPS: ModelPart[][] = [
  [
    { type: 'reasoning-start', id: 'r' }, { type: 'reasoning-delta', id: 'r', delta: 'Let me ' }, { type: 'reasoning-delta', id: 'r', delta: 'see.' },
    { type: 'reasoning-end', id: 'r' },
    { type: 'text-start', id: 't' }, { type: 'text-delta', id: 't', delta: 'I ' }, { type: 'text-delta', id: 't', delta: 'look.' }, { type: 'text-end', id: 't' },
    { type: 'tool-input-start', id: 'c1', toolName: 'look' }, { type: 'tool-input-delta', id: 'c1', delta: '{"at":"tea"}' },
    { type: 'tool-input-end', id: 'c1' }, { type: 'tool-call', toolCallId: 'c1', toolName: 'look', input: '{"at":"tea"}' },
    { type: 'tool-input-start', id: 'c2', toolName: 'look' }, { type: 'tool-input-delta', id: 'c2', delta: '{"at":"nothing"}' },
    { type: 'tool-input-end', id: 'c2' }, { type: 'tool-call', toolCallId: 'c2', toolName: 'look', input: '{"at":"nothing"}' },
    { type: 'finish', finishReason: { unified: 'tool-calls', raw: 'tool_calls' }, usage: USAGE }
  ],
  [
    { type: 'source', sourceType: 'url', id: 's', url: 'https://tea.example/', title: 'Tea' },
    { type: 'file', mediaType: 'image/png', data: 'AAAA' },
    { type: 'text-start', id: 't' }, { type: 'text-delta', id: 't', delta: 'Two cups.' }, { type: 'text-end', id: 't' },
    { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage: USAGE }
  ]
]

const tools = {
  look: tool({
    inputSchema: z.object({ at: z.string() }),
    execute: async ({ at }) => {
      if (at === 'nothing') throw new Error('The tool failed')
      return { cups: 2 }
    }
  })
}

function model () {
  let calls = 0
  return new MockLanguageModelV3({
    doStream: async () => ({ stream: simulateReadableStream({ chunks: STEPS[calls++] ?? [], chunkDelayInMs: null }) })
  })
}

t.test('an agent of the AI SDK is shown as it is without a channel between', async (t) => {
  const direct: ChatTransport<UIMessage> = {
    async sendMessages () {
      const messages: ModelMessage[] = [{ role: 'user', content: 'How many?' }]
      return streamText({ model: model(), tools, stopWhen: stepCountIs(5), messages, onError () {} })
        .toUIMessageStream({ sendSources: true, onError: (error) => error instanceof Error ? error.message : '' })
    },
    async reconnectToStream () { return null }
  }
  const { url } = await serve(t, {
    agentExecutor: fromAiSdk((call) => streamText({ model: model(), tools, stopWhen: stepCountIs(5), ...call }))
  })
  const page = new Page(t, sdk, url)
  const [{ chat: expected }, { chat }] = [await page.open('direct', { transport: direct }), await page.open('tea')]
  await expected.sendMessage({ text: 'How many?' })
  await chat.sendMessage({ text: 'How many?' })
  t.strictSame(partsOf(chat).map(withoutIds), partsOf(expected).map(withoutIds))
  t.equal(partsOf(chat).length, 9)
  t.match(chat.lastMessage?.metadata, { finishReason: 'stop', usage: { inputTokens: 6, outputTokens: 4 } })
})

/** What each makes for itself. */
function withoutIds (part: unknown): object {
  return { ...part as object, ...typeof part === 'object' && part !== null && 'id' in part ? { id: 'some' } : {} }
}
