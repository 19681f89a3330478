import { TURN_STARTED } from '../protocol/names.js'
import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.js'
import type { Moment } from './client-clock.js'
import { ChannelClientError } from './client-error.js'
import { Following } from './following.js'
import { OpenTurn, type TurnAbout } from './open-turn.js'
import { OwnChat, type ChatTerms, type OwnChatTools } from './own-chat.js'
import { OpenSubscription, type SessionNews, type SessionPosition } from './subscription.js'

export interface FeedTools extends OwnChatTools {
  /**
   * Sends a frame if the connection is ready; `false` if it is not.
   * @throws for a frame that cannot be sent at all
   */
  send: (frame: object) => boolean
  /** The server's, while the connection is ready. */
  journal: () => string | undefined
  /** Asks that a turn be stopped, and settles when that is answered. */
  cancel: (turn: OpenTurn) => Promise<void>
  /** Nothing happens here any more that anybody waits for. */
  onIdle: (feed: SessionFeed) => void
}

/** Frames that belong to a session. */
export type SessionFrame = ServerFrameOf<'ack' | 'subscribed' | 'stream' | 'message' | 'event' | 'error'>

/** One session as this client knows it, over all connections: its own chats, its subscriptions, and how far both have come. */
export class SessionFeed {
  readonly agentId: string
  readonly sessionId: string
  readonly #tools: FeedTools
  readonly #turns = new Map<string, OpenTurn>()
  readonly #chats = new Map<string, OwnChat>()
  readonly #subscriptions = new Set<OpenSubscription>()
  /** Everything up to here is known: of all turns since the subscriptions were told, else of its own. */
  #position: SessionPosition | undefined
  /** The subscriptions know all that was told up to the position. */
  #isTold = false
  /** Chats that this connection has sent. */
  readonly #sentHere = new Set<string>()
  readonly #following: Following

  constructor (agentId: string, sessionId: string, tools: FeedTools) {
    this.agentId = agentId
    this.sessionId = sessionId
    this.#tools = tools
    this.#following = new Following(this, tools)
  }

  /** A chat of this client's own that is open. */
  own (id: string): OpenTurn | undefined {
    return this.#chats.get(id)?.turn
  }

  chat (about: Omit<TurnAbout, 'agentId' | 'sessionId'>, terms: ChatTerms): OpenTurn {
    const turn = this.#openTurn(about)
    this.#chats.set(turn.id, new OwnChat(turn, terms, this.#tools))
    this.#tell({ type: 'turn', turn })
    this.#sendChats()
    return turn
  }

  /** Ends a turn for the caller, who has lost interest, and stops it. */
  abort (turn: OpenTurn, reason: unknown): Promise<void> {
    const chat = this.#chats.get(turn.id)
    turn.fail(reason)
    return chat?.isSent === true ? this.#tools.cancel(turn) : Promise.resolve()
  }

