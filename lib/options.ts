import type { AgentExecutor } from './agent/executor.js'
import { MAX_TIMEOUT_MS, type Clock } from './clock.js'
import { FST_WS_CHANNEL_OPTION } from './errors.js'
import type { Journal } from './journal/journal.js'
import { BUSY_POLICIES, DISCONNECT_POLICIES, type BusyPolicy, type DisconnectPolicy } from './protocol/names.js'
import type { SessionStore } from './sessions/session-store.js'
import { ASYNCAPI_SETTINGS, type AsyncApiSettings } from './transports/asyncapi-host.js'
import type { Authorize } from './transports/frame-gate.js'
import type { Identify } from './transports/identity.js'
import { originFault, type OriginOption } from './transports/origin.js'
import type { ChannelRouteOptions } from './transports/route-options.js'

/** What the channel works with, and how it is reached. */
export interface ChannelSetup {
  // Fastify's own key, with Fastify's own type: it alone does not take `undefined`.
  /** Prefix of the route, put behind the scope's own. @default the scope's, or `/api/v1` where that has none */
  prefix?: string
  /** Path of the route, behind the prefix. @default '/ws' */
  path?: string | undefined
  /** The agent, or a record of agents by id. @default the decorator `agentExecutor`, else an echo */
  agentExecutor?: AgentExecutor | undefined
  /** Where history is kept. @default the decorator `sessionStore`, else `memorySessionStore()` */
  sessionStore?: SessionStore | undefined
  /** Where live turns are kept. @default `memoryJournal()` */
  journal?: Journal | undefined
  /** Says whose sessions a request may use. @default `request.user.sub`, else `.id`; `anonymous` without a user */
  identify?: Identify | undefined
  /** Has the last word on every frame but `ping`; what it does not allow is refused with `FORBIDDEN`. @default all are allowed */
  authorize?: Authorize | undefined
  /** Web origins whose pages may connect, as `@fastify/cors` takes them; a page of another gets 403. @default the server's own */
  origin?: OriginOption | undefined
  /** Host names, beside `localhost` and IP addresses, under which the server's own pages may connect without TLS. @default [] */
  allowedHosts?: readonly string[] | undefined
  /** Hooks, `config` and documentation for the route. @default none */
  routeOptions?: ChannelRouteOptions | undefined
  /** What the AsyncAPI document at the route's `/asyncapi.json` says of the host; `false` for no such route. @default as OpenAPI has it */
  asyncapi?: AsyncApiSettings | false | undefined
  /** What a chat does while another turn of its session runs: `queue`, `reject` or `interrupt`. @default 'queue' */
  onBusy?: BusyPolicy | undefined
  /** What becomes of a named session's turn that nobody follows for `disconnectGraceMs`: `continue`, `cancel`. @default 'continue' */
  onDisconnect?: DisconnectPolicy | undefined
}

