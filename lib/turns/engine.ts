import type { FastifyBaseLogger } from 'fastify'

import type { Agents } from '../agent/agents.js'
import { AgentNotFoundError } from '../agent/executor.js'
import { isPromiseLike } from '../awaitable.js'
import type { Clock } from '../clock.js'
import type { Journal, Run, TurnEnd } from '../journal/journal.js'
import { ERROR_CODES } from '../protocol/codes.js'
import type { BusyPolicy } from '../protocol/names.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import type { SessionStore } from '../sessions/session-store.js'
import { TurnFollower } from './follow.js'
import { storedChat, type Chat, type LiveSession, type LiveTurn, type RunningTurn, type Started } from './live-session.js'
import { LiveTurns, type LiveTurnLimits } from './live-turns.js'
import { TurnRun, type TurnLimits } from './run-turn.js'
import { ABORTED, failedEnd } from './turn-end.js'
import { toError } from './within.js'

export type { Chat, Started }

export interface EngineLimits extends TurnLimits, LiveTurnLimits {
  onBusy: BusyPolicy
  maxQueuedTurns: number
  cancelGraceMs: number
}

/** Where sessions live: a journal for what happens, a store for what was said. */
export interface SessionHome {
  journal: Journal
  store: SessionStore
}

export interface EngineTools {
  agents: Agents
  /** Home of the sessions that clients name. */
  named: SessionHome
  /** Home of the sessions of connections: always this node's memory. */
  unnamed: SessionHome
  limits: EngineLimits
  clock: Clock
  log: FastifyBaseLogger
}

/** All turns are looked at so often, by one timer while there are any. */
const WATCH_MS = 250
/** What a chat is told to wait that found no room. */
const NO_ROOM_RETRY_MS = 1_000

/**
 * Takes chats, and runs each session's turns one after another: journal first, executor next, history last. It knows
 * no socket: whoever wants to see a turn follows it.
 */
export class Engine {
  readonly #tools: EngineTools
  readonly #live: LiveTurns
  readonly #sessions = new Map<string, LiveSession>()
  readonly #runs = new Set<TurnRun>()
  #stopWatch: (() => void) | undefined
  #draining: Promise<void> | undefined

  constructor (tools: EngineTools) {
    this.#tools = tools
    this.#live = new LiveTurns(tools.limits)
  }

