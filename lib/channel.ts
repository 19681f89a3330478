import type { FastifyInstance, FastifyRequest } from 'fastify'

import { agentsOf, type ListedAgents } from './agent/agents.js'
import type { AgentExecutor } from './agent/executor.js'
import { MAX_TIMEOUT_MS, systemClock, type Clock } from './clock.js'
import { FST_WS_CHANNEL_INJECTED, FST_WS_CHANNEL_NOT_READY, FST_WS_CHANNEL_OPTION } from './errors.js'
import { checkJournal, resolveExecutor, resolveStore } from './injected.js'
import type { Journal, Position } from './journal/journal.js'
import { memoryJournal, unsharedJournal } from './journal/memory-journal.js'
import type { ResolvedLimits, WsChannelOptions } from './options.js'
import type { AsyncApiDocument } from './protocol/asyncapi.js'
import { createDecoder } from './protocol/decode.js'
import { ANONYMOUS, SUBPROTOCOL } from './protocol/names.js'
import type { ServerFrame } from './protocol/server-frames.js'
import { unsharedSessionStore, type MemorySessionStore } from './sessions/memory-session-store.js'
import type { SessionStore } from './sessions/session-store.js'
import { Connections } from './transports/connections.js'
import { HostAccess, type FollowOptions, type HostChat, type SessionRef, type StartedTurn } from './transports/host-access.js'
import { HostTypes, type FrameOf, type HostType } from './transports/host-types.js'
import { identifyByUser, toIdentity, type Identity } from './transports/identity.js'
import type { InjectWs } from './transports/inject-websocket.js'
import type { OriginRule } from './transports/origin.js'
import { Refusal } from './transports/refusal.js'
import type { RestTools } from './transports/rest-tools.js'
import { Engine } from './turns/engine.js'

/** `app.channel`: the channel, for the host's own code. */
export interface Channel {
  /** What there is right now, on this node. */
  stats(): ChannelStats
  /**
   * Takes no more connections and chats, lets running turns end, then closes every connection with 1012. Call it before
   * `app.close()` while the REST routes still answer; `app.close()` does the same by itself. Settles when all is done.
   * @param options.timeoutMs how long running turns have, by default the option `drainTimeoutMs`
   */
  drain(options?: { timeoutMs?: number | undefined }): Promise<void>
  /**
   * Closes all connections of an owner with 4403, and ends its answers of server-sent events; answers how many there
   * were. An answer over HTTP that is one whole body is not cut short.
   */
  disconnect(owner: string): number
  /**
   * Adds a frame type of the host's own, before the app is ready. Its frames are checked by `schema`; what `handler`
   * returns goes back as `data` of a frame of the same `type` and `id`.
   * @throws FST_WS_CHANNEL_DEFINE for a type of the protocol or one that is defined already, and once the app is ready
   */
  define<Schema extends object>(type: string, definition: HostType<FrameOf<Schema>> & { schema: Schema }): void
  /**
   * Says a chat in a named session, as a client's `chat` does. With an `id` it runs once.
   * @throws ChannelError (rejects) where a client would get an `error` frame
   */
  startTurn(chat: HostChat): Promise<StartedTurn>
  /**
   * All that happens in a session, as the frames that a client would get who subscribes: `subscribed` first. Ends when
   * the channel drains, or by `signal`. Leave the loop, or give a `signal`: else it counts as a reader for ever.
   * @throws ChannelError (rejects) when the session cannot be followed
   */
  follow(session: SessionRef, options?: FollowOptions): AsyncGenerator<ServerFrame, void, undefined>
  /**
   * Stops a session's turns, or the one with that id; resolves with the ids of those that it stopped.
   * @throws ChannelError (rejects) for a name that is none, and when the journal is away
   */
  cancel(session: SessionRef & { turnId?: string | undefined }): Promise<string[]>
  /**
   * Sends all who follow the session an `event` that belongs to no turn; resolves with its position.
   * @param name at most 128 UTF-16 units, and not `turn-started`
   * @param data JSON of at most `maxEventBytes`
   * @throws ChannelError (rejects) for a name or data that cannot be sent
   */
  publish(session: SessionRef, name: string, data?: unknown): Promise<Position>
  /** Opens a WebSocket to the channel without a network, for tests of hosts: hooks, path, host and address are real. */
  injectWS: InjectWs
  /**
   * An AsyncAPI 3 document of the channel: every frame, the host's own types included, with examples; servers and security
   * as the option `asyncapi` or the host's OpenAPI document has them. Made anew at each call.
   * @throws FST_WS_CHANNEL_NOT_READY before the app is ready
   */
  asyncapi(): AsyncApiDocument
}

