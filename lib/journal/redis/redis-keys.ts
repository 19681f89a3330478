import { createHash } from 'node:crypto'

import { ANONYMOUS } from '../../protocol/names.js'
import { sessionKeyText, type SessionKey } from '../../protocol/session-key.js'
import { redisKeys } from '../../redis/redis-keys.js'

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

  constructor (prefix: string) {
    this.#prefix = prefix
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

  /** Sessions in which something waits or runs, by when somebody has to look at them; in several parts. */
  index (part: number): string {
    return redisKeys(this.#prefix, `index ${part}`)('index')
  }

  indexOf ({ text }: SessionPlace, parts: number): string {
    return this.index(hash(text).readUInt16BE() % parts)
  }
}

/** 128 bits: two of one name are one session. */
function hash (text: string): Buffer {
  return createHash('sha256').update(text).digest().subarray(0, 16)
}
