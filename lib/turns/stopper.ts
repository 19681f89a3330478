import type { TurnRun } from './run-turn.js'
import { ABORTED } from './turn-end.js'

/** Stops a run that may be asked to stop before it is there. */
export class Stopper {
  #run: TurnRun | undefined
  #isAsked = false

  stop (): boolean {
    this.#isAsked = true
    return this.#run?.stop(ABORTED, new Error('the turn was cancelled')) ?? true
  }

  attach (run: TurnRun): void {
    this.#run = run
    if (this.#isAsked) this.stop()
  }
}