export interface ChannelStats {
  connections: number
  /** Turns accepted and not done with: queued, running, or with an executor that was left behind. */
  turns: number
  runningTurns: number
  /** Readers of turns. */
  followers: number
  /** Sessions with something live in the journal, entries held there, and their estimated size. */
  sessions: number
  entries: number
  bytes: number
  /** Ids of chats by which the journal knows the same chat sent again. */
  claims: number
}

/** Turns that a drain has cut off have ends too, which take a moment to be told. */
const LAST_FRAMES_MS = 250

/** Everything behind one registration of the plugin. Its parts are there from `start` on. */
export class ChannelRuntime {
  readonly #hostTypes = new HostTypes()
  readonly #fastify: FastifyInstance
  readonly #options: WsChannelOptions
  readonly #limits: ResolvedLimits
  readonly #clock: Clock
  #parts: ChannelPieces | undefined
  #drained: Promise<void> | undefined
  #isWarnedOfAnonymous = false
  /** What else has clients to let go. */
  readonly #guests: Guests[] = []

  constructor (fastify: FastifyInstance, options: WsChannelOptions & { clock?: Clock }, limits: ResolvedLimits) {
    this.#fastify = fastify
    this.#options = options
    this.#limits = limits
    this.#clock = options.clock ?? systemClock
  }

