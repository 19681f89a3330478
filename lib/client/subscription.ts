import type { ServerFrameOf } from '../protocol/server-frames.js'
import type { ClientTurn, OpenTurn } from './open-turn.js'
import { News } from './news.js'
import { promiseOf } from './promise-of.js'

/** What happens in a session: each turn, once, when it is known; events outside of turns. */
export type SessionNews =
  | { type: 'turn', turn: ClientTurn }
  | { type: 'event', event: ServerFrameOf<'event'> }
  /** Something was missed that only the history can tell. */
  | { type: 'gap' }

/**
 * A session that is followed, from whichever client its turns come. Iterated, it gives what runs now, and what happens
 * from then on. It ends when it is closed; where it can no longer be followed it throws a `ChannelClientError`.
 */
export interface Subscription extends AsyncIterable<SessionNews>, AsyncDisposable {
  readonly agentId: string
  readonly sessionId: string
  /** Settles when the session is followed; rejects where that is refused. */
  readonly ready: Promise<void>
  /** The turns that are open now, the running one first; known when it is ready. */
  readonly turns: readonly ClientTurn[]
  /** Whether all that came behind the position asked for is told; known when it is ready. */
  readonly isGapless: boolean
  close (): void
}

/** A place in a session, as an `ack` and a `subscribed` name it. */
export interface SessionPosition {
  epoch: string
  seq: number
}

export interface SubscriptionTools {
  /** Turns of the session that are open, as far as this subscription was told. */
  turns: () => Iterable<OpenTurn>
  /** It was asked for from a position, and that is where the session goes on. */
  isGapless: boolean
  onClose: (subscription: OpenSubscription) => void
}

/** So much that nobody has read is forgotten. */
const MAX_UNREAD = 10_000

export class OpenSubscription implements Subscription {
  readonly agentId: string
  readonly sessionId: string
  readonly #ready = promiseOf<undefined>()
  readonly #turns: () => Iterable<OpenTurn>
  readonly #onClose: (subscription: OpenSubscription) => void
  readonly #readers = new Set<SessionNews[]>()
  readonly #news = new News()
  #isGapless: boolean
  #state: 'open' | 'closed' | { error: unknown } = 'open'

  constructor (
    { agentId, sessionId }: { agentId: string, sessionId: string },
    { turns, isGapless, onClose }: SubscriptionTools
  ) {
    this.agentId = agentId
    this.sessionId = sessionId
    this.#turns = turns
    this.#isGapless = isGapless
    this.#onClose = onClose
  }

  get ready (): Promise<void> { return this.#ready.promise }

  get turns (): OpenTurn[] { return [...this.#turns()] }

  get isGapless (): boolean { return this.#isGapless }

  [Symbol.asyncIterator] (): AsyncIterator<SessionNews> {
    const unread: SessionNews[] = this.turns.map((turn) => ({ type: 'turn', turn }))
    this.#readers.add(unread)
    return this.#read(unread)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.close()
  }

  close (): void {
    this.#finish('closed')
    this.#ready.resolve(undefined)
  }

  fail (error: unknown): void {
    this.#finish({ error })
    this.#ready.reject(error)
  }

  onFollowed (): void {
    this.#ready.resolve(undefined)
  }

  take (news: SessionNews): void {
    if (news.type === 'gap') this.#isGapless = false
    for (const unread of this.#readers) {
      if (unread.length >= MAX_UNREAD) unread.splice(0, unread.length, { type: 'gap' })
      unread.push(news)
    }
    this.#news.tell()
  }

  #finish (state: 'closed' | { error: unknown }): void {
    if (this.#state !== 'open') return
    this.#state = state
    this.#onClose(this)
    this.#news.tell()
  }

  async * #read (unread: SessionNews[]): AsyncGenerator<SessionNews, void> {
    try {
      for (;;) {
        const news = unread.shift()
        if (news !== undefined) yield news
        else if (typeof this.#state === 'object') throw this.#state.error
        else if (this.#state === 'closed') return
        else await this.#news.next()
      }
    } finally {
      this.#readers.delete(unread)
    }
  }
}
