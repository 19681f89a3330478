import t from 'tap'

import type { Chat } from '../../lib/turns/engine.js'
import { deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SessionReader } from '../helpers/session-reader.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { JOURNALS, KEY, LIMITS, ticks, TurnBench, type BenchOptions } from '../helpers/turn-bench.js'

/** All turns are looked at so often. */
const WATCH_MS = 250
const GRACE_MS = LIMITS.disconnectGraceMs
const FOR_READERS: Partial<Chat> = { isForReaders: true }

for (const [kind, makeJournal] of JOURNALS) {
  const bench = (options: BenchOptions<ManualClock> = {}): { one: TurnBench, desk: Desk } => {
    const clock = new ManualClock()
    const desk = new Desk()
    const limits = { onDisconnect: 'cancel', ...options.limits } as const
    return { desk, one: new TurnBench(desk.executor, { clock, journal: makeJournal({ clock }), ...options, limits }) }
  }

  await t.test(`a turn that nobody follows, with a journal ${kind}`, async (t) => {
    await t.test('is stopped after the grace, whether it runs or waits', async (t) => {
      const { one, desk } = bench()
      const readers = [await one.start({ message: 'a', ...FOR_READERS }), await one.start({ message: 'b', ...FOR_READERS })]
      await ticks(5)
      for (const { follower } of readers) follower?.close()
      await pass(one, GRACE_MS)
      t.equal(one.engine.stats().turns, 2)
      await pass(one, WATCH_MS)
      await desk.answer('a', 'late')
      await one.idle()
      t.strictSame(desk.called, ['a'])
      t.strictSame((await one.said()).map(([role]) => role), ['user'])
      await forget(one)
      t.equal(one.clock.pending, 0)
    })

    await t.test('has its partial answer kept', async (t) => {
      const { one, desk } = bench()
      const reader = await one.start({ message: 'a', ...FOR_READERS })
      await desk.answer('a', never('so far'))
      await reader.until(2)
      reader.follower?.close()
      await pass(one, GRACE_MS + WATCH_MS)
      await pass(one, LIMITS.cancelGraceMs)
      t.strictSame(await one.said(), [['user', 'a', true], ['assistant', 'so far', false]])
    })

    await t.test('goes on when somebody follows it in time, and its grace begins anew when they have gone', async (t) => {
      const { one, desk } = bench()
      const reader = await one.start({ message: 'a', ...FOR_READERS })
      await ticks(5)
      reader.follower?.close()
      await pass(one, GRACE_MS - WATCH_MS)
      const back = await new SessionReader().follow(one.engine)
      t.match(back.followed?.turns, [{ chat: { turnId: 't1' }, status: 'running' }])
      await pass(one, 3 * GRACE_MS)
      back.close()
      await pass(one, GRACE_MS)
      t.equal(one.engine.stats().runningTurns, 1)
      const again = await new SessionReader().follow(one.engine)
      await desk.answer('a', 'done')
      await one.idle()
      t.strictSame(again.short, ['t1 end stop'])
      again.close()
      await forget(one)
    })

    await t.test('is stopped though others read other turns of its session', async (t) => {
      const { one, desk } = bench()
      const first = await one.start({ message: 'a', ...FOR_READERS })
      const second = await one.start({ message: 'b', ...FOR_READERS })
      await ticks(5)
      first.follower?.close()
      await pass(one, GRACE_MS + WATCH_MS)
      await desk.answer('a', 'late')
      await ticks(20)
      await desk.answer('b', 'done')
      t.match(await second.ended.promise, { content: 'done' })
      t.strictSame((await one.said()).map(([, content]) => content), ['a', 'b', 'done'])
      await one.idle()
      await forget(one)
    })

    await t.test('goes on where it is not for readers, or its session has no name', async (t) => {
      const { one, desk } = bench()
      const readers = [
        await one.start({ message: 'a' }),
        await one.start({ message: 'b', isForReaders: false, key: { ...KEY, sessionId: 's2' } }),
        await one.start({ message: 'c', isNamed: false, ...FOR_READERS })
      ]
      await ticks(5)
      for (const { follower } of readers) follower?.close()
      await pass(one, 3 * GRACE_MS)
      t.equal(one.engine.stats().runningTurns, 3)
      for (const message of ['a', 'b', 'c']) await desk.answer(message, `re: ${message}`)
      await one.idle()
      t.strictSame(await one.said(), [['user', 'a', true], ['assistant', 're: a', true]])
      await one.engine.endUnnamed(KEY)
      await forget(one, 's2')
    })

    await t.test('goes on where turns go on', async (t) => {
      const { one, desk } = bench({ limits: { onDisconnect: 'continue' } })
      const reader = await one.start({ message: 'a', ...FOR_READERS })
      await ticks(5)
      reader.follower?.close()
      await pass(one, 3 * GRACE_MS)
      await desk.answer('a', 'done')
      await one.idle()
      t.strictSame((await one.said())[1], ['assistant', 'done', true])
      await forget(one)
    })
  })
}

