import { AgentNotFoundError, type Turn } from '../agent/executor.js'
import { andThen, isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Offer, OfferTerms, Run, TurnEnd } from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import { TouchOrder } from '../touch-order.js'
import { AbandonedTurns } from './abandoned-turns.js'
import type { EngineTools } from './engine-tools.js'
import { adoptedChat, storedChat, type LiveSession, type LiveTurn, type RunRight } from './live-session.js'
import { stopRetry, type LiveSessions } from './live-sessions.js'
import { SessionTurn, type SessionTurnOwner } from './session-turn.js'
import { Stopper } from './stopper.js'
import { ABORTED, failedEnd } from './turn-end.js'

/** All turns are looked at so often, by one timer while there are any. */
const WATCH_MS = 250
/** A journal that has no turn for this node, though some wait, is asked again after so long. */
const RETRY_MS = 1_000

/** Runs each session's turns, one after another. */
export class SessionRunner implements SessionTurnOwner {
  readonly #tools: EngineTools
  readonly #sessions: LiveSessions
  readonly #runs = new TouchOrder<SessionTurn>()
  readonly #abandoned: AbandonedTurns
  /** Turns that run, or after which something is still to do. */
  #unsettled = 0
  #onSettled: Array<() => void> = []
  /** Turns that have ended, and whose sessions wait for their executors; each with what stops its timer. */
  readonly #graces = new Map<SessionTurn, () => void>()
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

  /** Runs the session's next turn, if it is free; where that is done at once, the one after it too. */
  next (session: LiveSession): void {
    session.asksAgain = true
    if (session.isAdvancing) return
    session.isAdvancing = true
    try {
      while (isToAdvance(session)) this.#advance(session)
    } finally {
      session.isAdvancing = false
    }
  }

