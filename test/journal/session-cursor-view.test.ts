import t from 'tap'

import { open } from '../helpers/sync-journal.js'
import { ABORTED, message, STOP, text } from './new-entries.js'
import { append, begin, follow, offer, S } from './session-scene.js'

await t.test('a view', async (t) => {
  await t.test('is of the turn as it was at the position: before, inside and behind it', async (t) => {
    const journal = open()
    const { cursor: { epoch } } = follow(journal)
    const one = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, one, text('a'), text('b'))
    journal.withdraw(S, 't2', ABORTED)
    append(journal, one, message('M'), text('c'), STOP)
    journal.release(one, ABORTED)
    append(journal, begin(journal, 't3'), text('d'))
    const end = { finishReason: 'stop' }
    const views = [['', undefined], ['', undefined], ['a', undefined], ['ab', undefined], ['ab', undefined], ['ab', undefined],
      ['abc', undefined], ['abc', end], ['abc', end], ['abc', end]]
    for (const [seq, [text, end]] of views.entries()) {
      const { cursor } = follow(journal, { position: { epoch, seq } })
      t.strictSame(cursor.view('t1'), { text, end }, `t1 at ${seq}`)
      t.strictSame(cursor.view('t2'), { text: '', end: seq < 4 ? undefined : ABORTED }, `t2 at ${seq}`)
      t.strictSame(cursor.view('t3'), { text: seq < 9 ? '' : 'd', end: undefined }, `t3 at ${seq}`)
      t.equal(cursor.view('t9'), undefined)
    }
    const { cursor: walking } = follow(journal, { position: { epoch, seq: 0 } })
    for (const [seq, [text, end]] of views.entries()) {
      t.equal(walking.seq, seq)
      t.strictSame(walking.view('t1'), { text, end }, `on the way at ${seq}`)
      walking.next(0)
    }
  })

  await t.test('behind the tail is of the turn that was being told, and of those that have ended or not begun', async (t) => {
    const journal = open({ maxEntries: 3 })
    const run = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, run, text('a'))
    const { cursor } = follow(journal)
    append(journal, run, text('b'), text('c'), text('d'), text('e'))
    t.strictSame(cursor.view('t1'), { text: 'a', end: undefined })
    t.strictSame(cursor.view('t2'), { text: '', end: undefined })
    t.match(cursor.next(0), { content: 'b', seq: 3 })
    t.strictSame([cursor.seq, cursor.view('t1')], [3, { text: 'ab', end: undefined }])
  })

  await t.test('is undefined where nobody knows any more how much there was', async (t) => {
    const journal = open({ maxEntries: 4 })
    const one = begin(journal, 't1')
    append(journal, one, STOP)
    journal.release(one, ABORTED)
    const two = begin(journal, 't2')
    append(journal, two, text('a'))
    // Told so far: the end of t1, as far as the cursor knows.
    const { cursor } = follow(journal, { position: { epoch: follow(journal).cursor.epoch, seq: 2 } })
    append(journal, two, text('b'), text('c'), text('d'), text('e'))
    t.strictSame(cursor.view('t2'), { text: '', end: undefined })
    t.equal(cursor.view('t1'), undefined, 'its end is not held')
    t.equal(cursor.next(0), 'lost')
  })

  await t.test('of a forgotten session is undefined', async (t) => {
    const journal = open()
    append(journal, begin(journal, 't1'), text('a'))
    const { cursor } = follow(journal)
    journal.forget(S)
    t.equal(cursor.view('t1'), undefined)
  })
})
