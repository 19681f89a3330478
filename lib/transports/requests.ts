import type { FastifyBaseLogger } from 'fastify'

import type { Awaitable } from '../awaitable.js'
import type { Clock } from '../clock.js'
import type { ChatFrame, ClientFrame, ClientFrameOf } from '../protocol/client-frames.js'
import type { ErrorCode } from '../protocol/codes.js'
import { errorFrame, type ErrorExtra } from '../protocol/encode.js'
import type { HostFrame } from '../protocol/host-frame.js'
import { DEFAULT_AGENT_ID } from '../protocol/names.js'
import { sessionKey, type SessionKey } from '../protocol/session-key.js'
import type { Engine } from '../turns/engine.js'
import { within } from '../turns/within.js'
import type { Asker, OtherRequests } from './asker.js'
import { ChannelError } from './channel-error.js'
import { Feeds } from './feeds.js'
import { FrameGate, type Authorize, type Gated } from './frame-gate.js'
import { historyPage } from './history-page.js'
import type { FrameSender, HostTypes } from './host-types.js'
import { PlainChats } from './plain-chats.js'
import type { SharedFrames } from './shared-frames.js'

export interface RequestsLimits {
  maxOwnSessions: number
  maxTurnsPerConnection: number
  maxSubscriptions: number
  maxHistoryPageBytes: number
  maxEventBytes: number
  authorizeTimeoutMs: number
  handlerTimeoutMs: number
  retryAfterMs: number
}

export interface RequestsTools {
  engine: Engine
  hostTypes: HostTypes
  /** What several connections are told of one session. */
  sharedFrames?: SharedFrames | undefined
  authorize: Authorize | undefined
  limits: RequestsLimits
  clock: Clock
  log: FastifyBaseLogger
}

/** Without a `limit` a page of history has so many messages. */
const HISTORY_PAGE = 50

/** What the frames of one connection ask for: each goes to what answers it, once the host has allowed it. */
export class Requests implements Gated, OtherRequests {
  readonly #tools: RequestsTools
  readonly #asker: Asker
  /** Where the host is asked about frames. */
  readonly #gate: FrameGate | undefined
  readonly #chats: PlainChats
  // Made when they are needed: many clients do nothing but chat without a session.
  #feeds: Feeds | undefined
  /** Of what the host's handlers still work on. */
  #handling: Set<AbortController> | undefined
  /** Answers that may hold a whole text are made one after another. */
  #lastLarge: Promise<unknown> | undefined
  /** Most frames of a connection are about the session of the frame before. */
  #lastKey: SessionKey | undefined
  /** The peer has used a frame that plain clients do not know. */
  isBeyondPlain = false

  constructor (asker: Asker, tools: RequestsTools) {
    this.#tools = tools
    this.#asker = asker
    if (tools.authorize !== undefined) this.#gate = new FrameGate(tools.authorize, this, tools)
    this.#chats = new PlainChats(asker, this, tools)
  }

