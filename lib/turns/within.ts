import { inspect } from 'node:util'

import { isPromiseLike, type Awaitable } from '../awaitable.js'
import type { Clock } from '../clock.js'

/**
 * The value, if it is there within `ms`. What is there already costs no timer.
 * @param onLate given what comes after that: there may be something to take back
 * @throws the promise's own rejection, or an Error that names `what` took too long
 */
export async function within<T> (
  clock: Clock, ms: number, what: string, value: Awaitable<T>, onLate?: (value: T) => void
): Promise<T> {
  if (!isPromiseLike(value)) return value
  return await new Promise<T>((resolve, reject) => {
    let isLate = false
    const stop = clock.after(ms, () => {
      isLate = true
      reject(new Error(`${what} took longer than ${ms} ms`))
    })
    const settle = (result: T): void => {
      if (isLate) return onLate?.(result)
      stop()
      resolve(result)
    }
    value.then(settle, (err: unknown) => { stop(); reject(toError(err)) })
  })
}

/** Anything can be thrown; a log line and a rejection need an `Error`. */
export function toError (thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  // `String` of an object calls its methods, and throws where there are none.
  const text = typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 1, customInspect: false })
  return new Error(`not an Error was thrown: ${text}`, { cause: thrown })
}
