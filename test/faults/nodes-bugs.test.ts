import t from 'tap'

import { BUGS } from './nodes/bugs.js'
import { checkTold } from './nodes/checks.js'
import { play, SCRIPTS } from './nodes/scripted.js'
import { withNodes } from './nodes/with-nodes.js'

/** What the run is to say of each. */
const FAULTS: Readonly<Record<string, RegExp>> = {
  'the fence is off': /: ends: in the journal .* (after the end|that none of its nodes gave it)/,
  'what is appended is published before, and a node may die between': /: told: .*, the journal has /,
  'nothing is caught up with after a break': /: stuck: /,
  'a claim is kept for good': /expiry: .* stays for good/
}

const timeout = 300_000
// Side by side, since each mostly waits.
const found = Object.fromEntries(Object.keys(BUGS).map((bug) => [bug, withNodes({ bug, count: 2 }, (tools) => play(bug, tools))]))
for (const faults of Object.values(found)) faults.catch(() => {})

t.test('an end that could not be written may be told where that of a turn is which was told so before, and no other', async (t) => {
  const held = new Map([[5, { seq: 5, id: 'one', what: 'end TURN_LOST', text: '' }], [6, { seq: 6, id: 'one', what: 'event', text: '' }]])
  const faultsOf = (seq: number, passedOver: string[]): number => {
    const told = [{ epoch: 'e', seq, id: 'two', what: 'end TURN_LOST', text: '', passedOver }]
    const faults: string[] = []
    checkTold({ sessionId: 's', told, epochs: new Set(['e']) }, 'e', held, new Map(), { faults })
    return faults.length
  }
  t.strictSame([faultsOf(5, ['one']), faultsOf(5, []), faultsOf(5, ['three']), faultsOf(6, ['one'])], [0, 1, 1, 1])
})

t.test('nothing is found where there is no bug', { timeout }, async (t) => {
  await withNodes({ count: 2 }, async (tools) => {
    for (const script of Object.keys(SCRIPTS)) t.strictSame(await play(script, tools), [], script)
  })
})

for (const [bug, faults] of Object.entries(found)) {
  t.test(`a planted bug is found: ${bug}`, { timeout }, async (t) => {
    t.ok((await faults).some((fault) => FAULTS[bug]?.test(fault)), (await faults).join('\n') || 'nothing was found')
  })
}
