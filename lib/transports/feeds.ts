import { andFinally, andThen, attempt, type Awaitable } from '../awaitable.js'
import type { EndedTurn, Position, TurnView } from '../journal/journal.js'
import { bodyHash } from '../protocol/body-hash.js'
import type { ChatFrame, ClientFrameOf } from '../protocol/client-frames.js'
import type { ErrorCode } from '../protocol/codes.js'
import { errorFrame, type ErrorExtra } from '../protocol/encode.js'
import type { ServerFrameOf } from '../protocol/server-frames.js'
import { sessionKeyText, type SessionKey } from '../protocol/session-key.js'
import type { Chat, Engine, StartedOnce } from '../turns/engine.js'
import { newSerialId } from '../uuid.js'
import type { Asker, OtherRequests } from './asker.js'
import { Feed } from './feed.js'
import type { SharedFrames } from './shared-frames.js'

export interface FeedsTools {
  engine: Engine
  /** What several readers of a session are told. */
  sharedFrames?: SharedFrames | undefined
  limits: {
    /** Whole sessions that the connection may follow. */
    maxSubscriptions: number
    /** What is told to wait that is one too many. */
    retryAfterMs: number
  }
}

type FeedsAsker = Pick<Asker, 'identity' | 'outbox' | 'hasOwnIds' | 'reply' | 'onRequest' | 'onFailure'>
type Others = Pick<OtherRequests, 'hasRoom' | 'large'>
type TrackedChat = ChatFrame & { id: string }

/** Feeds that have ended, whose places a connection remembers. */
const MAX_LEFT = 256

/** The sessions that one connection follows, each by one feed, and the chats whose turns are told there. */
export class Feeds {
  readonly #asker: FeedsAsker
  readonly #others: Others
  readonly #tools: FeedsTools
  readonly #feedByKey = new Map<string, Feed>()
  /** Sessions that are followed whole, or will be as soon as what was asked is done, as text; each by the last that asked for it. */
  readonly #subscriptions = new Map<string, object>()
  /** Chats of which it is not known yet whether they are accepted. */
  readonly #asked = new Set<{ turnId: string, key: SessionKey }>()
  /** Where feeds have ended: the client is not told that they have, and may ask for one from before that. */
  readonly #leftAt = new Map<string, Position>()
  #hasForgotten = false
  #isClosed = false
  /** Chats that were accepted and whose ends have not been told. */
  #turns = 0
  /** Chats that may be accepted any moment. */
  #offered = 0

  constructor (asker: FeedsAsker, others: Others, tools: FeedsTools) {
    this.#asker = asker
    this.#others = others
    this.#tools = tools
  }

