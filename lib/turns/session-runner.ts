import { AgentNotFoundError, type Executor } from '../agent/executor.js'
import { isPromiseLike } from '../awaitable.js'
import type { Run, TurnEnd } from '../journal/journal.js'
import { AbandonedTurns } from './abandoned-turns.js'
import type { EngineTools } from './engine-tools.js'
import type { LiveSession, LiveTurn, RunningTurn } from './live-session.js'
import { stopRetry, type LiveSessions } from './live-sessions.js'
import { TurnRun } from './run-turn.js'
import { ABORTED, failedEnd } from './turn-end.js'

/** All turns are looked at so often, by one timer while there are any. */
const WATCH_MS = 250
/** A journal that has no turn for this node, though some wait, is asked again after so long. */
const RETRY_MS = 1_000

/** Runs each session's turns, one after another. */
export class SessionRunner {
  readonly #tools: EngineTools
  readonly #sessions: LiveSessions
  readonly #runs = new Set<TurnRun>()
  readonly #abandoned: AbandonedTurns
  /** What is still to do for turns that run or have run; none of them rejects. */
  readonly #settling = new Set<Promise<void>>()
  /** Cuts short the wait for executors that have not returned. */
  readonly #graces = new Set<() => void>()
  #stopWatch: (() => void) | undefined
  #isDraining = false
  /** Whatever still comes to run is stopped at once. */
  #overtime: { end: TurnEnd, reason: Error } | undefined

  constructor (tools: EngineTools, sessions: LiveSessions) {
    this.#tools = tools
    this.#sessions = sessions
    this.#abandoned = new AbandonedTurns(tools, sessions, (session, turn) => { this.#stopAbandoned(session, turn) })
  }

