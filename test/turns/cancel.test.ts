import t from 'tap'

import { memoryJournal } from '../../lib/journal/memory-journal.js'
import type { Chat } from '../../lib/turns/engine.js'
import { deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SessionReader } from '../helpers/session-reader.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { JOURNALS, KEY, ticks, TurnBench } from '../helpers/turn-bench.js'

const CHAT: Chat = { key: KEY, isNamed: true, turnId: 'x', message: 'x', bodyHash: 'hash' }

for (const [kind, makeJournal] of JOURNALS) {
  const bench = (): { one: TurnBench, desk: Desk } => {
    const clock = new ManualClock()
    const desk = new Desk()
    return { desk, one: new TurnBench(desk.executor, { clock, journal: makeJournal({ clock }) }) }
  }

  await t.test(`a cancel, with a journal ${kind}`, async (t) => {
    await t.test('is not meant for what is sent after it, even at once', async (t) => {
      const { one, desk } = bench()
      await one.start({ message: 'a' })
      await ticks(5)
      const [cancelling, starting] = [one.engine.cancel(KEY, true), one.start({ message: 'b' })]
      t.strictSame(await cancelling, ['t1'])
      const b = await starting
      await desk.answer('a', 'late')
      await desk.answer('b', 'done')
      t.match(await b.ended.promise, { content: 'done' })
      await one.finish(t)
    })

    await t.test('is meant for what was sent before it, even just before', async (t) => {
      const { one, desk } = bench()
      const starting = ['a', 'b', 'c'].map((message) => one.start({ message }))
      const cancelling = one.engine.cancel(KEY, true)
      const readers = await Promise.all(starting)
      t.strictSame(await cancelling, ['t1', 't2', 't3'])
      await desk.answer('a', 'late')
      await one.finish(t)
      t.strictSame(readers.map(({ short }) => short), [['end aborted'], ['end aborted'], ['end aborted']])
    })

    await t.test('is told to whoever follows the session, and keeps what there was', async (t) => {
      const { one, desk } = bench()
      const reader = await new SessionReader().follow(one.engine)
      for (const turnId of ['x', 'y', 'z']) await one.engine.startOnce({ ...CHAT, turnId, message: turnId }, () => {})
      await desk.answer('x', (async function * () { yield 'so far'; await new Promise(() => {}) })())
      await ticks(10)
      t.strictSame(await one.engine.cancel(KEY, true, 'y'), ['y'])
      t.strictSame(await one.engine.cancel(KEY, true, 'x'), ['x'])
      t.strictSame(await one.engine.cancel(KEY, true, 'x'), [], 'its end is decided')
      await ticks(20)
      one.clock.advance(5_000)
      await desk.answer('z', '')
      await ticks(20)
      t.strictSame(reader.short, [
        'x event turn-started', 'x text so far', 'y end aborted', 'x end aborted', 'z event turn-started', 'z end stop'
      ])
      t.strictSame((await one.said()).slice(0, 2), [['user', 'x', true], ['assistant', 'so far', false]])
      reader.close()
    })

    await t.test('leaves an executor behind that ignores it, and lets it write no more', async (t) => {
      const { one, desk } = bench()
      const gate = deferred()
      const reader = await one.start({ message: 'a' })
      await desk.answer('a', (async function * () { yield 'so far'; await gate.promise; yield 'more' })())
      await reader.until(2)
      const next = await one.start({ message: 'b' })
      t.strictSame(await one.engine.cancel(KEY, true, 't1'), ['t1'])
      await reader.ended.promise
      await ticks(5)
      one.clock.advance(4_999)
      await ticks(10)
      t.strictSame(desk.called, ['a'])
      one.clock.advance(1)
      await ticks(10)
      t.strictSame(desk.called, ['a', 'b'])
      t.equal(one.engine.stats().turns, 2, 'what is left behind is counted')
      gate.resolve()
      await desk.answer('b', 'done')
      await next.ended.promise
      await one.finish(t)
      t.strictSame(reader.short, ['text so far', 'end aborted'])
      t.strictSame((await one.said())[1], ['assistant', 'so far', false])
    })

    await t.test('stops what another engine runs on the same journal', async (t) => {
      const { one, desk } = bench()
      const other = new TurnBench(() => '', { clock: one.clock, journal: one.journal, store: one.store })
      const readers = [await one.start({ message: 'a' }), await one.start({ message: 'b' })]
      await ticks(5)
      t.strictSame(await other.engine.cancel(KEY, true), ['t1', 't2'])
      await desk.answer('a', 'late')
      for (const reader of readers) t.match(await reader.ended.promise, { finishReason: 'aborted' })
    })
  })
}

