import type { Clock } from '../../clock.js'
import { parseSessionKeyText, type SessionKey } from '../../protocol/session-key.js'
import type { RedisKeys, SessionPlace } from './redis-keys.js'
import type { RedisScriptRunner } from './redis-script-runner.js'

export interface RedisSweepTools {
  keys: RedisKeys
  runner: RedisScriptRunner
  clock: Clock
  leaseMs: number
  sweepMs: number
  /** Into how many parts the index is divided: a cluster keeps them in several places. */
  parts: number
  /** Something waits in the session, and nothing runs. */
  onFree: (key: SessionKey) => void
  /** The lease of its run has run out. */
  onLeft: (place: SessionPlace) => void
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
  #isSweeping = false

  constructor (tools: RedisSweepTools) {
    this.#tools = tools
    this.#stop = tools.clock.every(tools.sweepMs, () => { this.#sweep() })
  }

  /** Something waits or runs in the session from now on. */
  async add (place: SessionPlace, dueInMs = this.#tools.leaseMs): Promise<void> {
    const { keys, runner, parts } = this.#tools
    await runner.run('indexAdd', [keys.indexOf(place, parts)], [place.text, dueInMs])
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

  #sweep (): void {
    if (this.#isSweeping) return
    this.#isSweeping = true
    const settle = (): void => { this.#isSweeping = false }
    // One that fails is made up for by the next.
    this.#sweepAll().then(settle, settle)
  }

  async #sweepAll (): Promise<void> {
    const { keys, parts } = this.#tools
    for (let part = 0; part < parts; part++) {
      const index = keys.index(part)
      for (let looks = 1; await this.#sweepSome(index) === PER_LOOK && looks < MAX_LOOKS;) looks++
    }
  }

  async #sweepSome (index: string): Promise<number> {
    const { runner, sweepMs } = this.#tools
    const [due, sessions] = await runner.run('indexDue', [index], [PER_LOOK, 2 * sweepMs]) as [string, string[]]
    for (const text of sessions) await this.#look(index, text, due)
    return sessions.length
  }

  async #look (index: string, text: string, due: string): Promise<void> {
    const { keys, runner, onFree, onLeft } = this.#tools
    const place = keys.session(parseSessionKeyText(text))
    const [state, leaseUntil = ''] = await runner.run('look', [place.base, place.claims], []) as ['idle' | 'free' | 'left' | 'run', string?]
    if (state === 'free') onFree(place.key)
    else if (state === 'left') onLeft(place)
    else await runner.run('indexMove', [index], [text, due, state === 'idle' ? '' : leaseUntil])
  }
}
