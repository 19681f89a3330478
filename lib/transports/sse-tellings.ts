import type { Clock } from '../clock.js'
import type { ErrorCode } from '../protocol/codes.js'

/** An answer that is told as events. */
export interface Telling {
  readonly owner: string
  /** Looks at the client, its credentials, and how long nothing was said. */
  watch (now: number, date: number): void
  /** Ends as soon as nothing that it follows runs. */
  drain (): void
  /** Ends now, with all there is to say; answers whether it did. */
  close (code: ErrorCode): boolean
  /** Cuts off a client that does not take what is left. */
  terminate (): void
}

export interface SseLimits {
  heartbeatMs: number
  slowConsumerTimeoutMs: number
  closeTimeoutMs: number
}

/** All answers of a channel that are told as events: one timer watches them, one drain lets them go. */
export class SseTellings {
  readonly #clock: Clock
  readonly #limits: SseLimits
  readonly #open = new Set<Telling>()
  #isDraining = false
  #stopWatch: (() => void) | undefined
  #onEmpty: (() => void) | undefined

  constructor (clock: Clock, limits: SseLimits) {
    this.#clock = clock
    this.#limits = limits
  }

  /** To be taken back by `delete`. */
  add (telling: Telling): void {
    this.#open.add(telling)
    this.#stopWatch ??= this.#clock.every(this.#watchMs(), () => { this.#watch() })
    if (this.#isDraining) telling.drain()
  }

  delete (telling: Telling): void {
    this.#open.delete(telling)
    if (this.#open.size > 0) return
    this.#stopWatch?.()
    this.#stopWatch = undefined
    this.#onEmpty?.()
  }

  drain (): void {
    this.#isDraining = true
    for (const telling of this.#open) telling.drain()
  }

  disconnect (owner: string): number {
    let count = 0
    for (const telling of this.#open) if (telling.owner === owner && telling.close('FORBIDDEN')) count++
    return count
  }

  async closeAll (timeoutMs: number): Promise<void> {
    if (this.#open.size === 0) return
    const emptied = new Promise<void>((resolve) => { this.#onEmpty = resolve })
    const stopClosing = this.#clock.after(timeoutMs, () => {
      for (const telling of this.#open) telling.close('SHUTTING_DOWN')
    })
    const stopCutting = this.#clock.after(timeoutMs + this.#limits.closeTimeoutMs, () => {
      for (const telling of this.#open) telling.terminate()
    })
    await emptied
    stopClosing()
    stopCutting()
  }

  #watch (): void {
    const now = this.#clock.now()
    const date = this.#clock.date()
    for (const telling of this.#open) telling.watch(now, date)
  }

  /** Often enough for the shortest of the times that are watched, never more than four times a second. */
  #watchMs (): number {
    const { heartbeatMs, slowConsumerTimeoutMs } = this.#limits
    return Math.min(1_000, Math.max(250, Math.min(heartbeatMs, slowConsumerTimeoutMs) / 4))
  }
}
