import type { WebSocket } from 'ws'

import { Allowances, type AllowanceSizes } from './allowance.js'
import { Coalescer } from './coalescer.js'
import { Connection, type ConnectionLimits, type ConnectionTools } from './connection.js'
import type { Identity } from './identity.js'
import { Refusal } from './refusal.js'
import { ReadSlices } from './read-slices.js'
import { SharedFrames } from './shared-frames.js'
import type { ConnectionFacts } from './websocket-route.js'
import { ANONYMOUS } from '../protocol/names.js'
import type { CloseName } from '../protocol/codes.js'

export interface ConnectionsLimits extends ConnectionLimits {
  maxConnections: number
  coalesceMs: number
  maxConnectionsPerOwner: number
  maxFramesPerSecond: number
  maxFramesPerSecondPerOwner: number
  maxErrorsPerMinute: number
  maxErrorsPerMinutePerOwner: number
}

/** All connections of a channel: lets them in, watches them by one timer, and lets them out. */
export class Connections {
  readonly #tools: ConnectionTools
  readonly #limits: ConnectionsLimits
  /** What each connection may spend of its own. */
  readonly #sizes: AllowanceSizes
  readonly #open = new Set<Connection>()
  readonly #places = new Map<string, OwnerPlaces>()
  #reserved = 0
  #stopWatch: (() => void) | undefined
  #watchedAt = 0
  #isDraining = false
  #onEmpty: (() => void) | undefined

  constructor (tools: Omit<ConnectionTools, 'limits' | 'onClosed' | 'coalescer' | 'slices' | 'sharedFrames'>, limits: ConnectionsLimits) {
    this.#limits = limits
    this.#sizes = { frames: limits.maxFramesPerSecond, errors: limits.maxErrorsPerMinute }
    this.#tools = {
      ...tools,
      limits,
      coalescer: new Coalescer(limits.coalesceMs),
      slices: new ReadSlices(tools.clock),
      sharedFrames: new SharedFrames(),
      onClosed: (connection) => { this.#onClosed(connection) }
    }
  }

  /** How many there are. */
  get size (): number { return this.#open.size }

  /**
   * Throws what a new connection of that owner would be refused with.
   * @throws Refusal `SHUTTING_DOWN` or `RATE_LIMITED`
   */
  check (owner: string): void {
    if (this.#isDraining) throw new Refusal('SHUTTING_DOWN', { retryAfterMs: this.#limits.retryAfterMs })
    this.#checkRoom(owner)
  }

  #checkRoom (owner: string): void {
    const { maxConnections, maxConnectionsPerOwner, retryAfterMs } = this.#limits
    if (this.#reserved >= maxConnections) throw new Refusal('RATE_LIMITED', { retryAfterMs, hint: 'connections' })
    const owned = this.#places.get(owner)?.connections ?? 0
    // Whoever is anonymous is everybody.
    if (owner !== ANONYMOUS && owned >= maxConnectionsPerOwner) {
      throw new Refusal('RATE_LIMITED', { retryAfterMs, hint: 'connections of yours' })
    }
  }

  /** Takes a place, to be given to `accept` or `release`. */
  reserve (owner: string): void {
    this.check(owner)
    this.#take(owner)
  }

  /** Takes a place for a request over HTTP, also while the channel drains: what it asks for may be served all the same. */
  reserveRequest (owner: string): void {
    this.#checkRoom(owner)
    this.#take(owner)
  }

  #take (owner: string): void {
    this.#reserved++
    this.#placesOf(owner).connections++
  }

  release (owner: string): void {
    this.#reserved--
    const places = this.#placesOf(owner)
    places.connections--
    if (places.connections === 0) this.#places.delete(owner)
  }

  accept (socket: WebSocket, identity: Identity, facts: ConnectionFacts): void {
    const { clock } = this.#tools
    const allowances = new Allowances(this.#sizes, clock.now(), this.#placesOf(identity.owner).allowances)
    const connection = new Connection(socket, identity, facts, allowances, this.#tools)
    this.#open.add(connection)
    if (this.#stopWatch === undefined) {
      this.#watchedAt = clock.now()
      this.#stopWatch = clock.every(this.#watchMs(), () => { this.#watch() })
    }
    if (this.#isDraining) connection.drain()
  }

  /** Closes all connections of an owner; answers how many. */
  disconnect (owner: string, name: CloseName): number {
    let count = 0
    for (const connection of this.#open) {
      if (connection.identity.owner === owner && connection.close(name)) count++
    }
    return count
  }

  /** Lets nobody in any more, and everybody out whose turns have ended. */
  drain (): void {
    this.#isDraining = true
    for (const connection of this.#open) connection.drain()
  }

  /** Settles when all are gone: those that are let out have `timeoutMs` for it, and then are cut off. */
  async closeAll (timeoutMs: number): Promise<void> {
    const { clock, limits: { closeTimeoutMs } } = this.#tools
    if (this.#open.size === 0) return
    const emptied = new Promise<void>((resolve) => { this.#onEmpty = resolve })
    const stopClosing = clock.after(timeoutMs, () => {
      for (const connection of this.#open) connection.close('DRAIN')
    })
    const stopCutting = clock.after(timeoutMs + closeTimeoutMs, () => {
      for (const connection of this.#open) connection.terminate()
    })
    await emptied
    stopClosing()
    stopCutting()
  }

  #onClosed (connection: Connection): void {
    if (!this.#open.delete(connection)) return
    this.release(connection.identity.owner)
    if (this.#open.size > 0) return
    this.#stopWatch?.()
    this.#stopWatch = undefined
    this.#onEmpty?.()
  }

  #watch (): void {
    const { clock } = this.#tools
    const now = clock.now()
    const date = clock.date()
    const isLate = now - this.#watchedAt > 2 * this.#watchMs()
    this.#watchedAt = now
    for (const connection of this.#open) connection.watch(now, date, isLate)
  }

  /** Often enough for the shortest of the times that are watched, never more than four times a second. */
  #watchMs (): number {
    const { heartbeatMs, pongTimeoutMs, slowConsumerTimeoutMs } = this.#limits
    return Math.min(1_000, Math.max(250, Math.min(heartbeatMs, pongTimeoutMs, slowConsumerTimeoutMs) / 4))
  }

  #placesOf (owner: string): OwnerPlaces {
    let places = this.#places.get(owner)
    if (places === undefined) {
      places = { connections: 0, allowances: this.#ownerAllowances(owner) }
      this.#places.set(owner, places)
    }
    return places
  }

  #ownerAllowances (owner: string): Allowances | undefined {
    if (owner === ANONYMOUS) return undefined
    const { maxFramesPerSecondPerOwner, maxErrorsPerMinutePerOwner } = this.#limits
    return new Allowances({ frames: maxFramesPerSecondPerOwner, errors: maxErrorsPerMinutePerOwner }, this.#tools.clock.now())
  }
}

interface OwnerPlaces {
  connections: number
  allowances: Allowances | undefined
}
