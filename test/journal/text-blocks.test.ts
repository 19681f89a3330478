// What becomes of the memory of a turn's text when its session is forgotten, whoever comes first: its reader, its end, or its right to run.
import t from 'tap'

import type { TurnCursor } from '../../lib/journal/journal.js'
import { memoryJournal, unsharedJournal } from '../../lib/journal/memory-journal.js'
import { ABORTED } from '../../lib/turns/turn-end.js'

const TURNS = 100
const UNITS = 20_000
const OFFER = { onBusy: 'queue', maxQueued: 1, displacedEnd: ABORTED } as const

type Step = 'read' | 'leave' | 'end' | 'release'

const ORDERS: readonly (readonly Step[])[] = [
  ['end', 'release', 'read', 'leave'],
  ['end', 'read', 'leave', 'release'],
  ['leave', 'end', 'release'],
  ['read', 'end', 'leave', 'release'],
  ['read', 'leave', 'release']
]

for (const [name, make] of [['of connections', unsharedJournal], ['that is shared', memoryJournal]] as const) {
  for (const order of ORDERS) {
    t.test(`a journal ${name}: ${order.join(', ')}, forget`, async (t) => {
      const journal = make()
      const speak = async (): Promise<void> => {
        for (let n = 0; n < TURNS; n++) {
          const key = { owner: 'o', agentId: 'a', sessionId: `s${n}` }
          await journal.offer(key, { turnId: 't', message: 'm', acceptedAt: 0 }, OFFER)
          const cursor = await journal.followTurn(key, 't', () => {})
          const run = await journal.take(key, () => true)
          if (cursor === undefined || run === undefined) throw new Error('no turn')
          await journal.append(run, 1, [{ kind: 'text', content: 'x'.repeat(UNITS) }])
          for (const step of order) {
            if (step === 'read') t.equal(read(cursor), UNITS)
            else if (step === 'leave') cursor.close()
            else if (step === 'end') await journal.append(run, 2, [{ kind: 'end', end: { finishReason: 'stop' } }])
            else await journal.release(run, ABORTED)
          }
          await journal.forget(key)
        }
      }
      await speak()
      const before = process.memoryUsage().arrayBuffers
      await speak()
      const made = process.memoryUsage().arrayBuffers - before
      t.ok(made < (TURNS * UNITS) / 10, `${made} bytes, where the room of those before was free`)
      await journal.close()
    })
  }
}

function read (cursor: TurnCursor): number {
  let units = 0
  for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
    if (entry === 'lost') throw new Error('lost')
    if (entry.kind === 'text') units += entry.content.length
  }
  return units
}
