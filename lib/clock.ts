import { performance } from 'node:perf_hooks'

/**
 * Time as the channel sees it. Everything that waits or measures takes a `Clock`, so that a test can turn its hands.
 */
export interface Clock {
  /** Milliseconds that never run backwards; the zero point means nothing. */
  now(): number
  /** Wall-clock milliseconds since 1970-01-01T00:00:00Z. */
  date(): number
  /** Runs `task` every `ms` until the returned function is called. Does not keep the process alive. */
  every(ms: number, task: () => void): () => void
  /** Runs `task` once after `ms`, unless the returned function is called first. Does not keep the process alive. */
  after(ms: number, task: () => void): () => void
}

/** The longest that a timer of Node's can wait; one that is to wait longer does not wait at all. */
export const MAX_TIMEOUT_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  every (ms, task) {
    const timer = setInterval(task, ms)
    timer.unref()
    return () => { clearInterval(timer) }
  },
  after (ms, task) {
    const timer = setTimeout(task, Math.min(ms, MAX_TIMEOUT_MS))
    timer.unref()
    return () => { clearTimeout(timer) }
  }
}
