import t, { type Test } from 'tap'

import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { deferred, type Deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { KEY, LIMITS, Reader, ticks, TurnBench } from '../helpers/turn-bench.js'

/** Nothing here had a time limit: a journal that did not answer hung its chats, a cancel and the shutdown for ever. */
type Method = Parameters<SlowJournal['before']>[0]

interface Bench {
  one: TurnBench
  desk: Desk
  journal: SlowJournal
  /** Keeps what was asked from its effect (`before`) or from its answer (`after`), until the gate is opened. */
  hang: (when: 'before' | 'after', method: Method, count?: number) => Deferred<void>
}

function bench (): Bench {
  const clock = new ManualClock()
  const journal = new SlowJournal({ clock })
  const desk = new Desk()
  const hang: Bench['hang'] = (when, method, count) => {
    const gate = deferred()
    journal[when] = (name, nth) => name === method && (count === undefined || nth === count) ? gate.promise : undefined
    return gate
  }
  return { one: new TurnBench(desk.executor, { clock, journal }), desk, journal, hang }
}

async function timeOut (one: TurnBench): Promise<void> {
  await ticks(10)
  one.clock.advance(LIMITS.journalTimeoutMs)
  await ticks(10)
}

/** The session works again. */
async function goesOn (t: Test, { one, desk }: Bench, message: string): Promise<void> {
  const reader = await one.start({ message })
  await desk.answer(message, `re: ${message}`)
  t.match(await reader.ended.promise, { content: `re: ${message}` })
  await one.finish(t)
}

await t.test('a journal that hangs', async (t) => {
  for (const method of ['offer', 'followTurn'] as const) {
    for (const when of ['before', 'after'] as const) {
      await t.test(`${when} ${method}: the chat is refused, and what the journal takes late does not run`, async (t) => {
        const made = bench()
        const { one, desk, journal, hang } = made
        const gate = hang(when, method, 1)
        const offering = one.offer({ message: 'a' })
        await timeOut(one)
        t.strictSame(await offering, { accepted: false, code: 'STORE_UNAVAILABLE' })
        t.strictSame(one.engine.stats(), { turns: 0, runningTurns: 0 })
        gate.resolve()
        await ticks(10)
        t.equal(journal.inner.take(KEY, () => true), undefined, 'nothing is left in its queue')
        t.equal(journal.openCursors, 0)
        await goesOn(t, made, 'b')
        t.strictSame(desk.called, ['b'])
      })
    }
  }

  for (const when of ['before', 'after'] as const) {
    await t.test(`${when} take: the turn has its end, and a right to run that comes late is given back`, async (t) => {
      const made = bench()
      const { one, desk, hang } = made
      const gate = hang(when, 'take', 1)
      const reader = await one.start({ message: 'a' })
      await timeOut(one)
      t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
      gate.resolve()
      await ticks(10)
      await goesOn(t, made, 'b')
      t.strictSame(desk.called, ['b'])
    })
  }

  await t.test('at take, and fails to take back what it gave too late: that is logged', async (t) => {
    const { one, journal, hang } = bench()
    const gate = hang('after', 'take', 1)
    await one.start()
    await timeOut(one)
    journal.before = (method): undefined => { if (method === 'append' || method === 'release') throw new Error('no disk') }
    gate.resolve()
    await ticks(10)
    t.match(one.log.lines.at(-1), { level: 'error', fields: { err: /no disk/ }, text: 'the journal did not take back what it had given too late' })
  })

  await t.test('at append: the turn ends for its readers, and the next one runs', async (t) => {
    const made = bench()
    const { one, desk, hang } = made
    hang('before', 'append')
    const reader = await one.start({ message: 'a' })
    await desk.answer('a', ['x', 'y'])
    await timeOut(one)
    t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
    t.ok(one.log.lines.some(({ fields }) => /the journal took longer than 3000 ms/.test(String(fields.err))))
    made.journal.before = () => undefined
    await ticks(10)
    await goesOn(t, made, 'b')
  })

  await t.test('at release: the next turn runs when the right to run is free again', async (t) => {
    const made = bench()
    const { one, desk, hang } = made
    const gate = hang('before', 'release', 1)
    const [a, b] = [await one.start({ message: 'a' }), await one.start({ message: 'b' })]
    await desk.answer('a', '')
    await a.ended.promise
    await timeOut(one)
    t.equal(b.entries.length, 0)
    gate.resolve()
    await ticks(10)
    one.clock.advance(1_000)
    await ticks(10)
    await desk.answer('b', '')
    await b.ended.promise
    await one.finish(t)
  })

  await t.test('at cancel and withdraw: cancel ends what runs and waits here, and drain ends', async (t) => {
    const { one, desk, journal } = bench()
    const [a, b, c] = [await one.start({ message: 'a' }), await one.start({ message: 'b' }), await one.start({ message: 'c' })]
    await ticks(10)
    const gate = deferred()
    journal.before = (method) => method === 'cancel' || method === 'withdraw' ? gate.promise : undefined
    const cancelling = Promise.all(['t1', 't2'].map((turnId) => one.engine.cancel(KEY, true, turnId)))
    await timeOut(one)
    t.match(await a.ended.promise, { finishReason: 'aborted' })
    t.equal(b.ends.length, 0)
    await timeOut(one)
    t.strictSame(await cancelling, [['t1'], ['t2']])
    t.strictSame(b.short, ['end aborted'])
    const draining = one.engine.drain(10_000)
    await timeOut(one)
    await draining
    c.read()
    t.strictSame(c.short, ['end SHUTTING_DOWN'])
    await desk.answer('a', 'late')
    await one.finish(t)
  })
})

await t.test('drain', async (t) => {
  await t.test('withdraws the chats of all sessions at once', async (t) => {
    // One after another: a journal that hung took its time-out for every session and every chat.
    const { one, desk, hang } = bench()
    const keys = ['s1', 's2', 's3'].map((sessionId) => ({ ...KEY, sessionId }))
    for (const key of keys) for (const message of ['a', 'b', 'c']) await one.start({ message, key })
    await ticks(10)
    hang('before', 'withdraw')
    const draining = one.engine.drain(10_000)
    await timeOut(one)
    await desk.answer('a', '')
    await draining
    for (const reader of one.readers) reader.read()
    t.equal(one.readers.filter((reader) => reader.short.join() === 'end SHUTTING_DOWN').length, 6)
    await ticks(10)
    for (const key of keys) await one.journal.forget(key)
    await one.finish(t)
  })

  await t.test('does not wait for executors that ignore their signal, and has given the rights to run back', async (t) => {
    // It was over before the right was given back; and that waited for the grace of a cancel, which nobody needed.
    for (const isCancelledBefore of [false, true]) {
      const { one, desk, journal } = bench()
      await one.start({ message: 'a' })
      await ticks(10)
      if (isCancelledBefore) {
        await one.engine.cancel(KEY, true)
        await ticks(20)
      }
      const draining = one.engine.drain(1_000)
      await ticks(10)
      one.clock.advance(1_000)
      await draining
      t.equal(journal.calls.release, 1)
      await desk.answer('a', 'late')
      await one.finish(t)
    }
  })

  await t.test('waits for a release no longer than the journal may take', async (t) => {
    const { one, desk, hang } = bench()
    await one.start({ message: 'a' })
    await ticks(10)
    hang('before', 'release')
    const draining = one.engine.drain(10_000)
    await desk.answer('a', '')
    await timeOut(one)
    await draining
    await one.finish(t)
  })

  await t.test('stops a turn whose right to run comes after its time', async (t) => {
    // Nothing stopped it any more: the shutdown waited for as long as it ran.
    const { one, desk, hang } = bench()
    const gate = hang('after', 'take', 1)
    const reader = await one.start({ message: 'a' })
    const draining = one.engine.drain(1_000)
    await ticks(10)
    one.clock.advance(1_500)
    gate.resolve()
    await draining
    t.strictSame(reader.short, ['end SHUTTING_DOWN'])
    t.strictSame(desk.called, [])
    await one.finish(t)
  })
})

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

await t.test('a named session and a connection\'s own of the same name are two', async (t) => {
  // They shared a queue: one waited for the other, and the end of the connection cancelled both.
  const desk = new Desk()
  const one = new TurnBench(desk.executor)
  const [named, own] = [await one.start({ message: 'a' }), await one.start({ message: 'b', isNamed: false })]
  await ticks(5)
  t.strictSame(desk.called, ['a', 'b'])
  t.strictSame(await one.engine.cancel(KEY, true, 't2'), [])
  await one.engine.endUnnamed(KEY)
  t.match(own.ends, [{ finishReason: 'aborted' }])
  t.equal(named.ends.length, 0)
  await desk.answer('b', 'late')
  await desk.answer('a', 'done')
  t.match(await named.ended.promise, { content: 'done' })
  await one.finish(t)
})

await t.test('a follower that was closed is not told how its turn ended', async (t) => {
  // Every one there had been was held until the end of the turn, and woken by it.
  const { one, desk, hang } = bench()
  const reader = new Reader()
  const started = await one.offer({ message: 'a' }, () => { reader.wake() })
  if (!started.accepted) throw new Error(started.code)
  reader.follow(started)
  await ticks(10)
  reader.read()
  started.follower.close()
  const { wakes } = reader
  hang('before', 'append')
  await desk.answer('a', 'done')
  await timeOut(one)
  t.equal(reader.wakes, wakes)
  await one.idle()
})

await t.test('a journal in memory that fails to start a turn: the turn has its end, and the next one runs', async (t) => {
  const clock = new ManualClock()
  const journal = memoryJournal({ clock })
  const take = journal.take.bind(journal)
  let count = 0
  journal.take = (...given) => { if (count++ === 0) throw new Error('no memory'); return take(...given) }
  const one = new TurnBench(() => 'done', { clock, journal })
  const first = await one.start()
  t.match(await first.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
  const second = await one.start()
  t.match(await second.ended.promise, { content: 'done' })
  await one.finish(t)
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
