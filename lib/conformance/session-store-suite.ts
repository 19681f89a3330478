import type { Awaitable } from '../awaitable.js'
import type { SessionStore } from '../sessions/session-store.js'
import { testOf, type ConformanceOptions, type ConformanceTest } from './conformance-case.js'
import { StoreBench } from './session-store-bench.js'
import { PAGES } from './session-store-pages.js'
import { WRITES } from './session-store-writes.js'

/**
 * Tests that show whether a session store keeps to each sentence of the `SessionStore` contract.
 * @param make called for each test: an empty store, which shares nothing with those made before; the test closes it
 */
export function sessionStoreSuite (make: () => Awaitable<SessionStore>, options: ConformanceOptions = {}): ConformanceTest[] {
  const makeBench = async (): Promise<StoreBench> => new StoreBench(await make(), makeBench)
  return [...WRITES, ...PAGES].map((each) => testOf('session store', each, makeBench, options))
}
