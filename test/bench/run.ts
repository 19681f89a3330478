/**
 * The benchmark: `npm run bench [-- --rounds 7 --only burst,ping]`. Every target is a process of its own on one processor,
 * the load comes from another; the targets take turns, and what is compared are ratios within a round. Loopback only.
 */
import process, { env } from 'node:process'
import { parseArgs } from 'node:util'

import { median, ratiosOf } from './statistics.js'
import { pinLoad, startTarget, type Target } from './targets.js'
import type { Measured, Scale, Workload } from './workload.js'
import { makeWorkloads } from './workloads.js'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    only: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false }
  }
})

const FULL: Scale = {
  windowMs: 1_500,
  heartbeatMs: 2_000,
  connections: 50,
  paced: 1_000,
  rampMs: 1_000,
  idle: 10_000,
  subscribers: 200,
  followers: 500,
  pieces: 1_000
}
/** A target that does not answer ends the run. */
const MAX_MEASURE_MS = 60_000
const SMOKE: Scale = {
  windowMs: 40, heartbeatMs: 50, connections: 3, paced: 5, rampMs: 20, idle: 20, subscribers: 4, followers: 5, pieces: 20
}

if (!pinLoad()) console.log('The load and its targets share their processors: `taskset` is missing, or there is only one.')
const rounds = Number(values.rounds)
if (!Number.isSafeInteger(rounds) || rounds < 1) throw new RangeError('--rounds: a whole number of at least 1')
const all = makeWorkloads(values.smoke ? SMOKE : FULL)
const only = values.only?.split(',') ?? all.map(({ name }) => name)
const workloads = all.filter(({ name }) => only.includes(name))
if (workloads.length < only.length) throw new RangeError(`--only: there are ${all.map(({ name }) => name).join(' · ')}`)
/** To see that everything works, the same process will do for all that is configured alike. */
const kept = new Map<string, Target>()
for (const workload of workloads) await run(workload, rounds)
for (const target of kept.values()) await target.stop()
process.exit()

async function run (workload: Workload, wished: number): Promise<void> {
  const { repeats = 1 } = workload
  const rounds = values.smoke ? 1 : Math.min(wished * repeats, workload.rounds ?? Infinity)
  const targets = new Map<string, Target>()
  try {
    for (const [name, { config, check }] of Object.entries(workload.targets)) {
      const target = kept.get(JSON.stringify(config)) ?? await startTarget({ isBuilt: !values.smoke, ...config })
      if (values.smoke) kept.set(JSON.stringify(config), target)
      targets.set(name, target)
      await inTime(`the check of ${workload.name}, ${name}`, check?.(target))
    }
    const measured = new Map<string, Measured[]>([...targets.keys()].map((name) => [name, []]))
    // What one round stands for warms up.
    for (let round = values.smoke || workload.rounds === 1 ? 0 : -repeats; round < rounds; round++) {
      for (const [name, target] of ordered([...targets], Math.max(0, round))) {
        if (env['BENCH_TRACE'] !== undefined) console.error(new Date().toISOString(), workload.name, name, round)
        const result = await inTime(`${workload.name}, ${name}`, workload.targets[name]?.measure(target))
        if (result !== undefined && round >= 0) measured.get(name)?.push(result)
      }
    }
    print(workload, rounds, measured)
  } finally {
    if (!values.smoke) for (const target of targets.values()) await target.stop()
  }
}

/** Each round begins with another target, and every second one goes backwards: what was measured before is felt. */
function ordered<T> (targets: T[], round: number): T[] {
  const from = round % targets.length
  const order = [...targets.slice(from), ...targets.slice(0, from)]
  return round % 2 === 0 ? order : order.reverse()
}

async function inTime<T> (what: string, work: Promise<T> | undefined): Promise<T | undefined> {
  const limit = setTimeout(() => { throw new Error(`${what}: not done in ${MAX_MEASURE_MS} ms`) }, MAX_MEASURE_MS)
  try {
    return await work
  } finally {
    clearTimeout(limit)
  }
}

function print ({ name, pairs = [] }: Workload, rounds: number, measured: Map<string, Measured[]>): void {
  console.log(`\n## ${name} (${rounds} ${rounds === 1 ? 'round' : 'rounds'})`)
  const [reference] = measured.values()
  for (const [target, results] of measured) printRow(target, results, reference)
  for (const [target, other] of pairs) printRow(`${target} / ${other}`, measured.get(target), measured.get(other))
}

/** Medians of what was measured, and of its ratios within a round, with the least and the most. */
function printRow (label: string, results: Measured[] = [], reference: Measured[] = []): void {
  const cells = Object.keys(results[0] ?? {}).map((metric) => {
    const values = results.map((result) => result[metric] ?? NaN)
    const ratios = ratiosOf(values, reference.map((result) => result[metric] ?? NaN))
    if (ratios.length === 0) return `${metric} ${figure(median(values))}`
    const spread = `${figure(Math.min(...ratios))}–${figure(Math.max(...ratios))}`
    return `${metric} ${figure(median(values))} (× ${figure(median(ratios))}, ${spread})`
  })
  console.log(`- ${label}: ${cells.join('; ')}`)
}

function figure (value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}