  /** How many turns have the right to run. */
  get count (): number { return this.#runs.size }

  /** Runs the session's next turn, if it is free. */
  next (session: LiveSession): void {
    if (session.running !== undefined) return
    if (session.taking !== undefined) {
      session.asksAgain = true
      return
    }
    stopRetry(session)
    const first = session.waiting.values().next().value
    if (first === undefined || this.#isDraining) return this.#sessions.closeIfIdle(session)
    session.asksAgain = false
    const taking = this.#take(session, first)
    if (taking !== undefined) session.taking = this.#finishTaking(session, first, taking)
  }

  /** From now on no turn is started, and a turn that has ended does not wait for its executor. */
  drain (): void {
    this.#isDraining = true
    for (const cut of this.#graces) cut()
  }

  /** Stops all that runs, or is about to. */
  stop (end: TurnEnd, reason: Error): void {
    this.#overtime = { end, reason }
    for (const run of this.#runs) run.stop(end, reason)
  }

  /** Settles when every turn that ran has its end, and its session is free. */
  async settled (): Promise<void> {
    while (this.#settling.size > 0) await Promise.all(this.#settling)
  }

  /** `undefined` when all is done at once; else whether the session's next turn is to be looked for. */
  #take (session: LiveSession, first: LiveTurn): Promise<boolean> | undefined {
    try {
      const stopper = new Stopper()
      const taken = session.home.journal.take(session.key, () => stopper.stop())
      if (!isPromiseLike(taken)) return this.#onTaken(session, first, taken, stopper)
      return Promise.resolve(taken).then(
        (run) => this.#onTaken(session, first, run, stopper) ?? false,
        (err: unknown) => this.#onNotTaken(session, first, err))
    } catch (err) {
      return this.#onNotTaken(session, first, err)
    }
  }

  async #finishTaking (session: LiveSession, first: LiveTurn, taking: Promise<boolean>): Promise<void> {
    let goesOn = true
    try {
      goesOn = await taking
    } catch (err) {
      this.#sessions.report(first.chat, err, 'a turn could not go on')
    }
    session.taking = undefined
    if (goesOn || session.asksAgain) this.next(session)
    else this.#sessions.closeIfIdle(session)
  }

  #onTaken (session: LiveSession, first: LiveTurn, run: Run | undefined, stopper: Stopper): Promise<boolean> | undefined {
    if (run === undefined) {
      this.#retryLater(session)
      return undefined
    }
    const turn = session.waiting.get(run.chat.turnId)
    if (turn === undefined) return this.#discard(session, first, run)
    session.waiting.delete(run.chat.turnId)
    this.#run(session, turn, run, stopper)
    return undefined
  }

  async #onNotTaken (session: LiveSession, first: LiveTurn, err: unknown): Promise<boolean> {
    this.#sessions.report(first.chat, err, 'the journal did not start a turn')
    await this.#sessions.drop(session, first, failedEnd('STORE_UNAVAILABLE'))
    return true
  }

  /** Another node runs a turn of the session, or a right to run was not given back: nobody says when that is over. */
  #retryLater (session: LiveSession): void {
    if (session.waiting.size === 0 || this.#isDraining) return
    session.stopRetry = this.#tools.clock.after(RETRY_MS, () => { this.next(session) })
  }

  /** A chat was refused, though the journal had taken it. */
  async #discard (session: LiveSession, first: LiveTurn, run: Run): Promise<boolean> {
    try {
      await session.home.journal.release(run, failedEnd('STORE_UNAVAILABLE'))
    } catch (err) {
      this.#sessions.report(first.chat, err, 'the journal did not end a turn that nobody waits for')
    }
    return true
  }

  #run (session: LiveSession, turn: LiveTurn, run: Run, stopper: Stopper): void {
    const { agents, limits, clock, log } = this.#tools
    const { agentId } = session.key
    const executor: Executor = (turn) => {
      const found = agents.find(agentId)
      if (found === undefined) throw new AgentNotFoundError(agentId)
      return found(turn)
    }
    const { journal, store } = session.home
    const turnRun = new TurnRun(run, { journal, store, executor, limits, clock, log })
    const running = { turn, run: turnRun }
    session.running = running
    this.#runs.add(turnRun)
    this.#stopWatch ??= clock.every(WATCH_MS, () => { this.#watch() })
    const settling = this.#settle(session, running)
      .catch((err: unknown) => { this.#sessions.report(turn.chat, err, 'a turn could not go on') })
      .finally(() => { this.#settling.delete(settling) })
    this.#settling.add(settling)
    if (this.#overtime !== undefined) turnRun.stop(this.#overtime.end, this.#overtime.reason)
    stopper.attach(turnRun)
  }

  /** After a turn's end: waits for its executor, but not for ever, and lets the next one run. */
  async #settle (session: LiveSession, { run, turn }: RunningTurn): Promise<void> {
    await run.ended
    if (run.unwrittenEnd !== undefined) this.#sessions.endUnwritten(turn, run.unwrittenEnd)
    const hasReturned = run.hasReturned || await this.#hasReturned(run)
    this.#runs.delete(run)
    if (hasReturned) this.#sessions.leave(turn)
    else void run.returned.then(() => { this.#sessions.leave(turn) })
    if (this.#runs.size === 0) {
      this.#stopWatch?.()
      this.#stopWatch = undefined
    }
    try {
      await session.home.journal.release(run.run, run.unwrittenEnd ?? failedEnd('INTERNAL'))
    } catch (err) {
      this.#sessions.report(turn.chat, err, 'the journal did not take the right to run back')
    }
    session.running = undefined
    this.next(session)
  }

  /** Whether the executor is done, after at most `cancelGraceMs`; a drain, which starts no other, does not wait for it. */
  async #hasReturned (run: TurnRun): Promise<boolean> {
    if (this.#isDraining) return false
    const { clock, limits } = this.#tools
    return await new Promise((resolve) => {
      const settle = (hasReturned: boolean): void => {
        stop()
        this.#graces.delete(cut)
        resolve(hasReturned)
      }
      const cut = (): void => { settle(false) }
      const stop = clock.after(limits.cancelGraceMs, cut)
      this.#graces.add(cut)
      void run.returned.then(() => { settle(true) })
    })
  }

  #watch (): void {
    const now = this.#tools.clock.now()
    for (const run of this.#runs) run.watch(now)
    this.#abandoned.look(now)
  }

  #stopAbandoned (session: LiveSession, turn: LiveTurn): void {
    const { running } = session
    if (running?.turn === turn) running.run.stop(ABORTED, new Error('nobody follows the turn any more'))
    else void this.#sessions.drop(session, turn, ABORTED)
  }
}

/** Stops a run that may be asked to stop before it is there. */
class Stopper {
  #run: TurnRun | undefined
  #isAsked = false

  stop (): boolean {
    this.#isAsked = true
    return this.#run?.stop(ABORTED, new Error('the turn was cancelled')) ?? true
  }

  attach (run: TurnRun): void {
    this.#run = run
    if (this.#isAsked) this.stop()
  }
}
