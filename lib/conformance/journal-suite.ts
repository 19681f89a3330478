import type { Awaitable } from '../awaitable.js'
import { testOf, type ConformanceTest } from './conformance-case.js'
import {
  JournalBench, type JournalCase, type JournalLimits, type JournalSuiteOptions, type JournalUnderTest
} from './journal-bench.js'
import { CLAIMS } from './journal-claims.js'
import { CANCELS } from './journal-cancels.js'
import { LIFETIMES } from './journal-lifetimes.js'
import { QUEUES } from './journal-queues.js'
import { RUNS } from './journal-runs.js'
import { SHARED } from './journal-shared.js'
import { SESSION_READERS } from './journal-session-readers.js'
import { TURN_READERS } from './journal-turn-readers.js'

/** Nothing is forgotten while a test runs. */
const ROOMY: JournalLimits = {
  maxEntries: 1_024, maxAgeMs: 300_000, dedupWindowMs: 300_000, maxClaimsPerOwner: 1_000, maxSessions: 1_000
}
const LEASE_MS = 60_000

/**
 * Tests that show whether a journal keeps to each sentence of the `Journal` contract.
 * @param make called for each test with the limits that it is to have
 */
export function journalSuite (
  make: (limits: JournalLimits) => Awaitable<JournalUnderTest>, options: JournalSuiteOptions = {}
): ConformanceTest[] {
  const { windowMs = 60_000, isShared = false } = options
  const cases = [...QUEUES, ...RUNS, ...CLAIMS, ...CANCELS, ...TURN_READERS, ...SESSION_READERS, ...LIFETIMES]
  return (isShared ? [...cases, ...SHARED] : cases).map((each) => {
    const limits = { ...isShared ? { leaseMs: LEASE_MS } : {}, ...limitsOf(each, windowMs) }
    const makeBench = async (): Promise<JournalBench> => new JournalBench(await make(limits), windowMs, makeBench)
    return testOf('journal', each, makeBench, options)
  })
}

function limitsOf ({ limits = {} }: JournalCase, windowMs: number): JournalLimits {
  const own = Object.entries(limits).map(([name, limit]) => [name, limit === 'window' ? windowMs : limit] as const)
  return { ...ROOMY, ...Object.fromEntries<number>(own) }
}