/** What the channel may cost. A number each, in the unit that its name ends with, or a count. */
export interface ChannelLimits {
  /** Largest frame of a client, in bytes; a larger one closes 1009. @default 1048576 */
  maxPayload?: number | undefined
  /** Longest `message` of a chat, in UTF-16 code units; a longer one is `VALIDATION_FAILED`. @default 131072 */
  maxMessageLength?: number | undefined
  /** Largest `metadata` of a chat, in bytes of JSON; more is `VALIDATION_FAILED`. @default 16384 */
  maxMetadataBytes?: number | undefined
  /** Largest answer, in bytes of UTF-8; the turn ends with `ANSWER_TOO_LARGE`, what came before is kept. @default 4194304 */
  maxAnswerBytes?: number | undefined
  /** Largest `data` of an event, or of a handler's answer, in bytes of JSON; more is a failure of who sends it. @default 262144 */
  maxEventBytes?: number | undefined
  /** Largest page of a `history` frame, in bytes of JSON; it has fewer messages then, but at least one. @default 1048576 */
  maxHistoryPageBytes?: number | undefined
  /** Connections in all; more are refused with 429. @default 50000 */
  maxConnections?: number | undefined
  /** Connections of one owner (`anonymous` has no such limit); more are refused with 429. @default 100 */
  maxConnectionsPerOwner?: number | undefined
  /** Accepted turns in all, executors left behind after a cancel included; more are `RATE_LIMITED`. @default 10000 */
  maxTurns?: number | undefined
  /** Accepted turns of one owner (`anonymous` has no such limit); more are `RATE_LIMITED`. @default 1000 */
  maxTurnsPerOwner?: number | undefined
  /** Agents with which one connection has a session of its own (chats without `sessionId`); the oldest ends. @default 16 */
  maxOwnSessions?: number | undefined
  /** Unanswered chats of one connection; more are `RATE_LIMITED`. @default 64 */
  maxTurnsPerConnection?: number | undefined
  /** Sessions that one connection follows whole (`subscribe`); more are `RATE_LIMITED`. @default 100 */
  maxSubscriptions?: number | undefined
  /** Chats that wait in one session behind the running one; more are `QUEUE_FULL`. @default 10 */
  maxQueuedTurns?: number | undefined
  /** Bytes of all accepted messages whose turns have not ended; more are `RATE_LIMITED`. @default 67108864 */
  maxQueuedBytes?: number | undefined
  /** Frames of one connection per second; more are `RATE_LIMITED`, twice as many close 4429. @default 100 */
  maxFramesPerSecond?: number | undefined
  /** The same for all connections of one owner together. @default 1000 */
  maxFramesPerSecondPerOwner?: number | undefined
  /** Bad frames of one connection per minute; more close 4400. @default 60 */
  maxErrorsPerMinute?: number | undefined
  /** The same for all connections of one owner together. @default 600 */
  maxErrorsPerMinutePerOwner?: number | undefined
  /** Bytes of replies a client has not taken yet; above, it is not read until it has. @default 262144 */
  maxPendingReplyBytes?: number | undefined
  /** Requests without an answer; above, the client is not read until there are fewer. @default 16 */
  maxPendingRequests?: number | undefined
  /** Bytes in a socket's send buffer above which nothing is added; the rest waits in the journal. @default 65536 */
  highWaterBytes?: number | undefined
  /** How long pieces that follow a write wait for each other, so that they leave in one; 0 for not at all. @default 2 */
  coalesceMs?: number | undefined
  /** How long a reader may take nothing before it is closed 1008, and a turn may wait for its readers. @default 30000 */
  slowConsumerTimeoutMs?: number | undefined
  /** How long an executor may take to its first part; then `AGENT_TIMEOUT`. @default 60000 */
  firstPartTimeoutMs?: number | undefined
  /** How long an executor may take from one part to the next; then `AGENT_TIMEOUT`. @default 60000 */
  idleTimeoutMs?: number | undefined
  /** How long a turn may take in all; then `AGENT_TIMEOUT`. @default 600000 */
  turnTimeoutMs?: number | undefined
  /** How long the session store may take; then `STORE_UNAVAILABLE`. @default 5000 */
  storeTimeoutMs?: number | undefined
  /** How long a journal that is not in memory may take; then `STORE_UNAVAILABLE`. @default 5000 */
  journalTimeoutMs?: number | undefined
  /** How long `authorize` may take over a frame; then `INTERNAL`. @default 5000 */
  authorizeTimeoutMs?: number | undefined
  /** How long the handler of a host-defined frame type may take; then `INTERNAL`. @default 30000 */
  handlerTimeoutMs?: number | undefined
  /** How long nobody may follow a turn before it is cancelled, where `onDisconnect` is `cancel`. @default 10000 */
  disconnectGraceMs?: number | undefined
  /** How long the next turn of a session waits for the executor of one that was stopped. @default 5000 */
  cancelGraceMs?: number | undefined
  /** Time between WebSocket pings to a client. @default 25000 */
  heartbeatMs?: number | undefined
  /** How long after a ping a client may be silent before it is closed 4408. @default 10000 */
  pongTimeoutMs?: number | undefined
  /** How long running turns have when the channel drains; then `SHUTTING_DOWN`. @default 30000 */
  drainTimeoutMs?: number | undefined
  /** How long a client may take nothing, and not answer, once it is closed; then its socket is cut off. @default 500 */
  closeTimeoutMs?: number | undefined
  /** What clients are told to wait before they come back, or send again what found no room. @default 1000 */
  retryAfterMs?: number | undefined
}

/** Options of `wsChannel`. */
export interface WsChannelOptions extends ChannelSetup, ChannelLimits {}

/** What every limit is, once the options are read. */
export type ResolvedLimits = { [Key in keyof Required<ChannelLimits>]: number }

export const DEFAULT_LIMITS: ResolvedLimits = {
  maxPayload: 1024 * 1024,
  maxMessageLength: 128 * 1024,
  maxMetadataBytes: 16 * 1024,
  maxAnswerBytes: 4 * 1024 * 1024,
  maxEventBytes: 256 * 1024,
  maxHistoryPageBytes: 1024 * 1024,
  maxConnections: 50_000,
  maxConnectionsPerOwner: 100,
  maxTurns: 10_000,
  maxTurnsPerOwner: 1_000,
  maxOwnSessions: 16,
  maxTurnsPerConnection: 64,
  maxSubscriptions: 100,
  maxQueuedTurns: 10,
  maxQueuedBytes: 64 * 1024 * 1024,
  maxFramesPerSecond: 100,
  maxFramesPerSecondPerOwner: 1_000,
  maxErrorsPerMinute: 60,
  maxErrorsPerMinutePerOwner: 600,
  maxPendingReplyBytes: 256 * 1024,
  maxPendingRequests: 16,
  highWaterBytes: 64 * 1024,
  coalesceMs: 2,
  slowConsumerTimeoutMs: 30_000,
  firstPartTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  turnTimeoutMs: 600_000,
  storeTimeoutMs: 5_000,
  journalTimeoutMs: 5_000,
  authorizeTimeoutMs: 5_000,
  handlerTimeoutMs: 30_000,
  disconnectGraceMs: 10_000,
  cancelGraceMs: 5_000,
  heartbeatMs: 25_000,
  pongTimeoutMs: 10_000,
  drainTimeoutMs: 30_000,
  closeTimeoutMs: 500,
  retryAfterMs: 1_000
}

