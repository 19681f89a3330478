import type { SessionKey } from '../protocol/session-key.js'
import { ANONYMOUS } from '../protocol/names.js'
import type { Claimed, EndedTurn } from './journal.js'

export interface ClaimLimits {
  /** How long a claim outlives its turn, in milliseconds. */
  dedupWindowMs: number
  maxClaims: number
  maxClaimsPerOwner: number
}

/**
 * Among so many maps claims are divided: one of all would stand still when it grows (measured on Node 20: 15 to 41 ms at 131,072,
 * and 37 to 104 at 262,144).
 */
const PARTS = 32

/**
 * The ids of chats that were accepted: a chat that is sent again is known by them. They outlive the entries of their
 * turns, and their sessions.
 */
export class MemoryClaims {
  readonly #limits: ClaimLimits
  /** By the id alone, the rare others of which follow each other: an id that is joined with its session would be kept for each. */
  readonly #parts = Array.from({ length: PARTS }, () => new Map<string, Claim>())
  /** The id that was looked for last, if there is none: a chat is looked for, and then added. */
  #unknownId: string | undefined
  readonly #countByOwner = new Map<string, number>()
  /** In the order in which their turns ended, which is that in which they expire. */
  #ended: Claim[] = []
  #head = 0
  #size = 0

  constructor (limits: ClaimLimits) {
    this.#limits = limits
  }

  get size (): number { return this.#size }

  /** What became of the chat of that id; `undefined` when the id is free. */
  find (keyText: string, turnId: string, bodyHash: string): Claimed | undefined {
    const claim = this.#find(keyText, turnId)
    if (claim === undefined) return undefined
    if (claim.bodyHash !== bodyHash) return { isSame: false }
    claim.isKnown = true
    return { isSame: true, ended: claim.ended }
  }

  /** Whoever is `anonymous` is everybody, and has no limit of an owner. */
  hasRoom ({ owner }: SessionKey): boolean {
    if (this.size >= this.#limits.maxClaims) return false
    return owner === ANONYMOUS || (this.#countByOwner.get(owner) ?? 0) < this.#limits.maxClaimsPerOwner
  }

  add (keyText: string, { owner }: SessionKey, turnId: string, bodyHash: string): Claim {
    const part = this.#partOf(turnId)
    const other = this.#unknownId === turnId ? undefined : part.get(turnId)
    const claim: Claim = { keyText, turnId, owner, bodyHash, ended: undefined, expiresAt: 0, isKnown: false, other }
    part.set(turnId, claim)
    this.#unknownId = undefined
    this.#size++
    this.#count(owner, 1)
    return claim
  }

  /**
   * The turn has ended: the claim's time begins.
   * @param claim one that {@link add} has made
   */
  end (claim: Claim, ended: EndedTurn, now: number): void {
    claim.ended = ended
    // A number with a fraction would be an object of its own.
    claim.expiresAt = Math.ceil(now) + this.#limits.dedupWindowMs
    this.#ended.push(claim)
  }

  /** The chat was never accepted. */
  retract (claim: Claim): void {
    this.#drop(claim)
  }

  /** Drops what has expired. */
  expire (now: number): void {
    for (let claim = this.#ended[this.#head]; claim !== undefined && claim.expiresAt <= now; claim = this.#ended[this.#head]) {
      this.#head++
      this.#drop(claim)
    }
    if (this.#head === 0 || 2 * this.#head < this.#ended.length) return
    this.#ended = this.#ended.slice(this.#head)
    this.#head = 0
  }

  clear (): void {
    for (const part of this.#parts) part.clear()
    this.#size = 0
    this.#countByOwner.clear()
    this.#ended = []
    this.#head = 0
  }

  #find (keyText: string, turnId: string): Claim | undefined {
    let claim = this.#partOf(turnId).get(turnId)
    if (claim === undefined) this.#unknownId = turnId
    while (claim !== undefined && claim.keyText !== keyText) claim = claim.other
    return claim
  }

  #partOf (turnId: string): Map<string, Claim> {
    const { length } = turnId
    // Most that clients make differ at their ends. Where there is no unit, there is no number.
    const place = (31 * turnId.charCodeAt(length - 1) + turnId.charCodeAt(length - 2)) % PARTS || 0
    return this.#parts[place] as Map<string, Claim>
  }

  #drop (claim: Claim): void {
    const { turnId, owner, other } = claim
    const part = this.#partOf(turnId)
    let before = part.get(turnId)
    if (before !== claim) {
      while (before !== undefined && before.other !== claim) before = before.other
      if (before !== undefined) before.other = other
    } else if (other === undefined) {
      part.delete(turnId)
    } else {
      part.set(turnId, other)
    }
    this.#size--
    this.#count(owner, -1)
  }

  #count (owner: string, by: 1 | -1): void {
    const count = (this.#countByOwner.get(owner) ?? 0) + by
    if (count === 0) this.#countByOwner.delete(owner)
    else this.#countByOwner.set(owner, count)
  }
}

/** An id that was taken in one session. */
export interface Claim {
  readonly keyText: string
  readonly turnId: string
  readonly owner: string
  readonly bodyHash: string
  /** `undefined` while the turn waits or runs. */
  ended: EndedTurn | undefined
  /** Once it has ended. */
  expiresAt: number
  /** Somebody was told that there is such a chat. */
  isKnown: boolean
  /** The next of the same id, in another session. */
  other: Claim | undefined
}
