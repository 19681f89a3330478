import assert from 'node:assert/strict'

import { S, text, type JournalCase } from './journal-bench.js'
import { told } from './journal-reader.js'

/** A journal's beginning and end: sentence 19, and what no sentence says. */
export const LIFETIMES: readonly JournalCase[] = [
  {
    must: [19],
    title: 'after close nothing can be offered, published or followed, and close answers again',
    async run (bench) {
      const { journal } = bench
      await journal.publish(S, 'news', '{}')
      await journal.close()
      await journal.close()
      const calls: Array<() => unknown> = [
        () => bench.offer('t1'),
        () => journal.publish(S, 'news', '{}'),
        () => journal.follow(S, {}, () => {})
      ]
      for (const call of calls) await assert.rejects(async () => call())
    }
  },
  {
    must: [19],
    title: 'close wakes all cursors, and they are lost',
    async run (bench) {
      const run = await bench.begin('t1')
      const session = await bench.follow()
      const turn = await bench.followTurn('t1')
      await bench.append(run, 1, [text('a')])
      assert.deepEqual([...await session.read(1), ...await turn.read(2)].map(told), ['t1 a', 't1 turn-started', 't1 a'])
      const lost = [session.next(), turn.next()]
      await bench.close()
      assert.deepEqual(await Promise.all(lost), ['lost', 'lost'])
    }
  },
  {
    must: [],
    title: 'two journals are apart: chats, entries, claims, and the close of one are nothing to the other',
    async run (bench) {
      const other = await bench.another()
      assert.notEqual(other.journal.id, bench.journal.id)
      assert.equal(bench.peer.id, bench.journal.id)
      const chat = { bodyHash: 'h' }
      const { epoch } = await bench.accepted('t1', { chat })
      assert.notEqual((await other.accepted('t1', { chat })).epoch, epoch)
      assert.deepEqual(await other.drain(), ['t1'])
      await other.close()
      assert.deepEqual(await bench.drain(), ['t1'])
      assert.deepEqual((await (await bench.followAll(epoch)).untilEnd()).map(told), ['t1 turn-started', 't1 end stop'])
    }
  }
]