const SETUP: ReadonlyArray<keyof ChannelSetup> = [
  'prefix', 'path', 'agentExecutor', 'sessionStore', 'journal', 'identify', 'authorize', 'origin', 'allowedHosts',
  'routeOptions', 'asyncapi', 'onBusy', 'onDisconnect'
]

/** Fastify's own, for any plugin. */
const OTHERS: readonly string[] = ['logLevel', 'logSerializers']
/** For this package's tests. */
const HIDDEN = 'clock'

/**
 * Checks the options and fills in the defaults.
 * @throws FST_WS_CHANNEL_OPTION for an unknown or impossible one; it says what to write instead
 */
export function resolveLimits (options: WsChannelOptions & { clock?: Clock }): ResolvedLimits {
  const known = [...SETUP, ...OTHERS, ...Object.keys(DEFAULT_LIMITS)]
  for (const key of Object.keys(options)) {
    if (key !== HIDDEN && !known.includes(key)) throw new FST_WS_CHANNEL_OPTION(key, `no such option; there are ${known.join(', ')}`)
  }
  checkSetup(options)
  const limits = { ...DEFAULT_LIMITS }
  for (const key of Object.keys(DEFAULT_LIMITS) as Array<keyof ResolvedLimits>) {
    const value = options[key]
    if (value === undefined) continue
    const least = key === 'coalesceMs' ? 0 : 1
    const isCount = Number.isSafeInteger(value) && value >= least
    if (!isCount || (key.endsWith('Ms') && value > MAX_TIMEOUT_MS)) {
      throw new FST_WS_CHANNEL_OPTION(key, `expected a whole number from ${least} to ${key.endsWith('Ms') ? MAX_TIMEOUT_MS : 2 ** 53 - 1}`)
    }
    limits[key] = value
  }
  return limits
}

function checkSetup ({ prefix, path, onBusy, onDisconnect, identify, authorize, origin, allowedHosts, asyncapi }: ChannelSetup): void {
  for (const [key, value] of Object.entries({ prefix, path })) {
    if (value !== undefined && !(typeof value === 'string' && (value === '' || value.startsWith('/')))) {
      throw new FST_WS_CHANNEL_OPTION(key, 'expected a string that starts with /')
    }
  }
  for (const [key, value] of Object.entries({ identify, authorize })) {
    if (value !== undefined && typeof value !== 'function') throw new FST_WS_CHANNEL_OPTION(key, 'expected a function')
  }
  for (const [key, value, policies] of [['onBusy', onBusy, BUSY_POLICIES], ['onDisconnect', onDisconnect, DISCONNECT_POLICIES]] as const) {
    if (value !== undefined && !(policies as readonly unknown[]).includes(value)) {
      throw new FST_WS_CHANNEL_OPTION(key, `expected one of ${policies.join(', ')}`)
    }
  }
  const wrongOrigin = originFault(origin)
  if (wrongOrigin !== undefined) throw new FST_WS_CHANNEL_OPTION('origin', wrongOrigin)
  if (allowedHosts !== undefined && !(Array.isArray(allowedHosts) && allowedHosts.every((host) => typeof host === 'string'))) {
    throw new FST_WS_CHANNEL_OPTION('allowedHosts', 'expected an array of host names')
  }
  const wrongSetting = asyncApiFault(asyncapi)
  if (wrongSetting !== undefined) throw new FST_WS_CHANNEL_OPTION('asyncapi', wrongSetting)
}

function asyncApiFault (asyncapi: unknown): string | undefined {
  if (asyncapi === undefined || asyncapi === false) return undefined
  if (typeof asyncapi !== 'object' || asyncapi === null) return `expected false, or an object with ${ASYNCAPI_SETTINGS.join(', ')}`
  const unknown = Object.keys(asyncapi).find((key) => !(ASYNCAPI_SETTINGS as readonly string[]).includes(key))
  return unknown === undefined ? undefined : `no such setting as \`${unknown}\`; there are ${ASYNCAPI_SETTINGS.join(', ')}`
}
