import type { Clock } from '../clock.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { SessionMap } from '../protocol/session-map.js'
import { TouchOrder } from '../touch-order.js'
import { SessionLog, type SessionLogLimits } from './session-log.js'

export interface SessionLogsLimits extends SessionLogLimits {
  maxAgeMs: number
  maxSessions: number
  maxTotalBytes: number
}

/** So many sessions are looked at for one to make room: where all are in use, a look at each would take milliseconds. */
const MAX_LOOKS = 64

/** So many sessions are kept of which nothing is left. */
const MAX_SPENT = 64

/** All sessions of a memory journal, within its bounds: those unused for longest go first, one that is in use never. */
export class SessionLogs {
  readonly #limits: SessionLogsLimits
  readonly #clock: Clock
  readonly #logs = new SessionMap<SessionLog>()
  readonly #byUse = new TouchOrder<SessionLog>()
  /** Bytes of all sessions, as they were when each was touched last. */
  #bytes = 0
  /** The last of which nothing was left, the oldest first; some may be in use again. */
  readonly #spent: SessionLog[] = []
  readonly #onSpent = (log: SessionLog): void => { this.#keepSpent(log) }

  constructor (limits: SessionLogsLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  get size (): number { return this.#logs.size }

  all (): SessionLog[] {
    return this.#logs.all()
  }

  find (key: SessionKey): SessionLog | undefined {
    return this.#logs.get(key)
  }

  /** Whether there is room for the session, idle ones that could make some gone. */
  hasRoomFor (key: SessionKey): boolean {
    if (this.find(key) !== undefined) return true
    this.#makeRoom()
    return this.size < this.#limits.maxSessions
  }

  open (key: SessionKey): SessionLog {
    const found = this.find(key)
    if (found !== undefined) return found
    this.#makeRoom()
    const log = new SessionLog(key, sessionKeyText(key), this.#limits, undefined, this.#onSpent)
    this.#logs.set(log.text, log)
    this.#byUse.touch(log)
    return log
  }

  touch (log: SessionLog, now = this.#clock.now()): void {
    if (log.isDropped) return
    this.#moveToBack(log, now)
    this.#count(log)
    if (this.#bytes > this.#limits.maxTotalBytes) this.#dropOldestIdle(() => this.#bytes <= this.#limits.maxTotalBytes)
  }

  drop (log: SessionLog): void {
    if (log.isDropped) return
    log.isDropped = true
    this.#logs.delete(log.text)
    this.#byUse.delete(log)
    this.#bytes -= log.countedBytes
    // It may hold much by now, and its turn to go may never come.
    if (log.isAside) this.#spent.splice(this.#spent.indexOf(log), 1)
    log.clear()
  }

  /** Sessions in use are touched when their turns start and end, so the stale ones are at the front. */
  dropStale (now: number): void {
    const staleAt = now - this.#limits.maxAgeMs
    for (const log of this.#unusedSince(staleAt)) {
      // One that was touched may have pushed another out.
      if (log.isDropped) continue
      log.ring.trimOlderThan(staleAt)
      this.#count(log)
      if (log.isIdle) this.drop(log)
      // Whoever only listens is looked at again when so long has passed once more.
      else if (log.running === undefined) this.touch(log)
    }
  }

  /** Those that are asked again soon are not to be made anew; a service may have any number of others. */
  #keepSpent (log: SessionLog): void {
    if (log.isAside || log.isDropped) return
    log.isAside = true
    this.#spent.push(log)
    const oldest = this.#spent.length > MAX_SPENT ? this.#spent.shift() : undefined
    if (oldest === undefined) return
    oldest.isAside = false
    if (oldest.isSpent) this.drop(oldest)
  }

  #unusedSince (at: number): SessionLog[] {
    const unused: SessionLog[] = []
    for (let log = this.#byUse.oldest(); log !== undefined && log.usedAt < at; log = log.newer) unused.push(log)
    return unused
  }

  #makeRoom (): void {
    if (this.size >= this.#limits.maxSessions) this.#dropOldestIdle(() => this.size < this.#limits.maxSessions)
  }

  #count (log: SessionLog): void {
    const { bytes } = log
    this.#bytes += bytes - log.countedBytes
    log.countedBytes = bytes
  }

  /** Looks at a few: whatever is in use goes to the back, so that the next look finds others. */
  #dropOldestIdle (isEnough: () => boolean): void {
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const log = this.#byUse.oldest()
      if (log === undefined || isEnough()) return
      if (log.isIdle) this.drop(log)
      else this.#moveToBack(log, this.#clock.now())
    }
  }

  #moveToBack (log: SessionLog, now: number): void {
    // A number with a fraction would be an object of its own, and one more to be fetched from memory.
    log.usedAt = Math.floor(now)
    this.#byUse.touch(log)
  }
}
