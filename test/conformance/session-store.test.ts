import { join } from 'node:path'

import t from 'tap'

import { fileSessionStore } from '../../examples/file-session-store.js'
import { sessionStoreSuite } from '../../lib/conformance/index.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { Random } from '../fuzz/random.js'
import { AsyncSessionStore } from '../helpers/async-session-store.js'

t.test('the memory session store passes the whole suite', async (t) => {
  for (const { name, run } of sessionStoreSuite(memorySessionStore)) await t.resolves(run(), name)
})

for (const seed of [1, 2, 3]) {
  const random = new Random(seed)
  t.test(`a session store that answers late passes the whole suite, with seed ${seed}`, async (t) => {
    const suite = sessionStoreSuite(() => new AsyncSessionStore(memorySessionStore(), random))
    for (const { name, run } of suite) await t.resolves(run(), name)
  })
}

t.test('the session store of the examples passes the whole suite', async (t) => {
  const folder = t.testdir()
  let files = 0
  const suite = sessionStoreSuite(() => fileSessionStore(join(folder, `${files++}.jsonl`)))
  for (const { name, run } of suite) await t.resolves(run(), name)
})