  /** Called once the host has decorated what it wants to. */
  start (maxPayload: number): void {
    const { log } = this.#fastify
    const clock = this.#clock
    const limits = { ...this.#limits, maxPayload }
    const executor = resolveExecutor(this.#fastify, this.#options.agentExecutor)
    if (executor.isDefault) {
      log.warn('no agent was given: the channel echoes; set the option or decorator `agentExecutor`')
    }
    const givenJournal = this.#options.journal === undefined ? undefined : checkJournal(this.#options.journal)
    const store = resolveStore(this.#fastify, this.#options.sessionStore, clock)
    const named = { journal: givenJournal ?? memoryJournal({ clock }), store: store.value }
    const unnamed = { journal: unsharedJournal({ clock }), store: unnamedStore(clock, limits) }
    const { onBusy = 'queue', onDisconnect = 'continue', authorize } = this.#options
    const agents = agentsOrThrow(executor.value)
    const engine = new Engine({ agents, named, unnamed, limits: { ...limits, onBusy, onDisconnect }, clock, log })
    const hostTypes = this.#hostTypes
    hostTypes.close()
    const decode = createDecoder(limits, hostTypes.shapes)
    const ready = readyFrame(limits, named.journal, hostTypes.names)
    const connections = new Connections({ engine, decode, hostTypes, authorize, ready, clock, log }, limits)
    const decodeOwn = createDecoder(limits)
    const host = new HostAccess({
      engine,
      decode: decodeOwn,
      maxEventBytes: limits.maxEventBytes,
      onFailure: (err, text) => { log.error({ err }, text) }
    })
    const owned: Closable[] = [unnamed.journal, unnamed.store]
    if (this.#options.journal === undefined) owned.push(named.journal)
    if (store.isDefault) owned.push(store.value)
    const facts = factsOf(ready)
    const tools: RestTools = { engine, agents, facts, connections, decode: decodeOwn, hostTypes, authorize, limits, clock, log }
    this.#parts = { engine, connections, host, tools, journals: [named.journal, unnamed.journal], owned }
  }

  get connections (): Connections { return this.#started().connections }

  get hostSchemas (): ReadonlyMap<string, object> { return this.#hostTypes.schemas }

  get host (): HostAccess { return this.#started().host }

  /** With what requests over HTTP are answered, as frames are. */
  get tools (): RestTools { return this.#started().tools }

  get limits (): ResolvedLimits { return this.#limits }

  get clock (): Clock { return this.#clock }

  get originRule (): OriginRule { return this.#options }

  /** From now on they are let go with the connections of the channel. */
  join (guests: Guests): void {
    this.#guests.push(guests)
  }

  define (type: string, definition: unknown): void {
    this.#hostTypes.define(type, definition)
  }

  /**
   * Who asks for a connection, and may.
   * @throws Refusal for nobody the host can name, or whose time is over
   */
  async identify (request: FastifyRequest): Promise<Identity> {
    const { identify = identifyByUser } = this.#options
    let identity: Identity
    try {
      identity = toIdentity(await identify(request))
    } catch (err) {
      // What the host refuses with a status of its own is its answer; anything else is a fault.
      if (isHttpRefusal(err)) throw err
      request.log.error({ err }, 'no owner for a connection (`identify`)')
      throw new Refusal('INTERNAL')
    }
    if (identify === identifyByUser && identity.owner === ANONYMOUS) this.#warnOfAnonymous()
    if (identity.expiresAt !== undefined && identity.expiresAt <= this.#clock.date()) {
      throw new Refusal('FORBIDDEN', { statusCode: 401, hint: 'the credentials have expired' })
    }
    return identity
  }

  stats (): ChannelStats {
    const { engine, connections, journals } = this.#started()
    const stats = { connections: connections.size, ...engine.stats(), followers: 0, sessions: 0, entries: 0, bytes: 0, claims: 0 }
    for (const journal of journals) {
      const { cursors, sessions, entries, bytes, claims } = journal.stats()
      stats.followers += cursors
      stats.sessions += sessions
      stats.entries += entries
      stats.bytes += bytes
      stats.claims += claims
    }
    return stats
  }

  disconnect (owner: string): number {
    return this.#guests.reduce((count, guests) => count + guests.disconnect(owner), this.connections.disconnect(owner, 'DISCONNECTED'))
  }

  /** Begins what `close` waits for: `preClose` has only so long, a drain may take longer. */
  beginDrain (): void {
    if (this.#parts === undefined) return
    this.drain().catch((err: unknown) => { this.#fastify.log.error({ err }, 'the channel could not be drained') })
  }

  drain (timeoutMs = this.#limits.drainTimeoutMs): Promise<void> {
    if (!(timeoutMs >= 0)) throw new FST_WS_CHANNEL_OPTION('timeoutMs', 'expected milliseconds, at least 0')
    timeoutMs = Math.min(timeoutMs, MAX_TIMEOUT_MS)
    this.#drained ??= this.#drain(this.#started(), timeoutMs)
    return this.#drained
  }

  /** After `drain`: gives back what the channel made itself. */
  async close (): Promise<void> {
    if (this.#parts === undefined) return
    await this.drain()
    for (const part of this.#parts.owned) await part.close?.()
  }

  async #drain ({ engine, connections, host }: ChannelPieces, timeoutMs: number): Promise<void> {
    const deadline = this.#clock.now() + timeoutMs
    // A turn whose client has gone keeps no socket open: without a timer, which has nothing to do, the process would end.
    const stayAlive = setInterval(Boolean, MAX_TIMEOUT_MS)
    try {
      const ended = engine.drain(timeoutMs)
      connections.drain()
      host.drain()
      for (const guests of this.#guests) guests.drain()
      await ended
      // The ends are in the journal. Whoever still reads gets them before the close, in what time is left.
      const leftMs = Math.max(0, deadline - this.#clock.now()) + LAST_FRAMES_MS
      await Promise.all([connections, ...this.#guests].map((some) => some.closeAll(leftMs)))
    } finally {
      clearInterval(stayAlive)
    }
  }

  #warnOfAnonymous (): void {
    if (this.#isWarnedOfAnonymous) return
    this.#isWarnedOfAnonymous = true
    this.#fastify.log.warn('no hook has set `request.user`: all connections are `anonymous` and share their sessions, ' +
      'so that only a session id that nobody can guess protects one; see the option `identify`')
  }

  #started (): ChannelPieces {
    if (this.#parts === undefined) throw new FST_WS_CHANNEL_NOT_READY()
    return this.#parts
  }
}

function isHttpRefusal (thrown: unknown): boolean {
  const status: unknown = thrown instanceof Error ? Reflect.get(thrown, 'statusCode') : undefined
  return typeof status === 'number' && status >= 400 && status < 500
}

/** A connection's own sessions are short, many, and must not push each other out. */
function unnamedStore (clock: Clock, { maxConnections, maxOwnSessions }: ResolvedLimits): MemorySessionStore {
  return unsharedSessionStore({
    clock,
    maxSessions: maxConnections * maxOwnSessions,
    maxMessagesPerSession: 200,
    maxBytesPerSession: 1024 * 1024,
    maxBytes: 256 * 1024 * 1024
  })
}

function agentsOrThrow (executor: AgentExecutor): ListedAgents {
  try {
    return agentsOf(executor)
  } catch (err) {
    throw new FST_WS_CHANNEL_INJECTED('agentExecutor', String(err))
  }
}

function readyFrame (limits: ResolvedLimits, journal: Journal, types: string[]): ConstructorParameters<typeof Connections>[0]['ready'] {
  return {
    // A shared journal may become another while nodes go on.
    get journal () { return journal.id },
    maxPayload: limits.maxPayload,
    maxFrameBytes: largestFrame(limits),
    heartbeatMs: limits.heartbeatMs,
    types
  }
}

function factsOf ({ journal, maxPayload, maxFrameBytes, heartbeatMs }: ReturnType<typeof readyFrame>): RestTools['facts'] {
  return { protocol: SUBPROTOCOL, journal, maxPayload, maxFrameBytes, heartbeatMs }
}

/**
 * A `subscribed`: a whole answer and what waits behind it, with every character escaped, and the frame's other fields;
 * or a page of history, or an event or an answer of the host's, where those may be larger.
 */
function largestFrame (limits: ResolvedLimits): number {
  const { maxAnswerBytes, maxQueuedTurns, maxMessageLength, maxMetadataBytes, maxHistoryPageBytes, maxEventBytes } = limits
  const subscribed = maxAnswerBytes * 6 + (maxQueuedTurns + 1) * (maxMessageLength * 6 + maxMetadataBytes + 1024)
  return Math.max(subscribed, maxHistoryPageBytes, maxEventBytes) + 4096
}

interface ChannelPieces {
  engine: Engine
  connections: Connections
  host: HostAccess
  tools: RestTools
  journals: Journal[]
  /** What was made here, and is closed here. */
  owned: Closable[]
}

/** Clients of the channel that have no WebSocket. */
export interface Guests {
  /** Lets everybody go whose turns have ended, now or when they have. */
  drain (): void
  /** Lets an owner's go; answers how many. */
  disconnect (owner: string): number
  /** Settles when all are gone: they have `timeoutMs` for it, and then are cut off. */
  closeAll (timeoutMs: number): Promise<void>
}

type Closable = Pick<SessionStore, 'close'> | Pick<Journal, 'close'>
