import { DEFAULT_AGENT_ID } from '../protocol/names.js'
import { systemClock, type ClientClock } from './client-clock.js'

export interface ChannelClientOptions {
  /** Where the channel is: `wss://…/ws`, or what `https:` or a page's relative address make of it. Its query may set `agentId` and `sessionId`. */
  url: string | URL
  /**
   * Whose connection it is: a bearer token, or a function that is asked for one before each connection. It is to renew
   * the token where `isRejected`: the one before was not accepted, or has expired.
   */
  token?: string | TokenSource | undefined
  /** A WebSocket as browsers have it, such as that of `ws`. @default globalThis.WebSocket */
  WebSocket?: WebSocketConstructor | undefined
  /**
   * Takes the place of the WebSocket where none gets through, such as `sseTransport()` of `fastify-ws-channel/client/sse`:
   * when `fallbackAfter` attempts in a row have come to nothing, or the server answers a plain GET that there is none. It
   * stays until an attempt of its own comes to nothing: then WebSockets are tried again. Given as `WebSocket`, it is all there is.
   */
  fallback?: WebSocketConstructor | undefined
  /** @default 2 */
  fallbackAfter?: number | undefined
  /** Asks by a plain GET why an upgrade was refused, which a WebSocket does not tell. @default globalThis.fetch */
  fetch?: typeof fetch | undefined
  /** The agent of chats that name none. @default the URL's, else `main` */
  agentId?: string | undefined
  /** The session of chats that name none. @default the URL's, else one of this client's own */
  sessionId?: string | undefined
  /** Closes the client. */
  signal?: AbortSignal | undefined
  /** How long a connection may take until it is ready. @default 10000 */
  connectTimeoutMs?: number | undefined
  /** The pause before the first of several attempts to connect is between 0 and this; it doubles with each failure. @default 500 */
  minBackOffMs?: number | undefined
  /** Where the pause stops to double. @default 30000 */
  maxBackOffMs?: number | undefined
  /** After so much silence a ping is sent. @default what the server says, 25000 */
  heartbeatMs?: number | undefined
  /** What answers no ping within this is a dead connection. @default 10000 */
  pongTimeoutMs?: number | undefined
  /** How long a request may wait for its answer, a lost connection included. @default 30000 */
  answerTimeoutMs?: number | undefined
  /** How long a turn may be out of touch with the server, awake, before it ends in an error. @default 120000 */
  turnPatienceMs?: number | undefined
  /**
   * For how long after the last sign of it a chat is sent again under its id. Must be less than the server's
   * `dedupWindowMs`, after which the chat would run a second time. @default 240000
   */
  resendWindowMs?: number | undefined
  /** Time, for tests. */
  clock?: ClientClock | undefined
  /** Chance, for tests: numbers from 0 to 1. @default Math.random */
  random?: (() => number) | undefined
}

export type TokenSource = (asked: { isRejected: boolean }) => string | undefined | Promise<string | undefined>

/** What of a WebSocket this client needs. */
export interface ClientWebSocket {
  send (data: string): void
  close (code?: number, reason?: string): void
  /** Ends a connection without a handshake, where there is such a thing. */
  terminate? (): void
  addEventListener (type: 'open' | 'message' | 'close' | 'error', listener: (event: object) => void): void
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => ClientWebSocket

/** Options, complete. */
export type Settings = ReturnType<typeof readOptions>

/** @throws TypeError when a client cannot be made of them */
export function readOptions (options: Partial<ChannelClientOptions> = {}) {
  const { location, WebSocket: available, fetch: ask } = globalThis as Partial<Globals>
  const url = urlOf(options.url, location?.href)
  url.protocol = url.protocol.replace('http', 'ws')
  const { fallback, WebSocket = available ?? fallback, fetch = ask } = options
  if (WebSocket === undefined) throw new TypeError('There is no WebSocket here: give one as the option `WebSocket`, such as that of the package ws')
  const { agentId = url.searchParams.get('agentId') ?? DEFAULT_AGENT_ID } = options
  const { sessionId = url.searchParams.get('sessionId') ?? freshId() } = options
  return {
    url,
    token: options.token,
    WebSocket,
    fallback,
    fallbackAfter: options.fallbackAfter ?? 2,
    fetch,
    agentId,
    sessionId,
    signal: options.signal,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    minBackOffMs: options.minBackOffMs ?? 500,
    maxBackOffMs: options.maxBackOffMs ?? 30_000,
    heartbeatMs: options.heartbeatMs,
    pongTimeoutMs: options.pongTimeoutMs ?? 10_000,
    answerTimeoutMs: options.answerTimeoutMs ?? 30_000,
    turnPatienceMs: options.turnPatienceMs ?? 120_000,
    resendWindowMs: options.resendWindowMs ?? 240_000,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random
  }
}

function urlOf (given: string | URL | undefined, page: string | undefined): URL {
  try {
    if (given !== undefined) return new URL(given, page)
  } catch {}
  throw new TypeError(`The option \`url\` must be an address, such as wss://example.com/api/v1/ws, not ${String(given)}`)
}

/** 128 random bits; `crypto.randomUUID` is there on secure pages only. */
export function freshId (): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

interface Globals {
  location: { href: string }
  WebSocket: WebSocketConstructor
  fetch: typeof fetch
}
