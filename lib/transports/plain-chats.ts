import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { ChatFrame } from '../protocol/client-frames.js'
import type { ErrorCode } from '../protocol/codes.js'
import { errorFrame, type ErrorExtra } from '../protocol/encode.js'
import { sessionKey, type SessionKey } from '../protocol/session-key.js'
import type { Wake } from '../journal/journal.js'
import type { Chat, Engine, Started } from '../turns/engine.js'
import { newSerialId } from '../uuid.js'
import type { Asker, OtherRequests } from './asker.js'
import { PlainAnswer } from './plain-answer.js'
import { PlainLane } from './plain-lane.js'

export interface PlainChatTools {
  engine: Engine
  limits: {
    /** Agents with which the connection may have a session of its own. */
    maxOwnSessions: number
    /** What a chat is told to wait that is one too many. */
    retryAfterMs: number
  }
}

type PlainAsker = Pick<Asker, 'id' | 'identity' | 'outbox' | 'onRequest' | 'onFailure'>
type Others = Pick<OtherRequests, 'hasRoom' | 'inOrder'>

/** The plain chats of one connection: starts their turns, and answers those of one agent one after the other. */
export class PlainChats {
  readonly #asker: PlainAsker
  readonly #others: Others
  readonly #tools: PlainChatTools
  // Lists, which are smaller than maps: most talk to one agent.
  #lanes: readonly PlainLane[] = NONE
  /**
   * Sessions of chats that name none, one for each agent, in the order in which they began. Nobody can name them, since
   * nobody is told. Executors see their names, and may keep something under them: no other client must guess them, and so they
   * have the connection's id, which is random.
   */
  #ownSessions: readonly SessionKey[] = NONE
  #sessionsMade = 0
  readonly #wake: Wake
  #isClosed = false

  constructor (asker: PlainAsker, others: Others, tools: PlainChatTools) {
    this.#asker = asker
    this.#others = others
    this.#tools = tools
    const { outbox } = asker
    // Bound, it leads to the outbox directly; a closure would have its variables in one more object.
    this.#wake = outbox.wake.bind(outbox)
  }

  /** Chats that have not been answered to their end. */
  get unanswered (): number {
    let count = 0
    for (const lane of this.#lanes) count += lane.length
    return count
  }

  /** The session of chats to that agent that name none, if there was one. */
  ownSession (agentId: string): SessionKey | undefined {
    return this.#ownSessions.find((key) => key.agentId === agentId)
  }

  /** Nothing is being answered. */
  get isIdle (): boolean { return this.unanswered === 0 }

  /**
   * @param named the session that it goes to; without it, the connection's own
   * @param isNext it begins at once, and not after what was asked of the session before
   */
  start (frame: ChatFrame, agentId: string, named?: SessionKey, isNext = named === undefined): void {
    const { retryAfterMs } = this.#tools.limits
    if (!this.#others.hasRoom()) return this.refuse(agentId, 'RATE_LIMITED', { retryAfterMs })
    const chat = {
      key: named ?? this.#ownSession(agentId),
      isNamed: named !== undefined,
      turnId: newSerialId(),
      message: frame.message,
      metadata: frame.metadata,
      context: this.#asker.identity.context,
      onBusy: frame.onBusy,
      isForReaders: true
    }
    // Its place in the order of answers is taken now: the engine may answer later.
    const answer = new PlainAnswer(agentId, frame.stream !== false)
    this.#lane(agentId).add(answer)
    this.#asker.onRequest(1)
    if (isNext) void this.#begin(chat, answer)
    else this.#beginInOrder(chat, answer)
  }

  #beginInOrder (chat: Chat, answer: PlainAnswer): void {
    this.#others.inOrder(chat.key, () => this.#begin(chat, answer))
  }

  /** Never rejects. Most often all is done at once: without a closure, that would be made for nothing. */
  #begin (chat: Chat, answer: PlainAnswer): Awaitable<void> {
    const { agentId } = chat.key
    try {
      const started = this.#tools.engine.startTurn(chat, this.#wake)
      if (isPromiseLike(started)) return this.#beginLater(started, agentId, answer)
      this.#onStarted(started, agentId, answer)
    } catch (err) {
      this.#onNotStarted(err, agentId, answer)
    }
  }

