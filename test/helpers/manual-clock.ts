import type { Clock } from '../../lib/clock.js'

/** A clock whose hands only `advance` moves. */
export class ManualClock implements Clock {
  #now: number
  #date: number
  #made = 0
  readonly #tasks = new Set<Task>()

  constructor ({ now = 1_000, date = Date.UTC(2026, 0, 1) } = {}) {
    this.#now = now
    this.#date = date
  }

  /** Tasks that are still to run: what should be 0 once everything is closed. */
  get pending (): number {
    return this.#tasks.size
  }

  now (): number {
    return this.#now
  }

  date (): number {
    return this.#date
  }

  every (ms: number, task: () => void): () => void {
    return this.#schedule(ms, task, true)
  }

  after (ms: number, task: () => void): () => void {
    return this.#schedule(ms, task, false)
  }

  /** Lets `ms` pass, and runs what falls due on the way: in its order, with the clock at its hour. */
  advance (ms: number): void {
    const end = this.#now + ms
    for (let task = this.#dueBy(end); task !== undefined; task = this.#dueBy(end)) {
      this.#moveTo(task.dueAt)
      if (task.repeats) task.dueAt += task.ms
      else this.#tasks.delete(task)
      task.run()
    }
    this.#moveTo(end)
  }

  /** Lets `ms` pass in which nothing ran, as in a process that was stopped: what fell due runs once, at the end. */
  stall (ms: number): void {
    this.#moveTo(this.#now + ms)
    for (const task of [...this.#tasks].filter(({ dueAt }) => dueAt <= this.#now)) {
      if (task.repeats) task.dueAt = this.#now + task.ms
      else this.#tasks.delete(task)
      task.run()
    }
  }

  /** Sets the wall clock, as an operator or NTP does: `now` does not notice. */
  setDate (date: number): void {
    this.#date = date
  }

  #schedule (ms: number, run: () => void, repeats: boolean): () => void {
    // At least 1, as with timers: else a task that schedules itself anew would never let `advance` end.
    const wait = Math.max(1, ms)
    const task = { ms: wait, dueAt: this.#now + wait, turn: this.#made++, repeats, run }
    this.#tasks.add(task)
    return () => { this.#tasks.delete(task) }
  }

  #dueBy (end: number): Task | undefined {
    return [...this.#tasks]
      .filter((task) => task.dueAt <= end)
      .sort((one, other) => one.dueAt - other.dueAt || one.turn - other.turn)[0]
  }

  #moveTo (now: number): void {
    this.#date += now - this.#now
    this.#now = now
  }
}

interface Task {
  ms: number
  dueAt: number
  turn: number
  repeats: boolean
  run: () => void
}
