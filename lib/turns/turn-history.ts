import { isPromiseLike, type Awaitable } from '../awaitable.js'
import { StoreFailure } from '../agent/store-failure.js'
import type { Clock } from '../clock.js'
import type { Run } from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { MessagePage, PageRequest, SessionMessage, SessionStore } from '../sessions/session-store.js'
import { within } from './within.js'

export interface HistoryTools {
  store: SessionStore
  limits: { storeTimeoutMs: number }
  clock: Clock
}

/** The history of one turn's session, in a store that answers in time or not at all: with one in memory at once. */
export class TurnHistory {
  readonly #run: Run
  readonly #tools: HistoryTools

  constructor (run: Run, tools: HistoryTools) {
    this.#run = run
    this.#tools = tools
  }

  keepQuestion (): Awaitable<void> {
    const { turnId, message, metadata } = this.#run.chat
    return this.#keep('user', turnId, message, true, metadata)
  }

  keepAnswer (content: string, complete: boolean, metadata: Record<string, unknown> | undefined): Awaitable<void> {
    return this.#keep('assistant', this.#run.chat.turnId, content, complete, metadata)
  }

  /** @throws StoreFailure, which ends the turn as the store's fault and not the executor's */
  async messages (key: SessionKey, page: PageRequest): Promise<MessagePage> {
    try {
      return await this.#inTime(this.#tools.store.messages(key, page))
    } catch (err) {
      throw new StoreFailure('the session store failed to tell a history', { cause: err })
    }
  }

  #keep (
    role: SessionMessage['role'], turnId: string, content: string, complete: boolean, metadata: Record<string, unknown> | undefined
  ): Awaitable<void> {
    const message: SessionMessage = { turnId, role, content, at: this.#tools.clock.date(), complete }
    if (metadata !== undefined) message.metadata = metadata
    return this.#inTime(this.#tools.store.append(this.#run.key, [message]))
  }

  #inTime<T> (answer: Awaitable<T>): Awaitable<T> {
    const { clock, limits } = this.#tools
    return isPromiseLike(answer) ? within(clock, limits.storeTimeoutMs, 'the session store', answer) : answer
  }
}
