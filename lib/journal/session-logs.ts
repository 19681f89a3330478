import type { Clock } from '../clock.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { SessionLog, type SessionLogLimits } from './session-log.js'

export interface SessionLogsLimits extends SessionLogLimits {
  maxAgeMs: number
  maxSessions: number
  maxTotalBytes: number
}

/** So many sessions are looked at for one to make room: where all are in use, a look at each would take milliseconds. */
const MAX_LOOKS = 64

/** All sessions of a memory journal, within its bounds: those unused for longest go first, one that is in use never. */
export class SessionLogs {
  readonly #limits: SessionLogsLimits
  readonly #clock: Clock
  /** The one unused for longest first. */
  readonly #logs = new Map<string, SessionLog>()
  /** What is asked for is mostly what was asked for last. */
  #newest: SessionLog | undefined
  /** Bytes of all sessions, as they were when each was touched last. */
  #bytes = 0

  constructor (limits: SessionLogsLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  get size (): number { return this.#logs.size }

  all (): SessionLog[] {
    return [...this.#logs.values()]
  }

  find (key: SessionKey): SessionLog | undefined {
    const text = sessionKeyText(key)
    return this.#newest?.text === text ? this.#newest : this.#logs.get(text)
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
    const log = new SessionLog(key, sessionKeyText(key), this.#limits)
    this.#logs.set(log.text, log)
    this.#newest = log
    return log
  }

  touch (log: SessionLog): void {
    this.#moveToBack(log)
    this.#count(log)
    if (this.#bytes > this.#limits.maxTotalBytes) this.#dropOldestIdle(() => this.#bytes <= this.#limits.maxTotalBytes)
  }

  drop (log: SessionLog): void {
    this.#logs.delete(log.text)
    if (this.#newest === log) this.#newest = undefined
    this.#bytes -= log.countedBytes
  }

  /** Sessions in use are touched when their turns start and end, so the stale ones are at the front. */
  dropStale (now: number): void {
    const staleAt = now - this.#limits.maxAgeMs
    for (const log of this.#logs.values()) {
      if (log.usedAt >= staleAt) break
      log.ring.trimOlderThan(staleAt)
      this.#count(log)
      if (log.isIdle) this.drop(log)
      // Whoever only listens is looked at again when so long has passed once more.
      else if (log.running === undefined) this.touch(log)
    }
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
    let looks = 0
    for (const log of this.#logs.values()) {
      if (isEnough() || ++looks > MAX_LOOKS) return
      if (log.isIdle) this.drop(log)
      else this.#moveToBack(log)
    }
  }

  #moveToBack (log: SessionLog): void {
    log.usedAt = this.#clock.now()
    if (this.#newest === log) return
    this.#newest = log
    this.#logs.delete(log.text)
    this.#logs.set(log.text, log)
  }
}
