import { wholeBoundsOf } from '../../bounds.js'
import type { Clock } from '../../clock.js'
import { checkedPrefix } from '../../redis/redis-keys.js'

export interface RedisJournalOptions {
  /** What the names of all keys and channels begin with: one for each channel and deployment, the same on all nodes. */
  prefix: string
  /**
   * How long a node that says nothing keeps the right to run a turn, in milliseconds; then the turn ends with `TURN_LOST`.
   * @default 10000
   */
  leaseMs?: number | undefined
  /**
   * How long running turns go on while Redis does not answer, in milliseconds, at most `leaseMs`; then they end with
   * `STORE_UNAVAILABLE`. @default 5000
   */
  journalGraceMs?: number | undefined
  /** How long one command may take, in milliseconds. @default 2000 */
  commandTimeoutMs?: number | undefined
  /** How long a new connection may take, in milliseconds. @default 5000 */
  connectTimeoutMs?: number | undefined
  /** How often a node looks for sessions that were left, in milliseconds. @default 2000 */
  sweepMs?: number | undefined
  /** How long another node has to say whether it stops a turn, in milliseconds; then the turn is ended without it. @default 1000 */
  stopTimeoutMs?: number | undefined
  /** Entries held per session; up to one append more are. @default 1024 */
  maxEntries?: number | undefined
  /** Bytes of entries held per session, beside what its running turn has said. @default 524288 */
  maxBytes?: number | undefined
  /** How long a session is held in which nothing happens, in milliseconds. @default 300000 */
  maxAgeMs?: number | undefined
  /** How long a chat that is sent again is known after its turn has ended, in milliseconds. @default 86400000 */
  dedupWindowMs?: number | undefined
  /** How long what waits or runs is kept in Redis if no node is there at all, in milliseconds. @default 86400000 */
  liveMs?: number | undefined
  /** Chats with an id that one owner can have known at once (`anonymous` has no such limit). @default 10000 */
  maxClaimsPerOwner?: number | undefined
  /**
   * Tell what happens to the part of a cluster alone that keeps the session; needs Redis 7 or Valkey.
   * @default true for a client of a cluster
   */
  sharded?: boolean | undefined
  clock?: Clock | undefined
  /** Told once what should be set up otherwise. @default `process.emitWarning` */
  onWarning?: ((message: string) => void) | undefined
}

const DEFAULT_BOUNDS = {
  leaseMs: 10_000,
  journalGraceMs: 5_000,
  commandTimeoutMs: 2_000,
  connectTimeoutMs: 5_000,
  sweepMs: 2_000,
  stopTimeoutMs: 1_000,
  maxEntries: 1024,
  maxBytes: 512 * 1024,
  maxAgeMs: 300_000,
  dedupWindowMs: 86_400_000,
  liveMs: 86_400_000,
  maxClaimsPerOwner: 10_000
}

/** @throws TypeError without a prefix, for an option that there is not or what is no number; RangeError for a bound out of range */
export function redisBounds (options: RedisJournalOptions): typeof DEFAULT_BOUNDS {
  const bounds = wholeBoundsOf('a Redis journal', DEFAULT_BOUNDS, options, ['prefix', 'sharded', 'clock', 'onWarning'])
  checkedPrefix('a Redis journal', options.prefix)
  // A lease that is given may be shorter than the default of what it bounds.
  if (options.journalGraceMs === undefined) bounds.journalGraceMs = Math.min(bounds.journalGraceMs, bounds.leaseMs)
  if (bounds.journalGraceMs > bounds.leaseMs) {
    throw new RangeError('journalGraceMs of a Redis journal must be at most leaseMs: after that another node may end the turn')
  }
  return bounds
}