  /**
   * Ends its own chats, or one of them, where the server cannot have them; what it may have is stopped as soon as it says so.
   * @returns the ids of those that have ended
   */
  cancel (turnId: string | undefined): string[] {
    const chats = [...this.#chats.values()].filter(({ turn }) => turnId === undefined || turn.id === turnId)
    const unsent = chats.filter((chat) => !chat.isSent)
    for (const chat of chats) chat.isCancelled ||= chat.state !== 'followed'
    for (const { turn } of unsent) turn.end('aborted')
    return unsent.map(({ turn }) => turn.id)
  }

  /** @param from where to go on, if nothing is known of the session yet */
  subscribe (from?: SessionPosition): OpenSubscription {
    const isFresh = this.#position === undefined && this.#turns.size + this.#subscriptions.size === 0
    if (isFresh && from !== undefined) {
      this.#position = { epoch: from.epoch, seq: from.seq }
      this.#isTold = true
    }
    const subscription = new OpenSubscription(this, {
      turns: () => this.#turns.values(),
      isGapless: isFresh && from !== undefined,
      onClose: (subscription) => { this.#unsubscribe(subscription) }
    })
    this.#subscriptions.add(subscription)
    if (this.#isTold && this.#following.isWhole) subscription.onFollowed()
    else this.#following.ask(isFresh ? from : undefined)
    return subscription
  }

  onReady (): void {
    const isToGoOn = this.#position !== undefined && [...this.#chats.values()].some(({ isSent }) => isSent)
    const knowsPosition = this.#subscriptions.size === 0 || this.#isTold
    if (this.#subscriptions.size > 0 || isToGoOn) this.#following.ask(knowsPosition ? this.#position : undefined)
    this.#sendChats()
  }

  /** @param isBlamed one of the frames that have no answer has cost the connection */
  onLost (heard: Moment, isBlamed: boolean): void {
    this.#following.onLost()
    this.#sentHere.clear()
    for (const chat of [...this.#chats.values()]) {
      if (isBlamed && chat.state === 'sent') chat.fail(new ChannelClientError('TOO_BIG'))
      else chat.onLost(heard)
    }
  }

  take (frame: SessionFrame): void {
    switch (frame.type) {
      case 'ack': return this.#onAck(frame)
      case 'subscribed': return this.#onSubscribed(frame)
      default: return this.#onEntry(frame)
    }
  }

  /** Whether it was an answer to something of this session, which a refusal does not name. */
  takeRefusal (frame: ServerFrameOf<'error'>): boolean {
    const { isMine, error } = this.#following.onRefused(frame, () => { this.onReady() })
    // Its own chats tell their turns too, if they are sent again.
    if (error !== undefined) for (const subscription of [...this.#subscriptions]) subscription.fail(error)
    const chat = this.#chats.get(frame.id ?? '')
    const isRefused = chat?.state === 'sent'
    if (isRefused) chat.onRefused(frame, () => { this.#sendChats() })
    this.#sendChats()
    return isMine || isRefused
  }

  /** Nothing comes any more. */
  close (error: ChannelClientError): void {
    this.#following.onLost()
    for (const [id, turn] of [...this.#turns]) {
      // Who closes the client knows what he does not know.
      const ending = error.code === 'CLOSED' ? turn : this.#chats.get(id) ?? turn
      ending.fail(error)
    }
    for (const subscription of [...this.#subscriptions]) {
      if (error.code === 'CLOSED') subscription.close()
      else subscription.fail(error)
    }
  }

  #onAck (frame: ServerFrameOf<'ack'>): void {
    const { id, epoch, seq, status, content } = frame
    // Of an ended turn, where the server keeps no place for this client, that of its end is told.
    if (this.#position?.epoch !== epoch || this.#position.seq < seq) this.#jumpTo({ epoch, seq })
    const chat = this.#chats.get(id)
    if (chat === undefined) return
    const { turn } = chat
    chat.onFollowed(status !== 'duplicate')
    turn.takeEvent(frame)
    if (content !== undefined) turn.takeText(content)
    // The answer is kept no longer, and what is known of it may not be all.
    else if (status === 'duplicate' && turn.text !== '') chat.fail(new ChannelClientError('OUTCOME_UNKNOWN'))
    if (chat.isCancelled && turn.isOpen) this.#tools.cancel(turn).catch(() => { /* it was asked for before, and that is answered */ })
    this.#narrow()
  }

  /** What the connection does not tell, or not yet, is not known up to there. */
  #jumpTo (position: { epoch: string, seq: number }): void {
    this.#position = position
    if (this.#following.isWhole) return
    for (const chat of this.#chats.values()) if (chat.state !== 'followed') chat.onMissed()
    if (this.#isTold) this.#tell({ type: 'gap' })
    this.#isTold = false
  }

  #onSubscribed (frame: ServerFrameOf<'subscribed'>): void {
    const { id, epoch, seq, recovered, turns } = frame
    this.#following.onSubscribed(id)
    this.#position = { epoch, seq }
    if (!recovered && this.#isTold) this.#tell({ type: 'gap' })
    const listed = new Set(turns.map(({ id }) => id))
    for (const turn of [...this.#turns.values()]) if (!listed.has(turn.id)) this.#onUnlisted(turn, recovered)
    for (const listedTurn of turns) this.#onListed(listedTurn)
    // What was asked since tells more.
    if (this.#following.isWhole && !this.#following.isAsked) {
      this.#isTold = this.#subscriptions.size > 0
      for (const subscription of this.#subscriptions) subscription.onFollowed()
    }
    this.#sendChats()
    this.#narrow()
  }

  #onListed ({ id, status, message, metadata, content }: ServerFrameOf<'subscribed'>['turns'][number]): void {
    // Of what runs the text so far must be told, or be known; what has begun since the position is told from its start.
    const isTextTold = status === 'queued' || content !== undefined
    const turn = this.#turns.get(id) ?? (isTextTold ? this.#meet(id, message, metadata) : undefined)
    const chat = this.#chats.get(id)
    if (content !== undefined) turn?.takeText(content)
    // Pieces of what is to come as a whole are not told to this connection, until it has sent the chat.
    if (chat?.isJoined === true && !this.#sentHere.has(id)) chat.onMissed()
    else if (chat?.isSent === true && (chat.isKnown || isTextTold)) chat.onFollowed(true)
  }

  #onUnlisted (turn: OpenTurn, isRecovered: boolean): void {
    const chat = this.#chats.get(turn.id)
    if (chat === undefined) {
      // What has ended meanwhile is told to its end if what was missed follows.
      if (!isRecovered) turn.fail(new ChannelClientError('OUTCOME_UNKNOWN'))
    } else if (!isRecovered || !chat.isEndAhead) chat.onMissed()
    else if (chat.state !== 'sent') chat.onFollowed(true)
  }

  #onEntry (frame: ServerFrameOf<'stream' | 'message' | 'event' | 'error'>): void {
    const { id = '', seq = 0 } = frame
    if (this.#position !== undefined && this.#position.seq < seq) this.#position.seq = seq
    if (frame.type === 'event') this.#meetStarted(frame)
    const turn = this.#turns.get(id)
    const chat = this.#chats.get(id)
    if (turn === undefined) {
      if (frame.type === 'event' && frame.id === undefined) this.#tell({ type: 'event', event: frame })
      return
    }
    if (chat !== undefined && chat.state !== 'followed') {
      // It was accepted, and the answer was lost: told from its start it needs none.
      if (chat.isJoined || !isStart(frame)) return
      chat.onFollowed(true)
    }
    if (frame.type === 'event') return turn.takeEvent(frame)
    if (frame.done === true) turn.takeEnd(frame)
    else if (frame.type === 'stream') turn.takePiece(frame.content)
    else if (frame.type === 'message') turn.takeEvent(frame)
  }

  #meetStarted (frame: ServerFrameOf<'event'>): void {
    const { id = '', data } = frame
    if (!isStart(frame) || this.#turns.has(id)) return
    // As every server of this protocol writes it.
    const { message, metadata } = data as { message: string, metadata?: Record<string, unknown> }
    this.#meet(id, message, metadata)
  }

  /** A turn that another client has begun. */
  #meet (id: string, message: string, metadata: Record<string, unknown> | undefined): OpenTurn | undefined {
    if (this.#subscriptions.size === 0) return undefined
    const turn = this.#openTurn({ id, message, metadata })
    this.#tell({ type: 'turn', turn })
    return turn
  }

  #openTurn (about: Omit<TurnAbout, 'agentId' | 'sessionId'>): OpenTurn {
    const { agentId, sessionId } = this
    const turn: OpenTurn = new OpenTurn({ ...about, agentId, sessionId }, {
      onCancel: () => this.#cancel(turn),
      onDone: () => { this.#onDone(turn) }
    })
    this.#turns.set(turn.id, turn)
    return turn
  }

  /** What the server cannot have is not sent. */
  #cancel (turn: OpenTurn): Promise<void> {
    const chat = this.#chats.get(turn.id)
    if (chat !== undefined) chat.isCancelled = true
    if (chat?.isSent !== false) return this.#tools.cancel(turn)
    turn.end('aborted')
    return Promise.resolve()
  }

  #onDone ({ id }: OpenTurn): void {
    this.#chats.get(id)?.close()
    this.#chats.delete(id)
    this.#turns.delete(id)
    this.#narrow()
    // It may have kept others waiting.
    this.#sendChats()
    this.#settle()
  }

  #unsubscribe (subscription: OpenSubscription): void {
    this.#subscriptions.delete(subscription)
    if (this.#subscriptions.size > 0) return
    this.#isTold = false
    // Turns of others are followed by nobody any more.
    for (const [id, turn] of [...this.#turns]) if (!this.#chats.has(id)) turn.fail(new ChannelClientError('CLOSED'))
    this.#narrow()
    this.#settle()
  }

  #settle (): void {
    if (this.#turns.size + this.#subscriptions.size > 0) return
    this.#following.onLost()
    this.#tools.onIdle(this)
  }

  #tell (news: SessionNews): void {
    for (const subscription of this.#subscriptions) subscription.take(news)
  }

  /** Sends what is to be sent, in its order: nothing overtakes a chat that has to wait. */
  #sendChats (): void {
    if (this.#following.isAsked) return
    for (const chat of [...this.#chats.values()]) {
      if (chat.state === 'held') return
      if (chat.state === 'waiting' && !this.#sendChat(chat)) return
    }
  }

  /** `false`: not now. */
  #sendChat (chat: OwnChat): boolean {
    const journal = this.#tools.journal()
    if (journal === undefined) return false
    const { turn } = chat
    if (chat.isForgotten(journal)) turn.fail(new ChannelClientError('OUTCOME_UNKNOWN'))
    else if (chat.isCancelled && !chat.isSent) turn.end('aborted')
    else {
      try {
        this.#tools.send(chat.frame)
      } catch (err) {
        turn.fail(err)
        return true
      }
      this.#sentHere.add(turn.id)
      chat.onSent(journal)
    }
    return true
  }

  /** Goes back to what this connection has begun, once that is all that is followed. */
  #narrow (): void {
    const { isWhole, isAsked } = this.#following
    if (!isWhole || isAsked || this.#subscriptions.size > 0) return
    for (const id of this.#chats.keys()) if (!this.#sentHere.has(id)) return
    this.#following.leave()
  }
}

function isStart (frame: SessionFrame): boolean {
  return frame.type === 'event' && frame.name === TURN_STARTED
}

/** Refusals, which are errors too, name no session. */
export function isOfSession (frame: ServerFrame): boolean {
  return 'sessionId' in frame && 'seq' in frame
}
