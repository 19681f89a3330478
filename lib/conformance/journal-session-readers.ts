import assert from 'node:assert/strict'

import type { SessionKey } from '../protocol/session-key.js'
import { times } from './conformance-case.js'
import {
  ABORTED, END, event, key, message, S, text, type JournalBench, type JournalCase, type SessionReader
} from './journal-bench.js'
import { assertContiguous, assertRising, short, textOf, told } from './journal-reader.js'

const PIECES = times(40, (index) => `${index};`)
const WHOLE = PIECES.join('')

/** How a session is read: sentences 15, 16 and 18. */
export const SESSION_READERS: readonly JournalCase[] = [
  {
    must: [15],
    title: 'a cursor gives every entry after its position once, in the order of seq',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const first = await bench.followAll(epoch)
      const run = await bench.take()
      await bench.append(run, 1, [text('a'), event('x')])
      const middle = await bench.follow({ position: { epoch, seq: 2 } })
      await bench.accepted('t2')
      await bench.journal.withdraw(S, 't2', ABORTED)
      await bench.append(run, 2, [message('b'), text('c'), text('d')])
      await bench.journal.publish(S, 'news', '{}')
      await bench.finish(run, 3)
      await bench.play('t3')
      const all = await first.untilEnd('t3')
      assertContiguous(all, 1)
      assert.deepEqual(all.map(told), [
        't1 turn-started', 't1 a', 't1 x', 't2 end aborted', 't1 b', 't1 c', 't1 d', '- news', 't1 end stop',
        't3 turn-started', 't3 0;', 't3 end stop'
      ])
      assert.deepEqual(await middle.untilEnd('t3'), all.slice(2))
      for (const { cursor } of [first, middle]) assert.deepEqual([cursor.next(0), cursor.seq], [undefined, 12])
    }
  },
  {
    must: [15],
    title: 'a cursor of some turns gives theirs only, and of others once they are added',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const turns = new Set(['t2'])
      const reader = await bench.follow({ position: { epoch, seq: 0 }, turns })
      const run = await bench.take()
      for (const turnId of ['t2', 't3']) await bench.accepted(turnId)
      await bench.append(run, 1, [text('a'), event('x'), message('b')])
      await bench.journal.publish(S, 'news', '{}')
      await bench.finish(run, 2)
      const second = await bench.take()
      await bench.append(second, 1, [text('c')])
      assert.deepEqual((await reader.read(2)).map(told), ['t2 turn-started', 't2 c'])
      turns.add('t3')
      await bench.finish(second, 2)
      await bench.journal.release(await bench.take(), ABORTED)
      const entries = await reader.untilEnd('t3')
      assert.deepEqual(entries.map(told), ['t2 end stop', 't3 turn-started', 't3 end aborted'])
      assertContiguous(entries, 9)
      reader.cursor.turns = undefined
      await bench.journal.publish(S, 'last', '{}')
      assert.deepEqual((await reader.read(1)).map(told), ['- last'])
    }
  },
  {
    must: [15],
    title: 'pieces that come as one are neighbours of one turn, under the seq of the last, and not too long',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      await bench.append(run, 1, [...PIECES.map(text), event('x'), text('a'), message('m'), text('b')])
      await bench.append(run, 2, [text('c'), END])
      await bench.journal.release(run, ABORTED)
      await bench.play('t2', 3)
      const apart = await (await bench.followAll(epoch)).untilEnd('t2')
      assertContiguous(apart, 1)
      for (const mergeUnits of [1, 7, 21_845]) {
        const reader = await bench.follow({ position: { epoch, seq: 0 } }, { mergeUnits })
        const entries = await reader.untilEnd('t2')
        assertRising(entries)
        let last = 0
        for (const entry of entries) {
          const covered = apart.slice(last, entry.seq)
          last = entry.seq
          assert.deepEqual(entry.kind === 'text' ? textOf(covered) : covered, entry.kind === 'text' ? entry.content : [entry])
          assert.deepEqual(covered.filter(({ turnId }) => turnId !== entry.turnId), [])
          assert.ok(covered.length === 1 || textOf(covered).length <= mergeUnits, `one piece of more than ${mergeUnits} units`)
        }
      }
    }
  },
  {
    must: [15],
    title: 'past the oldest entry held a cursor goes on with the text that it lacks',
    limits: { maxEntries: 8 },
    async run (bench) {
      const run = await bench.begin('t1')
      const other = await bench.follow({ turns: new Set(['t2']) })
      const readers = [await bench.follow(), await bench.follow({}, { mergeUnits: 10 }), await bench.follow({ turns: new Set(['t1']) })]
      await bench.append(run, 1, [text(PIECES[0] ?? '')])
      const read = await Promise.all(readers.map((reader) => reader.read(1)))
      for (const [index, piece] of PIECES.entries()) if (index > 0) await bench.append(run, index + 1, [text(piece)])
      await bench.append(run, 99, times(80, (index) => text(`.${index}`)))
      await bench.finish(run, 100)
      for (const [index, reader] of readers.entries()) {
        const entries = [...read[index] ?? [], ...await reader.untilEnd()]
        assertRising(entries)
        assert.equal(textOf(entries), WHOLE + times(80, (each) => `.${each}`).join(''))
      }
      await bench.play('t2')
      assert.deepEqual((await other.untilEnd()).map(told), ['t2 turn-started', 't2 0;', 't2 end stop'])
    }
  },
  {
    must: [15],
    title: 'entries of others that were forgotten are nothing that a cursor of some turns lacks',
    limits: { maxEntries: 8 },
    async run (bench) {
      const run = await bench.begin('t1')
      await bench.accepted('t2')
      const reader = await bench.follow({ turns: new Set(['t2']) })
      for (let batch = 1; batch < 20; batch++) await bench.append(run, batch, [event('x'), text('a'), message('m'), event('y')])
      await bench.finish(run)
      const second = await bench.take()
      const next = await reader.read(1)
      for (const [index, piece] of PIECES.entries()) await bench.append(second, index + 1, [text(piece)])
      await bench.finish(second)
      const entries = await reader.untilEnd()
      assert.deepEqual([...next, ...entries.slice(-1)].map(told), ['t2 turn-started', 't2 end stop'])
      assert.equal(textOf(entries), WHOLE)
      assertRising(entries)
    }
  },
  {
    must: [15],
    title: 'a cursor that lacks more than text says that it is lost, once and for good',
    limits: { maxEntries: 8 },
    async run (bench) {
      for (const [index, more] of [event('x'), message('m')].entries()) {
        const of = key(`s${index}`)
        const run = await bench.begin('t1', { of })
        const readers = [await bench.follow({}, { of }), await bench.follow({ turns: new Set(['t1']) }, { of })]
        await bench.append(run, 1, [more])
        for (let batch = 2; batch < 82; batch++) await bench.append(run, batch, [text('a')])
        for (const reader of readers) assert.equal(await reader.next(), 'lost')
        await bench.finish(run)
        const fence = await bench.follow({}, { of })
        await bench.journal.publish(of, 'fence', '{}')
        await fence.untilEvent('fence')
        for (const reader of readers) assert.equal(reader.now(), undefined)
      }
      const idle = await bench.follow()
      for (let index = 0; index < 80; index++) await bench.journal.publish(S, 'news', '{}')
      assert.equal(await idle.next(), 'lost')
    }
  },
  {
    must: [15],
    title: 'a cursor says of a turn what there was of it at its position',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      await bench.append(run, 1, [...PIECES.map(text), END])
      await bench.journal.release(run, ABORTED)
      const reader = await bench.followAll(epoch)
      let sofar = ''
      for (let entry = await reader.next(); entry !== 'lost' && entry.kind !== 'end'; entry = await reader.next()) {
        sofar += textOf([entry])
        assert.deepEqual(reader.cursor.view('t1'), { text: sofar, end: undefined })
      }
      assert.deepEqual(reader.cursor.view('t1'), { text: WHOLE, end: { finishReason: 'stop' } })
      assert.equal(reader.cursor.view('unknown'), undefined)
    }
  },
  {
    must: [15, 16],
    title: 'many that join while the run appends get all of it, without a gap or a repetition',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      const [, ...joined] = await Promise.all([
        (async () => {
          for (const [index, piece] of PIECES.entries()) await bench.append(run, index + 1, [text(piece), event(piece)])
        })(),
        ...times(4, (index) => join(bench, 10, index % 2 === 0 ? undefined : epoch))
      ])
      await bench.finish(run)
      for (const { reader, from } of joined.flat()) {
        const entries = await reader.untilEnd()
        const { followed: { recovered, turns: [turn] }, cursor } = reader
        assert.deepEqual([turn?.status, turn?.text === undefined, cursor.epoch], ['running', recovered, epoch])
        assertContiguous(entries, from + 1)
        assert.equal(entries.length, 2 + 2 * PIECES.length - from)
        const missed = recovered ? WHOLE.slice(0, WHOLE.length - textOf(entries).length) : turn?.text ?? ''
        assert.equal(missed + textOf(entries), WHOLE)
      }
    }
  },
  {
    must: [16],
    title: 'without a position follow answers the top, what runs with its text, and what waits',
    async run (bench) {
      await bench.play('t0')
      const run = await bench.begin('t1')
      await bench.append(run, 1, [text('a'), message('m'), text('b')])
      await bench.accepted('t2')
      const { followed, cursor } = await bench.follow()
      assert.deepEqual(followed.turns.map(({ chat, ...turn }) => ({ turnId: chat.turnId, ...turn })), [
        { turnId: 't1', status: 'running', text: 'ab' }, { turnId: 't2', status: 'queued' }
      ])
      assert.deepEqual([followed.recovered, cursor.seq], [false, 7])
      const again = await bench.follow({ position: { epoch: cursor.epoch, seq: 7 } })
      assert.deepEqual(again.followed.turns.map(({ chat, ...turn }) => ({ turnId: chat.turnId, ...turn })), [
        { turnId: 't1', status: 'running' }, { turnId: 't2', status: 'queued' }
      ])
    }
  },
  {
    must: [16],
    title: 'follow goes on from a position whose next entry is held or still to come, and from no other',
    limits: { maxEntries: 8 },
    async run (bench) {
      const { epoch, seq } = await bench.journal.publish(S, 'e1', '{}')
      assert.equal(seq, 1)
      for (let index = 2; index <= 80; index++) await bench.journal.publish(S, `e${index}`, '{}')
      const recovered = await recoveredFrom(bench, epoch, 80)
      assert.equal(recovered.slice(0, 2).includes(true), false, 'an entry that must be forgotten is held')
      assert.deepEqual(recovered.slice(-4), [true, true, false, false])
      assert.deepEqual(recovered.slice(0, -2), recovered.slice(0, -2).toSorted())
      for (const position of [{ epoch: `${epoch}x`, seq: 80 }, { epoch: '', seq: 80 }]) {
        const { followed } = await bench.follow({ position })
        assert.deepEqual([followed.recovered, followed.cursor.epoch, followed.cursor.seq], [false, epoch, 80])
      }
    }
  },
  {
    must: [16],
    title: 'follow goes on from a position that was told after chats of which none was told',
    async run (bench) {
      const ways = [
        async (of: SessionKey) => (await bench.follow({}, { of })).cursor,
        (of: SessionKey) => bench.journal.publish(of, 'news', '{}'),
        (of: SessionKey) => bench.accepted('t2', { of })
      ]
      for (const [index, tell] of ways.entries()) {
        const of = key(`s${index}`)
        const run = await bench.begin('t1', { of, isUnplaced: true })
        const reader = await bench.followTurn('t1', of)
        await bench.append(run, 1, [text('a')])
        assert.deepEqual((await reader.read(2)).map(told), ['t1 turn-started', 't1 a'])
        const { epoch, seq } = await tell(of)
        await bench.append(run, 2, [text('b'), END])
        assert.deepEqual((await reader.untilEnd()).map(told), ['t1 b', 't1 end stop'])
        const back = await bench.follow({ position: { epoch, seq } }, { of })
        assert.equal(back.followed.recovered, true)
        assert.deepEqual((await back.untilEnd('t1')).map(told), ['t1 b', 't1 end stop'])
        await bench.journal.release(run, ABORTED)
      }
    }
  },
  {
    must: [16],
    title: 'follow makes the session\'s journal if there is none',
    async run (bench) {
      const reader = await bench.follow()
      const { cursor: { epoch, seq }, followed } = reader
      assert.deepEqual([seq, followed.recovered, followed.turns], [0, false, []])
      assert.equal((await bench.follow()).cursor.epoch, epoch)
      assert.deepEqual(await bench.journal.publish(S, 'news', '{}'), { epoch, seq: 1 })
      assert.equal((await bench.accepted('t1')).epoch, epoch)
      assert.deepEqual((await reader.read(1)).map(told), ['- news'])
      const gone = await bench.follow({ position: { epoch, seq: 0 } }, { of: key('other') })
      assert.equal(gone.followed.recovered, false)
    }
  },
  {
    must: [18],
    title: 'a session with cursors or turns is not dropped, however long nothing happens and however many others come',
    limits: { maxAgeMs: 'window', maxSessions: 3 },
    async run (bench) {
      const [read, waiting, running] = [key('read'), key('waiting'), key('running')]
      const reader = await bench.follow({}, { of: read })
      const waits = await bench.accepted('t1', { of: waiting })
      const runs = await bench.accepted('t1', { of: running })
      const run = await bench.take(running)
      for (let round = 0; round < 3; round++) {
        for (let index = 0; index < 5; index++) await bench.journal.publish(key(`other${index}`), 'news', '{}')
        await bench.advance(2 * bench.windowMs)
      }
      assert.deepEqual(await bench.journal.publish(read, 'news', '{}'), { epoch: reader.cursor.epoch, seq: 1 })
      assert.deepEqual((await reader.read(1)).map(told), ['- news'])
      await bench.append(run, 1, [END])
      assert.deepEqual(await bench.journal.publish(running, 'news', '{}'), { epoch: runs.epoch, seq: 3 })
      assert.deepEqual(await bench.journal.publish(waiting, 'news', '{}'), { epoch: waits.epoch, seq: 1 })
      assert.deepEqual(await bench.drain(waiting), ['t1'])
    }
  },
  {
    must: [18],
    title: 'follow of one session too many answers that there is no room, or follows it',
    limits: { maxSessions: 2 },
    async run (bench) {
      await bench.begin('t1')
      const reader = await bench.follow({}, { of: key('read') })
      const followed = await bench.peer.follow(key('other'), {}, () => {})
      const epoch = followed?.cursor.epoch
      const published = await bench.journal.publish(key('other'), 'news', '{}')
      if (epoch !== undefined) assert.equal(published.epoch, epoch)
      await bench.journal.publish(key('read'), 'news', '{}')
      assert.deepEqual((await reader.read(1)).map(told), ['- news'])
    }
  }
]

