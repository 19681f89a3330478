import { systemClock, type ClientClock } from '../client-clock.js'
import type { WebSocketConstructor } from '../options.js'
import { tokenAmong } from '../subprotocols.js'
import { ChannelHttp } from './channel-http.js'
import { SseSocket } from './sse-socket.js'

export interface SseTransportOptions {
  /** Where the routes of `channelRest` are: the address before `/agents`. @default the channel's, without its last segment */
  url?: string | URL | undefined
  /** @default globalThis.fetch */
  fetch?: typeof fetch | undefined
  /** How long an answer may take, one that goes on until it begins. @default 30000 */
  answerTimeoutMs?: number | undefined
  /** An answer that goes on and says nothing for so much longer than the server's heartbeat is lost. @default 10000 */
  silenceMs?: number | undefined
  /** Time, for tests. */
  clock?: ClientClock | undefined
}

/**
 * What the client takes in place of a WebSocket, over the routes of `channelRest`: each session that it follows is an
 * answer of server-sent events, all else are requests. Frames that the host has defined fail with `WEBSOCKET_ONLY`.
 */
export function sseTransport (options: SseTransportOptions = {}): WebSocketConstructor {
  const { fetch: ask = (input, init) => fetch(input, init), answerTimeoutMs = 30_000, silenceMs = 10_000, clock = systemClock } = options
  return class extends SseSocket {
    constructor (url: string, protocols: string[]) {
      const base = options.url === undefined ? besides(url) : new URL(options.url, url)
      super(new ChannelHttp({ base, token: tokenAmong(protocols), fetch: ask, answerTimeoutMs, silenceMs, clock }))
    }
  }
}

/** The rest of the query may be for the host's hooks. */
function besides (channel: string): URL {
  const url = new URL('.', channel)
  url.search = new URL(channel).search
  for (const name of ['agentId', 'sessionId']) url.searchParams.delete(name)
  return url
}
