/** What this node asks of one session goes one after another, so that it has its effect in the order in which it was asked. */
export class RedisLanes {
  readonly #lastByBase = new Map<string, Promise<unknown>>()

  /** Runs the task when those before it are done, whatever became of them. */
  run<T> (base: string, task: () => Promise<T>): Promise<T> {
    const last = this.#lastByBase.get(base)
    const done = last === undefined ? task() : last.then(task, task)
    this.#lastByBase.set(base, done)
    const leave = (): void => { if (this.#lastByBase.get(base) === done) this.#lastByBase.delete(base) }
    done.then(leave, leave)
    return done
  }
}
