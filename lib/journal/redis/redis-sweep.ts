import type { Clock } from '../../clock.js'
import { parseSessionKeyText, type SessionKey } from '../../protocol/session-key.js'
import type { RedisKeys, SessionPlace } from './redis-keys.js'
import { isAway, type RedisScriptRunner } from './redis-script-runner.js'

export interface RedisSweepTools {
  keys: RedisKeys
  runner: RedisScriptRunner
  clock: Clock
  leaseMs: number
  sweepMs: number
  /** Something waits in the session, and nothing runs. Answers whether this node does something about it. */
  onFree: (key: SessionKey) => boolean
  /** The lease of its run has run out. The same. */
  onLeft: (place: SessionPlace) => Promise<boolean>
}

/** So many sessions are looked at in one go, and so often in a row. */
const PER_LOOK = 100
const MAX_LOOKS = 20

/**
 * Looks at all sessions in which something waits or runs, whether anybody visits them or not; the nodes share the work.
 */
export class RedisSweep {
  readonly #tools: RedisSweepTools
  readonly #stop: () => void
  readonly #sweeping = new Set<string>()

  constructor (tools: RedisSweepTools) {
    this.#tools = tools
    this.#stop = tools.clock.every(tools.sweepMs, () => { for (const index of tools.keys.indexes) this.#sweep(index) })
  }

  /** Something waits or runs in the session from now on. */
  async add (place: SessionPlace, dueInMs = this.#tools.leaseMs): Promise<void> {
    const { keys, runner } = this.#tools
    await runner.run('indexAdd', [keys.indexOf(place)], [place.text, dueInMs])
  }

  /** The session was added when its chat was offered: this is for an index that was lost since. */
  addAgain (place: SessionPlace): void {
    this.add(place).catch(() => {
      // A run needs nothing of it as long as its node is there.
    })
  }

  close (): void {
    this.#stop()
  }

  /** For so long the other nodes leave alone what this one looks at, in milliseconds. */
  get #leftAloneMs (): number { return 2 * this.#tools.sweepMs }

  /** Each by itself: a part of a cluster that is away does not keep the others waiting. */
  #sweep (index: string): void {
    if (this.#sweeping.has(index)) return
    this.#sweeping.add(index)
    const settle = (): void => { this.#sweeping.delete(index) }
    // One that fails is made up for by the next.
    this.#sweepAll(index).then(settle, settle)
  }

  async #sweepAll (index: string): Promise<void> {
    for (let looks = 1; await this.#sweepSome(index) === PER_LOOK && looks < MAX_LOOKS;) looks++
  }

  async #sweepSome (index: string): Promise<number> {
    const [due, sessions] = await this.#tools.runner.run('indexDue', [index], [PER_LOOK, this.#leftAloneMs]) as [string, string[]]
    for (const text of sessions) {
      try {
        await this.#look(index, text, due)
      } catch (err) {
        // One that cannot be looked at keeps nobody from the others, unless they cannot be either.
        if (isAway(err)) throw err
      }
    }
    return sessions.length
  }

  async #look (index: string, text: string, due: string): Promise<void> {
    const { keys, runner, onFree, onLeft } = this.#tools
    const leftAloneMs = this.#leftAloneMs
    const place = keys.session(parseSessionKeyText(text))
    const [state, leaseUntil = ''] = await runner.run('look', [place.base, place.claims], []) as ['idle' | 'free' | 'left' | 'run', string?]
    const isTaken = state === 'free' ? onFree(place.key) : state === 'left' && await onLeft(place)
    if (isTaken) return
    // What this node can do nothing about is due at once for the others, or it would keep them from it with each look.
    const again = { idle: '', run: leaseUntil, free: `${Number(due) - leftAloneMs}`, left: `${Number(due) - leftAloneMs}` }
    await runner.run('indexMove', [index], [text, due, again[state]])
  }
}
