import assert from 'node:assert/strict'

import type { Journal, JournalNews, Run } from '../journal/journal.js'
import { together, times } from './conformance-case.js'
import { ABORTED, chatOf, END, S, STOP, text, type JournalBench, type JournalCase } from './journal-bench.js'
import { told } from './journal-reader.js'

const LEASE = { leaseMs: 'window' } as const

/** What nodes that share a journal may rely on: sentences 21 to 27. */
export const SHARED: readonly JournalCase[] = [
  {
    must: [21, 22, 23],
    title: 'a run whose node is cut off is told to be left, is given to one of those who salvage it, with its text, and writes no more',
    limits: LEASE,
    async run (bench) {
      const news = new News(bench, bench.peer)
      const { epoch } = await bench.accepted('t1', { chat: { metadata: { a: 1 } } })
      const run = await bench.take()
      await bench.append(run, 1, [text('a'), { kind: 'message', content: 'm' }, text('b')])
      assert.equal(await salvage(bench.peer), undefined)
      const mend = await bench.cutOff()
      await news.next('left')
      const [salvaged, ...others] = (await together(...times(3, () => () => salvage(bench.peer)))).filter((each) => each !== undefined)
      assert.ok(salvaged !== undefined && others.length === 0, `${others.length} others have the right at once`)
      assert.deepEqual([salvaged.chat, salvaged.text.toString()], [run.chat, 'ab'])
      assert.deepEqual(salvaged.messages, [{ content: 'm', textBefore: 1 }])
      await mend()
      assert.equal(await bench.journal.append(run, 2, [text('late')]), false)
      await bench.journal.release(run, ABORTED)
      assert.equal(await bench.peer.append(salvaged, 1, [{ kind: 'end', end: { finishReason: 'error', error: { code: 'TURN_LOST' } } }]), true)
      await bench.peer.release(salvaged, ABORTED)
      assert.equal(await salvage(bench.peer), undefined)
      await bench.accepted('t2')
      assert.deepEqual(await bench.drain(), ['t2'])
      const entries = await (await bench.followAll(epoch)).untilEnd('t2')
      assert.deepEqual(entries.map(told), ['t1 turn-started', 't1 a', 't1 m', 't1 b', 't1 end error', 't2 turn-started', 't2 end stop'])
    }
  },
  {
    must: [21],
    title: 'a lease that has run out stays good as long as nobody has taken it',
    limits: LEASE,
    async run (bench) {
      const run = await bench.begin('t1')
      const mend = await bench.cutOff()
      await bench.advance(3 * bench.windowMs)
      await mend()
      await bench.append(run, 1, [text('a'), END])
      await bench.journal.release(run, ABORTED)
    }
  },
  {
    must: [23],
    title: 'chats whose node is gone are told to be free, and wait for others',
    limits: LEASE,
    async run (bench) {
      const news = new News(bench, bench.peer)
      await bench.accepted('t1')
      await bench.journal.close()
      await news.next('free')
      const run = await bench.peer.take(S, () => true)
      assert.equal(run?.chat.turnId, 't1')
    }
  },
  {
    must: [23],
    title: 'a session whose run is given back while others wait is told to be free',
    async run (bench) {
      const news = new News(bench, bench.journal)
      const run = await bench.begin('t1')
      await bench.accepted('t2', { on: bench.peer })
      await bench.finish(run)
      await news.next('free')
      assert.deepEqual(await bench.drain(), ['t2'])
    }
  },
  {
    must: [23],
    title: 'what a node does nothing about is told to another',
    async run (bench) {
      const [declined, news] = [new News(bench, bench.journal, false), new News(bench, bench.peer)]
      const run = await bench.begin('t1')
      await bench.accepted('t2')
      await bench.finish(run)
      await declined.next('free')
      await news.next('free')
      assert.deepEqual(await bench.drain(), ['t2'])
    }
  },
  {
    must: [24],
    title: 'a node that asks for its chats is told when others have taken or ended them',
    async run (bench) {
      const news = new News(bench, bench.peer)
      const run = await bench.begin('t1')
      for (const turnId of ['t2', 't3', 't4']) await bench.accepted(turnId, { on: bench.peer })
      assert.equal(await bench.peer.take(S, () => true), undefined)
      assert.equal(news.count('gone'), 0, 'a chat that waits is told to be gone')
      await bench.journal.withdraw(S, 't3', ABORTED)
      await bench.finish(run)
      await bench.take()
      assert.equal(await bench.peer.take(S, () => true), undefined)
      assert.deepEqual([await news.next('gone'), await news.next('gone')].map((each) => 'turnId' in each && each.turnId), ['t2', 't3'])
    }
  },
  {
    must: [24],
    title: 'a node that takes back a chat of before is told what becomes of the one that waits under its id now',
    async run (bench) {
      const news = new News(bench, bench.peer)
      const run = await bench.begin('t1')
      await bench.accepted('t2', { on: bench.peer })
      const before = chatOf('t2')
      assert.equal(await bench.peer.retract(S, { ...before, acceptedAt: before.acceptedAt - 1 }), false)
      await bench.finish(run)
      await bench.take()
      assert.equal(await bench.peer.take(S, () => true), undefined)
      const gone = await news.next('gone')
      assert.ok(gone.kind === 'gone' && gone.turnId === 't2')
    }
  },
  {
    must: [25],
    title: 'cancel ends a run whose node does not answer, and that writes no more',
    async run (bench) {
      const { epoch } = await bench.accepted('t1')
      const run = await bench.take()
      await bench.append(run, 1, [{ kind: 'message', content: 'whole' }, text('a')])
      const mend = await bench.cutOff()
      const news = new News(bench, bench.peer)
      assert.deepEqual(await bench.peer.cancel(S, 't1', ABORTED), ['t1'])
      const isTold = news.count('stopped') === 1
      await mend()
      assert.equal(await bench.journal.append(run, 2, [text('late')]), false)
      await bench.journal.release(run, STOP)
      await bench.peer.publish(S, 'fence', '{}')
      const entries = await (await bench.followAll(epoch)).untilEvent('fence')
      assert.deepEqual(entries.map(told), ['t1 turn-started', 't1 whole', 't1 a', 't1 end aborted', '- fence'])
      assert.ok(isTold, 'nobody is told what the run had said')
      const stopped = await news.next('stopped')
      assert.ok(stopped.kind === 'stopped' && stopped.chat.turnId === 't1')
      assert.deepEqual([stopped.key, stopped.text.toString(), stopped.messages?.map(({ content }) => content)], [S, 'a', ['whole']])
    }
  },
  {
    must: [26],
    title: 'a run whose right is gone is told to its node, though it says nothing',
    limits: LEASE,
    async run (bench) {
      const [own, others] = [new News(bench, bench.journal), new News(bench, bench.peer)]
      await bench.begin('t1')
      const mend = await bench.cutOff()
      await others.next('left')
      assert.ok(await salvage(bench.peer) !== undefined, 'the run cannot be salvaged')
      await mend()
      assert.deepEqual(await own.nextOf((each) => each.kind === 'lost' && each.code === 'TURN_LOST'), {
        kind: 'lost', key: S, turnId: 't1', code: 'TURN_LOST'
      })
    }
  },
  {
    must: [27],
    title: 'readers counts the cursors of all nodes, of the turn and of its session',
    async run (bench) {
      await bench.begin('t1')
      const count = () => bench.journal.readers(S, 't1')
      assert.equal(await count(), 0)
      const readers = [await bench.follow(), await bench.followTurn('t1'), await bench.follow({ turns: new Set(['t1']) })]
      await bench.follow({ turns: new Set(['t2']) })
      assert.equal(await count(), 3)
      const own = await bench.journal.followTurn(S, 't1', () => {})
      assert.deepEqual([await count(), await bench.peer.readers(S, 't1')], [4, 4])
      for (const { cursor } of readers) cursor.close()
      assert.equal(await count(), 1)
      own?.close()
      assert.equal(await count(), 0)
    }
  }
]

