// A part of examples/server.ts: OPENAI_BASE_URL=http://localhost:11434/v1 OPENAI_MODEL=qwen3 npm start
//
// Any server that speaks OpenAI's chat completions: OpenAI itself, Ollama, vLLM, llama.cpp, LM Studio …
import OpenAI from 'openai'

import type { Executor, FinishReason, Usage } from '../lib/index.js'

export function openaiAgent (env: Record<string, string | undefined>): Executor {
  const key = env.OPENAI_API_KEY
  const model = env.OPENAI_MODEL || 'gpt-4o-mini'
  const client = new OpenAI({ baseURL: env.OPENAI_BASE_URL, apiKey: key || 'none' })

  return async function * (turn) {
    const earlier = await turn.history()
    // A question whose answer failed has none in the history: two of the same role in a row are fine with these servers.
    const said = earlier.map(({ role, content }) => ({ role, content }))
    let finishReason: FinishReason = 'other'
    let usage: OpenAI.CompletionUsage | null | undefined

    try {
      const chunks = await client.chat.completions.create({
        model,
        messages: [...said, { role: 'user', content: turn.message }],
        stream: true,
        stream_options: { include_usage: true }
      }, { signal: turn.signal })

      for await (const chunk of chunks) {
        const choice = chunk.choices[0]
        if (choice?.delta.content) yield choice.delta.content
        if (choice?.finish_reason) finishReason = FINISH_REASONS[choice.finish_reason] ?? 'other'
        usage = chunk.usage ?? usage
      }
    } catch (error) {
      throw withoutKey(error, key)
    }

    yield usage ? { type: 'finish', finishReason, usage: usageOf(usage) } : { type: 'finish', finishReason }
  }
}

function usageOf ({ prompt_tokens, completion_tokens, total_tokens }: OpenAI.CompletionUsage): Usage {
  return { inputTokens: prompt_tokens, outputTokens: completion_tokens, totalTokens: total_tokens }
}

const FINISH_REASONS: Record<string, FinishReason> = {
  stop: 'stop',
  length: 'length',
  content_filter: 'content-filter',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls'
}

/** Servers quote the key they refuse, and what is thrown is logged: a new error, since the old one holds headers and body. */
function withoutKey (error: unknown, key: string | undefined): Error {
  const { message, cause } = error instanceof Error ? error : new Error(String(error))
  const reason = cause instanceof Error ? `${message} (${cause.message})` : message
  return new Error(`the model failed: ${key ? reason.replaceAll(key, '[key]') : reason}`)
}
