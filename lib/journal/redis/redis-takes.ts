import type { Clock } from '../../clock.js'
import type { SessionPlace } from './redis-keys.js'
import type { RedisNode, RunnerAnswer } from './redis-node.js'
import { newNonce, type RedisRun } from './redis-run.js'

export interface RedisTakesTools {
  node: Pick<RedisNode, 'nodeId' | 'run' | 'begin'>
  clock: Clock
  /** A right that was given, and that nobody has made use of, is gone by then. */
  leaseMs: number
}

/** What came of asking for the right to run. */
export type Taken =
  | { isGiven: true, chat: string, right: [epoch: string, fence: string, seen: number], askedAt: number }
  | { isGiven: false, runner: RunnerAnswer, waiting: readonly string[] }

/**
 * Asks for the right to run. Callers see to it that a session is asked for once at a time. The nonce of a request is kept
 * until what it was given is made use of: asked with it once more, Redis gives the same right again, so that none is lost
 * whose answer was.
 */
export class RedisTakes {
  readonly #tools: RedisTakesTools
  readonly #nonceByBase = new Map<string, string>()

  constructor (tools: RedisTakesTools) {
    this.#tools = tools
  }

  /** @param turnId of the only chat that is meant; '' for whichever is next */
  async ask (place: SessionPlace, turnId = ''): Promise<Taken> {
    const { base } = place
    const { node, clock, leaseMs } = this.#tools
    const nonce = this.#nonceByBase.get(base) ?? newNonce()
    this.#nonceByBase.set(base, nonce)
    const askedAt = clock.now()
    try {
      const [kind, ...more] = await node.run('take', place, [node.nodeId, nonce, turnId]) as TakeAnswer
      if (kind === 'run') {
        const [chat, epoch, fence, seen] = more as [string, string, string, string]
        return { isGiven: true, chat, right: [epoch, fence, Number(seen)], askedAt }
      }
      this.#nonceByBase.delete(base)
      const [runner, waiting] = more as [RunnerAnswer, string[]]
      return { isGiven: false, runner, waiting }
    } catch (err) {
      clock.after(leaseMs, () => { if (this.#nonceByBase.get(base) === nonce) this.#nonceByBase.delete(base) })
      throw err
    }
  }

  /** Makes use of what was given. */
  begin (place: SessionPlace, { chat, right, askedAt }: Extract<Taken, { isGiven: true }>, onStop: () => boolean): RedisRun {
    this.#nonceByBase.delete(place.base)
    return this.#tools.node.begin(place, chat, right, onStop, askedAt)
  }

  /** Whether there may be a right in the session that this node was given and has made no use of. */
  mayOwe ({ base }: SessionPlace): boolean { return this.#nonceByBase.has(base) }
}

type TakeAnswer = ['run', string, string, string, string] | ['busy' | 'none', RunnerAnswer, string[]]
