import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Claimed, EndedTurn, FollowFrom, Offer, Position, TurnCursor, TurnEnd, Wake } from '../journal/journal.js'
import { ERROR_CODES } from '../protocol/codes.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { MessagePage, PageRequest, SessionListKey, SessionMessage, SessionPage } from '../sessions/session-store.js'
import type { EngineLimits, EngineTools, SessionHome } from './engine-tools.js'
import { TurnFollower } from './follow.js'
import { SessionFollower, type FollowedSession } from './follow-session.js'
import {
  turnsOf, type Accepted, type AcceptedOffer, type Attach, type Chat, type Duplicate, type LiveSession, type LiveTurn, type Refused,
  type Started, type StartedOnce
} from './live-session.js'
import { LiveSessions } from './live-sessions.js'
import { SessionRunner } from './session-runner.js'
import { SharedSessions } from './shared-sessions.js'
import { ABORTED, failedEnd } from './turn-end.js'
import { within } from './within.js'

export type { Chat, EngineLimits, EngineTools, SessionHome, Started, StartedOnce }

/**
 * Takes chats, and runs each session's turns one after another: journal first, executor next, history last. It knows
 * no socket: whoever wants to see a turn follows it.
 */
export class Engine {
  readonly #tools: EngineTools
  readonly #sessions: LiveSessions
  readonly #runner: SessionRunner
  readonly #shared: SharedSessions
  #draining: Promise<void> | undefined

  constructor (tools: EngineTools) {
    this.#tools = tools
    this.#sessions = new LiveSessions(tools)
    this.#runner = new SessionRunner(tools, this.#sessions)
    this.#shared = new SharedSessions(tools, this.#sessions, this.#runner)
  }

