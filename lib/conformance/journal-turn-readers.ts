import assert from 'node:assert/strict'

import { times } from './conformance-case.js'
import { ABORTED, END, event, key, message, S, text, type JournalCase } from './journal-bench.js'
import { assertRising, short, textOf } from './journal-reader.js'

const PIECES = times(40, (index) => `${index};`)

/** How one turn is read: sentences 8 to 10. */
export const TURN_READERS: readonly JournalCase[] = [
  {
    must: [8],
    title: 'a cursor gives what its turn wrote, once and in order, and nothing of others',
    async run (bench) {
      await bench.accepted('t1')
      const early = await bench.followTurn('t1')
      const run = await bench.take()
      await bench.accepted('t2')
      await bench.append(run, 1, [text('a'), message('b')])
      const middle = await bench.followTurn('t1')
      assert.deepEqual((await early.read(3)).map(short), ['turn-started', 'a', 'b'])
      await bench.journal.publish(S, 'news', '{}')
      await bench.journal.withdraw(S, 't2', ABORTED)
      await bench.append(run, 2, [event('x'), text('c')])
      const late = await bench.followTurn('t1')
      await bench.finish(run, 3)
      await bench.play('t3')
      assert.deepEqual((await early.untilEnd()).map(({ seq, ...entry }) => ({ seq, of: entry.turnId, is: short({ seq, ...entry }) })), [
        { seq: 6, of: 't1', is: 'x' }, { seq: 7, of: 't1', is: 'c' }, { seq: 8, of: 't1', is: 'end stop' }
      ])
      for (const reader of [middle, late]) {
        assert.deepEqual((await reader.untilEnd()).map(short), ['turn-started', 'a', 'b', 'x', 'c', 'end stop'])
      }
      for (const { cursor } of [early, middle, late]) assert.deepEqual([cursor.next(), cursor.text()], [undefined, 'ac'])
    }
  },
  {
    must: [8],
    title: 'a turn that the journal does not know cannot be followed',
    async run (bench) {
      const unknown = (turnId: string, of = S) => bench.peer.followTurn(of, turnId, () => {})
      assert.equal(await unknown('t1'), undefined)
      await bench.accepted('t1')
      assert.equal(await unknown('t1', key('other')), undefined)
      assert.equal(await unknown('t'), undefined)
    }
  },
  {
    must: [8],
    title: 'a cursor far behind is given all text, all whole messages, and the end, each in its place',
    limits: { maxEntries: 8 },
    async run (bench) {
      await bench.accepted('t1')
      const slow = await bench.followTurn('t1')
      const begun = await bench.followTurn('t1')
      const run = await bench.take()
      await begun.read(1)
      for (const [index, piece] of PIECES.entries()) {
        const more = index % 10 === 5 ? [message(`m${index}`), event('x')] : []
        await bench.append(run, index + 1, [text(piece), ...more, text('.')])
      }
      const whole = PIECES.map((piece, index) => `${piece}${index % 10 === 5 ? `[m${index}]` : ''}.`).join('')
      const behind = await bench.followTurn('t1')
      await bench.finish(run)
      for (const reader of [slow, begun, behind]) {
        const entries = await reader.untilEnd()
        assertRising(entries)
        assert.equal(entries.map((entry) => entry.kind === 'message' ? `[${entry.content}]` : textOf([entry])).join(''), whole)
        assert.equal(reader.cursor.text(), whole.replaceAll(/\[m\d+\]/g, ''))
      }
    }
  },
  {
    must: [8],
    title: 'a cursor that falls back again and again while the run appends gets every piece once',
    limits: { maxEntries: 8 },
    async run (bench) {
      const run = await bench.begin('t1')
      const reader = await bench.followTurn('t1')
      const entries = await reader.read(1)
      for (let round = 0; round < 12; round++) {
        for (let count = 0; count <= 4 * (round % 5); count++) await bench.append(run, 20 * round + count + 1, [text(`${round}.${count};`)])
        entries.push(...await reader.read(1))
      }
      await bench.finish(run)
      entries.push(...await reader.untilEnd())
      assertRising(entries)
      const all = times(12, (round) => times(4 * (round % 5) + 1, (count) => `${round}.${count};`)).flat()
      assert.equal(textOf(entries), all.join(''))
    }
  },
  {
    must: [8],
    title: 'many that join while the run appends get all of it, without a gap or a repetition',
    async run (bench) {
      const run = await bench.begin('t1')
      const readers = await Promise.all([
        (async () => {
          for (const [index, piece] of PIECES.entries()) await bench.append(run, index + 1, [text(piece)])
        })(),
        ...times(4, async () => {
          const joined = []
          for (let count = 0; count < 8; count++) joined.push(await bench.followTurn('t1'))
          return joined
        })
      ])
      await bench.finish(run)
      for (const reader of readers.flatMap((joined) => joined ?? [])) {
        const [started, ...entries] = await reader.untilEnd()
        assert.equal(started && short(started), 'turn-started')
        assert.equal(textOf(entries), PIECES.join(''))
        assertRising(entries)
      }
    }
  },
  {
    must: [8],
    title: 'when its session was forgotten a cursor tells what there was, and then that it is lost',
    async run (bench) {
      await bench.accepted('t0')
      const ended = await bench.followTurn('t0')
      await bench.finish(await bench.take())
      const run = await bench.begin('t1')
      const running = await bench.followTurn('t1')
      await bench.accepted('t2')
      const waiting = await bench.followTurn('t2')
      await bench.append(run, 1, [text('a')])
      await running.read(2)
      const lost = [running.next(), waiting.next()]
      await bench.journal.forget(S)
      assert.deepEqual(await Promise.all(lost), ['lost', 'lost'])
      assert.deepEqual((await ended.untilEnd()).map(short), ['turn-started', 'end stop'])
      assert.equal(ended.now(), undefined)
    }
  },
  {
    must: [9],
    title: 'a turn\'s cursor that had nothing calls its wake for a start, each append, a publication between, and the end',
    async run (bench) {
      await bench.accepted('t1')
      const reader = await bench.followTurn('t1')
      const wait = reader.next()
      const run = await bench.take()
      assert.equal(shortOf(await wait), 'turn-started')
      for (const [index, entry] of [text('a'), event('x'), message('b'), END].entries()) {
        const next = reader.next()
        await bench.journal.publish(S, 'news', '{}')
        await bench.append(run, index + 1, [entry])
        assert.equal(shortOf(await next), short({ ...entry, turnId: 't1', seq: 0 }))
      }
    }
  },
  {
    must: [9],
    title: 'a turn\'s cursor that had nothing calls its wake for an end that others write',
    async run (bench) {
      const run = await bench.begin('t1')
      for (const turnId of ['t2', 't3', 't4']) await bench.accepted(turnId)
      const [running, ...waiting] = await Promise.all(times(4, (index) => bench.followTurn(`t${index + 1}`)))
      await running?.read(1)
      const ends = [...waiting, running].map((reader) => reader?.next())
      await bench.journal.withdraw(S, 't2', ABORTED)
      await bench.journal.cancel(S, 't3', ABORTED)
      await bench.accepted('t5', { onBusy: 'interrupt' })
      await bench.journal.release(run, ABORTED)
      for (const end of ends) assert.equal(shortOf(await end), 'end aborted')
    }
  },
  {
    must: [9],
    title: 'a session\'s cursor that had nothing calls its wake for whatever is written',
    async run (bench) {
      const reader = await bench.follow()
      const steps: Array<[name: string, step: () => unknown]> = [
        ['news', () => bench.peer.publish(S, 'news', '{}')],
        ['turn-started', () => bench.begin('t1')],
        ['end aborted', async () => {
          await bench.accepted('t2')
          await bench.journal.withdraw(S, 't2', ABORTED)
        }],
        ['end aborted', async () => {
          await bench.accepted('t3')
          await bench.journal.cancel(S, 't3', ABORTED)
        }]
      ]
      for (const [name, step] of steps) {
        const next = reader.next()
        await step()
        assert.equal(shortOf(await next), name)
      }
      const lost = reader.next()
      await bench.journal.forget(S)
      assert.equal(await lost, 'lost')
    }
  },
  {
    must: [9],
    title: 'a session\'s cursor of some turns is woken for them, also after others wrote',
    async run (bench) {
      const run = await bench.begin('t1')
      const other = await bench.follow({ turns: new Set(['t2']) })
      const own = await bench.follow({ turns: new Set(['t1']) })
      const waits = [other.next(), own.next()]
      await bench.journal.publish(S, 'news', '{}')
      await bench.append(run, 1, [text('a')])
      await bench.finish(run)
      await bench.begin('t2')
      assert.deepEqual((await Promise.all(waits)).map(shortOf), ['turn-started', 'a'])
    }
  },
  {
    must: [10],
    title: 'what ended stays readable by cursors that are open, whatever is forgotten meanwhile',
    limits: { maxEntries: 8, maxAgeMs: 'window', maxSessions: 2 },
    async run (bench) {
      const run = await bench.begin('t1')
      await bench.accepted('t2')
      const reader = await bench.followTurn('t1')
      const withdrawn = await bench.followTurn('t2')
      for (const [index, piece] of PIECES.entries()) await bench.append(run, index + 1, [text(piece)])
      await bench.append(run, 99, [message('b')])
      await bench.journal.withdraw(S, 't2', ABORTED)
      await bench.finish(run, 100)
      for (let turn = 3; turn < 6; turn++) await bench.play(`t${turn}`, 40)
      for (let index = 0; index < 4; index++) await bench.play('t1', 1, { of: key(`other${index}`) })
      await bench.advance(3 * bench.windowMs)
      await bench.play('t9')
      const entries = (await reader.untilEnd()).filter(({ kind }) => kind !== 'event')
      assert.equal(textOf(entries), PIECES.join(''))
      assert.deepEqual(entries.slice(-2).map(short), ['b', 'end stop'])
      assert.equal(reader.cursor.text(), PIECES.join(''))
      assert.deepEqual((await withdrawn.untilEnd()).map(short), ['end aborted'])
    }
  }
]

function shortOf (entry: Parameters<typeof short>[0] | 'lost' | undefined): string | undefined {
  return entry === undefined || entry === 'lost' ? entry : short(entry)
}
