import t from 'tap'

import type { Entry, TurnCursor } from '../../lib/journal/journal.js'
import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import { open, short } from '../helpers/sync-journal.js'
import { ABORTED, event, message, STOP, text } from './new-entries.js'
import { begin, done, follow, offer, read, readUntilEmpty, S } from './turn-scene.js'

await t.test('beyond the tail', async (t) => {
  await t.test('a reader gets the text that it lacks in steps, then what is held', async (t) => {
    for (const pieceLength of [1, 7, 1_000, MERGE_UNITS - 1, MERGE_UNITS, MERGE_UNITS + 1, 100_000]) {
      const journal = open({ maxEntries: 8, maxBytes: 1e9 })
      const { run, cursor } = begin(journal, 't1')
      const pieces = Array.from({ length: 40 }, (_, index) => String.fromCharCode(97 + index % 26).repeat(pieceLength))
      for (const [index, piece] of pieces.entries()) journal.append(run, index + 1, [text(piece)])
      const missed = pieces.slice(0, -8).join('')
      const told = readText(cursor, missed.length)
      t.equal(told.join(''), missed)
      t.ok(told.every((step) => step.length <= MERGE_UNITS), `${pieceLength}`)
      t.strictSame(read(cursor).map(short), pieces.slice(-8).map((piece, index) => `${34 + index} ${piece}`))
    }
  })

  await t.test('a reader that falls back while it catches up gets every unit once', async (t) => {
    const journal = open({ maxEntries: 4, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    let written = ''
    let told = ''
    let batch = 0
    const seqs: number[] = []
    for (let round = 0; round < 50; round++) {
      for (let count = 0; count < round % 9; count++) {
        const piece = `${round}.${count};`.repeat(500)
        written += piece
        journal.append(run, ++batch, [text(piece)])
      }
      const entry = cursor.next()
      if (entry === undefined || entry === 'lost') continue
      seqs.push(entry.seq)
      if (entry.kind === 'text') told += entry.content
    }
    journal.append(run, ++batch, [STOP])
    const rest = read(cursor)
    told += rest.map((entry) => entry.kind === 'text' ? entry.content : '').join('')
    t.equal(told, written)
    t.equal(rest.at(-1)?.kind, 'end')
    t.strictSame(seqs, [...seqs].sort((one, other) => one - other), 'seq never falls')
  })

  await t.test('a whole message that is held is never passed over', async (t) => {
    const journal = open({ maxEntries: 4, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), text('b'), text('c')])
    journal.append(run, 2, [message('M'), text('d'), text('e')])
    t.strictSame(readUntilEmpty(cursor), ['3 ab', '4 c', '5 M', '6 d', '7 e'])
    journal.append(run, 3, [STOP])
    t.strictSame(readUntilEmpty(cursor), ['8 end stop'])
  })

  await t.test('whole messages that were forgotten are told all the same, each in its place in the text', async (t) => {
    // A reader before one was `lost`, though it was healthy: it had only waited behind another answer.
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const { run, cursor: before } = begin(journal, 't1')
    const after = follow(journal, 't1')
    journal.append(run, 1, [message('M'), text('a'), text('b'), message('N'), message('O')])
    t.equal(read(after).length, 5)
    journal.append(run, 2, [text('c'), event('x'), text('d'), message('P'), text('e'), STOP])
    t.strictSame(readUntilEmpty(before), ['2 M', '4 ab', '5 N', '6 O', '9 cd', '10 P', '11 e', '12 end stop'])
    t.strictSame(readUntilEmpty(after), ['9 cd', '10 P', '11 e', '12 end stop'])
  })

  await t.test('a reader at any distance gets text and whole messages once and in order', async (t) => {
    for (const [maxEntries, readEvery] of [[1, 7], [2, 5], [4, 3], [8, 11], [16, 1], [3, 1_000]] as const) {
      const journal = open({ maxEntries, maxBytes: 1e9 })
      const { run, cursor } = begin(journal, 't1')
      const [written, told, seqs]: [string[], string[], number[]] = [[], [], []]
      const take = (entry: Entry): void => {
        seqs.push(entry.seq)
        if (entry.kind === 'text' || entry.kind === 'message') told.push(entry.kind === 'text' ? entry.content : `<${entry.content}>`)
      }
      for (let batch = 1; batch <= 300; batch++) {
        const isMessage = batch % 3 === 0 || batch % 7 === 0
        const content = `${batch};`.repeat(batch % 50 === 0 ? 9_000 : 1)
        written.push(isMessage ? `<${content}>` : content)
        journal.append(run, batch, [isMessage ? message(content) : text(content)])
        const entry = batch % readEvery === 0 ? cursor.next() : undefined
        if (entry !== undefined && entry !== 'lost') take(entry)
      }
      journal.append(run, 301, [STOP])
      read(cursor).forEach(take)
      t.equal(told.join(''), written.join(''), `${maxEntries}`)
      t.strictSame(seqs, [...seqs].sort((one, other) => one - other), 'seq never falls')
      t.equal(seqs.at(-1), 302)
    }
  })

  await t.test('an event that was forgotten is passed over', async (t) => {
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [event('x'), text('a'), event('y'), event('z'), event('q')])
    t.strictSame(readUntilEmpty(cursor), ['3 a', '4 y', '5 z', '6 q'])
  })

  await t.test('a reader whose turn has nothing left in the ring gets its text and its end', async (t) => {
    const journal = open({ maxEntries: 2, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), text('b'), STOP])
    journal.release(run, ABORTED)
    done(journal, 't2')
    done(journal, 't3')
    t.strictSame(readUntilEmpty(cursor), ['3 ab', '4 end stop'])
    t.equal(cursor.next(), undefined)
  })

  await t.test('a reader past the end of another\'s withdrawal gets its own text once', async (t) => {
    // The text bound was taken from the first held entry, whosever it was: with another turn's end in front, everything
    // written since came twice.
    const journal = open({ maxEntries: 4, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    offer(journal, 't2')
    journal.append(run, 1, [text('a'), text('b')])
    journal.withdraw(S, 't2', ABORTED)
    journal.append(run, 2, [text('c'), message('M'), text('d')])
    t.strictSame(readUntilEmpty(cursor), ['3 ab', '5 c', '6 M', '7 d'])
  })

  await t.test('a reader of a turn that was pushed out by withdrawals is told its text, and waits', async (t) => {
    const journal = open({ maxEntries: 2, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a')])
    for (const turnId of ['t2', 't3', 't4']) {
      offer(journal, turnId)
      journal.withdraw(S, turnId, ABORTED)
    }
    t.strictSame(readUntilEmpty(cursor), ['2 a'])
    journal.append(run, 2, [text('b'), STOP])
    t.strictSame(readUntilEmpty(cursor), ['6 b', '7 end stop'])
  })

  await t.test('a reader that had read the text before the end of the tail does not get it again', async (t) => {
    const journal = open({ maxEntries: 3, maxBytes: 1e9 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a'), text('b')])
    t.equal(read(cursor).length, 3)
    journal.append(run, 2, [event('v'), event('w'), event('x'), event('y')])
    t.strictSame(readUntilEmpty(cursor), ['5 w', '6 x', '7 y'])
  })
})

/** Pieces of text, up to a length in all. */
function readText (cursor: TurnCursor, length: number): string[] {
  const pieces: string[] = []
  for (let read = 0; read < length; read += pieces.at(-1)?.length ?? 0) {
    const entry = cursor.next()
    if (entry === undefined || entry === 'lost' || entry.kind !== 'text') throw new Error(`no text: ${JSON.stringify(entry)}`)
    pieces.push(entry.content)
  }
  return pieces
}
