import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { ClientFrame } from '../protocol/client-frames.js'

/** May this owner send this frame? Anything but `true` refuses it with `FORBIDDEN`. */
export type Authorize = (frame: ClientFrame, owner: string) => Awaitable<boolean>

export interface FrameGateTools {
  owner: string
  authorize: Authorize | undefined
  onVerdict: (frame: ClientFrame, isAllowed: boolean) => void
  onFailure: (frame: ClientFrame, err: unknown) => void
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

  pass (frame: ClientFrame): void {
    const { authorize, owner, onVerdict, onFailure } = this.#tools
    if (authorize === undefined) return onVerdict(frame, true)
    if (this.#last !== undefined) return this.#wait(frame, this.#last.then(() => authorize(frame, owner)))
    let verdict: Awaitable<boolean>
    try {
      verdict = authorize(frame, owner)
    } catch (err) {
      return onFailure(frame, err)
    }
    if (isPromiseLike(verdict)) this.#wait(frame, verdict)
    else onVerdict(frame, isYes(verdict))
  }

  #wait (frame: ClientFrame, verdict: PromiseLike<boolean>): void {
    this.#tools.onRequest(1)
    const last = this.#decide(frame, verdict)
    this.#last = last
    void last.then(() => { if (this.#last === last) this.#last = undefined })
  }

  async #decide (frame: ClientFrame, verdict: PromiseLike<boolean>): Promise<void> {
    const { onVerdict, onFailure, onRequest } = this.#tools
    try {
      onVerdict(frame, isYes(await verdict))
    } catch (err) {
      onFailure(frame, err)
    } finally {
      onRequest(-1)
    }
  }
}

/** A host in JavaScript may answer anything; only `true` is a yes. */
function isYes (verdict: unknown): boolean {
  return verdict === true
}
