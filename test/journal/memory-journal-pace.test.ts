import t from 'tap'

import { deferred } from '../helpers/deferred.js'
import { open } from '../helpers/sync-journal.js'
import { ABORTED, STOP } from './new-entries.js'
import { begin, fill, follow, offer, read, S, take } from './turn-scene.js'

await t.test('pace', async (t) => {
  await t.test('is nothing without a reader, and while one is near', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 50)
    read(cursor)
    fill(journal, run, 50)
    t.equal(journal.pace(run), undefined, 'half a ring is near')
    fill(journal, run, 1)
    t.not(journal.pace(run), undefined, 'one more is not')
    cursor.close()
    t.equal(journal.pace(run), undefined, 'nobody reads')
  })

  await t.test('settles when the reader is a quarter of the ring behind, and is one promise for all who wait', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    read(cursor)
    fill(journal, run, 51)
    const state = watch(journal.pace(run))
    t.equal(journal.pace(run), state.promise)
    for (let count = 0; count < 25; count++) cursor.next()
    t.equal(await state.now(), 'pending', '26 behind')
    cursor.next()
    t.equal(await state.now(), 'settled', '25 behind')
    t.equal(journal.pace(run), undefined)
  })

  await t.test('goes by the fastest reader', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor: slow } = begin(journal, 't1')
    const fast = follow(journal, 't1')
    read(slow)
    read(fast)
    fill(journal, run, 51)
    const state = watch(journal.pace(run))
    slow.next()
    t.equal(await state.now(), 'pending')
    read(fast)
    t.equal(await state.now(), 'settled')
    t.equal(journal.pace(run), undefined)
  })

  await t.test('counts bytes too', async (t) => {
    const journal = open({ maxEntries: 1_000, maxBytes: 10_000 })
    const { run, cursor } = begin(journal, 't1')
    read(cursor)
    fill(journal, run, 2, 'x'.repeat(2_500))
    const state = watch(journal.pace(run))
    cursor.next()
    t.equal(await state.now(), 'pending')
    cursor.next()
    t.equal(await state.now(), 'settled')
  })

  await t.test('of a turn that waited in the queue counts from its start', async (t) => {
    // A reader that had not looked since was held to be behind by all that the turn before had written.
    const journal = open({ maxEntries: 100 })
    const first = begin(journal, 't1')
    offer(journal, 't2')
    const waiting = follow(journal, 't2')
    const late = follow(journal, 't2')
    waiting.next()
    fill(journal, first.run, 200)
    journal.release(first.run, ABORTED)
    const run = take(journal)
    t.equal(journal.pace(run), undefined)
    fill(journal, run, 50)
    t.not(journal.pace(run), undefined, 'turn-started counts')
    t.equal(read(waiting).length, 51)
    t.equal(read(late).length, 51)
  })

  await t.test('settles when the last reader leaves', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 60)
    const state = watch(journal.pace(run))
    cursor.close()
    t.equal(await state.now(), 'settled')
  })

  await t.test('settles when the session is forgotten', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run } = begin(journal, 't1')
    fill(journal, run, 60)
    const state = watch(journal.pace(run))
    journal.forget(S)
    t.equal(await state.now(), 'settled')
  })

  await t.test('is nothing once the end is written', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 60)
    const state = watch(journal.pace(run))
    journal.append(run, 1_000, [STOP])
    t.equal(journal.pace(run), undefined)
    cursor.next()
    t.equal(await state.now(), 'settled')
  })

  await t.test('of a reader beyond the tail settles when it has caught up', async (t) => {
    const journal = open({ maxEntries: 100 })
    const { run, cursor } = begin(journal, 't1')
    fill(journal, run, 500)
    const late = follow(journal, 't1')
    cursor.close()
    const state = watch(journal.pace(run))
    late.next()
    t.equal(await state.now(), 'pending')
    read(late)
    t.equal(await state.now(), 'settled')
  })
})

function watch (promise: Promise<void> | undefined): { promise: Promise<void>, now: () => Promise<string> } {
  if (promise === undefined) throw new Error('there is nothing to wait for')
  const fence = deferred()
  fence.resolve()
  return { promise, now: async () => await Promise.race([promise.then(() => 'settled'), fence.promise.then(() => {}).then(() => 'pending')]) }
}
