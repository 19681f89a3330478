import t from 'tap'

import { open } from '../helpers/sync-journal.js'
import { ABORTED, event, message, STOP, text } from './new-entries.js'
import { append, begin, follow, offer, read, S } from './session-scene.js'

await t.test('neighbouring text', async (t) => {
  await t.test('comes as one up to a length, under the seq of the last', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    const run = begin(journal, 't1')
    append(journal, run, text('aaa'), text('bbb'), text('ccc'), text('ddddddd'), text('e'))
    t.strictSame(read(cursor, 6), ['1 turn-started', '3 aaabbb', '4 ccc', '5 ddddddd', '6 e'], 'a piece that is longer comes whole')
  })

  await t.test('comes in its pieces when it is not to be merged', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    append(journal, begin(journal, 't1'), text('a'), text('b'))
    t.strictSame(read(cursor, 0), ['1 turn-started', '2 a', '3 b'])
  })

  await t.test('is not merged across an event, a message, an end, a published event, or the start of a turn', async (t) => {
    const journal = open()
    const { cursor } = follow(journal)
    const one = begin(journal, 't1')
    offer(journal, 't2')
    append(journal, one, text('a'), event('x'), text('b'), message('M'), text('c'))
    journal.publish(S, 'note', '1')
    append(journal, one, text('d'))
    journal.withdraw(S, 't2', ABORTED)
    append(journal, one, text('e'), STOP)
    journal.release(one, ABORTED)
    append(journal, begin(journal, 't3'), text('f'))
    t.strictSame(read(cursor, 100), [
      '1 turn-started', '2 a', '3 x', '4 b', '5 M', '6 c', '7 note', '8 d', '9 end aborted', '10 e', '11 end stop',
      '12 turn-started', '13 f'
    ])
  })

  await t.test('is merged across what is of others', async (t) => {
    const journal = open()
    const one = begin(journal, 't1')
    offer(journal, 't2')
    const { cursor } = follow(journal, { turns: new Set(['t1']) })
    append(journal, one, text('a'))
    journal.publish(S, 'note', '1')
    append(journal, one, text('b'))
    journal.withdraw(S, 't2', ABORTED)
    t.strictSame(read(cursor, 100), ['4 ab'])
    t.equal(cursor.seq, 5)
    t.strictSame(cursor.view('t1'), { text: 'ab', end: undefined })
  })
})
