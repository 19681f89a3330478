import { journalSuite, sessionStoreSuite } from '../../lib/conformance/index.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { Random } from '../fuzz/random.js'
import { AsyncJournal } from '../helpers/async-journal.js'
import { AsyncSessionStore } from '../helpers/async-session-store.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { failuresOf } from './subjects.js'
let bad = 0
for (let seed = 100; seed < 140; seed++) {
  const random = new Random(seed)
  const suite = [...journalSuite((limits) => { const clock = new ManualClock(); const inner = memoryJournal({ ...limits, clock })
    return { journal: new AsyncJournal(inner, random), peer: new AsyncJournal(inner, random), advance: (ms) => { clock.advance(ms) } } }), ...sessionStoreSuite(() => new AsyncSessionStore(memorySessionStore(), random))]
  for (const [n, e] of await failuresOf(suite)) { bad++; console.log(seed, n, String(e).slice(0, 300)) }
}
console.log('bad', bad)
// the real clock, short windows
const real = journalSuite((limits) => ({ journal: memoryJournal(limits), advance: (ms) => new Promise((r) => setTimeout(r, ms)) }), { windowMs: 400 })
for (const { name, run } of real) await run().catch((e) => console.log('real', name, String(e).slice(0, 200)))