await t.test('over a journal that answers later', async (t) => {
  const slow = (): { one: TurnBench, desk: Desk, journal: SlowJournal } => {
    const clock = new ManualClock()
    const journal = new SlowJournal({ clock })
    const desk = new Desk()
    return { journal, desk, one: new TurnBench(desk.executor, { clock, journal }) }
  }

  await t.test('a turn that is cancelled before its reader was there is told all the same', async (t) => {
    // Its chat was refused, and the journal said that it had been cancelled.
    const { one, desk, journal } = slow()
    const gate = deferred()
    journal.before = (method) => method === 'followTurn' ? gate.promise : undefined
    const starting = one.start({ message: 'a' })
    await ticks(5)
    t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
    gate.resolve()
    t.match(await (await starting).ended.promise, { finishReason: 'aborted' })
    t.strictSame([one.log.lines, desk.called], [[], []])
    await one.finish(t)
  })

  await t.test('a cancel that overtakes the answer of `take` stops that turn, and it ends as one that was cancelled', async (t) => {
    // It ended with `STORE_UNAVAILABLE`, as a turn that nobody waits for.
    const { one, desk, journal } = slow()
    const gate = deferred()
    journal.after = (method) => method === 'take' ? gate.promise : undefined
    const readers = [await one.start({ message: 'a' }), await one.start({ message: 'b' })]
    t.strictSame(await one.engine.cancel(KEY, true), ['t1', 't2'])
    t.match(await readers[1]?.ended.promise, { finishReason: 'aborted' })
    gate.resolve()
    t.match(await readers[0]?.ended.promise, { finishReason: 'aborted' })
    await desk.answer('a', 'late')
    await one.finish(t)
    t.strictSame(one.log.lines, [])
  })

  await t.test('and that fails to answer `take`: a turn that was cancelled meanwhile has its end', async (t) => {
    // It had none: the journal thought that it ran, and here nobody waited for it.
    const { one, journal } = slow()
    const gate = deferred()
    journal.after = (method) => method === 'take' ? gate.promise : undefined
    const reader = await one.start({ message: 'a' })
    t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
    gate.reject(new Error('no disk'))
    t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
    await one.finish(t)
  })

  await t.test('a cancel ends what waits here, also where the journal fails and nothing runs here', async (t) => {
    const { one, journal } = slow()
    const terms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } } as const
    await journal.offer(KEY, { turnId: 'theirs', message: '', acceptedAt: 0 }, terms)
    await journal.take(KEY, () => false)
    const reader = await one.start({ message: 'a' })
    await ticks(5)
    journal.before = (method): undefined => { if (method === 'cancel') throw new Error('no disk') }
    t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
    t.match(await reader.ended.promise, { finishReason: 'aborted' })
    await one.finish(t)
  })

  await t.test('a cancel of a turn of another id stops nothing here when the journal fails', async (t) => {
    const { one, desk, journal } = slow()
    await one.start({ message: 'a' })
    await ticks(5)
    journal.before = (method): undefined => { if (method === 'cancel') throw new Error('no disk') }
    await t.rejects(one.engine.cancel(KEY, true, 'other'), { message: 'no disk' })
    await desk.answer('a', 'done')
    await one.finish(t)
    t.match(one.readers[0]?.ends, [{ content: 'done' }])
  })
})

await t.test('a turn that was cancelled while it was taken is stopped as soon as it runs', async (t) => {
  const clock = new ManualClock()
  const journal = memoryJournal({ clock })
  const take = journal.take.bind(journal)
  journal.take = (key, onStop) => {
    const run = take(key, onStop)
    t.ok(onStop(), 'nothing has decided its end')
    return run
  }
  const desk = new Desk()
  const one = new TurnBench(desk.executor, { clock, journal })
  const reader = await one.start({ message: 'a' })
  t.match(await reader.ended.promise, { finishReason: 'aborted' })
  await one.finish(t)
  t.strictSame(desk.called, [])
})
