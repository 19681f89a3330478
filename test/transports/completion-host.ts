import OpenAI from 'openai'

import { channelRest, type ChannelRestOptions } from '../../lib/index.js'
import { serve, type Host, type ServeOptions } from '../helpers/app.js'
import type { Attendant } from '../helpers/channel-client.js'

/** A host with the door for clients of OpenAI's API, and that client. */
export async function serveDoor (t: Attendant, { rest = {}, after, ...options }: DoorOptions = {}): Promise<Door> {
  const host = await serve(t, {
    // Node's `fetch` opens a connection in advance after one that was aborted, and a server waits long for its first request.
    fastify: { forceCloseConnections: true },
    ...options,
    after (app) {
      app.register(channelRest, { openAi: true, ...rest })
      after?.(app)
    }
  })
  const baseURL = `${host.origin}/api/v1`
  const client = new OpenAI({ baseURL, apiKey: 'any', maxRetries: 0 })
  return {
    ...host,
    client,
    post: async (body, init = {}) => await fetch(`${baseURL}/chat/completions`, {
      method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'content-type': 'application/json' }, ...init
    })
  }
}

/** What a client asks for, with fields that OpenAI does not know. */
export function completionOf (message: string, more: object = {}): OpenAI.ChatCompletionCreateParamsNonStreaming {
  return { model: 'main', messages: [{ role: 'user', content: message }], ...more }
}

/** The same, streamed. */
export function streamOf (message: string, more: object = {}): OpenAI.ChatCompletionCreateParamsStreaming {
  return { ...completionOf(message, more), stream: true }
}

/** The text of a stream, to its end. */
export async function textOf (stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let text = ''
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? ''
  return text
}

/** How a request was refused that should not be answered. */
export async function refusal (asked: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  const outcome = await Promise.resolve(asked).then((value) => ({ value }), (err: unknown) => err)
  if (outcome instanceof OpenAI.APIError) return outcome
  throw new Error('not refused', { cause: outcome })
}

type DoorOptions = ServeOptions & { rest?: ChannelRestOptions }

export interface Door extends Host {
  client: OpenAI
  post: (body: unknown, init?: RequestInit) => Promise<Response>
}