  get owner (): string { return this.#asker.identity.owner }

  /** Nothing that the connection follows runs. */
  get isIdle (): boolean { return this.#chats.isIdle && this.#feeds?.isIdle !== false }

  take (frame: ClientFrame): void {
    this.isBeyondPlain ||= frame.type !== 'chat' || frame.id !== undefined
    this.#pass(this.#addressed(frame))
  }

  takeHostFrame (frame: HostFrame): void {
    this.isBeyondPlain = true
    this.#pass(frame)
  }

  /** The sender of plain chats counts ends: a refusal must not overtake the chats over which the host still thinks. */
  refuseInOrder (frame: FrameHead, code: ErrorCode, extra: ErrorExtra): void {
    const refuse = (): void => { if (this.#asker.isOpen()) this.#refuse(frame, code, extra) }
    if (this.#gate === undefined) refuse()
    else this.#gate.queue(refuse)
  }

  /** Called after frames were sent. */
  settle (): void {
    this.#chats.settle()
    this.#feeds?.settle()
  }

  close (): void {
    this.#chats.close()
    this.#feeds?.close()
    for (const controller of this.#handling ?? []) controller.abort(new Error('the connection is closed'))
  }

  endOwnSessions (): void {
    this.#chats.endOwnSessions()
  }

  #pass (frame: ClientFrame | HostFrame): void {
    if (this.#gate === undefined) this.onVerdict(frame, true)
    else this.#gate.pass(frame)
  }

  #openFeeds (): Feeds {
    return this.#feeds ??= new Feeds(this.#asker, this, this.#tools)
  }

  hasRoom (): boolean {
    return this.#chats.unanswered + (this.#feeds?.turns ?? 0) < this.#tools.limits.maxTurnsPerConnection
  }

  inOrder (key: SessionKey, task: () => Awaitable<void>): void {
    this.#openFeeds().inOrder(key, task)
  }

  onRequest (change: 1 | -1): void {
    this.#asker.onRequest(change)
  }

  onNoVerdict (frame: ClientFrame | HostFrame, err: unknown): void {
    this.#asker.onFailure(err, 'the host could not decide on a frame (`authorize`)')
    if (this.#asker.isOpen()) this.#refuse(frame, 'INTERNAL')
  }

  onVerdict (frame: ClientFrame | HostFrame, isAllowed: boolean): void {
    if (!this.#asker.isOpen()) return
    if (!isAllowed) return this.#refuse(frame, 'FORBIDDEN')
    if (this.#tools.hostTypes.handlerOf(frame.type) !== undefined) this.#answerByHost(frame)
    // Types that the host has defined and those of the protocol are apart.
    else this.#answer(frame as ClientFrame)
  }

  #answer (frame: ClientFrame): void {
    switch (frame.type) {
      case 'chat': return this.#chat(frame)
      case 'subscribe': return this.#openFeeds().subscribe(frame, this.#key(frame.agentId, frame.sessionId))
      case 'unsubscribe': return this.#openFeeds().unsubscribe(frame, this.#key(frame.agentId, frame.sessionId))
      case 'history': return this.#history(frame)
      case 'cancel': return this.#cancel(frame)
      case 'ping': return this.#asker.reply(frame.id === undefined ? { type: 'pong' } : { type: 'pong', id: frame.id })
    }
  }

  #chat (frame: ChatFrame): void {
    const { id, sessionId } = frame
    const agentId = this.#agentId(frame.agentId)
    if (sessionId === undefined) {
      if (id === undefined) return this.#chats.start(frame, agentId)
      const details = { path: '/sessionId', rule: 'a chat with an `id` needs a session: its own, or the connection\'s default' }
      return this.#refuse(frame, 'VALIDATION_FAILED', { details })
    }
    const key = this.#key(frame.agentId, sessionId)
    if (id !== undefined) return this.#openFeeds().chat({ ...frame, id }, key)
    if (this.#feeds?.followsAll(key) !== true) return this.#chats.start(frame, agentId, key)
    this.#feeds.plainChat(frame, key, {
      // In its place: what came after it waits for this.
      start: () => { this.#chats.start(frame, agentId, key, true) },
      refuse: (code, extra) => { this.#chats.refuse(agentId, code, extra) }
    })
  }

  #cancel (frame: ClientFrameOf<'cancel'>): void {
    const { engine } = this.#tools
    const asker = this.#asker
    const { key, isNamed } = this.#meant(frame)
    const cancel = async (): Promise<void> => {
      // The ends of what is cancelled come after the answer.
      asker.outbox.hold()
      try {
        const turns = key === undefined ? [] : await engine.cancel(key, isNamed, frame.turnId)
        if (!asker.isOpen()) return
        if (key === undefined || turns.length === 0) return this.#refuse(frame, 'TURN_NOT_FOUND')
        const { agentId, sessionId } = key
        asker.reply({ type: 'cancelled', ...idOf(frame), agentId, ...(isNamed ? { sessionId } : {}), turns })
      } catch (err) {
        asker.onFailure(err, 'turns could not be cancelled')
        if (asker.isOpen()) this.#refuse(frame, 'STORE_UNAVAILABLE')
      } finally {
        asker.outbox.release()
        asker.onRequest(-1)
      }
    }
    asker.onRequest(1)
    if (key !== undefined && isNamed) this.inOrder(key, cancel)
    else void cancel()
  }

  /** With the agent and session of the turn that it is to cancel. */
  asked (frame: ClientFrame | HostFrame): ClientFrame | HostFrame {
    if (frame.type !== 'cancel') return frame
    const cancel = frame as ClientFrameOf<'cancel'>
    const { key, isNamed } = this.#meant(cancel)
    return key === undefined || !isNamed ? cancel : { ...cancel, agentId: key.agentId, sessionId: key.sessionId }
  }

  /** A turn is looked for in the session that is named, else among the connection's own. */
  #meant ({ agentId, sessionId, turnId }: ClientFrameOf<'cancel'>): { key: SessionKey | undefined, isNamed: boolean } {
    if (sessionId !== undefined) return { key: this.#key(agentId, sessionId), isNamed: true }
    const key = turnId === undefined ? undefined : this.#feeds?.keyOf(turnId)
    if (key !== undefined) return { key, isNamed: true }
    return { key: this.#chats.ownSession(this.#agentId(agentId)), isNamed: false }
  }

  #history (frame: ClientFrameOf<'history'>): void {
    this.#asker.onRequest(1)
    void this.large(() => this.#tellHistory(frame))
  }

  /** Each when the peer has taken enough of those before: a packet may ask for a thousand, of as many sessions. */
  async large (task: () => Promise<void>): Promise<void> {
    const done = Promise.resolve(this.#lastLarge).then(() => this.#asker.room()).then(task)
    this.#lastLarge = Promise.allSettled([done])
    await done
  }

  async #tellHistory (frame: ClientFrameOf<'history'>): Promise<void> {
    const { engine, limits } = this.#tools
    const asker = this.#asker
    const key = this.#key(frame.agentId, frame.sessionId)
    const { limit = HISTORY_PAGE, before } = frame
    try {
      const page = await historyPage(engine, key, before === undefined ? { limit } : { limit, before }, limits.maxHistoryPageBytes)
      const { agentId, sessionId } = key
      const more = page.before === undefined ? {} : { before: page.before }
      if (asker.isOpen()) asker.reply({ type: 'history', ...idOf(frame), agentId, sessionId, messages: page.messages, ...more })
    } catch (err) {
      asker.onFailure(err, 'the session store failed to tell a history')
      if (asker.isOpen()) this.#refuse(frame, 'STORE_UNAVAILABLE')
    } finally {
      asker.onRequest(-1)
    }
  }

  #answerByHost (frame: HostFrame): void {
    this.#handle(frame).catch((err: unknown) => {
      this.#asker.onFailure(err, 'the failure of a handler could not be told')
      if (this.#asker.isOpen()) this.#refuse(frame, 'INTERNAL')
    })
  }

  async #handle (frame: HostFrame): Promise<void> {
    const { clock, limits } = this.#tools
    const asker = this.#asker
    const controller = new AbortController()
    asker.onRequest(1)
    const answer = this.#callHandler(frame, controller)
    try {
      const data = await within(clock, limits.handlerTimeoutMs, `the handler of ${frame.type}`, answer)
      if (!asker.isOpen() || (data === undefined && frame.id === undefined)) return
      const json = JSON.stringify({ type: frame.type, ...idOf(frame), data })
      if (Buffer.byteLength(json) > limits.maxEventBytes) throw new RangeError(`more than ${limits.maxEventBytes} bytes (maxEventBytes)`)
      asker.reply(json)
    } catch (err) {
      controller.abort(err)
      if (!(err instanceof ChannelError)) asker.onFailure(err, 'a handler of the host failed')
      const { code, retryAfterMs, details } = err instanceof ChannelError ? err : new ChannelError('INTERNAL')
      const extra = { ...(retryAfterMs === undefined ? {} : { retryAfterMs }), ...(details === undefined ? {} : { details }) }
      if (asker.isOpen()) this.#refuse(frame, code, extra)
    } finally {
      // It counts until it is done, also after its time: what it goes on doing is not bounded otherwise.
      const done = (): void => { asker.onRequest(-1) }
      answer.then(done, done)
    }
  }

  async #callHandler (frame: HostFrame, controller: AbortController): Promise<unknown> {
    const handling = this.#handling ??= new Set()
    handling.add(controller)
    try {
      return await this.#tools.hostTypes.handlerOf(frame.type)?.(frame, this.#sender(controller.signal))
    } finally {
      handling.delete(controller)
    }
  }

  #sender (signal: AbortSignal): FrameSender {
    const { id, identity: { owner, context }, facts: { agentId, sessionId } } = this.#asker
    const log = this.#tools.log.child({ connectionId: id, owner })
    return { owner, context, connectionId: id, agentId: agentId ?? DEFAULT_AGENT_ID, sessionId, signal, log }
  }

  /** With the agent and session that it goes to: the host must not be asked about another one than is meant. */
  #addressed (frame: ClientFrame): ClientFrame {
    if (frame.type === 'ping') return frame
    const addressed = frame.agentId === undefined ? { ...frame, agentId: this.#agentId(undefined) } : frame
    const { sessionId } = this.#asker.facts
    if (sessionId === undefined || (addressed.type !== 'chat' && addressed.type !== 'cancel')) return addressed
    return { ...addressed, sessionId: addressed.sessionId ?? sessionId }
  }

  #refuse (frame: FrameHead, code: ErrorCode, extra: ErrorExtra = {}): void {
    if (frame.type === 'chat' && frame.id === undefined) this.#chats.refuse(this.#agentId(frame.agentId), code, extra)
    else this.#asker.reply(errorFrame(code, { ...extra, ...idOf(frame) }))
  }

  #key (agentId: string | undefined, sessionId: string): SessionKey {
    const id = this.#agentId(agentId)
    const last = this.#lastKey
    if (last !== undefined && last.sessionId === sessionId && last.agentId === id) return last
    return this.#lastKey = sessionKey(this.#asker.identity.owner, id, sessionId)
  }

  #agentId (named: string | undefined): string {
    return named ?? this.#asker.facts.agentId ?? DEFAULT_AGENT_ID
  }
}

function idOf ({ id }: { id?: string | undefined }): { id?: string } {
  return id === undefined ? {} : { id }
}

/** What the refusal of a frame needs of it. */
export interface FrameHead {
  type: string
  id?: string | undefined
  agentId?: string | undefined
}
