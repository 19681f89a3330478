/**
 * Runs seeds of the fault-injection test: `npx tsx test/faults/run.ts --seeds 1000 [--from 1]`, one of them with all its
 * frames: `--seed 17`; `--client` has the package's own client do it, over HTTP with `--sse`;
 * `--bugs` shows in which seed each planted bug is found,
 * `--kills 1000` cuts off so many clients in the middle of an answer. Loopback only; ends by itself.
 */
import { parseArgs } from 'node:util'

import { BUGS } from './bugs.js'
import { runKills } from './kills.js'
import { runClientSeed } from './client-seed.js'
import { find, rowOf } from './planted.js'
import { Report } from './report.js'
import { runSeed } from './run-seed.js'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    kills: { type: 'string' },
    client: { type: 'boolean', default: false },
    sse: { type: 'boolean', default: false },
    bugs: { type: 'boolean', default: false }
  }
})
if (values.bugs) {
  for (const bug of Object.keys(BUGS)) console.log(rowOf(await find(bug, 40)))
  process.exit(0)
}

if (values.kills !== undefined) {
  const at = performance.now()
  const { report, killed, exact } = await runKills(Number(values.kills))
  for (const { check, text } of report.faults) console.log(`${check}: ${text}`)
  console.log(`${exact} of ${values.kills} had the exact text; cut off before the end: ${JSON.stringify(killed)}; ${JSON.stringify(report.totals)}`)
  console.log(`${((performance.now() - at) / 1_000).toFixed(1)} s`)
  process.exit(report.faultCount === 0 ? 0 : 1)
}

const sum = new Report()
const failing: number[] = []
const startedAt = performance.now()
let slowest = { seed: 0, ms: 0 }

if (values.seed !== undefined) await one(Number(values.seed), (line) => { console.log(line) })
else for (let seed = Number(values.from), left = Number(values.seeds); left > 0; seed++, left--) await one(seed)

const seconds = (performance.now() - startedAt) / 1_000
console.log(JSON.stringify(sum.totals))
console.log(`${seconds.toFixed(1)} s, slowest seed ${slowest.seed} with ${Math.round(slowest.ms)} ms; failing: ${failing.join(' ') || 'none'}`)
process.exit(failing.length === 0 ? 0 : 1)

async function one (seed: number, trace?: (line: string) => void): Promise<void> {
  const at = performance.now()
  const traced = trace === undefined ? {} : { trace }
  const report = await (values.client ? runClientSeed(seed, { ...traced, isSse: values.sse }) : runSeed(seed, traced))
  const ms = performance.now() - at
  if (ms > slowest.ms) slowest = { seed, ms }
  sum.add(report)
  if (seed % 50 === 0) console.log(`seed ${seed}: ${JSON.stringify({ turns: sum.totals.turns, cuts: sum.totals.cuts, failing: failing.length })}`)
  if (report.faultCount === 0) return
  failing.push(seed)
  console.log(`seed ${seed} failed (${report.faultCount}), replay with --seed ${seed}`)
  for (const { check, text } of report.faults.slice(0, 5)) console.log(`  ${check}: ${text}`)
}
