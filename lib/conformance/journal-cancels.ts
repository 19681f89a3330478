import assert from 'node:assert/strict'

import type { Offer, Run } from '../journal/journal.js'
import { times, together } from './conformance-case.js'
import { ABORTED, isAccepted, key, S, STOP, type JournalBench, type JournalCase } from './journal-bench.js'
import { told } from './journal-reader.js'

/** How turns are stopped: sentence 13. */
export const CANCELS: readonly JournalCase[] = [
  {
    must: [13],
    title: 'cancel ends all that wait, in their order, and stops the run, which it names first',
    async run (bench) {
      const { reader, stops } = await busy(bench)
      assert.deepEqual(await bench.peer.cancel(S, undefined, { finishReason: 'other' }), ['t0', 't1', 't2', 't3'])
      assert.deepEqual(stops, ['t0'])
      const entries = await reader.read(3)
      assert.deepEqual(entries.map(told), ['t1 end other', 't2 end other', 't3 end other'])
      assert.deepEqual(await bench.drain(), [])
      assert.deepEqual((await bench.follow()).followed.turns.map(({ chat }) => chat.turnId), ['t0'])
    }
  },
  {
    must: [13],
    title: 'cancel of one turn leaves the others be',
    async run (bench) {
      const { run, reader, stops } = await busy(bench)
      assert.deepEqual(await bench.peer.cancel(S, 't2', ABORTED), ['t2'])
      assert.deepEqual(await bench.journal.cancel(S, 't2', ABORTED), [])
      assert.deepEqual(await bench.peer.cancel(S, 'unknown', ABORTED), [])
      assert.deepEqual(await bench.peer.cancel(key('other'), 't1', ABORTED), [])
      assert.deepEqual(stops, [])
      assert.deepEqual(await bench.peer.cancel(S, 't0', ABORTED), ['t0'])
      assert.deepEqual(stops, ['t0'])
      await bench.finish(run)
      assert.deepEqual((await reader.untilEnd('t0')).map(told), ['t2 end aborted', 't0 end stop'])
      assert.deepEqual(await bench.peer.cancel(S, 't0', ABORTED), [])
      assert.deepEqual(await bench.drain(), ['t1', 't3'])
      assert.deepEqual(stops, ['t0'])
    }
  },
  {
    must: [13],
    title: 'cancel does not name a run that will not stop',
    async run (bench) {
      const { run, stops } = await busy(bench, () => false)
      assert.deepEqual(await bench.peer.cancel(S, 't0', ABORTED), [])
      assert.deepEqual(await bench.peer.cancel(S, undefined, ABORTED), ['t1', 't2', 't3'])
      assert.deepEqual(stops, ['t0', 't0'])
      await bench.finish(run)
      assert.deepEqual(await bench.peer.cancel(S, undefined, ABORTED), [])
    }
  },
  {
    must: [3, 13],
    title: 'a chat that is cancelled while it is taken has its end or is told to stop',
    async run (bench) {
      for (const of of times(20, (round) => key(`s${round}`))) {
        const { epoch } = await bench.accepted('t1', { of })
        let stops = 0
        let run: Run | undefined
        const calls = [
          async () => { run = await bench.journal.take(of, () => ++stops === 1) },
          async () => { assert.deepEqual(await bench.peer.cancel(of, undefined, ABORTED), ['t1']) }
        ]
        await together(...of.sessionId.endsWith('1') ? calls : calls.reverse())
        assert.equal(stops, run === undefined ? 0 : 1)
        if (run !== undefined) await bench.journal.release(run, STOP)
        const entries = await (await bench.followAll(epoch, of)).untilEnd()
        assert.deepEqual(entries.map(told), run === undefined ? ['t1 end aborted'] : ['t1 turn-started', 't1 end stop'])
      }
    }
  },
  {
    must: [13],
    title: 'each of those that wait is ended by one of several that cancel at once',
    async run (bench) {
      const { reader } = await busy(bench, () => false)
      const answers = await together(...times(4, (index) => () => bench.node(index).cancel(S, undefined, ABORTED)))
      assert.deepEqual(answers.flat().toSorted(), ['t1', 't2', 't3'])
      await bench.journal.publish(S, 'fence', '{}')
      assert.deepEqual((await reader.untilEvent('fence')).map(told), ['t1 end aborted', 't2 end aborted', 't3 end aborted', '- fence'])
    }
  },
  {
    must: [13],
    title: 'chats that are offered while others are cancelled have their ends or wait',
    async run (bench) {
      for (const of of times(10, (round) => key(`s${round}`))) {
        const { epoch } = await bench.accepted('t0', { of })
        const cancelled: string[] = []
        await together<unknown>(
          ...times(3, (index) => () => bench.accepted(`t${index + 1}`, { of, on: bench.node(index) })),
          async () => { cancelled.push(...await bench.peer.cancel(of, undefined, ABORTED)) },
          ...times(3, (index) => () => bench.accepted(`t${index + 4}`, { of, on: bench.node(index) }))
        )
        assert.ok(cancelled.includes('t0'), 'the chat that was there before is not cancelled')
        const waiting = await bench.drain(of)
        assert.deepEqual([...cancelled, ...waiting].toSorted(), times(7, (index) => `t${index}`))
        const ends = (await (await bench.followAll(epoch, of)).read(cancelled.length)).map(told)
        assert.deepEqual(ends, cancelled.map((turnId) => `${turnId} end aborted`))
      }
    }
  },
  {
    must: [13],
    title: 'a chat that interrupts ends all that wait, in their order, and stops the run',
    async run (bench) {
      const { run, reader, stops } = await busy(bench)
      const end = { finishReason: 'other' } as const
      const offer = await bench.accepted('t4', { on: bench.peer, onBusy: 'interrupt', maxQueued: 0, displacedEnd: end })
      assert.deepEqual([offer.displaced, offer.position, stops], [['t1', 't2', 't3'], 1, ['t0']])
      await bench.finish(run)
      assert.deepEqual((await reader.untilEnd('t0')).map(told), ['t1 end other', 't2 end other', 't3 end other', 't0 end stop'])
      const next = await bench.accepted('t5', { onBusy: 'interrupt' })
      assert.deepEqual([next.displaced, next.position, stops], [['t4'], 0, ['t0']])
      assert.deepEqual(await bench.drain(), ['t5'])
    }
  },
  {
    must: [2, 13],
    title: 'of many chats that interrupt at once the last one waits, and each of the others is displaced once',
    async run (bench) {
      for (const of of times(10, (round) => key(`s${round}`))) {
        await bench.accepted('t0', { of })
        const offers = await together(...times(5, (index) => () => bench.offer(`t${index + 1}`, {
          of, on: bench.node(index), onBusy: 'interrupt', maxQueued: 0
        })))
        const waiting = await bench.drain(of)
        assert.equal(waiting.length, 1)
        assert.deepEqual([...displacedBy(offers), ...waiting].toSorted(), times(6, (index) => `t${index}`))
      }
    }
  }
]

/** A session where `t0` runs, `t1` to `t3` wait, and somebody reads from then on. */
async function busy (bench: JournalBench, willStop = (): boolean => true) {
  const stops: string[] = []
  await bench.accepted('t0')
  const run = await bench.take(S, () => {
    stops.push('t0')
    return willStop()
  })
  for (const turnId of ['t1', 't2', 't3']) await bench.accepted(turnId)
  return { run, stops, reader: await bench.follow() }
}

function displacedBy (offers: readonly Offer[]): string[] {
  return offers.filter(isAccepted).flatMap(({ displaced }) => displaced)
}
