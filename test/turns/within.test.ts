import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import { toError, within } from '../../lib/turns/within.js'
import { deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'

await t.test('within a time', async (t) => {
  await t.test('what is there needs no timer', async (t) => {
    const clock = new ManualClock()
    const value = within(clock, 10, 'it', 5)
    t.equal(clock.pending, 0)
    t.equal(await value, 5)
  })

  await t.test('what comes in time is there, and its timer gone', async (t) => {
    const clock = new ManualClock()
    const [value, failure] = [deferred<number>(), deferred<number>()]
    const waiting = [within(clock, 10, 'it', value.promise), within(clock, 10, 'it', failure.promise)] as const
    clock.advance(9)
    value.resolve(5)
    failure.reject('no Error' as unknown as Error)
    t.equal(await waiting[0], 5)
    await t.rejects(waiting[1], { message: 'not an Error was thrown: no Error', cause: 'no Error' })
    t.equal(clock.pending, 0)
  })

  await t.test('what comes too late is given to whoever can take it back', async (t) => {
    const clock = new ManualClock()
    const [value, failure] = [deferred<number>(), deferred<number>()]
    const late: number[] = []
    const rejected = [value, failure].map(({ promise }) => t.rejects(within(clock, 10, 'it', promise, (came) => { late.push(came) }), { message: 'it took longer than 10 ms' }))
    clock.advance(10)
    await Promise.all(rejected)
    value.resolve(5)
    failure.reject(new Error('late'))
    await tick()
    t.strictSame(late, [5])
  })

  await t.test('what comes later is an error that names it', async (t) => {
    const clock = new ManualClock()
    const rejected = t.rejects(within(clock, 10, 'the disk', new Promise(() => {})), { message: 'the disk took longer than 10 ms' })
    clock.advance(10)
    await rejected
  })
})

await t.test('whatever is thrown becomes an Error', async (t) => {
  const error = new Error('x')
  t.equal(toError(error), error)
  for (const [thrown, message] of [
    ['text', 'not an Error was thrown: text'],
    [undefined, 'not an Error was thrown: undefined'],
    [Symbol('s'), 'not an Error was thrown: Symbol(s)'],
    [{ code: 'E1' }, "not an Error was thrown: { code: 'E1' }"],
    // These two made toError itself throw: the turn of an executor that threw one went on without an end.
    [Object.create(null), 'not an Error was thrown: [Object: null prototype] {}'],
    [{ toString () { throw new Error('trap') } }, 'not an Error was thrown: { toString: [Function: toString] }']
  ] as Array<[unknown, string]>) {
    const made = toError(thrown)
    t.equal(made.message, message)
    t.equal(made.cause, thrown)
  }
})
