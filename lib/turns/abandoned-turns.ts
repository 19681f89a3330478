import { isPromiseLike } from '../awaitable.js'
import type { EngineTools } from './engine-tools.js'
import { turnsOf, type LiveSession, type LiveTurn } from './live-session.js'
import type { LiveSessions } from './live-sessions.js'

/** Finds turns of named sessions that are for their readers, and that nobody has read for a while. */
export class AbandonedTurns {
  readonly #tools: Pick<EngineTools, 'limits'>
  readonly #sessions: LiveSessions
  readonly #stop: (session: LiveSession, turn: LiveTurn) => void

  constructor (tools: Pick<EngineTools, 'limits'>, sessions: LiveSessions, stop: (session: LiveSession, turn: LiveTurn) => void) {
    this.#tools = tools
    this.#sessions = sessions
    this.#stop = stop
  }

  /** To be called now and then. */
  look (now: number): void {
    if (this.#tools.limits.onDisconnect === 'continue') return
    for (const session of this.#sessions.all()) {
      for (const turn of turnsOf(session)) {
        // One that is being offered has no reader yet.
        if (turn.chat.isForReaders === true && turn.chat.isNamed && turn.offering === undefined) this.#lookAt(session, turn, now)
      }
    }
  }

  #lookAt (session: LiveSession, turn: LiveTurn, now: number): void {
    const judge = (readers: number): void => {
      if (readers > 0) turn.aloneSince = undefined
      else if (now - (turn.aloneSince ??= now) >= this.#tools.limits.disconnectGraceMs) this.#stop(session, turn)
    }
    try {
      const readers = session.home.journal.readers(session.key, turn.chat.turnId)
      if (!isPromiseLike(readers)) judge(readers)
      else readers.then(judge, (err: unknown) => { this.#failed(turn, err) })
    } catch (err) {
      this.#failed(turn, err)
    }
  }

  #failed (turn: LiveTurn, err: unknown): void {
    this.#sessions.report(turn.chat, err, 'the journal did not say who reads a turn')
  }
}