  async #beginLater (starting: PromiseLike<Started>, agentId: string, answer: PlainAnswer): Promise<void> {
    try {
      this.#onStarted(await starting, agentId, answer)
    } catch (err) {
      this.#onNotStarted(err, agentId, answer)
    }
  }

  /** Says no to a chat, when those before it are answered: its sender counts the frames that are `done`. */
  refuse (agentId: string, code: ErrorCode, extra: ErrorExtra): void {
    const answer = new PlainAnswer(agentId, true)
    this.#asker.onRequest(1)
    this.#answerRefused(agentId, answer, code, extra)
    this.#lane(agentId).add(answer)
    this.#asker.outbox.wake()
  }

  /** Called after frames were sent: what has been answered needs no lane. One stays: most talk to one agent. */
  settle (): void {
    if (this.#lanes.length < 2 || this.#lanes.every(({ length }) => length > 0)) return
    for (const lane of this.#lanes) if (lane.length === 0) this.#asker.outbox.remove(lane)
    this.#lanes = this.#lanes.filter(({ length }) => length > 0)
  }

  /** Nobody listens any more: turns of named sessions go on, those of the connection's own end. */
  close (): void {
    this.#isClosed = true
    for (const lane of this.#lanes) lane.close()
    this.#lanes = NONE
  }

  /** The connection is gone, and its own sessions with it. */
  endOwnSessions (): void {
    for (const key of this.#ownSessions) this.#endOwnSession(key)
  }

  #endOwnSession (key: SessionKey): void {
    this.#tools.engine.endUnnamed(key).catch((err: unknown) => {
      this.#asker.onFailure(err, 'the session of a connection could not be ended')
    })
  }

  #onStarted (started: Started, agentId: string, answer: PlainAnswer): void {
    if (!started.accepted) {
      const { code, retryAfterMs, details } = started
      const extra: ErrorExtra = {}
      if (retryAfterMs !== undefined) extra.retryAfterMs = retryAfterMs
      if (details !== undefined) extra.details = details
      return this.#answerRefused(agentId, answer, code, extra)
    }
    this.#asker.onRequest(-1)
    answer.follow(started.follower)
    this.#asker.outbox.wake()
  }

  #onNotStarted (err: unknown, agentId: string, answer: PlainAnswer): void {
    this.#asker.onFailure(err, 'a chat could not be started')
    this.#answerRefused(agentId, answer, 'INTERNAL', {})
  }

  #answerRefused (agentId: string, answer: PlainAnswer, code: ErrorCode, extra: ErrorExtra): void {
    // It may wait long behind a running answer: as long as there are few, the client is heard meanwhile.
    if (this.#others.hasRoom()) this.#asker.onRequest(-1)
    else answer.onTold = () => { this.#asker.onRequest(-1) }
    if (this.#isClosed) return
    answer.refuse(errorFrame(code, { ...extra, agentId, done: true }))
    this.#asker.outbox.wake()
  }

  #lane (agentId: string): PlainLane {
    const found = this.#laneOf(agentId)
    if (found !== undefined) return found
    const lane = new PlainLane(agentId)
    // Not spread, which would make room for seventeen.
    this.#lanes = this.#lanes.concat(lane)
    this.#asker.outbox.add(lane)
    return lane
  }

  #laneOf (agentId: string): PlainLane | undefined {
    return this.#lanes.find((lane) => lane.agentId === agentId)
  }

  #ownSession (agentId: string): SessionKey {
    const found = this.ownSession(agentId)
    if (found !== undefined) return found
    this.#endOldestOwnSession()
    const { id, identity } = this.#asker
    const key = sessionKey(identity.owner, agentId, `connection-${id}.${this.#sessionsMade++}`)
    this.#ownSessions = this.#ownSessions.concat(key)
    return key
  }

  /** A client may name any number of agents; the session that it began first makes room, one that is silent before others. */
  #endOldestOwnSession (): void {
    if (this.#ownSessions.length < this.#tools.limits.maxOwnSessions) return
    const isSilent = ({ agentId }: SessionKey): boolean => (this.#laneOf(agentId)?.length ?? 0) === 0
    const oldest = this.#ownSessions.find(isSilent) ?? this.#ownSessions[0]
    if (oldest === undefined) return
    this.#ownSessions = this.#ownSessions.filter((key) => key !== oldest)
    this.#endOwnSession(oldest)
  }
}

const NONE: readonly never[] = []
