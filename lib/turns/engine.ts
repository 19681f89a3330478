import { isPromiseLike } from '../awaitable.js'
import type { TurnEnd } from '../journal/journal.js'
import { ERROR_CODES } from '../protocol/codes.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { EngineLimits, EngineTools, SessionHome } from './engine-tools.js'
import { TurnFollower } from './follow.js'
import { storedChat, turnsOf, type Chat, type LiveSession, type LiveTurn, type RunningTurn, type Started } from './live-session.js'
import { LiveSessions } from './live-sessions.js'
import { SessionRunner } from './session-runner.js'
import { ABORTED, failedEnd } from './turn-end.js'

export type { Chat, EngineLimits, EngineTools, SessionHome, Started }

/** What a chat is told to wait that found no room. */
const NO_ROOM_RETRY_MS = 1_000

/**
 * Takes chats, and runs each session's turns one after another: journal first, executor next, history last. It knows
 * no socket: whoever wants to see a turn follows it.
 */
export class Engine {
  readonly #tools: EngineTools
  readonly #sessions: LiveSessions
  readonly #runner: SessionRunner
  #draining: Promise<void> | undefined

  constructor (tools: EngineTools) {
    this.#tools = tools
    this.#sessions = new LiveSessions(tools)
    this.#runner = new SessionRunner(tools, this.#sessions)
  }

  get isDraining (): boolean { return this.#draining !== undefined }

  /** How many turns are accepted, and how many of them have the right to run. */
  stats (): { turns: number, runningTurns: number } {
    return { turns: this.#sessions.turnCount, runningTurns: this.#runner.count }
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
    const turn = this.#sessions.enter(chat)
    if (turn === undefined) return { accepted: false, code: 'RATE_LIMITED', retryAfterMs: NO_ROOM_RETRY_MS }
    turn.offering = this.#offer(turn, wake)
    const started = await turn.offering
    turn.offering = undefined
    if (!started.accepted) this.#sessions.leave(turn)
    return started
  }

  /**
   * Stops a session's turns, or one of them: those that wait and the one that runs. What is sent later is not meant.
   * @returns the ids of all it stopped
   */
  async cancel (key: SessionKey, isNamed: boolean, turnId?: string): Promise<string[]> {
    const session = this.#sessions.find(key, isNamed)
    if (session === undefined) return []
    const meant = new Set(turnsOf(session).filter(({ chat }) => turnId === undefined || chat.turnId === turnId))
    const stopped: string[] = []
    try {
      for (const turn of meant) {
        if (turn.offering !== undefined) await turn.offering
        if (session.waiting.get(turn.chat.turnId) !== turn) continue
        if (await this.#sessions.withdraw(session, turn, ABORTED)) stopped.push(turn.chat.turnId)
      }
    } finally {
      const running = await this.#abortRunning(session, meant)
      if (running !== undefined) stopped.unshift(running.turn.chat.turnId)
    }
    return stopped
  }

  /** Ends a connection's own session: stops its turns, forgets what was said. */
  async endUnnamed (key: SessionKey): Promise<void> {
    await this.cancel(key, false)
    const { journal, store } = this.#sessions.home(false)
    await this.#sessions.find(key, false)?.running?.run.ended
    await journal.forget(key)
    await store.delete(key)
  }

  /**
   * Takes no more chats, ends those that wait, gives the running ones `timeoutMs`, then stops them too. Settles when
   * every turn has its end and the journal has the right to run back.
   */
  drain (timeoutMs: number): Promise<void> {
    // A tick later: whoever is woken by an end that the drain writes must find that it has begun.
    this.#draining ??= Promise.resolve().then(() => this.#drain(timeoutMs))
    return this.#draining
  }

  async #drain (timeoutMs: number): Promise<void> {
    const end = failedEnd('SHUTTING_DOWN')
    this.#runner.drain()
    const stopTimer = this.#tools.clock.after(timeoutMs, () => {
      this.#runner.stop(end, new Error(ERROR_CODES.SHUTTING_DOWN.message))
    })
    await Promise.all(this.#sessions.all().map((session) => this.#drainSession(session, end)))
    await this.#runner.settled()
    stopTimer()
  }

  async #drainSession (session: LiveSession, end: TurnEnd): Promise<void> {
    if (session.taking !== undefined) await session.taking
    await Promise.all([...session.waiting.values()].map(async (turn) => {
      if (turn.offering !== undefined) await turn.offering
      await this.#sessions.drop(session, turn, end)
    }))
  }

  async #offer (turn: LiveTurn, wake: () => void): Promise<Started> {
    const { chat } = turn
    const session = this.#sessions.open(chat.key, chat.isNamed)
    const earlier = new Set(turnsOf(session))
    // Before the first tick: a drain, a cancel or an interrupt that comes meanwhile must find it.
    session.waiting.set(chat.turnId, turn)
    try {
      const started = await this.#accept(session, turn, earlier, wake)
      if (!started.accepted) this.#sessions.withdrawn(session, turn)
      return started
    } catch (err) {
      this.#sessions.report(chat, err, 'the journal did not take a chat')
      // What it may have taken all the same must not run for nobody.
      await this.#sessions.drop(session, turn, failedEnd('STORE_UNAVAILABLE'))
      return { accepted: false, code: 'STORE_UNAVAILABLE' }
    }
  }

  async #accept (session: LiveSession, turn: LiveTurn, earlier: Set<LiveTurn>, wake: () => void): Promise<Started> {
    const { chat } = turn
    const { limits, clock } = this.#tools
    const { journal } = session.home
    const onBusy = chat.onBusy ?? limits.onBusy
    const terms = { onBusy, maxQueued: limits.maxQueuedTurns, displacedEnd: ABORTED }
    const offered = journal.offer(chat.key, storedChat(chat, clock.date()), terms)
    const offer = isPromiseLike(offered) ? await offered : offered
    if (!offer.accepted) return { accepted: false, code: offer.code, retryAfterMs: NO_ROOM_RETRY_MS }
    for (const turnId of offer.displaced) this.#displaced(session, turnId)
    const followed = journal.followTurn(chat.key, chat.turnId, wake)
    const cursor = isPromiseLike(followed) ? await followed : followed
    if (cursor === undefined) throw new Error('the journal has lost a chat that it has just taken')
    const follower = new TurnFollower(cursor, chat.turnId, wake, () => { turn.followers.delete(follower) })
    this.#sessions.follow(turn, follower)
    if (onBusy === 'interrupt') await this.#abortRunning(session, earlier)
    if (!this.isDraining) this.#runner.next(session)
    const { position, epoch, seq } = offer
    return { accepted: true, turnId: chat.turnId, position, epoch, seq, follower }
  }

  #displaced (session: LiveSession, turnId: string): void {
    const turn = session.waiting.get(turnId)
    if (turn !== undefined) this.#sessions.withdrawn(session, turn)
  }

  /** Stops the turn that runs, or is about to, if it is one of those. */
  async #abortRunning (session: LiveSession, meant: Set<LiveTurn>): Promise<RunningTurn | undefined> {
    if (session.taking !== undefined) await session.taking
    const { running } = session
    if (running === undefined || !meant.has(running.turn)) return undefined
    return running.run.stop(ABORTED, new Error('the turn was cancelled')) ? running : undefined
  }
}
