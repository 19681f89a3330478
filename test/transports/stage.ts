import type { Answer, Executor, Part, Turn } from '../../lib/agent/executor.js'
import { deferred } from '../helpers/deferred.js'

/** An agent whose turns a test plays part by part, by their messages. */
export class Stage {
  /** The messages of the turns that were begun, in their order. */
  readonly begun: string[] = []
  readonly #acts = new Map<string, Act>()
  readonly executor: Executor = (turn) => {
    this.begun.push(turn.message)
    return this.act(turn.message).begin(turn)
  }

  act (message: string): Act {
    let act = this.#acts.get(message)
    if (act === undefined) this.#acts.set(message, act = new Act())
    return act
  }
}

/** One turn of it. */
export class Act implements AsyncIterable<Part>, AsyncIterator<Part, undefined> {
  readonly started = deferred<Turn>()
  /** The executor does not hear when it is told to stop. */
  isDeaf = false
  readonly #parts: Part[] = []
  #whole: Answer | undefined
  #end: { failure: Error | undefined } | undefined
  #wake = (): void => {}

  begin (turn: Turn): Answer {
    this.started.resolve(turn)
    return this.#whole ?? this
  }

  say (...parts: Part[]): this {
    this.#parts.push(...parts)
    this.#wake()
    return this
  }

  /** Before it is begun: the executor returns this, and yields nothing. */
  returns (answer: Answer): this {
    this.#whole = answer
    return this
  }

  end (failure?: Error): this {
    this.#end = { failure }
    this.#wake()
    return this
  }

  [Symbol.asyncIterator] (): this {
    return this
  }

  async next (): Promise<IteratorResult<Part, undefined>> {
    for (;;) {
      const part = this.#parts.shift()
      if (part !== undefined) return { value: part }
      if (this.#end?.failure !== undefined) throw this.#end.failure
      if (this.#end !== undefined) return { done: true, value: undefined }
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
  }

  async return (): Promise<IteratorResult<Part, undefined>> {
    if (!this.isDeaf) this.end()
    return { done: true, value: undefined }
  }
}
