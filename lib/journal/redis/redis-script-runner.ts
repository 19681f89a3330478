import type { Clock } from '../../clock.js'
import type { RedisLink } from '../../redis/redis-link.js'
import type { ScriptName, Scripts } from './redis-scripts.js'

/**
 * Runs scripts, each within a time: what takes longer is rejected, and may have had its effect all the same. Knows since
 * when Redis has answered without a break.
 */
export class RedisScriptRunner {
  readonly #link: RedisLink
  readonly #scripts: Scripts
  readonly #timeoutMs: number
  readonly #clock: Clock
  #answersSince: number | undefined

  constructor (link: RedisLink, scripts: Scripts, timeoutMs: number, clock: Clock) {
    this.#link = link
    this.#scripts = scripts
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /** For how long Redis has answered, in milliseconds; 0 when it does not. */
  get answersForMs (): number {
    return this.#answersSince === undefined ? 0 : this.#clock.now() - this.#answersSince
  }

  /** A connection is gone, or came back. */
  interrupted (): void {
    this.#answersSince = undefined
  }

  async run (name: ScriptName, keys: readonly [string, ...string[]], args: ReadonlyArray<string | number>): Promise<unknown> {
    const { sha, source } = this.#scripts[name]
    const rest = [`${keys.length}`, ...keys, ...args.map(String)]
    try {
      return await this.send(keys[0], ['EVALSHA', sha, ...rest])
    } catch (err) {
      if (!isReply(err, 'NOSCRIPT')) throw err
      return await this.send(keys[0], ['EVAL', source, ...rest])
    }
  }

  async send (key: string, args: readonly string[]): Promise<unknown> {
    try {
      const answer = await this.inTime(this.#link.send(key, args))
      this.#answersSince ??= this.#clock.now()
      return answer
    } catch (err) {
      if (!isReply(err, 'NOSCRIPT')) this.#answersSince = undefined
      throw err
    }
  }

  /** What is rejected is no line in a log that holds what people say. */
  inTime<T> (sent: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = this.#clock.after(this.#timeoutMs, () => { reject(new Error(`Redis did not answer within ${this.#timeoutMs} ms`)) })
      sent.then((answer) => { stop(); resolve(answer) }, (err: unknown) => { stop(); reject(toFailure(err)) })
    })
  }
}

function isReply (err: unknown, code: string): boolean {
  return err instanceof Error && err.message.startsWith(code)
}

/** ioredis says what a command was, with all that was given to it: no line in a log is to hold what people say. */
function toFailure (err: unknown): Error {
  return new Error(`Redis: ${err instanceof Error ? err.message : 'no answer'}`.replace(/^Redis: (?=NOSCRIPT)/, ''))
}