  get isDraining (): boolean { return this.#draining !== undefined }

  /** How many turns are accepted, and how many of them have the right to run. */
  stats (): { turns: number, runningTurns: number } {
    return { turns: this.#sessions.turnCount, runningTurns: this.#runner.count }
  }

  /**
   * Accepts a chat without an id of its own and follows its turn, or says why not.
   * @param wake called when the follower has something new
   */
  startTurn (chat: Chat, wake: Wake): Awaitable<Started> {
    // Without a hash there is no claim to be a duplicate of.
    return this.#start(chat, { isUnplaced: true, open: (turn) => this.#followTurn(turn, wake) }) as Awaitable<Started>
  }

  /**
   * Accepts a chat whose turn is read with others of its session; one with a `bodyHash` once.
   * @param join called when it is accepted and before its turn starts, with the position from which the turn follows
   */
  startOnce (chat: Chat, join: (epoch: string, seq: number) => Awaitable<void>): Awaitable<StartedOnce> {
    return this.#start(chat, { isUnplaced: false, open: (_, { epoch, seq }) => join(epoch, seq) })
  }

  /** What became of a chat that was sent before. It is answered also where a new one would be refused. */
  async known (chat: Chat): Promise<Duplicate | Refused | undefined> {
    if (chat.bodyHash === undefined) return undefined
    const { turnId, bodyHash } = chat
    try {
      const claimed = await this.#sessions.home(chat.isNamed).journal.claimed(chat.key, { turnId, bodyHash })
      return claimed === undefined ? undefined : answerOf(claimed)
    } catch (err) {
      this.#sessions.report(chat, err, 'the journal did not say whether a chat is known')
      return { accepted: false, code: 'STORE_UNAVAILABLE' }
    }
  }

  /**
   * Stops a session's turns, or one of them: those that wait and the one that runs. What is sent later is not meant.
   * @returns the ids of all it stopped
   */
  async cancel (key: SessionKey, isNamed: boolean, turnId?: string): Promise<string[]> {
    const { journal } = this.#sessions.home(isNamed)
    let stopped: string[]
    try {
      stopped = await journal.cancel(key, turnId, ABORTED)
    } catch (err) {
      return await this.#cancelHere(this.#sessions.find(key, isNamed), turnId, err)
    }
    // Not before: a chat that came while the journal was asked may be among them.
    const session = this.#sessions.find(key, isNamed)
    for (const id of stopped) {
      // Of a turn whose right to run is on its way it is not known whether it waited.
      if (session?.taking === undefined) this.#displaced(session, id)
      else void session.taking.then(() => { this.#displaced(session, id) })
    }
    return stopped
  }

  /** Reads a named session; `undefined` when there is no room for one more. */
  followSession (key: SessionKey, from: FollowFrom, wake: Wake): Awaitable<FollowedSession | undefined> {
    const followed = this.#sessions.home(true).journal.follow(key, from, wake)
    const made = (found: Awaited<typeof followed>): FollowedSession | undefined => {
      if (found === undefined) return undefined
      const follower = new SessionFollower(found.cursor, wake, () => { this.#sessions.unfollowSession(key, follower) })
      this.#sessions.followSession(key, follower)
      return { follower, recovered: found.recovered, turns: found.turns }
    }
    return isPromiseLike(followed) ? followed.then(made) : made(followed)
  }

  /** A page of what was said in a named session. */
  history (key: SessionKey, page: PageRequest): Promise<MessagePage> {
    const { store } = this.#sessions.home(true)
    return this.#inTime(store.messages(key, page))
  }

  /** As far as the history has it: what a turn of a named session has answered that ended a while ago, and how it ended. */
  async recall (key: SessionKey, turnId: string, { end, isWhole }: EndedTurn): Promise<Recalled> {
    const messages: SessionMessage[] = await this.#inTime(this.#sessions.home(true).store.turn(key, turnId))
    const answer = messages.find(({ role }) => role === 'assistant')?.content
    if (answer === undefined) return { text: undefined, end }
    return isWhole ? { text: '', end: { ...end, content: answer } } : { text: answer, end }
  }

  /** Tells all who follow a named session something that belongs to no turn. */
  async publish (key: SessionKey, name: string, json: string): Promise<Position> {
    return await this.#sessions.home(true).journal.publish(key, name, json)
  }

  /** The sessions of an owner and agent, newest first. */
  async sessions (of: SessionListKey, page: PageRequest): Promise<SessionPage> {
    return await this.#inTime(this.#sessions.home(true).store.list(of, page))
  }

  /** Puts before the first turn of an unnamed session what was said elsewhere. */
  async remember (key: SessionKey, messages: readonly SessionMessage[]): Promise<void> {
    await this.#inTime(this.#sessions.home(false).store.append(key, messages))
  }

  /** Ends a connection's own session: stops its turns, forgets what was said. */
  async endUnnamed (key: SessionKey): Promise<void> {
    await this.#forget(key, false)
  }

  /** Ends a named session: stops its turns, lets nobody write to it any more, forgets what was said; no claim. */
  async forget (key: SessionKey): Promise<void> {
    await this.#forget(key, true)
  }

  async #forget (key: SessionKey, isNamed: boolean): Promise<void> {
    await this.cancel(key, isNamed)
    const { journal, store } = this.#sessions.home(isNamed)
    const session = this.#sessions.find(key, isNamed)
    for (const { offering } of session?.waiting.all() ?? []) await offering
    await session?.running?.ended()
    // Whoever reads it, and not too slowly, is told the ends first.
    if (isNamed) await new Promise((resolve) => { setImmediate(resolve) })
    await journal.forget(key)
    await this.#inTime(store.delete(key))
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
    this.#shared.drain()
    const stopTimer = this.#tools.clock.after(timeoutMs, () => {
      this.#runner.stop(end, new Error(ERROR_CODES.SHUTTING_DOWN.message))
    })
    await Promise.all(this.#sessions.all().map((session) => this.#drainSession(session, end)))
    await this.#runner.settled()
    this.#shared.close()
    stopTimer()
  }

  async #drainSession (session: LiveSession, end: TurnEnd): Promise<void> {
    if (session.taking !== undefined) await session.taking
    await Promise.all(session.waiting.all().map(async (turn) => {
      if (turn.offering !== undefined) await turn.offering
      if (session.waiting.find(turn.chat.turnId) !== turn) return
      // Other nodes will run it.
      if (session.home.journal.isShared) this.#sessions.withdrawn(session, turn)
      else await this.#sessions.drop(session, turn, end)
    }))
  }

  #start<Reader> (chat: Chat, attach: Attach<Reader>): Awaitable<Answer<Reader>> {
    return this.#waiting(chat) === undefined ? this.#startNew(chat, attach) : this.#startAgain(chat, attach)
  }

  /** Two turns that wait have two ids: the same chat again would push the first one out, and both would be lost. */
  async #startAgain<Reader> (chat: Chat, attach: Attach<Reader>): Promise<Answer<Reader>> {
    let last: LiveTurn | undefined
    for (let same = this.#waiting(chat); same !== undefined && same !== last; same = this.#waiting(chat)) {
      last = same
      await same.offering
      const known = await this.known(chat)
      if (known !== undefined) return known
    }
    return await this.#startNew(chat, attach)
  }

  #startNew<Reader> (chat: Chat, attach: Attach<Reader>): Awaitable<Answer<Reader>> {
    const refused = this.#refusal(chat)
    const turn = refused === undefined ? this.#sessions.enter(chat) : undefined
    if (turn === undefined) return this.known(chat).then((known) => known ?? refused ?? this.#noRoom('RATE_LIMITED'))
    const offering = this.#offer(turn, attach)
    if (!isPromiseLike(offering)) return this.#settle(turn, offering)
    turn.offering = offering
    return offering.then((answer) => this.#settle(turn, answer))
  }

  #settle<Reader> (turn: LiveTurn, answer: Answer<Reader>): Answer<Reader> {
    turn.offering = undefined
    // With the right to run it, it leaves by its end.
    if (!answer.accepted && turn.right === undefined) this.#sessions.leave(turn)
    return answer
  }

  #waiting ({ key, isNamed, turnId }: Chat): LiveTurn | undefined {
    return this.#sessions.find(key, isNamed)?.waiting.find(turnId)
  }