/** Follows again and again: from now on, or from the last entry that the reader before had. */
async function join (bench: JournalBench, count: number, epoch: string | undefined): Promise<Joined[]> {
  const joined: Joined[] = []
  for (let seq = 0, index = 0; index < count; index++) {
    const reader = await bench.follow(epoch === undefined ? {} : { position: { epoch, seq } })
    joined.push({ reader, from: reader.cursor.seq })
    const ahead = await bench.follow()
    seq = ahead.cursor.seq
    ahead.cursor.close()
  }
  return joined
}

interface Joined {
  reader: SessionReader
  /** The position at which it joined. */
  from: number
}

/** For each position up to two beyond the top, whether follow goes on from there; and checks that it does. */
async function recoveredFrom (bench: JournalBench, epoch: string, top: number): Promise<boolean[]> {
  const answers: boolean[] = []
  for (let seq = 0; seq <= top + 2; seq++) {
    const reader = await bench.follow({ position: { epoch, seq } })
    const { recovered, cursor } = reader.followed
    const from = recovered ? seq : top
    assert.equal(cursor.seq, from)
    const entries = await reader.read(top - from)
    assert.deepEqual(entries.map(short), times(top - from, (index) => `e${from + index + 1}`))
    cursor.close()
    answers.push(recovered)
  }
  return answers
}
