// A part of examples/ai-sdk.ts: and of openai-tools.ts and langchain.ts, what their agents have for a tool, and the app around them.
import Fastify from 'fastify'
import { z } from 'zod'

import wsChannel, { type Executor } from '../lib/index.js'
import type { Approvals } from './approvals.js'

/** Any server that speaks OpenAI's chat completions: OpenAI itself, Ollama, vLLM, llama.cpp, LM Studio … */
export const MODEL = process.env.OPENAI_MODEL ?? 'gpt-4o-mini'
export const API = { baseURL: process.env.OPENAI_BASE_URL ?? 'https://api.openai.com/v1', apiKey: process.env.OPENAI_API_KEY ?? 'none' }

export const INSTRUCTIONS = 'You sell tea. Buy for the user what they want by the tool `buy`.'

/** What the tool costs money for, and who is asked before it does. */
export const BUY = { description: 'Buys something. The user is asked before.', schema: z.object({ what: z.string() }) }

export function buy (what: string) {
  return { bought: what, orderId: 7 }
}

export async function serveAgent (agentExecutor: Executor, approvals: Approvals) {
  const app = Fastify({ logger: true })
  // While a person thinks only this one runs.
  await app.register(wsChannel, { agentExecutor, turnTimeoutMs: 3_600_000 })
  approvals.define(app.channel)
  await app.listen({ port: Number(process.env.PORT ?? 9527) })
}
