/** A value, or a promise of it: what an implementation in memory answers at once, and one over a network later. */
export type Awaitable<T> = T | PromiseLike<T>

/** Tells the two apart, so that the in-memory path stays synchronous. */
export function isPromiseLike<T> (value: Awaitable<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