  get isDraining (): boolean { return this.#draining !== undefined }

  /** How many turns are accepted, and how many of them have the right to run. */
  stats (): { turns: number, runningTurns: number } {
    return { turns: this.#live.count, runningTurns: this.#runs.size }
  }

  /**
   * Accepts a chat and follows its turn, or says why not.
   * @param wake called when the follower has something new
   */
  async startTurn (chat: Chat, wake: () => void): Promise<Started> {
    if (this.isDraining) return { accepted: false, code: 'SHUTTING_DOWN', retryAfterMs: NO_ROOM_RETRY_MS }
    if (this.#tools.agents.find(chat.key.agentId) === undefined) return { accepted: false, code: 'AGENT_NOT_FOUND' }
    const details = this.#tools.agents.metadataFault(chat.key.agentId, chat.metadata)
    if (details !== undefined) return { accepted: false, code: 'VALIDATION_FAILED', details }
    const bytes = Buffer.byteLength(chat.message)
    if (!this.#live.enter(chat.key, bytes)) {
      return { accepted: false, code: 'RATE_LIMITED', retryAfterMs: NO_ROOM_RETRY_MS }
    }
    const turn: LiveTurn = { chat, bytes, followers: new Set(), offering: undefined, hasLeft: false }
    turn.offering = this.#offer(turn, wake)
    const started = await turn.offering
    turn.offering = undefined
    if (!started.accepted) this.#leave(turn)
    return started
  }

  /** Stops a session's turns, or one of them: those that wait and the one that runs. Answers the ids of all it stopped. */
  async cancel (key: SessionKey, turnId?: string): Promise<string[]> {
    const session = this.#sessions.get(sessionKeyText(key))
    if (session === undefined) return []
    const isMeant = ({ chat }: LiveTurn): boolean => turnId === undefined || chat.turnId === turnId
    const stopped: string[] = []
    try {
      for (const turn of [...session.waiting.values()].filter(isMeant)) {
        if (turn.offering !== undefined) await turn.offering
        if (await this.#withdraw(session, turn, ABORTED)) stopped.push(turn.chat.turnId)
      }
    } finally {
      if (session.taking !== undefined) await Promise.allSettled([session.taking])
      const { running } = session
      if (running !== undefined && isMeant(running.turn) && this.#abort(running)) stopped.unshift(running.turn.chat.turnId)
    }
    return stopped
  }

  /** Ends a connection's own session: stops its turns, forgets what was said. */
  async endUnnamed (key: SessionKey): Promise<void> {
    await this.cancel(key)
    const { journal, store } = this.#tools.unnamed
    const running = this.#sessions.get(sessionKeyText(key))?.running
    await running?.run.ended
    await journal.forget(key)
    await store.delete(key)
  }

  /**
   * Takes no more chats, ends those that wait, gives the running ones `timeoutMs`, then stops them too. Settles when
   * every turn has its end.
   */
  drain (timeoutMs: number): Promise<void> {
    // A tick later: whoever is woken by an end that the drain writes must find that it has begun.
    this.#draining ??= Promise.resolve().then(() => this.#drain(timeoutMs))
    return this.#draining
  }

  async #drain (timeoutMs: number): Promise<void> {
    const end = failedEnd('SHUTTING_DOWN')
    const stopTimer = this.#tools.clock.after(timeoutMs, () => {
      for (const run of this.#runs) run.stop(end, new Error(ERROR_CODES.SHUTTING_DOWN.message))
    })
    for (const session of [...this.#sessions.values()]) {
      if (session.taking !== undefined) await Promise.allSettled([session.taking])
      for (const turn of [...session.waiting.values()]) {
        if (turn.offering !== undefined) await turn.offering
        await this.#drop(session, turn, end)
      }
    }
    const running = (): TurnRun[] => [...this.#runs].filter((run) => !run.hasEnded)
    for (let runs = running(); runs.length > 0; runs = running()) await Promise.all(runs.map((run) => run.ended))
    stopTimer()
  }

  async #offer (turn: LiveTurn, wake: () => void): Promise<Started> {
    const { chat } = turn
    const session = this.#open(chat.key)
    // Before the first tick: a drain, a cancel or an interrupt that comes meanwhile must find it.
    session.waiting.set(chat.turnId, turn)
    try {
      const started = await this.#accept(session, turn, wake)
      if (!started.accepted) this.#closeIfIdle(session, turn)
      return started
    } catch (err) {
      this.#log(turn, err, 'the journal did not take a chat')
      // What it may have taken all the same must not run for nobody.
      await this.#drop(session, turn, failedEnd('STORE_UNAVAILABLE'))
      this.#closeIfIdle(session, turn)
      return { accepted: false, code: 'STORE_UNAVAILABLE' }
    }
  }

  async #accept (session: LiveSession, turn: LiveTurn, wake: () => void): Promise<Started> {
    const { chat } = turn
    const { limits, clock } = this.#tools
    const { journal } = this.#home(chat.isNamed)
    const onBusy = chat.onBusy ?? limits.onBusy
    const terms = { onBusy, maxQueued: limits.maxQueuedTurns, displacedEnd: ABORTED }
    const offered = journal.offer(chat.key, storedChat(chat, clock.date()), terms)
    const offer = isPromiseLike(offered) ? await offered : offered
    if (!offer.accepted) return { accepted: false, code: offer.code, retryAfterMs: NO_ROOM_RETRY_MS }
    for (const turnId of offer.displaced) this.#withdrawn(session, session.waiting.get(turnId))
    const followed = journal.followTurn(chat.key, chat.turnId, wake)
    const cursor = isPromiseLike(followed) ? await followed : followed
    if (cursor === undefined) throw new Error('the journal has lost a chat that it has just taken')
    const follower = new TurnFollower(cursor, chat.turnId, wake)
    turn.followers.add(follower)
    // Meanwhile it may be running itself.
    const { running } = session
    if (onBusy === 'interrupt' && running !== undefined && running.turn !== turn) this.#abort(running)
    if (!this.isDraining) this.#next(session).catch(this.#reporter(turn))
    const { position, epoch, seq } = offer
    return { accepted: true, turnId: chat.turnId, position, epoch, seq, follower }
  }

  /** Runs the session's next turn, if it is free. */
  async #next (session: LiveSession): Promise<void> {
    if (session.running !== undefined || session.taking !== undefined) return
    if (this.isDraining) return this.#closeIfIdle(session)
    const first = session.waiting.values().next().value
    if (first === undefined) return this.#closeIfIdle(session)
    const { journal } = this.#home(first.chat.isNamed)
    let run: Run | undefined
    try {
      const taken = journal.take(session.key)
      if (isPromiseLike(taken)) session.taking = Promise.resolve(taken)
      run = isPromiseLike(taken) ? await session.taking : taken
      session.taking = undefined
    } catch (err) {
      session.taking = undefined
      this.#log(first, err, 'the journal did not start a turn')
      await this.#drop(session, first, failedEnd('STORE_UNAVAILABLE'))
      return await this.#next(session)
    }
    if (run === undefined) return this.#closeIfIdle(session)
    const turn = session.waiting.get(run.chat.turnId)
    if (turn === undefined) return await this.#discard(session, first, run)
    session.waiting.delete(run.chat.turnId)
    this.#run(session, turn, run)
  }

  /** Ends a turn that nobody waits for: its chat was refused, though the journal had taken it. */
  async #discard (session: LiveSession, next: LiveTurn, run: Run): Promise<void> {
    const { journal } = this.#home(next.chat.isNamed)
    await journal.append(run, 1, [{ kind: 'end', end: failedEnd('STORE_UNAVAILABLE') }])
    await journal.release(run)
    await this.#next(session)
  }

  #run (session: LiveSession, turn: LiveTurn, run: Run): void {
    const { agents, limits, clock, log } = this.#tools
    const home = this.#home(turn.chat.isNamed)
    const { agentId } = session.key
    const executor = agents.find(agentId) ?? (() => { throw new AgentNotFoundError(agentId) })
    const turnRun = new TurnRun(run, { ...home, executor, limits, clock, log })
    const running = { turn, run: turnRun }
    session.running = running
    this.#runs.add(turnRun)
    this.#stopWatch ??= clock.every(WATCH_MS, () => { this.#watch() })
    this.#settle(session, running).catch(this.#reporter(turn))
  }

