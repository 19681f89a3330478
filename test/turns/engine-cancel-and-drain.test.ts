import t from 'tap'

import { deferred, type Deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { JOURNALS, KEY, Reader, ticks, TurnBench } from '../helpers/turn-bench.js'
import { turnScene } from './turn-scene.js'

for (const [kind, makeJournal] of JOURNALS) {
  const { bench } = turnScene(makeJournal)

  await t.test(`with a journal ${kind}`, async (t) => {
    await t.test('cancel', async (t) => {
      await t.test('stops what runs and what waits, or one of them', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        const readers = []
        for (const message of ['a', 'b', 'c']) readers.push(await one.start({ message }))
        await ticks(10)
        t.strictSame(await one.engine.cancel(KEY, true, 't9'), [])
        t.strictSame(await one.engine.cancel({ ...KEY, owner: 'bob' }, true), [])
        t.strictSame(await one.engine.cancel(KEY, true, 't2'), ['t2'])
        t.strictSame(await one.engine.cancel(KEY, true, 't2'), [])
        t.strictSame(await one.engine.cancel(KEY, true), ['t1', 't3'])
        await desk.answer('a', 'late')
        await one.finish(t)
        t.strictSame(readers.map((reader) => reader.short), [['end aborted'], ['end aborted'], ['end aborted']])
        t.strictSame(desk.called, ['a'])
        t.strictSame(await one.engine.cancel(KEY, true), [], 'nothing runs')
      })

      await t.test('stops a turn at whatever step it is', async (t) => {
        // A cancel that came while the journal was asked found nothing to stop, and the turn ran.
        for (let when = 0; when < 8; when++) {
          const one = bench(async function * (turn) { await turn.waitFor(new Promise(() => {})); yield '' })
          const reader = new Reader()
          const starting = one.start({}, reader)
          await ticks(when)
          t.strictSame(await one.engine.cancel(KEY, true), ['t1'], `after ${when} ticks`)
          await starting
          await one.finish(t)
          t.strictSame(reader.short, ['end aborted'])
          t.strictSame(one.log.lines.filter(({ level }) => level === 'error'), [])
        }
      })
    })

    await t.test('drain', async (t) => {
      await t.test('ends what waits, lets what runs come to its end, and takes nothing more', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        const [a, b] = [await one.start({ message: 'a' }), await one.start({ message: 'b' })]
        t.notOk(one.engine.isDraining)
        const drained = one.engine.drain(10_000)
        t.ok(one.engine.isDraining)
        t.equal(one.engine.drain(1), drained, 'the first one counts')
        t.strictSame(await one.offer(), { accepted: false, code: 'SHUTTING_DOWN', retryAfterMs: 1_000 })
        t.match(await b.ended.promise, { error: { code: 'SHUTTING_DOWN' } })
        await desk.answer('a', 'done')
        await drained
        t.strictSame([a.short, b.short], [['end stop'], ['end SHUTTING_DOWN']])
        await one.finish(t)
      })

      await t.test('stops what still runs when its time is over', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        const a = await one.start({ message: 'a' })
        const drained = one.engine.drain(10_000)
        await ticks(5)
        one.clock.advance(9_999)
        await ticks(5)
        t.equal(a.ends.length, 0)
        one.clock.advance(1)
        await drained
        t.strictSame(a.short, ['end SHUTTING_DOWN'])
        await desk.answer('a', 'late')
        await one.finish(t)
      })

      await t.test('has nothing to wait for where nothing runs', async (t) => {
        const one = bench(() => '')
        await one.engine.drain(10_000)
        await one.finish(t)
      })

      await t.test('ends a chat that was being taken, and settles after its end', async (t) => {
        // With a journal that answers later, drain was over before such a turn had begun.
        for (let when = 0; when < 6; when++) {
          const one = bench(async (turn) => await turn.waitFor(new Promise<string>(() => {})))
          const reader = new Reader()
          const starting = one.start({}, reader)
          await ticks(when)
          const draining = one.engine.drain(1_000)
          await ticks(20)
          one.clock.advance(1_000)
          await draining
          await starting
          reader.read()
          t.strictSame(reader.short, ['end SHUTTING_DOWN'], `after ${when} ticks`)
          await one.finish(t)
        }
      })

      await t.test('is known to whoever is woken by an end that it writes', async (t) => {
        // A chat that was sent then was accepted, and had no end.
        const desk = new Desk()
        const one = bench(desk.executor)
        await one.start({ message: 'a' })
        const answered = deferred<string>()
        const started = await one.offer({ message: 'b' }, () => {
          one.offer({ message: 'c' }).then((offered) => { answered.resolve(offered.accepted ? 'accepted' : offered.code) }, answered.reject)
        })
        if (!started.accepted) throw new Error(started.code)
        t.equal(started.follower.next(false), undefined)
        const draining = one.engine.drain(10_000)
        t.equal(await answered.promise, 'SHUTTING_DOWN')
        await desk.answer('a', '')
        await draining
        await one.finish(t)
      })
    })
  })
}

await t.test('a turn whose right to run is on its way', async (t) => {
  const slowTake = (): { one: TurnBench, desk: Desk, gate: Deferred<void> } => {
    const clock = new ManualClock()
    const journal = new SlowJournal({ clock })
    const gate = deferred()
    journal.after = (method) => method === 'take' ? gate.promise : undefined
    const desk = new Desk()
    return { one: new TurnBench(desk.executor, { journal, clock }), desk, gate }
  }

  await t.test('can be cancelled', async (t) => {
    // It no longer waited, and did not run yet: there was nothing to cancel.
    const { one, desk, gate } = slowTake()
    const reader = await one.start({ message: 'a' })
    const cancelling = one.engine.cancel(KEY, true, 't1')
    await ticks(5)
    gate.resolve()
    t.strictSame(await cancelling, ['t1'])
    await reader.ended.promise
    await desk.answer('a', 'late')
    await one.finish(t)
    t.strictSame(reader.short, ['end aborted'])
  })

  await t.test('is waited for by a drain', async (t) => {
    const { one, desk, gate } = slowTake()
    const reader = await one.start({ message: 'a' })
    const draining = one.engine.drain(10_000)
    await ticks(5)
    gate.resolve()
    await ticks(5)
    await desk.answer('a', 'done')
    await draining
    t.strictSame(reader.short, ['end stop'])
    await one.finish(t)
  })
})
