import t from 'tap'

import { BUGS } from './bugs.js'
import type { Check } from './report.js'
import { find, rowOf } from './planted.js'

/** A bug that so many seeds do not show is not looked for. */
const MAX_SEEDS = 40

/** Which checks say what it is. */
const CHECKS: Record<string, Check[]> = {
  'a recovered feed goes on one entry late': ['order'],
  'an entry is told again when a reader has joined live': ['order'],
  'a follower is not told an end': ['order', 'ends'],
  'a follower is told an end twice': ['order', 'ends'],
  'what is caught up beyond the tail is a character short': ['text'],
  'a piece that is merged loses its first neighbour': ['text'],
  'the text in an ack is a character short': ['text', 'ends'],
  'the text in a subscribed is a character short': ['cut'],
  'a position that is no longer held is said to be recovered': ['cut', 'order'],
  'a chat that is sent again runs again': ['once'],
  'another message under the same id is taken for the same chat': ['answers'],
  'a stopped turn writes on': ['script'],
  'a cancelled turn is answered as stopped, and runs on': ['ends'],
  'a partial answer is not kept': ['history'],
  'a partial answer is kept as complete': ['history'],
  'owners share their sessions': ['owner'],
  'a reader that has left is still counted': ['leftovers']
}

t.test('each planted bug is found', { timeout: 300_000 }, async (t) => {
  t.strictSame(Object.keys(CHECKS), Object.keys(BUGS))
  for (const bug of Object.keys(BUGS)) {
    const found = await find(bug, MAX_SEEDS)
    t.comment(rowOf(found))
    t.ok(found.fault !== undefined && CHECKS[bug]?.includes(found.fault.check), `${bug}: ${found.fault?.check ?? 'not found'}, ${found.fault?.text ?? ''}`)
  }
})
