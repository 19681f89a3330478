import { BUGS } from './bugs.js'
import type { Fault } from './report.js'
import { runSeed } from './run-seed.js'

export interface Found {
  bug: string
  /** What was found first; `undefined` when nothing was. */
  fault: Fault | undefined
  seeds: number
}

/** Runs seeds with a planted bug until one fails, or so many have not. */
export async function find (bug: string, maxSeeds: number): Promise<Found> {
  const plant = BUGS[bug]
  if (plant === undefined) throw new Error(`no such bug: ${bug}`)
  for (let seed = 1; seed <= maxSeeds; seed++) {
    // What never comes need not be waited for: a run takes a fraction of this.
    const report = await runSeed(seed, { plant, patienceMs: 8_000, stopsAtFault: true })
    if (report.faultCount > 0) return { bug, fault: report.faults[0], seeds: seed }
  }
  return { bug, fault: undefined, seeds: maxSeeds }
}

export function rowOf ({ bug, fault, seeds }: Found): string {
  return `${bug.padEnd(62)} ${(fault?.check ?? 'NOT FOUND').padEnd(10)} ${String(seeds).padStart(3)}`
}
