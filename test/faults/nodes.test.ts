import t from 'tap'

import { withNodes } from './nodes/with-nodes.js'

const SEEDS = 2

t.test('nothing is lost while nodes are killed and stopped, and Redis is started anew', { timeout: 300_000 }, async (t) => {
  await withNodes({}, async (runSeed) => {
    for (let seed = 1; seed <= SEEDS; seed++) t.strictSame((await runSeed(seed)).faults, [], `seed ${seed}`)
  })
})

// The other bugs take minutes until they show: `npx tsx test/faults/nodes-run.ts --bugs --seeds 12`.
t.test('a planted bug is found', { timeout: 300_000 }, async (t) => {
  await withNodes({ bug: 'a claim is kept for good' }, async (runSeed) => {
    t.match((await runSeed(1)).faults, [/expiry: .* stays for good/])
  })
})
