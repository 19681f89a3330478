/** A promise, and what settles it. */
export interface PromiseOf<Value> {
  readonly promise: Promise<Value>
  readonly resolve: (value: Value) => void
  readonly reject: (reason: unknown) => void
}

/** A promise that is settled from outside. Nobody has to wait for it: its rejection is not unhandled. */
export function promiseOf<Value> (): PromiseOf<Value> {
  let settle: Omit<PromiseOf<Value>, 'promise'> | undefined
  const promise = new Promise<Value>((resolve, reject) => { settle = { resolve, reject } })
  promise.catch(() => {})
  // It was set while the promise was made.
  return { promise, ...settle as Omit<PromiseOf<Value>, 'promise'> }
}
