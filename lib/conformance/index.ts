export type { ConformanceOptions, ConformanceTest } from './conformance-case.js'
export { journalSuite } from './journal-suite.js'
export type { JournalLimits, JournalSuiteOptions, JournalUnderTest } from './journal-bench.js'
export { sessionStoreSuite } from './session-store-suite.js'
