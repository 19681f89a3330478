import t from 'tap'

import { open } from '../helpers/sync-journal.js'
import { ABORTED, event, STOP, text } from './new-entries.js'
import { follow, goesOn, offer, read, result, S } from './turn-scene.js'

t.test('a turn\'s first text and its end are urgent, what else it says is not', (t) => {
  const journal = open()
  const urgent: boolean[] = []
  const cursor = follow(journal, offer(journal, 't1'), (isUrgent = false) => { urgent.push(isUrgent) })
  read(cursor)
  const run = result(journal.take(S, goesOn))
  if (run === undefined) throw new Error('nothing was taken')
  const said = [[event('x')], [text('')], [text('a')], [text('b'), text('c')], [event('y')], [text('d'), STOP]]
  const told = said.map((entries, index) => {
    read(cursor)
    journal.append(run, index + 1, entries)
    return urgent.splice(0).at(-1)
  })
  t.strictSame(told, [false, false, true, false, false, true])
  journal.release(run, ABORTED)
  t.end()
})
