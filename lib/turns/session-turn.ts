import type { Executor } from '../agent/executor.js'
import type { Run } from '../journal/journal.js'
import type { Ordered } from '../touch-order.js'
import type { LiveSession, LiveTurn, RunningTurn } from './live-session.js'
import { TurnRun } from './run-turn.js'
import type { TurnRunOwner } from './turn-tools.js'

export interface SessionTurnOwner {
  /** It has its end; its executor may still be at work. */
  onEnded (turn: SessionTurn): void
  /** Its executor is done as well, which was still at work when it had its end. */
  onReturned (turn: SessionTurn): void
}

/** The turn that has the right to run in its session. */
export class SessionTurn implements RunningTurn, TurnRunOwner, Ordered<SessionTurn> {
  readonly session: LiveSession
  readonly turn: LiveTurn
  readonly run: TurnRun
  readonly #owner: SessionTurnOwner
  /** Who waits for its end. */
  #waiting: Array<() => void> | undefined
  #hasStarted = false
  // Its place among all that run.
  older: SessionTurn | undefined
  newer: SessionTurn | undefined
  rank = 0

  constructor (session: LiveSession, turn: LiveTurn, run: Run, executor: Executor, owner: SessionTurnOwner) {
    this.session = session
    this.turn = turn
    this.#owner = owner
    this.run = new TurnRun(run, executor, session.home.tools, this)
  }

  /** Lets it run, as far as it does at once. Its end is told behind that: turns that answer at once do not run in each other. */
  start (): void {
    this.run.start()
    this.#hasStarted = true
    if (this.run.hasEnded) this.#tellEnd()
  }

  onEnded (): void {
    if (this.#hasStarted) this.#tellEnd()
  }

  /** Settles when it has its end. */
  async ended (): Promise<void> {
    if (!this.run.hasEnded) await new Promise<void>((resolve) => { (this.#waiting ??= []).push(resolve) })
  }

  onReturned (): void {
    // Before its end is told, that says so too.
    if (this.#hasStarted && this.run.hasEnded) this.#owner.onReturned(this)
  }

  #tellEnd (): void {
    this.#owner.onEnded(this)
    if (this.#waiting !== undefined) for (const tell of this.#waiting) tell()
  }
}
