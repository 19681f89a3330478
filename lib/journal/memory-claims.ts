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
  readonly #parts = Array.from({ length: PARTS }, () => new Map<string, Claim>())
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
    const claim = this.#find(idOf(keyText, turnId))
    if (claim === undefined) return undefined
    if (claim.bodyHash !== bodyHash) return { isSame: false }
    claim.isKnown = true
    return { isSame: true, ended: claim.ended }
  }

  /** Somebody was told that there is such a chat. */
  isKnown (keyText: string, turnId: string): boolean {
    return this.#find(idOf(keyText, turnId))?.isKnown === true
  }

  /** Whoever is `anonymous` is everybody, and has no limit of an owner. */
  hasRoom ({ owner }: SessionKey): boolean {
    if (this.size >= this.#limits.maxClaims) return false
    return owner === ANONYMOUS || (this.#countByOwner.get(owner) ?? 0) < this.#limits.maxClaimsPerOwner
  }

  add (keyText: string, { owner }: SessionKey, turnId: string, bodyHash: string): void {
    const id = idOf(keyText, turnId)
    this.#partOf(id).set(id, { id, owner, bodyHash, ended: undefined, expiresAt: Infinity, isKnown: false })
    this.#size++
    this.#count(owner, 1)
  }

  /** The turn has ended: the claim's time begins. */
  end (keyText: string, turnId: string, ended: EndedTurn, now: number): void {
    const claim = this.#find(idOf(keyText, turnId))
    if (claim === undefined) return
    claim.ended = ended
    claim.expiresAt = now + this.#limits.dedupWindowMs
    this.#ended.push(claim)
  }

  /** The chat was never accepted. */
  retract (keyText: string, turnId: string): void {
    const claim = this.#find(idOf(keyText, turnId))
    if (claim !== undefined) this.#drop(claim)
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

  #find (id: string): Claim | undefined { return this.#partOf(id).get(id) }

  #partOf (id: string): Map<string, Claim> {
    const { length } = id
    // The end of a turn's id: most that clients make differ there.
    return this.#parts[(31 * id.charCodeAt(length - 1) + id.charCodeAt(length - 2)) % PARTS] as Map<string, Claim>
  }

  #drop ({ id, owner }: Claim): void {
    this.#partOf(id).delete(id)
    this.#size--
    this.#count(owner, -1)
  }

  #count (owner: string, by: 1 | -1): void {
    const count = (this.#countByOwner.get(owner) ?? 0) + by
    if (count === 0) this.#countByOwner.delete(owner)
    else this.#countByOwner.set(owner, count)
  }
}

/** A chat is looked for and then added, and its turn may end right behind that. */
let last = { keyText: '', turnId: '', id: '' }

/** The key is a JSON array, which says itself where it ends. */
function idOf (keyText: string, turnId: string): string {
  if (last.turnId !== turnId || last.keyText !== keyText) last = { keyText, turnId, id: keyText + turnId }
  return last.id
}

interface Claim {
  readonly id: string
  readonly owner: string
  readonly bodyHash: string
  ended: EndedTurn | undefined
  expiresAt: number
  isKnown: boolean
}
