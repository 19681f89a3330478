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

t.test('a reader may leave, or come, or make another leave, while all are woken', (t) => {
  for (const leaving of [[0], [1], [2], [0, 1], [1, 0], [1, 2], [2, 1], [2, 1, 0]]) {
    for (const waker of [0, 1, 2]) {
      const journal = open()
      const turnId = offer(journal, 't1')
      const woken = new Set<number>()
      let isOver = false
      let late: ReturnType<typeof follow> | undefined
      const cursors = [0, 1, 2].map((index) => follow(journal, turnId, () => {
        woken.add(index)
        if (index !== waker || isOver) return
        isOver = true
        // Twice is once.
        for (const one of [...leaving, ...leaving]) cursors[one]?.close()
        late = follow(journal, turnId)
      }))
      for (const cursor of cursors) read(cursor)
      const run = result(journal.take(S, goesOn))
      if (run === undefined) throw new Error('nothing was taken')
      journal.append(run, 1, [text('a')])
      const about = `${leaving.join()} by ${waker}`
      for (const index of [0, 1, 2]) if (!leaving.includes(index)) t.ok(woken.has(index), about)
      t.equal(journal.readers(S, turnId), 4 - leaving.length, about)
      t.ok(late !== undefined && read(late).length > 0, about)
      woken.clear()
      journal.append(run, 2, [STOP])
      t.strictSame([...woken].sort(), [0, 1, 2].filter((index) => !leaving.includes(index)), about)
      journal.release(run, ABORTED)
    }
  }
  t.end()
})
