import type { ServerFrame, ServerFrameOf } from '../../protocol/server-frames.js'
import type { ChannelHttp, FollowedFrame } from './channel-http.js'
import { TurnTexts } from './turn-texts.js'

/** What the client sends, with the agent and the session that it means. */
export interface SessionAsk {
  type: string
  id: string
  agentId: string
  sessionId: string
  epoch?: string
  after?: number
  limit?: number
  before?: string
  [field: string]: unknown
}

export interface SseSessionTools {
  http: ChannelHttp
  /** Of the session's routes. */
  path: string
  say: (frame: SaidFrame) => void
  onFailed: (frame: SessionAsk, err: unknown) => void
  /** The server will end what it tells. */
  onLeaving: () => void
  /** What is told of the session has ended, and was not to. */
  onStreamLost: () => void
  /** Nothing is followed or asked any more. */
  onIdle: () => void
}

/** A chat's `ack`, and of one that was sent before and is over its end. */
type Accepted = ServerFrameOf<'ack'> & { end?: Extract<FollowedFrame, { seq?: number }> }

/**
 * One session as one socket tells it, in one order: all of it while it is subscribed to, else the turns of the socket's
 * own chats. Both come over one answer of server-sent events; chats and cancels are requests, one after another.
 */
export class SseSession {
  readonly #tools: SseSessionTools
  /** Chats of this socket whose ends have not been told; true for those whose text comes whole. */
  readonly #own = new Map<string, boolean>()
  #isWhole = false
  #stream: AbortController | undefined
  /** Up to there all is told. */
  #position = { epoch: '', seq: 0 }
  /** What came before is told by what was open then. */
  #toldFrom = { epoch: '', seq: 0 }
  #texts = new TurnTexts([])
  /** The chat that has no answer, and what is told from the first word of its turn on: an answer comes first. */
  #sending: string | undefined
  #held: FollowedFrame[] = []
  /** Turns whose ends came with the answers to their chats. */
  readonly #ended = new Set<string>()
  #last: Promise<void> = Promise.resolve()
  #asked = 0

  constructor (tools: SseSessionTools) {
    this.#tools = tools
  }

