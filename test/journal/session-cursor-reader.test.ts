import t from 'tap'

import { ManualClock } from '../helpers/manual-clock.js'
import { open } from '../helpers/sync-journal.js'
import { ABORTED, event, text } from './new-entries.js'
import { append, begin, follow, offer, read, readEntries, S } from './session-scene.js'

await t.test('a session\'s reader', async (t) => {
  await t.test('is woken when there is more and it had asked, once', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    let wakes = 0
    const { cursor } = follow(journal, {}, () => { wakes++ })
    append(journal, run, text('a'))
    t.equal(wakes, 0, 'not asked yet')
    t.strictSame(read(cursor), ['2 a'])
    append(journal, run, text('b'))
    append(journal, run, text('c'))
    t.equal(wakes, 1)
    t.strictSame(read(cursor), ['3 b', '4 c'])
    offer(journal, 't2')
    journal.withdraw(S, 't2', ABORTED)
    t.equal(wakes, 2)
    t.strictSame(read(cursor), ['5 end aborted'])
    journal.release(run, ABORTED)
    t.equal(wakes, 3)
    read(cursor)
    begin(journal, 't3')
    t.equal(wakes, 4)
    read(cursor)
    journal.forget(S)
    t.equal(wakes, 5, 'also for what is lost')
    t.strictSame([cursor.next(0), cursor.next(0)], ['lost', undefined])
  })

  await t.test('that is closed is told nothing, and is woken no more', async (t) => {
    const journal = open()
    const run = begin(journal, 't1')
    const { cursor } = follow(journal, {}, () => { t.fail('woken') })
    read(cursor)
    t.equal(journal.stats().cursors, 1)
    cursor.close()
    cursor.close()
    append(journal, run, text('a'))
    t.equal(cursor.next(0), undefined)
    t.equal(journal.stats().cursors, 0)
  })

  await t.test('that has lost its place is none any more', async (t) => {
    // Until it was closed, the run went on waiting for it.
    const journal = open({ maxEntries: 4 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, event('x'), text('a'), text('b'), text('c'), text('d'))
    let isSettled = false
    const pacing = journal.pace(run)?.then(() => { isSettled = true })
    t.equal(cursor.next(0), 'lost')
    await pacing
    t.equal(isSettled, true)
    t.equal(journal.pace(run), undefined)
    t.strictSame([journal.stats().cursors, journal.readers(S, 't1')], [0, 0])
  })

  await t.test('that is near lets the run go on, of the session or of a set that has the turn; others do not count', async (t) => {
    const journal = open({ maxEntries: 20 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    const { cursor: others } = follow(journal, { turns: new Set(['t2']) })
    for (let count = 0; count < 30; count++) append(journal, run, text('x'))
    t.equal(journal.pace(run), undefined, 'who reads others is not waited for')
    read(others)
    for (const turns of [undefined, new Set(['t1'])]) {
      const { cursor } = follow(journal, { turns })
      for (let count = 0; count < 10; count++) append(journal, run, text('x'))
      t.equal(journal.pace(run), undefined, 'half a ring is near')
      append(journal, run, text('x'))
      let isSettled = false
      const pacing = journal.pace(run)?.then(() => { isSettled = true })
      t.not(pacing, undefined, 'one more is not')
      for (let count = 0; count < 5; count++) cursor.next(0)
      await Promise.resolve()
      t.equal(isSettled, false, '6 behind')
      cursor.next(0)
      await pacing
      t.equal(journal.pace(run), undefined, '5 behind')
      for (let count = 0; count < 11; count++) append(journal, run, text('x'))
      const leaving = journal.pace(run)
      t.not(leaving, undefined)
      cursor.close()
      await leaving
      t.equal(journal.pace(run), undefined, 'nobody reads')
    }
  })

  await t.test('that follows a session whose entries are all gone is not behind', async (t) => {
    // All bytes that the session had ever written counted as its distance.
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000, maxBytes: 2_000 })
    const run = begin(journal, 't1')
    append(journal, run, text('x'.repeat(2_000)))
    clock.advance(20_000)
    t.equal(journal.stats().entries, 0)
    const { cursor } = follow(journal)
    append(journal, run, text('y'))
    t.equal(journal.pace(run), undefined)
    t.strictSame(read(cursor), ['3 y'])
  })

  await t.test('that has caught up with text that is gone is not behind', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000, maxBytes: 20_000 })
    const run = begin(journal, 't1')
    const { cursor } = follow(journal)
    append(journal, run, text('x'.repeat(9_000)))
    clock.advance(20_000)
    t.equal(readEntries(cursor).length, 1)
    append(journal, run, text('y'))
    t.equal(journal.pace(run), undefined)
  })
})