await t.test('a journal that answers later', async (t) => {
  const slow = (): { one: TurnBench, desk: Desk, journal: SlowJournal } => {
    const clock = new ManualClock()
    const journal = new SlowJournal({ clock })
    const desk = new Desk()
    return { journal, desk, one: new TurnBench(desk.executor, { clock, journal, limits: { onDisconnect: 'cancel', journalTimeoutMs: 60_000 } }) }
  }

  await t.test('and says that nobody reads when the turn has ended: nothing happens', async (t) => {
    const { one, desk, journal } = slow()
    const reader = await one.start({ message: 'a', ...FOR_READERS })
    await ticks(5)
    reader.follower?.close()
    await pass(one, GRACE_MS)
    const gate = deferred()
    journal.after = (method) => method === 'readers' ? gate.promise : undefined
    await pass(one, WATCH_MS)
    await desk.answer('a', 'done')
    await one.idle()
    gate.resolve()
    await ticks(5)
    t.strictSame(await one.said(), [['user', 'a', true], ['assistant', 'done', true]])
    t.strictSame(one.log.lines, [])
    await forget(one)
  })

  await t.test('and is not asked about a chat that it has not taken yet', async (t) => {
    const { one, desk, journal } = slow()
    await one.start({ message: 'a' })
    await ticks(5)
    const gate = deferred()
    journal.after = (method, count) => method === 'followTurn' && count === 2 ? gate.promise : undefined
    const starting = one.start({ message: 'b', ...FOR_READERS })
    await pass(one, 2 * GRACE_MS)
    t.equal(journal.calls.readers, undefined)
    gate.resolve()
    await starting
    for (const message of ['a', 'b']) { await desk.answer(message, ''); await ticks(20) }
    await one.finish(t)
  })

  for (const how of ['rejects', 'throws'] as const) {
    await t.test(`and ${how} when it is asked who reads: that is logged, and the turn goes on`, async (t) => {
      const { one, desk, journal } = slow()
      const reader = await one.start({ message: 'a', ...FOR_READERS })
      await ticks(5)
      if (how === 'rejects') journal.before = (method): undefined => { if (method === 'readers') throw new Error('no disk') }
      else journal.readers = () => { throw new Error('no disk') }
      await pass(one, WATCH_MS)
      t.match(one.log.lines, [{ level: 'error', fields: { err: /no disk/, turnId: 't1' }, text: 'the journal did not say who reads a turn' }])
      await pass(one, 2 * GRACE_MS)
      await desk.answer('a', 'done')
      t.match(await reader.ended.promise, { content: 'done' })
      await one.finish(t)
    })
  }
})

/** Time passes, and every look at the turns is over before the next. */
async function pass (one: TurnBench, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= WATCH_MS) {
    one.clock.advance(Math.min(left, WATCH_MS))
    await ticks(3)
  }
}

async function forget (one: TurnBench, ...sessionIds: string[]): Promise<void> {
  for (const sessionId of [KEY.sessionId, ...sessionIds]) await one.journal.forget({ ...KEY, sessionId })
}

async function * never (piece: string): AsyncGenerator<string> {
  yield piece
  await new Promise(() => {})
}
