import { isPromiseLike } from '../awaitable.js'
import type { EngineTools } from './engine-tools.js'
import { turnsOf, type LiveSession, type LiveTurn } from './live-session.js'
import type { LiveSessions } from './live-sessions.js'

/** Finds turns of named sessions that are for their readers, and that nobody has read for a while. */
export class AbandonedTurns {
  readonly #tools: Pick<EngineTools, 'limits'>
  readonly #sessions: LiveSessions
  readonly #stop: (session: LiveSession, turn: LiveTurn) => void
  /** Turns about which the journal is being asked. */
  readonly #asked = new Set<LiveTurn>()

  constructor (tools: Pick<EngineTools, 'limits'>, sessions: LiveSessions, stop: (session: LiveSession, turn: LiveTurn) => void) {
    this.#tools = tools
    this.#sessions = sessions
    this.#stop = stop
  }

  /** To be called now and then. */
  look (now: number): void {
    if (this.#tools.limits.onDisconnect === 'continue') return
    for (const session of this.#sessions.all()) {
      for (const turn of turnsOf(session)) if (this.#isToJudge(turn)) this.#lookAt(session, turn, now)
    }
  }

  /** One that is being offered has no reader yet. */
  #isToJudge (turn: LiveTurn): boolean {
    const { isForReaders, isNamed } = turn.chat
    return isForReaders === true && isNamed && turn.offering === undefined && !this.#asked.has(turn)
  }

  #lookAt (session: LiveSession, turn: LiveTurn, now: number): void {
    const judge = (readers: number): void => {
      if (readers > 0) turn.aloneSince = undefined
      else if (now - (turn.aloneSince ??= now) >= this.#tools.limits.disconnectGraceMs) this.#stop(session, turn)
    }
    try {
      const readers = session.home.journal.readers(session.key, turn.chat.turnId)
      if (!isPromiseLike(readers)) judge(readers)
      else this.#wait(turn, readers.then(judge))
    } catch (err) {
      this.#failed(turn, err)
    }
  }

  #wait (turn: LiveTurn, judged: PromiseLike<void>): void {
    this.#asked.add(turn)
    void judged.then(undefined, (err: unknown) => { this.#failed(turn, err) }).then(() => { this.#asked.delete(turn) })
  }

  #failed (turn: LiveTurn, err: unknown): void {
    this.#sessions.report(turn.chat, err, 'the journal did not say who reads a turn')
  }
}
