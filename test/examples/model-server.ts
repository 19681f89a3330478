import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

import type { Test } from 'tap'

/** A server that speaks OpenAI's chat completions, as a model that buys what it is told to, and then says what came of it. */
export async function serveModel (t: Test): Promise<string> {
  const server = createServer((request, response) => { void answer(request, response) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
}

async function answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { messages } = JSON.parse(await text(request)) as { messages: Array<{ role: string, content: unknown }> }
  const last = messages.at(-1)
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const chunk of last?.role === 'tool' ? told(last.content) : called(last?.content)) {
    response.write(`data: ${JSON.stringify(chunk)}\n\n`)
  }
  response.end('data: [DONE]\n\n')
}

function called (content: unknown): object[] {
  const call = (more: object) => chunkOf('m1', { tool_calls: [{ index: 0, ...more }] })
  return [
    chunkOf('m1', { role: 'assistant', content: 'One moment. ' }),
    call({ id: 'c1', type: 'function', function: { name: 'buy', arguments: '' } }),
    call({ function: { arguments: JSON.stringify({ what: content }) } }),
    chunkOf('m1', {}, 'tool_calls'),
    usageOf('m1')
  ]
}

function told (content: unknown): object[] {
  return [chunkOf('m2', { role: 'assistant', content: `So: ${String(content)}` }), chunkOf('m2', {}, 'stop'), usageOf('m2')]
}

function chunkOf (id: string, delta: object, word: string | null = null): object {
  return { id, object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: word }] }
}

function usageOf (id: string): object {
  return { id, object: 'chat.completion.chunk', created: 1, model: 'm', choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } }
}
