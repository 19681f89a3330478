import { channelRest, type ChannelRestOptions } from '../../lib/index.js'
import { serve, type Host, type ServeOptions } from '../helpers/app.js'
import type { Attendant } from '../helpers/channel-client.js'
import { ask, EventReader, type AskOptions, type JsonAnswer } from '../helpers/http-client.js'

/** A host whose channel is there over HTTP too. */
export async function serveRest (
  t: Attendant, { rest = {}, after, ...options }: ServeOptions & { rest?: ChannelRestOptions } = {}
): Promise<RestHost> {
  const host = await serve(t, {
    ...options,
    after (app) {
      app.register(channelRest, rest)
      after?.(app)
    }
  })
  const base = `${host.origin}/api/v1`
  return {
    ...host,
    base,
    ask: async (path, askOptions) => await ask(base + path, askOptions),
    chat: async (body, headers = {}) => await ask(`${base}/agents/main/chat`, { body, headers }),
    tell: async (body, headers = {}) => await EventReader.open(t, `${base}/agents/main/chat`, { body, headers }),
    follow: async (sessionId, headers = {}, query = '') =>
      await EventReader.open(t, `${base}/agents/main/sessions/${sessionId}/events${query}`, { headers })
  }
}

export interface RestHost extends Host {
  /** Of the routes. */
  base: string
  ask: (path: string, options?: AskOptions) => Promise<JsonAnswer>
  /** A chat with the agent `main`, answered as JSON; or as events. */
  chat: (body: unknown, headers?: Record<string, string>) => Promise<JsonAnswer>
  tell: (body: object, headers?: Record<string, string>) => Promise<EventReader>
  follow: (sessionId: string, headers?: Record<string, string>, query?: string) => Promise<EventReader>
}
