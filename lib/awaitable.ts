/** A value, or a promise of it: what an implementation in memory answers at once, and one over a network later. */
export type Awaitable<T> = T | PromiseLike<T>

/** Tells the two apart, so that the in-memory path stays synchronous. */
export function isPromiseLike<T> (value: Awaitable<T>): value is PromiseLike<T> {
  // Not by `in`, which costs ten times as much where objects of many shapes are asked.
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** Goes on with a value: at once where it is there, else when it comes. */
export function andThen<T, R> (value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> {
  return isPromiseLike(value) ? value.then(next) : next(value)
}

/** Does what may fail at once or later; then it is worth what `failed` makes of that. */
export function attempt<T> (work: () => Awaitable<T>, failed: (err: unknown) => Awaitable<T>): Awaitable<T> {
  try {
    const value = work()
    return isPromiseLike(value) ? value.then(undefined, failed) : value
  } catch (err) {
    return failed(err)
  }
}

/** Does what may come at once or later, and then `done`, however it went. */
export function andFinally<T> (work: () => Awaitable<T>, done: () => void): Awaitable<T> {
  const failed = (err: unknown): never => {
    done()
    throw err
  }
  return andThen(attempt(work, failed), (value) => {
    done()
    return value
  })
}
