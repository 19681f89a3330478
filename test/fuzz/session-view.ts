/** A session as its clients know it: all that runs there may matter to each. */
export interface SessionView {
  readonly agentId: string
  /** Chats that were sent and not answered to their end. */
  open: number
  /** Interrupts and cancels that were sent and not answered. */
  openStops: number
  /** Chats, and what stops them, ever sent. */
  sent: number
  stops: number
  /** A connection was lost with chats of this session: what became of them nobody knows. */
  isVague: boolean
  /** Chats by the id that they were sent with. */
  readonly claims: Map<string, Claim>
}

/** What was sent under one id, by whomever. */
export interface Claim {
  readonly sentByBody: Map<string, number>
  /** How often a turn of it was begun or queued. */
  accepted: number
}

/** Chats that may wait in one session. */
export const MAX_QUEUED_TURNS = 10

/** Sessions by their names, which all connections share; or those of one connection's own. */
export class SessionViews {
  readonly #views = new Map<string, SessionView>()

  of (agentId: string, sessionId: string): SessionView {
    const key = JSON.stringify([agentId, sessionId])
    let view = this.#views.get(key)
    if (view === undefined) {
      view = { agentId, open: 0, openStops: 0, sent: 0, stops: 0, isVague: false, claims: new Map() }
      this.#views.set(key, view)
    }
    return view
  }
}

/** A chat's place among those of its session. */
export class OpenChat {
  readonly view: SessionView
  readonly isRejectable: boolean
  readonly isInterrupt: boolean
  readonly #openBefore: number
  readonly #sentBefore: number
  readonly #mayBeCut: boolean
  readonly #stopsBefore: number
  #isOpen = true

  constructor (view: SessionView, onBusy: unknown) {
    this.view = view
    this.isRejectable = onBusy === 'reject'
    this.isInterrupt = onBusy === 'interrupt'
    this.#openBefore = view.open++
    this.#sentBefore = ++view.sent
    // Whoever stops turns may be heard only after this chat, though it spoke before.
    this.#mayBeCut = view.openStops > 0
    if (this.isInterrupt) {
      view.openStops++
      view.stops++
    }
    this.#stopsBefore = view.stops
  }

  /** Part of the answer may be all. */
  get mayBeCut (): boolean { return this.#mayBeCut || this.view.isVague || this.view.stops > this.#stopsBefore }

  /** Whether there may have been too many others. One sent later may have been heard earlier, over another connection. */
  isFull (code: unknown): boolean {
    const { view } = this
    const others = view.isVague ? Infinity : this.#openBefore + view.sent - this.#sentBefore
    return (code === 'SESSION_BUSY' && this.isRejectable && others > 0) || (code === 'QUEUE_FULL' && others >= MAX_QUEUED_TURNS)
  }

  /** It is over for the session too. */
  settle (): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.view.open--
    if (this.isInterrupt) this.view.openStops--
  }

  /** The connection is gone: what becomes of the chat nobody here is told. */
  abandon (): void {
    if (this.#isOpen) this.view.isVague = true
    this.settle()
  }
}
