import type { FastifyBaseLogger } from 'fastify'

import type { Turn } from '../agent/executor.js'
import type { StoredChat } from '../journal/journal.js'
import type { SessionMessage } from '../protocol/server-frames.js'
import type { SessionKey } from '../protocol/session-key.js'
import type { SessionStore } from '../sessions/session-store.js'
import { toError } from './within.js'

/** A turn as its executor sees it. What costs something is made when it is first asked for. */
export class ExecutorTurn implements Turn {
  readonly #key: SessionKey
  readonly #chat: StoredChat
  readonly #store: Pick<SessionStore, 'messages'>
  readonly #hostLog: FastifyBaseLogger
  #controller: AbortController | undefined
  #abortReason: Error | undefined
  #log: FastifyBaseLogger | undefined
  /** How many things the executor waits for that may take as long as they take. */
  waiting = 0

  constructor (key: SessionKey, chat: StoredChat, store: Pick<SessionStore, 'messages'>, hostLog: FastifyBaseLogger) {
    this.#key = key
    this.#chat = chat
    this.#store = store
    this.#hostLog = hostLog
  }

  get id (): string { return this.#chat.turnId }
  get agentId (): string { return this.#key.agentId }
  get sessionId (): string { return this.#key.sessionId }
  get owner (): string { return this.#key.owner }
  get context (): unknown { return this.#chat.context }
  get message (): string { return this.#chat.message }
  get metadata (): Record<string, unknown> | undefined { return this.#chat.metadata }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason)
    }
    return this.#controller.signal
  }

  get log (): FastifyBaseLogger {
    const { agentId, sessionId } = this.#key
    this.#log ??= this.#hostLog.child({ agentId, sessionId, turnId: this.id })
    return this.#log
  }

  async history ({ limit = 50 }: { limit?: number } = {}): Promise<SessionMessage[]> {
    // This turn's own question is the newest message, and no part of what was said before.
    const { messages } = await this.#store.messages(this.#key, { limit: limit + 1 })
    return messages.filter(({ turnId }) => turnId !== this.id).slice(-limit)
  }

  async waitFor<T> (promise: PromiseLike<T>): Promise<T> {
    const { signal } = this
    this.waiting++
    try {
      return await new Promise<T>((resolve, reject) => {
        const onAbort = (): void => { reject(toError(signal.reason)) }
        if (signal.aborted) onAbort()
        else signal.addEventListener('abort', onAbort, { once: true })
        // Also where the turn was stopped before: the promise's rejection, if nobody took it, would end the host's process.
        void Promise.resolve(promise).then(resolve, reject).finally(() => { signal.removeEventListener('abort', onAbort) })
      })
    } finally {
      this.waiting--
    }
  }

  abort (reason: Error): void {
    this.#abortReason = reason
    this.#controller?.abort(reason)
  }
}
