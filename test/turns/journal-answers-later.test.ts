import t from 'tap'

import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { KEY, ticks } from '../helpers/turn-bench.js'
import { bench, goesOn } from './hanging-journal-bench.js'

await t.test('over a journal that answers later', async (t) => {
  await t.test('an end that could not be written reaches a follower that comes after it', async (t) => {
    // Whoever was still to follow the turn when it ended so got no end at all.
    const { one, desk, journal } = bench()
    const first = await one.start({ message: 'a' })
    await ticks(10)
    const gate = deferred()
    journal.after = (method, count) => method === 'followTurn' && count === 2 ? gate.promise : undefined
    journal.before = (method, count): undefined => { if (method === 'append' && count > 1) throw new Error('no disk') }
    const starting = one.start({ message: 'b' })
    await ticks(5)
    await desk.answer('a', '')
    await first.ended.promise
    await ticks(10)
    await desk.answer('b', 'done')
    await ticks(10)
    gate.resolve()
    t.match(await (await starting).ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
    await one.finish(t)
  })

  await t.test('an interrupt stops a turn that is being taken, and none that was accepted after it', async (t) => {
    // The turn being taken neither waited nor ran: it was not stopped, and the interrupt waited for all of it.
    const { one, desk, hang } = bench()
    const gate = hang('after', 'take', 1)
    const a = await one.start({ message: 'a' })
    const interrupting = one.start({ message: 'b', onBusy: 'interrupt' })
    await ticks(5)
    const starting = one.start({ message: 'c' })
    await ticks(5)
    gate.resolve()
    const [b, c] = [await interrupting, await starting]
    t.match(await a.ended.promise, { finishReason: 'aborted' })
    for (const message of ['a', 'b', 'c']) {
      await desk.answer(message, message)
      await ticks(20)
    }
    await one.finish(t)
    t.strictSame([b.ends[0]?.content, c.ends[0]?.content], ['b', 'c'])
  })

  await t.test('a cancel without a turn stops no chat that was sent after it', async (t) => {
    // It stopped whatever ran when the journal had answered.
    const { one, desk, journal, hang } = bench()
    const a = await one.start({ message: 'a' })
    await one.start({ message: 'b' })
    await ticks(10)
    const gate = hang('after', 'cancel', 1)
    const cancelling = one.engine.cancel(KEY, true)
    await ticks(5)
    await desk.answer('a', 'by itself')
    await ticks(10)
    t.strictSame(a.short, ['end aborted'])
    const c = await one.start({ message: 'c' })
    await ticks(10)
    gate.resolve()
    t.strictSame(await cancelling, ['t1', 't2'])
    await desk.answer('c', 'done')
    t.match(await c.ended.promise, { content: 'done' })
    t.equal(journal.calls.cancel, 1)
    await one.finish(t)
  })

  await t.test('a session whose turns wait for a right that another has asks again after a second', async (t) => {
    // Nothing asked again: they waited until somebody sent another chat.
    const { one, desk, journal } = bench()
    const terms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } } as const
    await journal.offer(KEY, { turnId: 'theirs', message: '', acceptedAt: 0 }, terms)
    const theirs = await journal.take(KEY, () => true)
    if (theirs === undefined) throw new Error('nothing to take')
    const readers = [await one.start({ message: 'a' }), await one.start({ message: 'b' })]
    await ticks(10)
    one.clock.advance(1_000)
    await ticks(10)
    t.strictSame([desk.called, journal.calls.take], [[], 4])
    await journal.release(theirs, { finishReason: 'stop' })
    one.clock.advance(1_000)
    await ticks(10)
    for (const message of ['a', 'b']) { await desk.answer(message, ''); await ticks(20) }
    await Promise.all(readers.map((reader) => reader.ended.promise))
    await one.finish(t)
  })

  for (const how of ['cancelled', 'drained'] as const) {
    await t.test(`such a session leaves no timer when its turns are ${how}`, async (t) => {
      const { one, journal } = bench()
      const terms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } } as const
      await journal.offer(KEY, { turnId: 'theirs', message: '', acceptedAt: 0 }, terms)
      await journal.take(KEY, () => false)
      await one.start()
      await ticks(10)
      if (how === 'cancelled') t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
      else await one.engine.drain(1_000)
      for (const reader of one.readers) reader.read()
      await one.finish(t)
    })
  }

  await t.test('a chat that comes while the journal says that there is none is asked for at once', async (t) => {
    // It waited for the next chat.
    const { one, desk, journal } = bench()
    await one.start({ message: 'a' })
    await ticks(10)
    const [offered, taken] = [deferred(), deferred()]
    journal.before = (method, count) => method === 'offer' && count === 2 ? offered.promise : undefined
    journal.after = (method, count) => method === 'take' && count === 2 ? taken.promise : undefined
    const starting = one.start({ message: 'b' })
    await desk.answer('a', '')
    await eventually(() => journal.calls.take === 2)
    await ticks(5)
    offered.resolve()
    const b = await starting
    taken.resolve()
    await ticks(10)
    await desk.answer('b', 'done')
    t.match(await b.ended.promise, { content: 'done' })
    await one.finish(t)
  })

  await t.test('a turn that nobody waits for, and that cannot be ended, is logged, and the session goes on', async (t) => {
    // The session stood still for ever.
    const made = bench()
    const { one, desk, journal } = made
    journal.before = (method, count): undefined => {
      if ((method === 'followTurn' || method === 'retract') && count === 1) throw new Error('no disk')
    }
    journal.after = (method, count): undefined => { if (method === 'release' && count === 1) throw new Error('no disk') }
    t.match(await one.offer({ message: 'a' }), { code: 'STORE_UNAVAILABLE' })
    await goesOn(t, made, 'b')
    t.strictSame(desk.called, ['b'])
    t.match(one.log.lines.at(-1), { level: 'error', text: 'the journal did not end a turn that nobody waits for' })
  })

  await t.test('an interrupt whose journal answers late stops no turn that was accepted after it', async (t) => {
    // It stopped whatever ran when the journal had answered, if it was not its own turn.
    const { one, desk, hang } = bench()
    await one.start({ message: 'a' })
    await ticks(10)
    const gate = hang('after', 'followTurn', 2)
    const interrupting = one.start({ message: 'b', onBusy: 'interrupt' })
    await ticks(5)
    const c = await one.start({ message: 'c' })
    for (const message of ['a', 'b']) { await desk.answer(message, message); await ticks(20) }
    gate.resolve()
    t.match((await interrupting).ends, [{ content: 'b' }])
    await desk.answer('c', 'c')
    t.match(await c.ended.promise, { content: 'c' })
    await one.finish(t)
  })

  await t.test('a session that is over takes nothing from the next of its name', async (t) => {
    // A chat that was displaced, and whose journal answered late, made the engine forget the session that runs now.
    const { one, desk, hang } = bench()
    const gate = hang('after', 'followTurn', 1)
    const displaced = one.start({ message: 'a' })
    await ticks(5)
    const b = await one.start({ message: 'b', onBusy: 'interrupt' })
    await desk.answer('b', 'done')
    await b.ended.promise
    await ticks(20)
    const c = await one.start({ message: 'c' })
    await ticks(10)
    gate.resolve()
    t.match((await displaced).ends, [{ finishReason: 'aborted' }])
    t.strictSame(await one.engine.cancel(KEY, true), ['t3'])
    await c.ended.promise
    await desk.answer('c', 'late')
    await one.finish(t)
  })

  await t.test('a session is not over while its journal is asked for the next turn', async (t) => {
    // The next chat's session was another, and the right to run it came to the old one, where nobody waited.
    const { one, desk, hang } = bench()
    const gate = hang('before', 'take')
    const a = await one.start({ message: 'a' })
    const cancelling = one.engine.cancel(KEY, true)
    await a.ended.promise
    await ticks(5)
    const b = await one.start({ message: 'b' })
    gate.resolve()
    t.strictSame(await cancelling, ['t1'])
    await ticks(10)
    await desk.answer('b', 'done')
    t.match(await b.ended.promise, { content: 'done' })
    await one.finish(t)
  })
})

await t.test('a log that fails keeps no session from going on', async (t) => {
  const { one, desk, journal } = bench()
  journal.before = (method, count): undefined => { if (method === 'take' && count === 1) throw new Error('no disk') }
  const { error } = one.log
  one.log.error = (...given: unknown[]) => {
    if (given[1] === 'the journal did not start a turn') throw new Error('no log')
    Reflect.apply(error, one.log, given)
  }
  await one.start({ message: 'a' })
  await ticks(10)
  t.match(one.log.lines, [{ fields: { err: /no log/ }, text: 'a turn could not go on' }])
  await ticks(10)
  t.strictSame(desk.called, ['a'])
  await desk.answer('a', '')
  await one.finish(t)
})
