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
  limits: { authorizeTimeoutMs: number }
  clock: Clock
}

/** Whose frames they are, and what becomes of them. */
export interface Gated {
  readonly owner: string
  /** The frame as the host is asked about it. */
  asked (frame: ClientFrame | HostFrame): ClientFrame | HostFrame
  onVerdict (frame: ClientFrame | HostFrame, isAllowed: boolean): void
  onNoVerdict (frame: ClientFrame | HostFrame, err: unknown): void
  /** One frame more, or one less, waits for a verdict. */
  onRequest (change: 1 | -1): void
}

/**
 * Asks the host about each frame. While it thinks about one, those behind it wait: frames take effect in the order in
 * which they came.
 */
export class FrameGate {
  readonly #authorize: Authorize
  readonly #gated: Gated
  readonly #tools: FrameGateTools
  #last: Promise<void> | undefined

  constructor (authorize: Authorize, gated: Gated, tools: FrameGateTools) {
    this.#authorize = authorize
    this.#gated = gated
    this.#tools = tools
  }

  pass (frame: ClientFrame | HostFrame): void {
    // Which turn a `cancel` means is known when those before it are answered.
    const ask = (): Awaitable<boolean> => this.#authorize(this.#gated.asked(frame), this.#gated.owner)
    if (this.#last !== undefined) return this.#wait(this.#last.then(() => this.#decide(frame, callLater(ask))))
    let verdict: Awaitable<boolean>
    try {
      verdict = ask()
    } catch (err) {
      return this.#gated.onNoVerdict(frame, err)
    }
    if (isPromiseLike(verdict)) this.#wait(this.#decide(frame, verdict))
    else this.#gated.onVerdict(frame, isYes(verdict))
  }

  /** Runs a task, which must not throw, once all frames before it have their verdicts: at once where none is waited for. */
  queue (task: () => void): void {
    if (this.#last === undefined) task()
    else this.#wait(this.#last.then(task))
  }

  #wait (last: Promise<void>): void {
    this.#gated.onRequest(1)
    this.#last = last
    void last.then(() => {
      if (this.#last === last) this.#last = undefined
      this.#gated.onRequest(-1)
    })
  }

  async #decide (frame: ClientFrame | HostFrame, verdict: PromiseLike<boolean>): Promise<void> {
    const { clock, limits: { authorizeTimeoutMs } } = this.#tools
    let isAllowed: boolean
    try {
      isAllowed = isYes(await within(clock, authorizeTimeoutMs, '`authorize`', verdict))
    } catch (err) {
      return this.#gated.onNoVerdict(frame, err)
    }
    this.#gated.onVerdict(frame, isAllowed)
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
