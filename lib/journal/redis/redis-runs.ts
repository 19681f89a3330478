import type { Clock } from '../../clock.js'
import type { ErrorCode } from '../../protocol/codes.js'
import type { RedisRun } from './redis-run.js'
import type { RedisScriptRunner } from './redis-script-runner.js'

export interface RedisRunsTools {
  runner: RedisScriptRunner
  clock: Clock
  leaseMs: number
  graceMs: number
  /** A run has to stop: its right is gone, or nobody can say whether it is. */
  onLost: (run: RedisRun, code: Extract<ErrorCode, 'TURN_LOST' | 'STORE_UNAVAILABLE'>) => void
}

/** Renewed so often in the time of a lease. */
const RENEWALS = 3

/** The runs of this node, and their leases. */
export class RedisRuns {
  readonly #tools: RedisRunsTools
  readonly #runByBase = new Map<string, RedisRun>()
  readonly #stopRenewal: () => void

  constructor (tools: RedisRunsTools) {
    this.#tools = tools
    this.#stopRenewal = tools.clock.every(tools.leaseMs / RENEWALS, () => { this.#renew() })
  }

  add (run: RedisRun): void {
    this.#runByBase.set(run.place.base, run)
  }

  find (base: string): RedisRun | undefined {
    return this.#runByBase.get(base)
  }

  /** The right is given back, or gone. */
  end (run: RedisRun): void {
    run.isOver = true
    if (this.#runByBase.get(run.place.base) === run) this.#runByBase.delete(run.place.base)
  }

  /** At once, after Redis was away. */
  renewAll (): void {
    for (const run of this.#runByBase.values()) void this.#renewOne(run)
  }

  close (): void {
    this.#stopRenewal()
    for (const run of this.#runByBase.values()) this.end(run)
  }

  #renew (): void {
    const { clock, leaseMs } = this.#tools
    const now = clock.now()
    // An append renews too.
    for (const run of this.#runByBase.values()) if (now - run.confirmedAt >= leaseMs / RENEWALS / 2) void this.#renewOne(run)
  }

  async #renewOne (run: RedisRun): Promise<void> {
    const { runner, clock, graceMs, onLost } = this.#tools
    const { place: { base, claims }, epoch, fence } = run
    const askedAt = clock.now()
    try {
      const isOurs = await runner.run('renew', [base, claims], [epoch, fence]) === 1
      if (run.isOver) return
      if (isOurs) {
        run.confirmedAt = Math.max(run.confirmedAt, askedAt)
        return
      }
      this.end(run)
      onLost(run, 'TURN_LOST')
    } catch {
      if (!run.isOver && clock.now() - run.confirmedAt >= graceMs) onLost(run, 'STORE_UNAVAILABLE')
    }
  }
}
