import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Clock } from '../clock.js'
import type { ClientFrame } from '../protocol/client-frames.js'
import type { HostFrame } from '../protocol/host-frame.js'
import { within } from '../turns/within.js'

/**
 * May this owner send this frame? Anything but `true` refuses it with `FORBIDDEN`. In a frame of the protocol's own are
 * the agent and the session that it goes to, also where the client has left them to the connection's defaults; in one of a
 * host-defined type is what its schema has.
 */
export type Authorize = (frame: ClientFrame | HostFrame, owner: string) => Awaitable<boolean>

export interface FrameGateTools {
  owner: string
  authorize: Authorize | undefined
  authorizeTimeoutMs: number
  clock: Clock
  onVerdict: (frame: ClientFrame | HostFrame, isAllowed: boolean) => void
  onFailure: (frame: ClientFrame | HostFrame, err: unknown) => void
  /** One frame more, or one less, waits for a verdict. */
  onRequest: (change: 1 | -1) => void
}

/**
 * Asks the host about each frame. While it thinks about one, those behind it wait: frames take effect in the order in
 * which they came.
 */
export class FrameGate {
  readonly #tools: FrameGateTools
  #last: Promise<void> | undefined

  constructor (tools: FrameGateTools) {
    this.#tools = tools
  }

  pass (frame: ClientFrame | HostFrame): void {
    const { authorize, owner, onVerdict, onFailure } = this.#tools
    if (authorize === undefined) return onVerdict(frame, true)
    if (this.#last !== undefined) return this.#wait(this.#last.then(() => this.#decide(frame, callLater(() => authorize(frame, owner)))))
    let verdict: Awaitable<boolean>
    try {
      verdict = authorize(frame, owner)
    } catch (err) {
      return onFailure(frame, err)
    }
    if (isPromiseLike(verdict)) this.#wait(this.#decide(frame, verdict))
    else onVerdict(frame, isYes(verdict))
  }

  /** Runs a task, which must not throw, once all frames before it have their verdicts: at once where none is waited for. */
  queue (task: () => void): void {
    if (this.#last === undefined) task()
    else this.#wait(this.#last.then(task))
  }

  #wait (last: Promise<void>): void {
    const { onRequest } = this.#tools
    onRequest(1)
    this.#last = last
    void last.then(() => {
      if (this.#last === last) this.#last = undefined
      onRequest(-1)
    })
  }

  async #decide (frame: ClientFrame | HostFrame, verdict: PromiseLike<boolean>): Promise<void> {
    const { onVerdict, onFailure, clock, authorizeTimeoutMs } = this.#tools
    let isAllowed: boolean
    try {
      isAllowed = isYes(await within(clock, authorizeTimeoutMs, '`authorize`', verdict))
    } catch (err) {
      return onFailure(frame, err)
    }
    onVerdict(frame, isAllowed)
  }
}

/** A host in JavaScript may answer anything; only `true` is a yes. */
function isYes (verdict: unknown): boolean {
  return verdict === true
}

/** What is thrown becomes a rejection. */
function callLater<T> (call: () => Awaitable<T>): Promise<T> {
  return new Promise((resolve) => { resolve(call()) })
}
