import t from 'tap'

import { runClientSeed } from './client-seed.js'
import { runKills } from './kills.js'
import { Report } from './report.js'
import { runSeed } from './run-seed.js'

/** More are run by hand: `npx tsx test/faults/run.ts --seeds 1000`, with `--client` those of the package's own client. */
const MAX_SEEDS = 40
const MAX_CLIENT_SEEDS = 8
const MAX_MS = 15_000

t.test('nothing is lost, repeated or run twice, whatever breaks', { timeout: 120_000 }, async (t) => {
  const sum = new Report()
  const failed: string[] = []
  let seed = 0
  for (const giveUpAt = performance.now() + MAX_MS; seed < MAX_SEEDS && performance.now() < giveUpAt;) {
    const report = await runSeed(++seed)
    sum.add(report)
    for (const { check, text } of report.faults) failed.push(`seed ${seed}, ${check}: ${text}`)
  }
  t.strictSame(failed, [])
  t.comment(`${seed} seeds: ${JSON.stringify(sum.totals)}`)
  // Else the run says nothing.
  const { cuts, recovered, notRecovered, duplicates, cancelled, completed, failed: failures } = sum.totals
  const happened = { cuts, recovered, notRecovered, duplicates, cancelled, completed, failures }
  for (const [what, count] of Object.entries(happened)) t.ok(count > 0, what)
})

t.test('the package\'s own client gives each text once and exact, or says what went wrong', { timeout: 120_000 }, async (t) => {
  const sum = new Report()
  const failed: string[] = []
  let seed = 0
  for (const giveUpAt = performance.now() + MAX_MS; seed < MAX_CLIENT_SEEDS && performance.now() < giveUpAt;) {
    const report = await runClientSeed(++seed)
    sum.add(report)
    for (const { check, text } of report.faults) failed.push(`seed ${seed}, ${check}: ${text}`)
  }
  t.strictSame(failed, [])
  t.comment(`${seed} seeds: ${JSON.stringify(sum.totals)}`)
  // Else the run says nothing.
  const { cuts, subscribes, notRecovered, duplicates, cancelled, completed, failed: failures } = sum.totals
  const happened = { cuts, subscribes, notRecovered, duplicates, cancelled, completed, failures }
  for (const [what, count] of Object.entries(happened)) t.ok(count > 0, what)
})

t.test('a client that is cut off in the middle of an answer has the exact text in the end', { timeout: 120_000 }, async (t) => {
  const { report, killed, exact } = await runKills(60)
  t.strictSame(report.faults, [])
  t.equal(exact, 60)
  for (const [fate, count] of Object.entries(killed)) t.ok(count > 0, fate)
})
