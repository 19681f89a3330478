import { setImmediate as tick } from 'node:timers/promises'

import { Report } from './report.js'

/** Runs one seed: what it rejects with, and what nobody takes meanwhile, is reported. Never rejects. */
export async function watched (trace: ConstructorParameters<typeof Report>[0], run: (report: Report) => Promise<void>): Promise<Report> {
  const report = new Report(trace)
  const onUnhandled = (err: unknown): void => { report.fault('log', `unhandled: ${err instanceof Error ? err.stack ?? err.message : String(err)}`) }
  process.on('unhandledRejection', onUnhandled)
  process.on('uncaughtException', onUnhandled)
  try {
    await run(report)
  } catch (err) {
    report.fault('stuck', err instanceof Error ? err.stack ?? err.message : String(err))
  } finally {
    // Node tells of a rejection after the microtasks.
    await tick()
    process.off('unhandledRejection', onUnhandled)
    process.off('uncaughtException', onUnhandled)
  }
  return report
}