async function salvage (journal: Journal): Promise<Run | undefined> {
  assert.ok(journal.salvage !== undefined, 'a shared journal has salvage')
  return await journal.salvage(S)
}

/** What a node is told. */
class News {
  readonly #waiting: Set<string>
  readonly #heard: JournalNews[] = []
  #onNews: () => void = () => {}

  /** @param answer what the journal is told of all that it tells */
  constructor (bench: JournalBench, journal: Journal, answer = true) {
    this.#waiting = bench.waiting
    assert.ok(journal.watch !== undefined, 'a shared journal has watch')
    journal.watch((news) => {
      this.#heard.push(news)
      this.#onNews()
      return answer
    })
  }

  /** How many of a kind were heard, and not asked for yet. */
  count (kind: JournalNews['kind']): number {
    return this.#heard.filter((news) => news.kind === kind).length
  }

  next (kind: JournalNews['kind']): Promise<JournalNews> {
    return this.nextOf((news) => news.kind === kind, kind)
  }

  /** The first that is meant; those before it are passed over. */
  async nextOf (isMeant: (news: JournalNews) => boolean, name = 'more'): Promise<JournalNews> {
    this.#waiting.add(`the news of ${name}`)
    for (;;) {
      const index = this.#heard.findIndex(isMeant)
      const [news] = index < 0 ? [] : this.#heard.splice(0, index + 1).slice(-1)
      if (news !== undefined) {
        this.#waiting.delete(`the news of ${name}`)
        return news
      }
      await new Promise<void>((resolve) => { this.#onNews = resolve })
    }
  }
}
