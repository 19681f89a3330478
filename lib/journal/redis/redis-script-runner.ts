import type { Clock } from '../../clock.js'
import type { RedisLink } from '../../redis/redis-link.js'
import { StoreError } from '../../store-error.js'
import type { ScriptName, Scripts } from './redis-scripts.js'

/** Runs the journal's scripts, and knows since when Redis has answered without a break. */
export class RedisScriptRunner {
  readonly #link: RedisLink
  readonly #scripts: Scripts
  readonly #clock: Clock
  #answersSince: number | undefined

  constructor (link: RedisLink, scripts: Scripts, clock: Clock) {
    this.#link = link
    this.#scripts = scripts
    this.#clock = clock
  }

  /** For how long Redis has answered, in milliseconds; 0 when it does not. */
  get answersForMs (): number {
    return this.#answersSince === undefined ? 0 : this.#clock.now() - this.#answersSince
  }

  /** A connection has come back. */
  interrupted (): void {
    this.#answersSince = undefined
  }

  run (name: ScriptName, keys: readonly [string, ...string[]], args: ReadonlyArray<string | number>): Promise<unknown> {
    return this.#watched(this.#link.run(this.#scripts[name], keys, args.map(String)))
  }

  send (key: string, args: readonly string[]): Promise<unknown> {
    return this.#watched(this.#link.send(key, args))
  }

  /** What has no time of its own. */
  inTime<T> (ms: number, what: string, sent: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = this.#clock.after(ms, () => { reject(new StoreError('late', `${what} has taken more than ${ms} ms`)) })
      sent.finally(stop).then(resolve, (err: unknown) => {
        reject(err instanceof StoreError ? err : new StoreError('away', `${what} could not be had: ${err instanceof Error ? err.message : String(err)}`))
      })
    })
  }

  async #watched (sent: Promise<unknown>): Promise<unknown> {
    try {
      const answer = await sent
      this.#answersSince ??= this.#clock.now()
      return answer
    } catch (err) {
      if (err instanceof StoreError && (err.reason === 'away' || err.reason === 'late')) this.#answersSince = undefined
      throw err
    }
  }
}
