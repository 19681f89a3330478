import t from 'tap'

import { deferred } from '../helpers/deferred.js'
import { KEY, LIMITS, Reader, ticks, type TurnBench } from '../helpers/turn-bench.js'
import { bench, goesOn } from './hanging-journal-bench.js'

async function timeOut (one: TurnBench): Promise<void> {
  await ticks(10)
  one.clock.advance(LIMITS.journalTimeoutMs)
  await ticks(10)
}

/** Nothing here had a time limit: a journal that did not answer hung its chats, a cancel and the shutdown for ever. */
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