  /** Chats that were accepted and whose ends have not been told, and those that may be accepted any moment. */
  get turns (): number { return this.#turns + this.#offered }

  /** Nothing is being told, or asked for. */
  get isIdle (): boolean {
    for (const feed of this.#feedByKey.values()) if (!feed.isIdle) return false
    return true
  }

  /** Whether all that happens in that session is told, or was asked for. */
  followsAll (key: SessionKey): boolean {
    return this.#subscriptions.has(sessionKeyText(key))
  }

  /** The session in which this connection has begun that turn. */
  keyOf (turnId: string): SessionKey | undefined {
    for (const feed of this.#feedByKey.values()) if (feed.own.has(turnId)) return feed.key
    for (const asked of this.#asked) if (asked.turnId === turnId) return asked.key
    return undefined
  }

  /** A tracked chat: `ack`, then its turn in the feed. */
  chat (frame: TrackedChat, key: SessionKey): void {
    const asked = { turnId: frame.id, key }
    this.#asked.add(asked)
    this.#ask(key, frame.id, (feed) => {
      const { id, message, metadata } = frame
      const hash = this.#asker.hasOwnIds === true ? undefined : bodyHash(metadata === undefined ? { message } : { message, metadata })
      const chat = this.#chatOf(frame, key, id, hash)
      const opened: Opened = {}
      const started = this.#start(chat, feed, frame.stream !== false, opened, () => { this.#asked.delete(asked) })
      return andThen(started, (started) => this.#answer(frame, chat, feed, started, opened))
    })
  }

  #answer (frame: TrackedChat, chat: Chat, feed: Feed, started: StartedOnce, { at, missed }: Opened): Awaitable<void> {
    if (this.#isClosed) return
    const { id } = frame
    if (started.accepted && !feed.isOpen) {
      // Over, and its session dropped, before it could be followed.
      feed.dropOwn(id)
      return this.#others.large(() => this.#tellAgain(frame, chat, feed, undefined))
    }
    if (started.accepted) {
      const { position } = started
      const place = at ?? feed.position
      this.#asker.reply(position === 0 ? feed.frames.started(id, place) : feed.frames.ack(id, { status: 'queued', position, ...place }))
      return this.#tellMissed(missed)
    }
    if (started.code === undefined) return this.#others.large(() => this.#tellAgain(frame, chat, feed, started.ended))
    this.#refuse(id, started.code, started)
  }

  /**
   * A chat without an id to a session that is followed: its turn is told in the feed, under an id of ours.
   * @param plain what to do when it is not accepted, and when the session is not followed after all
   */
  plainChat (frame: ChatFrame, key: SessionKey, plain: PlainWays): void {
    this.#ask(key, undefined, async (feed) => {
      if (!feed.isWhole) return plain.start()
      // It is open, and has missed nothing.
      const started = await this.#start(this.#chatOf(frame, key, newSerialId()), feed, frame.stream !== false, {})
      if (!started.accepted && started.code !== undefined) plain.refuse(started.code, extraOf(started))
    })
  }

  subscribe (frame: ClientFrameOf<'subscribe'>, key: SessionKey): void {
    const { epoch, after, id } = frame
    const text = sessionKeyText(key)
    const isOneTooMany = !this.#subscriptions.has(text) && this.#subscriptions.size >= this.#tools.limits.maxSubscriptions
    if (isOneTooMany) return this.#refuse(id, 'RATE_LIMITED', this.#wait())
    const subscription = {}
    this.#subscriptions.set(text, subscription)
    this.#ask(key, id, async (feed) => {
      try {
        await this.#others.large(async () => {
          const asked = epoch === undefined || after === undefined ? undefined : { epoch, seq: after }
          const position = asked !== undefined && this.#hasTold(key, asked) ? undefined : asked
          const subscribed = await feed.subscribe(position, id)
          if (subscribed === undefined) this.#refuse(id, 'RATE_LIMITED', this.#wait())
          else this.#asker.reply(subscribed)
        })
      } finally {
        // What was asked since counts.
        if (!feed.isWhole && this.#subscriptions.get(text) === subscription) this.#subscriptions.delete(text)
      }
    })
  }

  unsubscribe (frame: ClientFrameOf<'unsubscribe'>, key: SessionKey): void {
    const { agentId, sessionId } = key
    // At once: a plain chat that comes next has its place among the plain ones.
    this.#subscriptions.delete(sessionKeyText(key))
    this.#ask(key, frame.id, async (feed) => {
      feed.unsubscribe()
      this.#asker.reply({ type: 'unsubscribed', ...(frame.id === undefined ? {} : { id: frame.id }), agentId, sessionId })
    })
  }

  /** Runs a task, which must not throw, after what was asked of that session before. */
  inOrder (key: SessionKey, task: () => Awaitable<void>): void {
    const feed = this.#feedByKey.get(sessionKeyText(key))
    if (feed === undefined) void task()
    else feed.run(task)
  }

  /** Called after frames were sent: what follows nothing any more is no feed. */
  settle (): void {
    for (const [text, feed] of this.#feedByKey) {
      if (feed.isWhole || !feed.isIdle) continue
      this.#feedByKey.delete(text)
      this.#asker.outbox.remove(feed)
      if (feed.isOpen) this.#leave(text, feed.position)
      feed.close()
    }
  }

  close (): void {
    this.#isClosed = true
    for (const feed of this.#feedByKey.values()) feed.close()
    this.#feedByKey.clear()
  }

  #leave (text: string, position: Position): void {
    this.#leftAt.delete(text)
    this.#leftAt.set(text, position)
    if (this.#leftAt.size <= MAX_LEFT) return
    for (const oldest of this.#leftAt.keys()) {
      if (this.#leftAt.size <= MAX_LEFT) break
      this.#leftAt.delete(oldest)
      this.#hasForgotten = true
    }
  }

  /** Where the client is in a session of which it has no feed, and in which a turn has ended. */
  #placeOf (key: SessionKey, ended: Position): Position {
    const left = this.#leftAt.get(sessionKeyText(key))
    return left !== undefined && (left.epoch !== ended.epoch || left.seq > ended.seq) ? left : ended
  }

  /** Whether an earlier feed of this connection may have told what follows that position. */
  #hasTold (key: SessionKey, { epoch, seq }: Position): boolean {
    const left = this.#leftAt.get(sessionKeyText(key))
    return left === undefined ? this.#hasForgotten : left.epoch === epoch && left.seq > seq
  }

  /**
   * @param opened is told what comes of it where the feed is opened for this chat
   * @param onSettled called when it is known whether it was accepted
   */
  #start (chat: Chat, feed: Feed, isStreamed: boolean, opened: Opened, onSettled?: () => void): Awaitable<StartedOnce> {
    const { engine } = this.#tools
    if (!this.#others.hasRoom()) {
      const refused = { accepted: false, code: 'RATE_LIMITED', ...this.#wait() } as const
      return engine.known(chat).then((known) => known ?? refused).finally(onSettled)
    }
    const wasOwn = feed.own.has(chat.turnId)
    // A journal may take its time to accept it: meanwhile it counts, once.
    let offered = 1
    this.#offered++
    const settle = (): void => {
      this.#offered -= offered
      offered = 0
    }
    const started = andFinally(() => engine.startOnce(chat, (epoch, seq) => {
      settle()
      if (!feed.isOpen) opened.at = { epoch, seq }
      this.#addOwn(feed, chat.turnId, isStreamed)
      return andThen(feed.join({ epoch, seq }), (missed) => { opened.missed = missed })
    }), () => { settle(); onSettled?.() })
    return andThen(started, (started) => {
      // It was accepted, and taken back.
      if (!wasOwn && !started.accepted) feed.dropOwn(chat.turnId)
      return started
    })
  }

  /** A chat that was sent before: `ack` with its text so far, and what follows that, or how it ended. */
  async #tellAgain ({ id, stream }: TrackedChat, chat: Chat, feed: Feed, known: EndedTurn | undefined): Promise<void> {
    const { engine } = this.#tools
    await feed.join()
    const view = this.#isClosed || !feed.isOpen ? undefined : feed.view(id) ?? await this.#viewAnew(feed, id, known)
    // It may have run when it was asked for, and be over and forgotten when its turn to be told has come.
    const ended = known ?? (view === undefined && !this.#isClosed ? endOf(await engine.known(chat)) : undefined)
    if (this.#isClosed) return
    if (view !== undefined && view.end === undefined) {
      this.#addOwn(feed, id, stream !== false)
      return this.#asker.reply(feed.frames.ack(id, { status: 'duplicate', ...feed.position, content: view.text }))
    }
    // Where there is no room to read a session, nothing runs in it.
    const position = feed.isOpen ? feed.position : ended && this.#placeOf(feed.key, ended)
    const told = view?.end !== undefined
      ? { text: view.text, end: view.end }
      : ended && await engine.recall(feed.key, id, ended)
    // Running a moment ago, and kept nowhere now.
    if (told === undefined || position === undefined) return this.#refuse(id, 'STORE_UNAVAILABLE', this.#wait())
    const { text, end } = told
    const { epoch, seq } = position
    const content = text === undefined ? {} : { content: text }
    this.#asker.reply(feed.frames.ack(id, { status: 'duplicate', epoch, seq, ...content }))
    this.#asker.reply(feed.frames.end(id, end, seq, stream === false ? text : undefined))
  }

  /** Where the feed's place is too far back to say what the reader knows of a turn, it goes on from now on. */
  async #viewAnew (feed: Feed, id: string, ended: EndedTurn | undefined): Promise<TurnView | undefined> {
    const { epoch, seq } = feed.position
    if (ended !== undefined && (ended.epoch !== epoch || ended.seq <= seq)) return undefined
    this.#tellMissed(await feed.catchUp())
    return feed.view(id)
  }

  #tellMissed (missed: ServerFrameOf<'subscribed'> | undefined): void {
    if (missed !== undefined) this.#asker.reply(missed)
  }

  /** Asks something of a session, after what was asked before. */
  #ask (key: SessionKey, id: string | undefined, task: (feed: Feed) => Awaitable<void>): void {
    const asker = this.#asker
    const feed = this.#feed(key)
    const failed = (err: unknown): void => {
      asker.onFailure(err, 'what a client asked of a session could not be done')
      this.#refuse(id, 'STORE_UNAVAILABLE', this.#wait())
    }
    const work = (): Awaitable<void> => this.#isClosed ? undefined : task(feed)
    asker.onRequest(1)
    feed.run(() => andFinally(() => attempt(work, failed), () => { asker.onRequest(-1) }))
  }

  #feed (key: SessionKey): Feed {
    const { engine, sharedFrames } = this.#tools
    const { outbox } = this.#asker
    const text = sessionKeyText(key)
    let feed = this.#feedByKey.get(text)
    if (feed === undefined) {
      feed = new Feed(key, {
        engine,
        wake: (isUrgent, isMuch) => { outbox.wake(isUrgent, isMuch) },
        shared: sharedFrames?.open(key),
        onTurnDone: () => { this.#turns-- },
        onFailure: (err, text) => { this.#asker.onFailure(err, text) }
      })
      this.#feedByKey.set(text, feed)
      outbox.add(feed)
    }
    return feed
  }

  #addOwn (feed: Feed, turnId: string, isStreamed: boolean): void {
    if (!feed.own.has(turnId)) this.#turns++
    feed.addOwn(turnId, isStreamed)
  }

  #chatOf ({ message, metadata, onBusy }: ChatFrame, key: SessionKey, turnId: string, bodyHash?: string): Chat {
    const { context } = this.#asker.identity
    return { key, isNamed: true, turnId, message, metadata, context, onBusy, bodyHash, isForReaders: true }
  }

  #refuse (id: string | undefined, code: ErrorCode, why: ErrorExtra = {}): void {
    this.#asker.reply(errorFrame(code, { ...extraOf(why), ...(id === undefined ? {} : { id }) }))
  }

  #wait (): { retryAfterMs: number } {
    return { retryAfterMs: this.#tools.limits.retryAfterMs }
  }
}

function endOf (known: Awaited<ReturnType<Engine['known']>>): EndedTurn | undefined {
  return known?.code === undefined ? known?.ended : undefined
}

function extraOf ({ retryAfterMs, details }: ErrorExtra): ErrorExtra {
  return { ...(retryAfterMs === undefined ? {} : { retryAfterMs }), ...(details === undefined ? {} : { details }) }
}

/** A feed that was opened for a chat. */
interface Opened {
  /** Where the session was when it took the chat: from there on its turn is told. */
  at?: Position
  /** Where more has happened since than is still kept: from where it is told instead. */
  missed?: ServerFrameOf<'subscribed'> | undefined
}

/** How a plain chat is answered outside of feeds. */
interface PlainWays {
  start: () => void
  refuse: (code: ErrorCode, extra: ErrorExtra) => void
}