  /** After a turn's end: waits for its executor, but not for ever, and lets the next one run. */
  async #settle (session: LiveSession, running: RunningTurn): Promise<void> {
    const { run, turn } = running
    await run.ended
    if (run.unwrittenEnd !== undefined) for (const follower of turn.followers) follower.endUnwritten(run.unwrittenEnd)
    const hasReturned = await this.#hasReturned(run)
    this.#runs.delete(run)
    if (hasReturned) this.#leave(turn)
    else void run.returned.then(() => { this.#leave(turn) })
    if (this.#runs.size === 0) {
      this.#stopWatch?.()
      this.#stopWatch = undefined
    }
    try {
      await this.#home(turn.chat.isNamed).journal.release(run.run)
    } catch (err) {
      this.#log(turn, err, 'the journal did not take the right to run back')
    }
    session.running = undefined
    await this.#next(session)
  }

  /** Whether the executor is done, after at most `cancelGraceMs`. */
  async #hasReturned (run: TurnRun): Promise<boolean> {
    const { clock, limits } = this.#tools
    return await new Promise((resolve) => {
      const stop = clock.after(limits.cancelGraceMs, () => { resolve(false) })
      void run.returned.then(() => { stop(); resolve(true) })
    })
  }

  #abort ({ run }: RunningTurn): boolean {
    return run.stop(ABORTED, new Error('the turn was cancelled'))
  }

  async #withdraw (session: LiveSession, turn: LiveTurn, end: TurnEnd): Promise<boolean> {
    const isWithdrawn = await this.#home(turn.chat.isNamed).journal.withdraw(session.key, turn.chat.turnId, end)
    if (isWithdrawn) this.#withdrawn(session, turn)
    return isWithdrawn
  }

  /** Ends a turn that waits, also when the journal cannot be told. */
  async #drop (session: LiveSession, turn: LiveTurn, end: TurnEnd): Promise<void> {
    try {
      await this.#withdraw(session, turn, end)
    } catch (err) {
      this.#log(turn, err, 'the journal did not withdraw a chat')
    }
    if (!session.waiting.has(turn.chat.turnId)) return
    this.#withdrawn(session, turn)
    for (const follower of turn.followers) follower.endUnwritten(end)
  }

  #withdrawn (session: LiveSession, turn: LiveTurn | undefined): void {
    if (turn === undefined) return
    session.waiting.delete(turn.chat.turnId)
    this.#leave(turn)
  }

  #watch (): void {
    const now = this.#tools.clock.now()
    for (const run of this.#runs) run.watch(now)
  }

  #open (key: SessionKey): LiveSession {
    const text = sessionKeyText(key)
    let session = this.#sessions.get(text)
    if (session === undefined) {
      session = { key, text, waiting: new Map(), running: undefined, taking: undefined }
      this.#sessions.set(text, session)
    }
    return session
  }

  #closeIfIdle (session: LiveSession, without?: LiveTurn): void {
    if (without !== undefined) session.waiting.delete(without.chat.turnId)
    if (session.running === undefined && session.waiting.size === 0) this.#sessions.delete(session.text)
  }

  #home (isNamed: boolean): SessionHome {
    return isNamed ? this.#tools.named : this.#tools.unnamed
  }

  #leave (turn: LiveTurn): void {
    if (turn.hasLeft) return
    turn.hasLeft = true
    this.#live.leave(turn.chat.key, turn.bytes)
  }

  #reporter (turn: LiveTurn): (thrown: unknown) => void {
    return (thrown) => { this.#log(turn, thrown, 'a turn could not go on') }
  }

  #log ({ chat }: LiveTurn, thrown: unknown, text: string): void {
    const { agentId, sessionId } = chat.key
    this.#tools.log.error({ err: toError(thrown), agentId, sessionId, turnId: chat.turnId }, text)
  }
}