  /** It is being told. */
  get isOpen (): boolean { return this.#stream !== undefined }

  take (frame: SessionAsk): void {
    this.#asked++
    this.#last = this.#last.then(() => this.#do(frame)).catch((err: unknown) => { this.#tools.onFailed(frame, err) }).then(() => {
      this.#asked--
      this.#settle()
    })
  }

  #do (frame: SessionAsk): Promise<void> {
    switch (frame.type) {
      case 'chat': return this.#chat(frame)
      case 'cancel': return this.#cancel(frame)
      case 'subscribe': return this.#subscribe(frame)
      default: return this.#unsubscribe()
    }
  }

  async #subscribe ({ id, epoch, after }: SessionAsk): Promise<void> {
    const wasOpen = this.#stream !== undefined
    this.#leave()
    try {
      await this.#follow(wasOpen || epoch === undefined ? undefined : `${epoch}:${after}`, (subscribed) => {
        this.#isWhole = true
        this.#tools.say({ ...subscribed, id })
      })
    } catch (err) {
      if (wasOpen) await this.#followSurely(undefined, (subscribed) => { this.#tools.say(this.#meant(subscribed)) })
      throw err
    }
  }

  async #unsubscribe (): Promise<void> {
    this.#isWhole = false
  }

  async #chat ({ type, agentId, ...body }: SessionAsk): Promise<void> {
    const { id } = body
    const wasOwn = this.#own.has(id)
    // What is told of it may come before the answer.
    this.#own.set(id, body['stream'] === false)
    this.#sending = id
    try {
      const path = `agents/${encodeURIComponent(agentId)}/chat`
      const { end, ...ack } = await this.#tools.http.ask(path, { body, headers: { prefer: 'respond-async' } }) as Accepted
      if (end !== undefined) this.#tellEnd(ack, end)
      else if (this.#stream === undefined) await this.#tellFrom(ack)
      else if (this.#isTold(ack)) this.#tellAck(ack, this.#texts.of(id))
      else await this.#tellAnew(ack)
    } catch (err) {
      if (!wasOwn) this.#own.delete(id)
      throw err
    } finally {
      this.#sending = undefined
      for (const frame of this.#held.splice(0)) this.#take(frame)
    }
  }

  /** It is told from where the answer says that it is. */
  async #tellFrom (ack: ServerFrameOf<'ack'>): Promise<void> {
    const { id, epoch, seq, content } = ack
    this.#position = { epoch, seq }
    this.#tellAck(ack, content)
    await this.#followSurely(`${epoch}:${seq}`, (subscribed) => {
      if (!subscribed.recovered) this.#tools.say(this.#meant(subscribed))
      else if (content !== undefined) this.#texts.begin(id, content)
    })
  }

  /** All of its turn was told, or will be. */
  #isTold ({ id, status, epoch, seq }: ServerFrameOf<'ack'>): boolean {
    if (this.#texts.of(id) !== undefined) return true
    return status !== 'duplicate' && (epoch !== this.#toldFrom.epoch || seq >= this.#toldFrom.seq)
  }

  /** A turn that ran already when the session was begun to be told: the text that it had is told when all is told anew. */
  async #tellAnew (ack: ServerFrameOf<'ack'>): Promise<void> {
    this.#leave()
    await this.#followSurely(undefined, (subscribed) => { this.#tools.say(this.#meant(subscribed)) })
    const text = this.#texts.of(ack.id)
    if (text !== undefined) return this.#tellAck(ack, text)
    // It has ended meanwhile: how, it is told when it is sent again.
    this.#own.delete(ack.id)
    this.#tools.say({ type: 'error', id: ack.id, code: 'STORE_UNAVAILABLE', message: 'Ended a moment ago', retryable: true, retryAfterMs: 0 })
  }

  /** At the place that the socket has come to: that of the answer may be another. */
  #tellAck ({ content, ...ack }: ServerFrameOf<'ack'>, text: string | undefined): void {
    this.#tools.say({ ...ack, ...this.#position, ...(ack.status !== 'duplicate' || text === undefined ? {} : { content: text }) })
  }

  #tellEnd (ack: ServerFrameOf<'ack'>, end: NonNullable<Accepted['end']>): void {
    if (this.#stream === undefined) this.#position = { epoch: ack.epoch, seq: ack.seq }
    this.#tellAck(ack, ack.content)
    this.#own.delete(ack.id)
    this.#ended.add(ack.id)
    this.#tools.say({ ...end, seq: this.#position.seq })
  }

  async #cancel ({ id, agentId, sessionId, turnId }: SessionAsk): Promise<void> {
    const { http, path, say } = this.#tools
    const { turns } = await http.ask(`${path}/cancel`, { body: { turnId } }) as Pick<ServerFrameOf<'cancelled'>, 'turns'>
    say({ type: 'cancelled', id, agentId, sessionId, turns })
  }

  /** @throws Error for a refusal too: what is to be told must not be lost for it */
  async #followSurely (lastEventId: string | undefined, onSubscribed: OnSubscribed): Promise<void> {
    await this.#follow(lastEventId, onSubscribed).catch((cause: unknown) => { throw new Error('The session is not told any more', { cause }) })
  }

  /** Begins to be told of the session, and settles when that is so. What was told before is over. */
  async #follow (lastEventId: string | undefined, onSubscribed: OnSubscribed): Promise<void> {
    const { http, path } = this.#tools
    const stream = new AbortController()
    const tell = await http.follow(`${path}/events`, lastEventId === undefined ? {} : { 'last-event-id': lastEventId }, stream)
    this.#stream = stream
    await new Promise<void>((resolve, reject) => {
      let onFirst: OnSubscribed | undefined = (frame) => {
        onSubscribed(frame)
        resolve()
      }
      tell({
        onFrame: (frame) => {
          if (this.#stream !== stream) return
          if (onFirst === undefined || frame.type !== 'subscribed') return this.#hear(frame)
          this.#onSubscribed(frame)
          onFirst(frame)
          onFirst = undefined
        },
        onSilence: () => { this.#tools.say({ type: 'pong' }) }
      }).catch(() => {}).finally(() => {
        if (this.#stream !== stream) return
        this.#stream = undefined
        reject(new Error('The answer has ended'))
        this.#tools.onStreamLost()
      })
    })
  }

  #onSubscribed ({ epoch, seq, recovered, turns }: ServerFrameOf<'subscribed'>): void {
    this.#position = { epoch, seq }
    this.#texts = new TurnTexts(turns)
    if (recovered) return
    this.#toldFrom = { epoch, seq }
    const open = new Set(turns.map(({ id }) => id))
    for (const id of this.#own.keys()) if (!open.has(id) && id !== this.#sending) this.#own.delete(id)
  }

  #meant (subscribed: ServerFrameOf<'subscribed'>): ServerFrameOf<'subscribed'> {
    if (this.#isWhole) return subscribed
    return { ...subscribed, turns: subscribed.turns.filter(({ id }) => this.#own.has(id)) }
  }

  #hear (frame: FollowedFrame): void {
    const isOfSent = this.#sending !== undefined && 'id' in frame && frame.id === this.#sending
    if (isOfSent || this.#held.length > 0) this.#held.push(frame)
    else this.#take(frame)
  }

  #take (frame: FollowedFrame): void {
    switch (frame.type) {
      case 'subscribed':
        this.#onSubscribed(frame)
        return this.#tools.say(this.#meant(frame))
      case 'reconnect':
        this.#tools.onLeaving()
        return this.#tools.say(frame)
      default: return this.#takeEntry(frame)
    }
  }

  #takeEntry (frame: Exclude<FollowedFrame, { type: 'subscribed' | 'reconnect' }>): void {
    const { id = '', seq } = frame
    // Why the server ends what it tells: that it does is enough.
    if (seq === undefined) return
    this.#position.seq = seq
    const text = this.#texts.take(frame)
    const isJoined = this.#own.get(id)
    if (this.#ended.has(id) || (isJoined === undefined && !this.#isWhole)) return
    const isEnd = 'done' in frame && frame.done
    if (isEnd) this.#own.delete(id)
    if (frame.type !== 'stream' || isJoined !== true) this.#tools.say(frame)
    else if (isEnd) this.#tools.say(text === undefined ? frame : { ...frame, type: 'message', content: text })
    this.#settle()
  }

  #leave (): void {
    const stream = this.#stream
    this.#stream = undefined
    this.#held = []
    stream?.abort()
  }

  #settle (): void {
    if (this.#asked > 0 || this.#isWhole || this.#own.size > 0) return
    this.#leave()
    this.#tools.onIdle()
  }
}

type OnSubscribed = (frame: ServerFrameOf<'subscribed'>) => void

/** A server's frame, or a refusal with a code of this client's own. */
export type SaidFrame = ServerFrame | Omit<ServerFrameOf<'error'>, 'code'> & { code: string }
