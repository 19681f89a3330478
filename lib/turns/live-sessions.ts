import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import { SessionMap } from '../protocol/session-map.js'
import type { TurnEnd } from '../journal/journal.js'
import type { EngineTools, SessionHome } from './engine-tools.js'
import type { TurnFollower } from './follow.js'
import type { SessionFollower } from './follow-session.js'
import type { Chat, LiveSession, LiveTurn, TimedHome } from './live-session.js'
import { LiveTurns } from './live-turns.js'
import { TimedJournal } from './timed-journal.js'
import { failedEnd } from './turn-end.js'
import { WaitingTurns } from './waiting-turns.js'
import { toError } from './within.js'

/** The sessions that have something to do on this node, and their turns' ways in and out. */
export class LiveSessions {
  readonly #tools: EngineTools
  readonly #live: LiveTurns
  readonly #named: TimedHome
  readonly #unnamed: TimedHome
  /** Readers of whole sessions, which may have nothing to do. */
  readonly #followersBySession = new Map<string, Set<SessionFollower>>()

  constructor (tools: EngineTools) {
    this.#tools = tools
    this.#live = new LiveTurns(tools.limits)
    this.#named = this.#timed(tools.named)
    this.#unnamed = this.#timed(tools.unnamed)
  }

  /** How many turns are accepted, and not over. */
  get turnCount (): number { return this.#live.count }

  all (): LiveSession[] {
    return [...this.#named.sessions.all(), ...this.#unnamed.sessions.all()]
  }

  /** A turn of a chat that there is room for. */
  enter (chat: Chat): LiveTurn | undefined {
    const bytes = Buffer.byteLength(chat.message)
    return this.#live.enter(chat.key, bytes) ? turnOf(chat, bytes) : undefined
  }

  /** The turn of a chat that another node has accepted: it is counted, and not refused any more. */
  adopt (chat: Chat): LiveTurn {
    const bytes = Buffer.byteLength(chat.message)
    this.#live.add(chat.key, bytes)
    return turnOf(chat, bytes)
  }

  leave (turn: LiveTurn): void {
    if (turn.hasLeft) return
    turn.hasLeft = true
    this.#live.leave(turn.chat.key, turn.bytes)
  }

  find (key: SessionKey, isNamed: boolean): LiveSession | undefined {
    return this.home(isNamed).sessions.get(key)
  }

  open (key: SessionKey, isNamed: boolean): LiveSession {
    const text = sessionKeyText(key)
    const home = this.home(isNamed)
    let session = home.sessions.find(text)
    if (session === undefined) {
      session = {
        key,
        text,
        home,
        waiting: new WaitingTurns(),
        running: undefined,
        taking: undefined,
        asksAgain: false,
        isAdvancing: false,
        hasGuests: false,
        stopRetry: undefined
      }
      home.sessions.set(text, session)
    }
    return session
  }

  home (isNamed: boolean): TimedHome {
    return isNamed ? this.#named : this.#unnamed
  }

  /** Forgets a session that has nothing to do; one that was opened since under its name is another. */
  closeIfIdle (session: LiveSession): void {
    if (session.running !== undefined || session.taking !== undefined || session.waiting.size > 0) return
    stopRetry(session)
    const { home: { sessions }, text } = session
    if (sessions.find(text) === session) sessions.delete(text)
  }

  /** Ends a turn that waits. `false`: it does not wait, or not any more. */
  async withdraw (session: LiveSession, turn: LiveTurn, end: TurnEnd): Promise<boolean> {
    const isWithdrawn = await session.home.journal.withdraw(session.key, turn.chat.turnId, end)
    if (isWithdrawn) this.withdrawn(session, turn)
    return isWithdrawn
  }

  /** Ends a turn that waits, also when the journal cannot be told. */
  async drop (session: LiveSession, turn: LiveTurn, end: TurnEnd): Promise<void> {
    try {
      await this.withdraw(session, turn, end)
    } catch (err) {
      this.report(turn.chat, err, 'the journal did not withdraw a chat')
    }
    if (session.waiting.find(turn.chat.turnId) !== turn) return
    this.withdrawn(session, turn)
    this.endUnwritten(turn, end)
  }

  /** Takes back a turn that was refused, and that the journal may have taken all the same. */
  async retract (session: LiveSession, turn: LiveTurn): Promise<void> {
    try {
      if (turn.offered !== undefined) await session.home.journal.retract(session.key, turn.offered)
    } catch (err) {
      this.report(turn.chat, err, 'the journal did not take a chat back')
    }
    const { running } = session
    // It was given the right to run before anybody knew that it was taken.
    if (running?.turn === turn) running.run.stop(failedEnd('STORE_UNAVAILABLE'), new Error('the chat was refused'))
    else this.withdrawn(session, turn)
  }

  withdrawn (session: LiveSession, turn: LiveTurn): void {
    session.waiting.delete(turn)
    this.leave(turn)
    this.closeIfIdle(session)
  }

  follow (turn: LiveTurn, follower: TurnFollower): TurnFollower {
    turn.follower = follower
    const { unwrittenEnd } = turn
    if (unwrittenEnd !== undefined) this.#tell(turn, () => { follower.endUnwritten(unwrittenEnd) })
    return follower
  }

  /** One more reader of a named session. */
  followSession (key: SessionKey, follower: SessionFollower): void {
    const text = sessionKeyText(key)
    const followers = this.#followersBySession.get(text)
    if (followers === undefined) this.#followersBySession.set(text, new Set([follower]))
    else followers.add(follower)
  }

  unfollowSession (key: SessionKey, follower: SessionFollower): void {
    const text = sessionKeyText(key)
    const followers = this.#followersBySession.get(text)
    followers?.delete(follower)
    if (followers?.size === 0) this.#followersBySession.delete(text)
  }

  /** Tells whoever follows a turn, now or later, how it ended: the journal cannot. */
  endUnwritten (turn: LiveTurn, end: TurnEnd): void {
    const { turnId, key, isNamed } = turn.chat
    turn.unwrittenEnd = end
    this.#tell(turn, () => { turn.follower?.endUnwritten(end) })
    if (!isNamed) return
    for (const follower of this.#followersBySession.get(sessionKeyText(key)) ?? []) {
      this.#tell(turn, () => { follower.endUnwritten(turnId, end) })
    }
  }

  report ({ key, turnId }: Pick<Chat, 'key' | 'turnId'>, thrown: unknown, text: string): void {
    const { agentId, sessionId } = key
    this.#tools.log.error({ err: toError(thrown), agentId, sessionId, turnId }, text)
  }

  /** One reader that fails keeps nothing from the others, nor the session from going on. */
  #tell (turn: LiveTurn, tell: () => void): void {
    try {
      tell()
    } catch (err) {
      this.report(turn.chat, err, 'a reader could not be told how its turn ended')
    }
  }

  #timed ({ journal, store }: SessionHome): TimedHome {
    const { clock, limits, log } = this.#tools
    const onFailure = (thrown: unknown): void => {
      log.error({ err: toError(thrown) }, 'the journal did not take back what it had given too late')
    }
    const timed = new TimedJournal(journal, clock, limits.journalTimeoutMs, onFailure)
    return { journal: timed, store, sessions: new SessionMap(), tools: { journal: timed, store, limits, clock, log } }
  }
}

function turnOf (chat: Chat, bytes: number): LiveTurn {
  return {
    chat,
    bytes,
    offered: undefined,
    follower: undefined,
    offering: undefined,
    right: undefined,
    aloneSince: undefined,
    unwrittenEnd: undefined,
    hasLeft: false
  }
}

export function stopRetry (session: LiveSession): void {
  session.stopRetry?.()
  session.stopRetry = undefined
}
