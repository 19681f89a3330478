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

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  every (ms, task) {
    const timer = setInterval(task, ms)
    timer.unref()
    return () => { clearInterval(timer) }
  },
  after (ms, task) {
    const timer = setTimeout(task, ms)
    timer.unref()
    return () => { clearTimeout(timer) }
  }
}
