import t from 'tap'

import type { TurnCursor } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, short } from '../helpers/sync-journal.js'
import { ABORTED, message, STOP, text } from './new-entries.js'
import { begin, chat, done, follow, goesOn, offer, read, readUntilEmpty, S, TERMS } from './turn-scene.js'

await t.test('forget', async (t) => {
  await t.test('drops entries, queue and the right to run; cursors read lost', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    offer(journal, 't2')
    const waiting = follow(journal, 't2')
    journal.forget(S)
    t.strictSame(readUntilLost(cursor), ['1 turn-started'], 'what was written can still be told')
    t.strictSame([cursor.next(), waiting.next()], ['lost', 'lost'])
    t.equal(journal.take(S, goesOn), undefined)
    t.strictSame(journal.stats(), { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims: 0 })
    journal.release(run, ABORTED)
    t.equal(begin(journal, 't3').run.chat.turnId, 't3', 'the next one starts anew')
    journal.release(run, ABORTED)
    offer(journal, 't4')
    t.equal(journal.take(S, goesOn), undefined, 'and is not disturbed by what is over')
  })

  await t.test('of a session that is not there changes nothing', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock })
    journal.forget(S)
    done(journal, 't1')
    journal.forget(key('other'))
    t.equal(journal.stats().sessions, 1)
    journal.forget(S)
    t.equal(clock.pending, 0)
  })

  await t.test('leaves an end that is written to be read, and the text before it', async (t) => {
    // Readers of a turn that had ended were told that it was lost.
    const journal = open({ maxEntries: 2 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), message('M'), text('b'), STOP])
    journal.forget(S)
    t.strictSame(readUntilEmpty(cursor), ['2 a', '3 M', '4 b', '5 end stop'])
  })

  await t.test('lets a cursor that has read the end be', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [STOP])
    read(cursor)
    journal.forget(S)
    t.equal(cursor.next(), undefined)
  })
})

await t.test('a closed journal', async (t) => {
  await t.test('has dropped everything, takes no chat, and leaves no timer', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock })
    const { run, cursor } = begin(journal, 't1')
    done(journal, 't1', key('other'))
    journal.close()
    journal.close()
    t.strictSame(readUntilLost(cursor), ['1 turn-started'])
    t.equal(cursor.next(), 'lost')
    t.equal(journal.append(run, 1, [text('a')]), false)
    t.equal(journal.take(S, goesOn), undefined)
    t.throws(() => journal.offer(S, chat('t2'), TERMS), /closed/)
    t.match(journal.stats(), { sessions: 0, cursors: 0 })
    t.equal(clock.pending, 0)
  })
})

await t.test('a journal', async (t) => {
  await t.test('has an id of its own, and works with the system\'s clock', async (t) => {
    const journal = memoryJournal()
    t.not(journal.id, memoryJournal().id)
    done(journal, 't1')
    t.match(journal.stats(), { sessions: 1, entries: 2 })
    journal.close()
  })

  await t.test('counts its cursors', async (t) => {
    const journal = open()
    begin(journal, 't1')
    follow(journal, offer(journal, 't2'))
    follow(journal, 't1').close()
    done(journal, 't1', key('other'))
    t.equal(journal.stats().cursors, 2)
  })
})

/** All that can still be told. */
function readUntilLost (cursor: TurnCursor): string[] {
  const told: string[] = []
  for (let entry = cursor.next(); entry !== 'lost'; entry = cursor.next()) {
    if (entry === undefined) throw new Error('not lost')
    told.push(short(entry))
  }
  return told
}