  #refusal (chat: Chat): Refused | undefined {
    const { agents } = this.#tools
    if (this.isDraining) return this.#noRoom('SHUTTING_DOWN')
    if (agents.find(chat.key.agentId) === undefined) return { accepted: false, code: 'AGENT_NOT_FOUND' }
    const details = agents.metadataFault(chat.key.agentId, chat.metadata)
    return details === undefined ? undefined : { accepted: false, code: 'VALIDATION_FAILED', details }
  }

  /** Never rejects. */
  #offer<Reader> (turn: LiveTurn, attach: Attach<Reader>): Awaitable<Answer<Reader>> {
    const session = this.#sessions.open(turn.chat.key, turn.chat.isNamed)
    // Before the first tick: a drain that comes meanwhile must find it.
    session.waiting.add(turn)
    try {
      const answer = this.#accept(session, turn, attach)
      if (!isPromiseLike(answer)) return this.#offered(session, turn, answer)
      return answer.then((later) => this.#offered(session, turn, later), (err: unknown) => this.#notOffered(session, turn, err))
    } catch (err) {
      return this.#notOffered(session, turn, err)
    }
  }

  #offered<Reader> (session: LiveSession, turn: LiveTurn, answer: Answer<Reader>): Answer<Reader> {
    if (!answer.accepted) this.#sessions.withdrawn(session, turn)
    return answer
  }

  async #notOffered (session: LiveSession, turn: LiveTurn, err: unknown): Promise<Refused> {
    this.#sessions.report(turn.chat, err, 'the journal did not take a chat')
    // What it may have taken all the same must not run for nobody.
    if (turn.right === undefined) await this.#sessions.retract(session, turn)
    else this.#runner.endRefused(session, turn, turn.right)
    return { accepted: false, code: 'STORE_UNAVAILABLE' }
  }

  #accept<Reader> (session: LiveSession, turn: LiveTurn, attach: Attach<Reader>): Awaitable<Answer<Reader>> {
    const { onBusy, maxQueuedTurns: maxQueued } = this.#tools.limits
    const { isUnplaced } = attach
    const offered = this.#runner.offer(session, turn, { onBusy: turn.chat.onBusy ?? onBusy, maxQueued, displacedEnd: ABORTED, isUnplaced })
    if (!isPromiseLike(offered)) return this.#attach(session, turn, offered, attach)
    return offered.then((offer) => this.#attach(session, turn, offer, attach))
  }

  #attach<Reader> (session: LiveSession, turn: LiveTurn, offer: Offer, attach: Attach<Reader>): Awaitable<Answer<Reader>> {
    if ('claimed' in offer) return answerOf(offer.claimed)
    if (!offer.accepted) return this.#noRoom(offer.code)
    for (const turnId of offer.displaced) this.#displaced(session, turnId)
    const follower = attach.open(turn, offer)
    if (!isPromiseLike(follower)) return this.#accepted(session, turn, offer, follower)
    return follower.then((follower) => this.#accepted(session, turn, offer, follower))
  }

  #accepted<Reader> (
    session: LiveSession, turn: LiveTurn, { position, epoch, seq }: AcceptedOffer, follower: Reader
  ): Accepted<Reader> {
    // It may have come to run, and failed, before its reader was there.
    if (turn.unwrittenEnd !== undefined) this.#sessions.endUnwritten(turn, turn.unwrittenEnd)
    if (turn.right !== undefined) this.#runner.begin(session, turn.right)
    else if (!this.isDraining) this.#runner.next(session)
    return { accepted: true, turnId: turn.chat.turnId, position, epoch, seq, follower }
  }

  #followTurn (turn: LiveTurn, wake: Wake): Awaitable<TurnFollower> {
    const { key, turnId, isNamed } = turn.chat
    const cursor = this.#sessions.home(isNamed).journal.followTurn(key, turnId, wake)
    return isPromiseLike(cursor) ? cursor.then((later) => this.#followed(turn, later, wake)) : this.#followed(turn, cursor, wake)
  }

  #followed (turn: LiveTurn, cursor: TurnCursor | undefined, wake: Wake): TurnFollower {
    if (cursor === undefined) throw new Error('the journal has lost a chat that it has just taken')
    return this.#sessions.follow(turn, new TurnFollower(cursor, turn.chat.turnId, wake, turn))
  }

  /** What runs and waits here can be ended all the same, whatever the journal has done. */
  async #cancelHere (session: LiveSession | undefined, turnId: string | undefined, failure: unknown): Promise<string[]> {
    const stopped: string[] = []
    for (const turn of session === undefined ? [] : turnsOf(session)) {
      if (session === undefined || (turnId !== undefined && turn.chat.turnId !== turnId)) continue
      this.#sessions.report(turn.chat, failure, 'the journal did not cancel a turn')
      const { running } = session
      if (running?.turn !== turn) await this.#sessions.drop(session, turn, ABORTED)
      else if (!running.run.stop(ABORTED, new Error('the turn was cancelled'))) continue
      stopped.push(turn.chat.turnId)
    }
    if (stopped.length === 0) throw failure
    return stopped
  }

  /** A turn that waited here has its end; one that has the right to run already ends by its run. */
  #displaced (session: LiveSession | undefined, turnId: string): void {
    const turn = session?.waiting.find(turnId)
    if (session !== undefined && turn !== undefined && turn.right === undefined) this.#sessions.withdrawn(session, turn)
  }

  /** What a chat is told that may find room later. */
  #noRoom (code: Refused['code']): Refused {
    return { accepted: false, code, retryAfterMs: this.#tools.limits.retryAfterMs }
  }

  #inTime<T> (answer: Awaitable<T>): Promise<T> {
    const { clock, limits } = this.#tools
    return within(clock, limits.storeTimeoutMs, 'the session store', answer)
  }
}

function answerOf (claimed: Claimed): Duplicate | Refused {
  return claimed.isSame ? { accepted: false, ended: claimed.ended } : { accepted: false, code: 'ID_CONFLICT' }
}

/** `text` is undefined where the history has no answer of the turn: none was given, or it was forgotten. */
export interface Recalled {
  text: string | undefined
  end: TurnEnd
}

type Answer<Reader> = Accepted<Reader> | Refused | Duplicate