  /**
   * Offers the chat of a turn that waits. A journal that nodes share may be far away: the right to run is asked for together
   * with it, where it may be free.
   */
  offer (session: LiveSession, turn: LiveTurn, terms: OfferTerms): Awaitable<Offer> {
    const { key, home: { journal } } = session
    const chat = turn.offered = storedChat(turn.chat, this.#tools.clock.date())
    if (!journal.isShared || session.running !== undefined) return journal.offer(key, chat, terms)
    const stopper = new Stopper()
    return andThen(journal.offer(key, chat, { ...terms, onStop: () => stopper.stop() }), (offer) => {
      if (offer.accepted && offer.run !== undefined) turn.right = { run: offer.run, stopper }
      return offer
    })
  }

  /** Runs a turn of which the right came with its acceptance. */
  begin (session: LiveSession, { run, stopper }: RunRight): void {
    stopRetry(session)
    void this.#onTaken(session, run, stopper)
  }

  /**
   * The same turn is refused after all. One that its client can send again, and then finds, runs; of another nobody would ever
   * hear, and it ends.
   */
  endRefused (session: LiveSession, turn: LiveTurn, right: RunRight): void {
    if (turn.chat.bodyHash !== undefined) return this.begin(session, right)
    this.#unsettled++
    this.#sessions.withdrawn(session, turn)
    void this.#discard(session, right.run).then(() => {
      this.next(session)
      this.#settle()
    })
  }

  /** Runs what waits in a named session, whichever node has taken it. */
  nextOf (key: SessionKey): void {
    const session = this.#sessions.open(key, true)
    session.hasGuests = true
    this.next(session)
  }

  #advance (session: LiveSession): void {
    session.asksAgain = false
    if (session.running !== undefined) return
    stopRetry(session)
    const { first } = session.waiting
    if ((first === undefined && !session.hasGuests) || this.#isDraining) return this.#sessions.closeIfIdle(session)
    session.hasGuests = false
    const taking = this.#take(session, first)
    if (taking !== undefined) session.taking = this.#finishTaking(session, first, taking)
  }

  /** From now on no turn is taken, and a turn that has ended does not wait for its executor. */
  drain (): void {
    this.#isDraining = true
    for (const running of this.#graces.keys()) this.#endGrace(running)
  }

  /** Stops all that runs, or is about to. */
  stop (end: TurnEnd, reason: Error): void {
    this.#overtime = { end, reason }
    for (const { run } of this.#runs.all()) run.stop(end, reason)
  }

  /** Settles when every turn that ran has its end, and its session is free. */
  async settled (): Promise<void> {
    while (this.#unsettled > 0) await new Promise<void>((resolve) => { this.#onSettled.push(resolve) })
  }

  /** `undefined` when all is done at once; else whether the session's next turn is to be looked for. */
  #take (session: LiveSession, first: LiveTurn | undefined): Promise<boolean> | undefined {
    try {
      const stopper = new Stopper()
      const taken = session.home.journal.take(session.key, () => stopper.stop())
      return isPromiseLike(taken) ? this.#takeLater(taken, session, first, stopper) : this.#onTaken(session, taken, stopper)
    } catch (err) {
      return this.#onNotTaken(session, first, err)
    }
  }

  async #takeLater (
    taken: PromiseLike<Run | undefined>, session: LiveSession, first: LiveTurn | undefined, stopper: Stopper
  ): Promise<boolean> {
    let run: Run | undefined
    try {
      run = await taken
    } catch (err) {
      return await this.#onNotTaken(session, first, err)
    }
    return await this.#onTaken(session, run, stopper) ?? false
  }

  async #finishTaking (session: LiveSession, first: LiveTurn | undefined, taking: Promise<boolean>): Promise<void> {
    let goesOn = true
    try {
      goesOn = await taking
    } catch (err) {
      this.#sessions.report(first?.chat ?? guestOf(session), err, 'a turn could not go on')
    }
    session.taking = undefined
    if (goesOn || session.asksAgain) this.next(session)
    else this.#sessions.closeIfIdle(session)
  }

  #onTaken (session: LiveSession, run: Run | undefined, stopper: Stopper): Promise<boolean> | undefined {
    if (run === undefined) {
      this.#retryLater(session)
      return undefined
    }
    const turn = session.waiting.find(run.chat.turnId) ?? this.#adopt(session, run)
    if (turn === undefined) return this.#discard(session, run)
    session.waiting.delete(turn)
    this.#run(session, turn, run, stopper)
    return undefined
  }

  /** Of a journal that nodes share, a chat that this one does not know is another's. */
  #adopt (session: LiveSession, run: Run): LiveTurn | undefined {
    return session.home.journal.isShared ? this.#sessions.adopt(adoptedChat(session.key, run.chat)) : undefined
  }

  async #onNotTaken (session: LiveSession, first: LiveTurn | undefined, err: unknown): Promise<boolean> {
    this.#sessions.report(first?.chat ?? guestOf(session), err, 'the journal did not start a turn')
    // What waits in a journal that nodes share waits on: another node may have taken it.
    if (first === undefined || session.home.journal.isShared) {
      this.#retryLater(session)
      return false
    }
    await this.#sessions.drop(session, first, failedEnd('STORE_UNAVAILABLE'))
    return true
  }

  /** Another node runs a turn of the session, or a right to run was not given back: nobody says when that is over. */
  #retryLater (session: LiveSession): void {
    if (session.waiting.size === 0 || this.#isDraining) return
    session.stopRetry = this.#tools.clock.after(RETRY_MS, () => { this.next(session) })
  }

  /** A chat was refused, though the journal had taken it. */
  async #discard (session: LiveSession, run: Run): Promise<boolean> {
    try {
      await session.home.journal.release(run, failedEnd('STORE_UNAVAILABLE'))
    } catch (err) {
      this.#sessions.report({ key: session.key, turnId: run.chat.turnId }, err, 'the journal did not end a turn that nobody waits for')
    }
    return true
  }

  #run (session: LiveSession, turn: LiveTurn, run: Run, stopper: Stopper): void {
    const running = new SessionTurn(session, turn, run, this.#tools.agents.find(session.key.agentId) ?? unknownAgent, this)
    session.running = running
    this.#runs.touch(running)
    this.#unsettled++
    running.run.keepQuestion()
    if (this.#overtime !== undefined) running.run.stop(this.#overtime.end, this.#overtime.reason)
    stopper.attach(running.run)
    running.start()
    // Most often there is nothing to watch: a turn that answers at once is over.
    if (this.#runs.size > 0) this.#watchRuns()
  }

  /** After a turn's end: waits for its executor, but not for ever, and lets the next one run. */
  onEnded (running: SessionTurn): void {
    const { turn, run } = running
    if (run.unwrittenEnd !== undefined) this.#sessions.endUnwritten(turn, run.unwrittenEnd)
    if (run.hasReturned) this.#sessions.leave(turn)
    if (run.hasReturned || this.#isDraining) this.#free(running)
    else this.#freeLater(running)
  }

  onReturned (running: SessionTurn): void {
    this.#sessions.leave(running.turn)
    this.#endGrace(running)
  }

  /** When the executor is done, or after `cancelGraceMs`; a drain, which starts no other, does not wait for it. */
  #freeLater (running: SessionTurn): void {
    const { clock, limits } = this.#tools
    this.#graces.set(running, clock.after(limits.cancelGraceMs, () => { this.#endGrace(running) }))
  }

  #endGrace (running: SessionTurn): void {
    const stopTimer = this.#graces.get(running)
    if (stopTimer === undefined) return
    stopTimer()
    this.#graces.delete(running)
    this.#free(running)
  }

  /** Gives the right to run back. */
  #free (running: SessionTurn): void {
    const { session, turn, run } = running
    this.#runs.delete(running)
    if (this.#runs.size === 0) {
      this.#stopWatch?.()
      this.#stopWatch = undefined
    }
    const end = run.unwrittenEnd ?? failedEnd('INTERNAL')
    try {
      const released = session.home.journal.release(run.run, end)
      if (isPromiseLike(released)) return this.#freeWhen(released, session, turn)
    } catch (err) {
      this.#notFreed(turn, err)
    }
    this.#onFree(session, turn)
  }

  #freeWhen (released: PromiseLike<void>, session: LiveSession, turn: LiveTurn): void {
    void released.then(undefined, (err: unknown) => { this.#notFreed(turn, err) }).then(() => { this.#onFree(session, turn) })
  }

  #notFreed (turn: LiveTurn, err: unknown): void {
    this.#sessions.report(turn.chat, err, 'the journal did not take the right to run back')
  }

  #onFree (session: LiveSession, turn: LiveTurn): void {
    if (session.running?.turn === turn) session.running = undefined
    this.next(session)
    this.#settle()
  }

  #settle (): void {
    if (--this.#unsettled > 0 || this.#onSettled.length === 0) return
    for (const settle of this.#onSettled.splice(0)) settle()
  }

  #watchRuns (): void {
    this.#stopWatch ??= this.#tools.clock.every(WATCH_MS, () => { this.#watch() })
  }

  #watch (): void {
    const now = Math.floor(this.#tools.clock.now())
    for (const { run } of this.#runs.all()) run.watch(now)
    this.#abandoned.look(now)
  }

  #stopAbandoned (session: LiveSession, turn: LiveTurn): void {
    const { running } = session
    if (running?.turn === turn) running.run.stop(ABORTED, new Error('nobody follows the turn any more'))
    else void this.#sessions.drop(session, turn, ABORTED)
  }
}

/** Whose chat it is that other nodes have taken is not known before it runs. */
function guestOf ({ key }: LiveSession): { key: SessionKey, turnId: string } {
  return { key, turnId: '' }
}

function isToAdvance ({ asksAgain, taking }: LiveSession): boolean {
  return asksAgain && taking === undefined
}

/** A chat may wait in a journal for longer than its agent is there. */
function unknownAgent ({ agentId }: Turn): never {
  throw new AgentNotFoundError(agentId)
}
