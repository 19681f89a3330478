import t, { type Test } from 'tap'

import { runClientSeed } from './client-seed.js'
import { runKills } from './kills.js'
import { Report } from './report.js'
import { runSeed } from './run-seed.js'

/** More are run by hand: `npx tsx test/faults/run.ts --seeds 1000`; with `--client` the package's own client, with `--sse` over HTTP. */
const MAX_SEEDS = 40
const MAX_CLIENT_SEEDS = 8
const MAX_SSE_SEEDS = 6
const MAX_MS = 15_000

/** Runs seeds, for as long as there is time, and says what happened in them; none may fail. */
async function runSeeds (t: Test, count: number, runOne: (seed: number) => Promise<Report>): Promise<Report['totals']> {
  const sum = new Report()
  const failed: string[] = []
  let seed = 0
  for (const giveUpAt = performance.now() + MAX_MS; seed < count && performance.now() < giveUpAt;) {
    const report = await runOne(++seed)
    sum.add(report)
    for (const { check, text } of report.faults) failed.push(`seed ${seed}, ${check}: ${text}`)
  }
  t.strictSame(failed, [])
  t.comment(`${seed} seeds: ${JSON.stringify(sum.totals)}`)
  return sum.totals
}

t.test('nothing is lost, repeated or run twice, whatever breaks', { timeout: 120_000 }, async (t) => {
  const totals = await runSeeds(t, MAX_SEEDS, runSeed)
  // Else the run says nothing.
  const { cuts, recovered, notRecovered, duplicates, cancelled, completed, failed: failures } = totals
  const happened = { cuts, recovered, notRecovered, duplicates, cancelled, completed, failures }
  for (const [what, count] of Object.entries(happened)) t.ok(count > 0, what)
})

t.test('the package\'s own client gives each text once and exact, or says what went wrong', { timeout: 120_000 }, async (t) => {
  const totals = await runSeeds(t, MAX_CLIENT_SEEDS, runClientSeed)
  // Else the run says nothing.
  const { cuts, subscribes, notRecovered, duplicates, cancelled, completed, failed: failures } = totals
  const happened = { cuts, subscribes, notRecovered, duplicates, cancelled, completed, failures }
  for (const [what, count] of Object.entries(happened)) t.ok(count > 0, what)
})

t.test('so it does over server-sent events', { timeout: 120_000 }, async (t) => {
  const totals = await runSeeds(t, MAX_SSE_SEEDS, async (seed) => await runClientSeed(seed, { isSse: true }))
  // Else the run says nothing.
  const { cuts, subscribes, notRecovered, duplicates, cancelled, completed, failed: failures } = totals
  const happened = { cuts, subscribes, notRecovered, duplicates, cancelled, completed, failures }
  for (const [what, count] of Object.entries(happened)) t.ok(count > 0, what)
})

t.test('a client that is cut off in the middle of an answer has the exact text in the end', { timeout: 120_000 }, async (t) => {
  const { report, killed, exact } = await runKills(60)
  t.strictSame(report.faults, [])
  t.equal(exact, 60)
  for (const [fate, count] of Object.entries(killed)) t.ok(count > 0, fate)
})
