import type { Entry, FollowFrom } from '../../lib/journal/journal.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { Engine } from '../../lib/turns/engine.js'
import type { FollowedSession } from '../../lib/turns/follow-session.js'
import { KEY, shortOf } from './turn-bench.js'

/** Reads a session as it comes, over one follower. */
export class SessionReader {
  readonly entries: Array<Entry | 'lost'> = []
  followed: FollowedSession | undefined

  /** What came, short: each with the turn that it is of. */
  get short (): string[] {
    return this.entries.map((entry) => entry === 'lost' ? entry : `${entry.turnId ?? '-'} ${shortOf(entry)}`)
  }

  async follow (engine: Engine, from: FollowFrom = {}, key: SessionKey = KEY): Promise<this> {
    this.followed = await engine.followSession(key, from, () => { this.read() })
    this.read()
    return this
  }

  read (): void {
    for (;;) {
      const entry = this.followed?.follower.next(false)
      if (entry === undefined) return
      this.entries.push(entry)
      if (entry === 'lost') return
    }
  }

  close (): void {
    this.followed?.follower.close()
  }
}
