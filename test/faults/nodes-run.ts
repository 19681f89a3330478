/**
 * Runs seeds over three nodes and a Redis, each a process of its own: `npx tsx test/faults/nodes-run.ts --seeds 300 [--from 1]`;
 * `--bugs` shows in which seed each planted bug is found. Nodes are killed and stopped, Redis is started anew, clients go from
 * node to node. Most of a seed is waiting: `--fleets 3` runs three at once, each with nodes and a Redis of its own. Loopback only;
 * ends by itself.
 */
import { parseArgs } from 'node:util'

import { BUGS } from './nodes/bugs.js'
import { runNodesSeed } from './nodes/run-seed.js'
import { withNodes } from './nodes/with-nodes.js'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10' },
    from: { type: 'string', default: '1' },
    fleets: { type: 'string', default: '1' },
    bugs: { type: 'boolean', default: false },
    bug: { type: 'string' }
  }
})
const [from, count] = [Number(values.from), Number(values.seeds)]
let hasFailed = false
for (const bug of values.bugs ? Object.keys(BUGS) : [values.bug]) {
  const startedAt = performance.now()
  const ends: Record<string, number> = {}
  const failing: number[] = []
  let first = ''
  let next = from
  await Promise.all(Array.from({ length: Number(values.fleets) }, () => withNodes({ bug }, async (tools) => {
    while (next < from + count) {
      const seed = next++
      const report = await runNodesSeed(seed, tools)
      for (const [end, times] of Object.entries(report.ends)) ends[end] = (ends[end] ?? 0) + times
      if (report.faults.length === 0) continue
      failing.push(seed)
      first ||= report.faults[0] ?? ''
      if (bug !== undefined) next = Infinity
      else for (const fault of report.faults.slice(0, 5)) console.log(`seed ${seed} (${report.events.join(' ')}): ${fault}`)
    }
  })))
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  if (bug === undefined) console.log(`${count} seeds from ${from}: failing: ${failing.join(' ') || 'none'}; ends as readers were told: ${JSON.stringify(ends)}; ${seconds} s`)
  else console.log(`${bug}: ${failing.length === 0 ? `NOT FOUND in ${count} seeds` : `seed ${failing[0]}, ${first}`}; ${seconds} s`)
  hasFailed ||= (failing.length === 0) !== (bug === undefined)
}
process.exit(hasFailed ? 1 : 0)
