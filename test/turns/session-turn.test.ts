import t from 'tap'

import type { Executor } from '../../lib/agent/executor.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { LiveSession, LiveTurn } from '../../lib/turns/live-session.js'
import { SessionTurn } from '../../lib/turns/session-turn.js'
import { ABORTED } from '../../lib/turns/turn-end.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { recordingLog } from '../helpers/recording-log.js'
import { KEY, LIMITS, ticks } from '../helpers/turn-bench.js'

await t.test('a turn that answers at once', async (t) => {
  await t.test('is told of once, when it has run, and as one whose executor is done', async (t) => {
    const told: string[] = []
    const turn = await taken(() => { told.push('executor'); return 'said' }, told)
    const waited = Promise.all([turn.ended(), turn.ended()])
    turn.start()
    t.strictSame(told, ['executor', 'ended, returned'])
    await waited
    await turn.ended()
  })
})

for (const [what, executor] of [
  ['a promise of a text', async () => 'said'],
  ['pieces that come later', async function * () { yield 'said' }],
  ['a failure that comes later', async () => { throw new Error('boom') }]
] satisfies Array<[string, Executor]>) {
  await t.test(`a turn of ${what} ends when its executor is done: nobody waits for that`, async (t) => {
    const told: string[] = []
    const turn = await taken(executor, told)
    turn.start()
    t.strictSame(told, [])
    await turn.ended()
    await ticks()
    t.strictSame(told, ['ended, returned'])
  })
}

await t.test('a turn that is stopped', async (t) => {
  await t.test('is told of at once, and again when its executor is done', async (t) => {
    const told: string[] = []
    let goOn = (): void => {}
    const turn = await taken(async () => { await new Promise<void>((resolve) => { goOn = resolve }); return 'late' }, told)
    turn.start()
    turn.run.stop(ABORTED, new Error('stopped'))
    t.strictSame(told, ['ended'])
    goOn()
    await ticks()
    t.strictSame(told, ['ended', 'returned'])
  })

  await t.test('before it starts, asks no executor', async (t) => {
    const told: string[] = []
    const turn = await taken(() => { told.push('executor'); return 'said' }, told)
    turn.run.stop(ABORTED, new Error('stopped'))
    t.strictSame(told, [])
    turn.start()
    t.strictSame(told, ['ended, returned'])
  })
})

/** A turn that has the right to run, and what its owner is told. */
async function taken (executor: Executor, told: string[]): Promise<SessionTurn> {
  const [clock, journal] = [new ManualClock(), memoryJournal()]
  t.teardown(() => journal.close())
  await journal.offer(KEY, { turnId: 't1', message: 'hello', acceptedAt: 0 }, { onBusy: 'queue', maxQueued: 1, displacedEnd: ABORTED })
  const run = await journal.take(KEY, () => true)
  if (run === undefined) throw new Error('nothing to take')
  const tools = { journal, store: memorySessionStore(), limits: LIMITS, clock, log: recordingLog() }
  return new SessionTurn({ home: { tools } } as unknown as LiveSession, {} as LiveTurn, run, executor, {
    onEnded ({ run }) { told.push(run.hasReturned ? 'ended, returned' : 'ended') },
    onReturned () { told.push('returned') }
  })
}
