import { ANONYMOUS } from '../protocol/names.js'
import type { SessionKey } from '../protocol/session-key.js'

export interface LiveTurnLimits {
  maxTurns: number
  maxTurnsPerOwner: number
  maxQueuedBytes: number
}

/**
 * Counts what bounds the work a node takes on: turns from their acceptance until their executor has returned, one left
 * behind after a cancel included, and the bytes of their questions.
 */
export class LiveTurns {
  readonly #limits: LiveTurnLimits
  readonly #countByOwner = new Map<string, number>()
  #count = 0
  #bytes = 0

  constructor (limits: LiveTurnLimits) {
    this.#limits = limits
  }

  get count (): number { return this.#count }

  /** Counts one more, if there is room. Whoever is `anonymous` is everybody, and has no limit of an owner. */
  enter ({ owner }: SessionKey, bytes: number): boolean {
    if (this.#count >= this.#limits.maxTurns) return false
    if (this.#bytes + bytes > this.#limits.maxQueuedBytes) return false
    if (owner !== ANONYMOUS && !this.#enterOf(owner)) return false
    this.#count++
    this.#bytes += bytes
    return true
  }

  /** Counts one more, whether there is room or not. */
  add ({ owner }: SessionKey, bytes: number): void {
    this.#count++
    this.#bytes += bytes
    if (owner !== ANONYMOUS) this.#countByOwner.set(owner, (this.#countByOwner.get(owner) ?? 0) + 1)
  }

  leave ({ owner }: SessionKey, bytes: number): void {
    this.#count--
    this.#bytes -= bytes
    if (owner === ANONYMOUS) return
    const owned = (this.#countByOwner.get(owner) ?? 1) - 1
    if (owned === 0) this.#countByOwner.delete(owner)
    else this.#countByOwner.set(owner, owned)
  }

  #enterOf (owner: string): boolean {
    const owned = this.#countByOwner.get(owner) ?? 0
    if (owned >= this.#limits.maxTurnsPerOwner) return false
    this.#countByOwner.set(owner, owned + 1)
    return true
  }
}
