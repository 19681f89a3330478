import { createHash } from 'node:crypto'

import { ANONYMOUS } from '../../protocol/names.js'
import { sessionKeyText, type SessionKey } from '../../protocol/session-key.js'
import { redisKeys } from '../../redis/redis-keys.js'
import { SLOTS, slotOf } from '../../redis/redis-slots.js'

/** Where Redis keeps a session. */
export interface SessionPlace {
  readonly key: SessionKey
  /** The key as text. */
  readonly text: string
  /** What its keys begin with, and the name of its channel. */
  readonly base: string
  /** The key under which its owner's claims are counted. */
  readonly claims: string
}

/**
 * The names of keys and channels. All keys of an owner share a hash tag, so that a cluster keeps them in one place: a claim
 * is counted for its owner in the same step that accepts the chat. `anonymous`, who is everybody and has no such count, is
 * spread by session.
 */
export class RedisKeys {
  readonly #prefix: string
  readonly #parts: number
  readonly #indexes: string[] = []

  /** @param parts into how many the keys of a cluster are divided, neighbouring slots together, each with an index of its own */
  constructor (prefix: string, parts = 1) {
    this.#prefix = prefix
    this.#parts = parts
    for (let part = 0; part < parts; part++) this.#indexes.push(this.#indexIn(part))
  }

  session (key: SessionKey): SessionPlace {
    const text = sessionKeyText(key)
    const name = redisKeys(this.#prefix, key.owner === ANONYMOUS ? text : key.owner)
    return { key, text, base: name(`live:${hash(text).toString('base64url')}`), claims: name('claims') }
  }

  /** The channel on which one node is spoken to. */
  node (nodeId: string): string {
    return redisKeys(this.#prefix, nodeId)('node')
  }

  /** The journal's id. */
  get id (): string { return redisKeys(this.#prefix, 'id')('journal') }

  /**
   * Sessions in which something waits or runs, by when somebody has to look at them. The index of a part has its own slot among those
   * of its sessions, so that as a rule both are there, or away, together.
   */
  get indexes (): readonly string[] { return this.#indexes }

  indexOf ({ base }: SessionPlace): string {
    // There is one for each part.
    return this.#indexes[this.partOf(base)] as string
  }

  /** Where in a cluster a key or a channel is, roughly: those of one part are as a rule kept by one node. */
  partOf (name: string): number {
    return this.#parts === 1 ? 0 : Math.floor(slotOf(name) * this.#parts / SLOTS)
  }

  #indexIn (part: number): string {
    const named = (tries: number): string => redisKeys(this.#prefix, `index ${part} ${tries}`)('index')
    let tries = 0
    while (this.partOf(named(tries)) !== part) tries++
    return named(tries)
  }
}

/** 128 bits: two of one name are one session. */
function hash (text: string): Buffer {
  return createHash('sha256').update(text).digest().subarray(0, 16)
}
