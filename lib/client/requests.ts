import type { ServerFrame } from '../protocol/server-frames.js'
import { afterAwake, type ClientClock } from './client-clock.js'
import { ChannelClientError, errorOf } from './client-error.js'
import type { HostAnswer } from './link.js'
import { freshId } from './options.js'

export interface RequestsTools {
  clock: ClientClock
  answerTimeoutMs: number
  /**
   * Sends a frame if the connection is ready; `false` if it is not.
   * @throws for a frame that cannot be sent at all
   */
  send: (frame: object) => boolean
}

export interface RequestOptions {
  /** Doing it twice is doing it once: what was lost with its connection is asked again. */
  isRepeatable?: boolean
  signal?: AbortSignal | undefined
}

/** What was asked and has no answer yet, by the `id` that the answer gives back. */
export class Requests {
  readonly #tools: RequestsTools
  readonly #pending = new Map<string, Pending>()
  /** Frames of a turn have an `id` too, which may be of anybody's making. */
  readonly #prefix = freshId()
  #made = 0

  constructor (tools: RequestsTools) {
    this.#tools = tools
  }

  /**
   * Asks now, or as soon as there is a connection.
   * @throws ChannelClientError for a refusal, and where it is not known in time what became of it
   */
  ask (frame: { type: string }, { isRepeatable = false, signal }: RequestOptions = {}): Promise<ServerFrame | HostAnswer> {
    const id = `${this.#prefix}-${this.#made++}`
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => (): void => {
        this.#pending.delete(id)
        pending.cancelTimer()
        signal?.removeEventListener('abort', onAbort)
        finish()
      }
      const fail = (error: Error): void => { settle(() => { reject(error) })() }
      // What a signal gives as its reason is thrown as it is.
      const onAbort = (): void => { fail(signal?.reason as Error) }
      const pending: Pending = {
        frame: { ...frame, id },
        isRepeatable,
        isSent: false,
        resolve: (answer) => { settle(() => { resolve(answer) })() },
        reject: fail,
        cancelTimer: afterAwake(this.#tools.clock, this.#tools.answerTimeoutMs, () => {
          const code = pending.isSent ? 'TIMEOUT' : 'CONNECTION_LOST'
          fail(new ChannelClientError(pending.isSent && !isRepeatable ? 'OUTCOME_UNKNOWN' : code))
        })
      }
      this.#pending.set(id, pending)
      if (signal?.aborted === true) return onAbort()
      signal?.addEventListener('abort', onAbort)
      this.#send(pending)
    })
  }

  /** There is a connection, and nothing was sent on it. */
  onReady (): void {
    for (const pending of [...this.#pending.values()]) this.#send(pending)
  }

  onLost (): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.isSent && !pending.isRepeatable) pending.reject(new ChannelClientError('OUTCOME_UNKNOWN'))
    }
  }

  /** Whether it was the answer to something. */
  take (frame: ServerFrame): boolean {
    const pending = 'id' in frame ? this.#pending.get(frame.id ?? '') : undefined
    if (pending === undefined) return false
    if (frame.type === 'error') pending.reject(errorOf(frame))
    else pending.resolve(frame)
    return true
  }

  close (error: ChannelClientError): void {
    for (const pending of [...this.#pending.values()]) pending.reject(error)
  }

  #send (pending: Pending): void {
    try {
      if (this.#tools.send(pending.frame)) pending.isSent = true
    } catch (err) {
      // Thrown by this client, or by JSON.stringify.
      pending.reject(err as Error)
    }
  }
}

interface Pending {
  frame: object
  isRepeatable: boolean
  isSent: boolean
  resolve: (answer: ServerFrame | HostAnswer) => void
  reject: (error: Error) => void
  cancelTimer: () => void
}
