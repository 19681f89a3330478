import type { Clock } from '../../clock.js'
import type { RedisLink } from '../../redis/redis-link.js'
import { StoreError } from '../../store-error.js'
import type { ScriptName, Scripts } from './redis-scripts.js'

/** Runs the journal's scripts, and knows since when each part of Redis has answered without a break. */
export class RedisScriptRunner {
  readonly #link: RedisLink
  readonly #scripts: Scripts
  readonly #clock: Clock
  readonly #partOf: (key: string) => number
  readonly #answersSinceByPart = new Map<number, number>()

  constructor (link: RedisLink, scripts: Scripts, clock: Clock, partOf: (key: string) => number) {
    this.#partOf = partOf
    this.#link = link
    this.#scripts = scripts
    this.#clock = clock
  }

  /** For how long the part of Redis that has this key has answered, in milliseconds; 0 when it does not. */
  answersForMs (key: string): number {
    const since = this.#answersSinceByPart.get(this.#partOf(key))
    return since === undefined ? 0 : this.#clock.now() - since
  }

  /** A connection has come back. */
  interrupted (): void {
    this.#answersSinceByPart.clear()
  }

  run (name: ScriptName, keys: readonly [string, ...string[]], args: ReadonlyArray<string | number>): Promise<unknown> {
    return this.#watched(keys[0], this.#link.run(this.#scripts[name], keys, args.map(String)))
  }

  send (key: string, args: readonly string[]): Promise<unknown> {
    return this.#watched(key, this.#link.send(key, args))
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

  async #watched (key: string, sent: Promise<unknown>): Promise<unknown> {
    try {
      const answer = await sent
      const part = this.#partOf(key)
      if (!this.#answersSinceByPart.has(part)) this.#answersSinceByPart.set(part, this.#clock.now())
      return answer
    } catch (err) {
      if (isAway(err)) this.#answersSinceByPart.delete(this.#partOf(key))
      throw err
    }
  }
}

/** Whether Redis has not answered at all. */
export function isAway (err: unknown): boolean {
  return err instanceof StoreError && (err.reason === 'away' || err.reason === 'late')
}
