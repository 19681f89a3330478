import { momentOf } from '../../lib/client/client-clock.js'
import type { ClientTurn } from '../../lib/client/open-turn.js'
import { SessionFeed, type SessionFrame } from '../../lib/client/session-feed.js'
import type { SessionNews, Subscription } from '../../lib/client/subscription.js'
import type { AnyFrame } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

export const SESSION = { agentId: 'main', sessionId: 'trip' }
export const SUBSCRIBE = { type: 'subscribe', ...SESSION }

/** A feed and its server, which says what a test has it say. */
export class Bench {
  readonly clock = new ManualClock()
  readonly sent: AnyFrame[] = []
  readonly cancelled: string[] = []
  journal: string | undefined = 'j1'
  idle = 0
  failure: Error | undefined
  readonly feed = new SessionFeed('main', 'trip', {
    clock: this.clock,
    turnPatienceMs: 120_000,
    resendWindowMs: 240_000,
    journal: () => this.journal,
    send: (frame) => {
      if (this.failure !== undefined) throw this.failure
      if (this.journal !== undefined) this.sent.push(JSON.parse(JSON.stringify(frame)) as AnyFrame)
      return this.journal !== undefined
    },
    cancel: async ({ id }) => { this.cancelled.push(id) },
    onIdle: () => { this.idle++ }
  })

  chat (id: string, terms: { stream?: boolean } = {}): ClientTurn & { text: string } {
    return this.feed.chat({ id, message: `say ${id}` }, terms)
  }

  take (): AnyFrame[] {
    return this.sent.splice(0)
  }

  says (...frames: object[]): void {
    for (const frame of frames) this.feed.take({ ...SESSION, ...frame } as SessionFrame)
  }

  ack (id: string, about: object = {}): void {
    this.says({ type: 'ack', id, status: 'started', epoch: 'e1', seq: 0, ...about })
  }

  piece (id: string, seq: number, content: string): void {
    this.says({ type: 'stream', id, seq, content, done: false })
  }

  end (id: string, seq: number, finishReason = 'stop'): void {
    this.says({ type: 'stream', id, seq, content: '', done: true, finishReason })
  }

  started (id: string, seq: number): void {
    this.says({ type: 'event', id, seq, name: 'turn-started', data: { message: `say ${id}` } })
  }

  /** The answer to the `subscribe` that was sent last, or one that nobody has asked for. */
  subscribed (about: object = {}, asked?: AnyFrame): void {
    const id = asked === undefined ? {} : { id: asked.id }
    this.says({ type: 'subscribed', ...id, epoch: 'e1', seq: 0, recovered: false, turns: [], ...about })
  }

  refuse (frame: AnyFrame | undefined, code: string, retryable = true): boolean {
    return this.feed.takeRefusal({ type: 'error', id: frame?.id as string, code: code as 'INTERNAL', message: code, retryable })
  }

  lose (isBlamed = false): void {
    this.journal = undefined
    this.feed.onLost(momentOf(this.clock), isBlamed)
  }

  comeBack (journal = 'j1'): AnyFrame[] {
    this.journal = journal
    this.feed.onReady()
    return this.take()
  }

  /** Follows, from the beginning. */
  follow (about: object = {}): { subscription: Subscription, news: SessionNews[] } {
    const subscription = this.feed.subscribe()
    const news: SessionNews[] = []
    const read = async (): Promise<void> => { for await (const one of subscription) news.push(one) }
    read().catch(() => {})
    this.subscribed(about, this.take().at(-1))
    return { subscription, news }
  }
}

export async function endOf (news: SessionNews | undefined): Promise<unknown> {
  return news?.type === 'turn' ? await news.turn.finished : undefined
}
