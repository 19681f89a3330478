import assert from 'node:assert/strict'

import type { Awaitable } from '../awaitable.js'
import type { Offer, Run } from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import { times, together } from './conformance-case.js'
import { ABORTED, chatOf, END, isAccepted, key, S, STOP, text, type JournalBench, type JournalCase } from './journal-bench.js'
import { told } from './journal-reader.js'

/** How chats get in, wait, and get out: sentences 2, 3, 7, 12 and 20. */
export const QUEUES: readonly JournalCase[] = [
  {
    must: [2],
    title: 'of many chats at once as many fit as there are places, and they wait in the order of their positions',
    async run (bench) {
      for (const of of times(5, (round) => key(`s${round}`))) {
        const offers = await together(...times(8, (index) => () => bench.offer(`t${index}`, { of, on: bench.node(index), maxQueued: 2 })))
        const accepted = offers.flatMap((offer, index) => offer.accepted ? [{ offer, turnId: `t${index}` }] : [])
        accepted.sort((one, other) => one.offer.position - other.offer.position)
        assert.deepEqual(accepted.map(({ offer }) => offer.position), [0, 1, 2])
        assert.deepEqual(codesOf(offers), times(5, () => 'QUEUE_FULL'))
        assert.deepEqual(await bench.drain(of), accepted.map(({ turnId }) => turnId))
      }
    }
  },
  {
    must: [2],
    title: 'of many chats at once that do not want to wait one fits',
    async run (bench) {
      for (const of of times(5, (round) => key(`s${round}`))) {
        const offers = await together(...times(6, (index) => () => bench.offer(`t${index}`, { of, on: bench.node(index), onBusy: 'reject' })))
        assert.deepEqual(codesOf(offers), times(5, () => 'SESSION_BUSY'))
        assert.equal((await bench.drain(of)).length, 1)
      }
    }
  },
  {
    must: [2],
    title: 'the place of the turn that runs is not counted, and is nobody\'s until it is given back',
    async run (bench) {
      const run = await bench.begin('t1')
      await bench.accepted('t2', { maxQueued: 1 })
      assert.deepEqual(await bench.offer('t3', { maxQueued: 1 }), { accepted: false, code: 'QUEUE_FULL' })
      assert.deepEqual(await bench.offer('t4', { onBusy: 'reject' }), { accepted: false, code: 'SESSION_BUSY' })
      await bench.finish(run)
      assert.equal((await bench.accepted('t5', { maxQueued: 1 })).position, 1)
      assert.deepEqual(await bench.drain(), ['t2', 't5'])
    }
  },
  {
    must: [2],
    title: 'a refused chat leaves nothing behind',
    async run (bench) {
      const run = await bench.begin('t1')
      await bench.accepted('t2')
      const reader = await bench.follow()
      const { claims } = bench.journal.stats()
      for (const terms of [{ maxQueued: 1 }, { onBusy: 'reject' }] as const) {
        const refused = await bench.offer('t3', { ...terms, chat: { bodyHash: 'h' } })
        assert.equal(refused.accepted, false)
        assert.equal(await bench.peer.claimed(S, { turnId: 't3', bodyHash: 'h' }), undefined)
        assert.equal(await bench.peer.followTurn(S, 't3', () => {}), undefined)
      }
      assert.equal(bench.journal.stats().claims, claims)
      assert.deepEqual((await bench.follow()).followed.turns.map(({ chat }) => chat.turnId), ['t1', 't2'])
      await bench.accepted('t3', { chat: { bodyHash: 'of another body' } })
      await bench.finish(run)
      assert.deepEqual((await reader.untilEnd()).map(told), ['t1 end stop'])
      assert.deepEqual(await bench.drain(), ['t2', 't3'])
    }
  },
  {
    must: [2, 3],
    title: 'the chat that is taken is the whole chat that was offered',
    async run (bench) {
      const chat = {
        message: 'how are you? \u{1f375}"\\',
        metadata: { tags: ['a', null, { b: 1.5 }] },
        context: { user: { name: 'ann' }, roles: [] },
        bodyHash: 'h'
      }
      await bench.accepted('t1', { on: bench.peer, chat })
      const run = await bench.take()
      assert.deepEqual(run.chat, chatOf('t1', chat))
      assert.deepEqual(run.key, S)
      assert.equal(run.text.toString(), '')
      const { followed } = await bench.follow()
      assert.deepEqual(followed.turns, [{ chat: chatOf('t1', chat), status: 'running', text: '' }])
      const [started] = await (await bench.followTurn('t1')).read(1)
      assert.ok(started?.kind === 'event' && started.name === 'turn-started', 'the first entry is not turn-started')
      assert.deepEqual(JSON.parse(started.json), { message: chat.message, metadata: chat.metadata })
    }
  },
  {
    must: [3],
    title: 'of many that take at once one gets the right, until it is given back',
    async run (bench) {
      for (const turnId of ['t1', 't2', 't3', 't4']) await bench.accepted(turnId)
      const taken: string[] = []
      for (let round = 0; round < 4; round++) {
        const runs = await together(...times(6, () => () => bench.journal.take(S, () => true)))
        const [run, ...others] = runs.filter((each) => each !== undefined)
        assert.ok(run !== undefined && others.length === 0, `${others.length + 1} have the right at once`)
        assert.equal(await bench.peer.take(S, () => true), undefined)
        taken.push(run.chat.turnId)
        await bench.journal.release(run, STOP)
      }
      assert.deepEqual(taken, ['t1', 't2', 't3', 't4'])
      assert.equal(await bench.journal.take(S, () => true), undefined)
      assert.equal(await bench.journal.take(key('unknown'), () => true), undefined)
    }
  },
  {
    must: [3],
    title: 'the right to run may come with a chat, and is then the only one; one that has to wait comes without',
    async run (bench) {
      const stops: string[] = []
      const onStop = (): boolean => stops.push('t1') > 0
      const { run: given, epoch } = await bench.accepted('t1', { onStop })
      const second = await bench.accepted('t2', { onStop })
      const run = given ?? await bench.take(S, onStop)
      assert.deepEqual([run.chat.turnId, second.run, second.position], ['t1', undefined, 1])
      assert.deepEqual([await bench.journal.take(S, onStop), await bench.peer.take(S, onStop)], [undefined, undefined])
      assert.deepEqual([await bench.peer.cancel(S, 't1', ABORTED), stops], [['t1'], ['t1']])
      await bench.append(run, 1, [text('a'), END])
      await bench.journal.release(run, STOP)
      assert.deepEqual(await bench.drain(), ['t2'])
      const entries = await (await bench.followAll(epoch)).untilEnd('t2')
      assert.deepEqual(entries.map(told), ['t1 turn-started', 't1 a', 't1 end stop', 't2 turn-started', 't2 end stop'])
    }
  },
  {
    must: [3],
    title: 'each chat is taken once, also where chats come and are taken at once',
    async run (bench) {
      const taken: string[] = []
      const work = (run: Run | undefined) => {
        if (run === undefined) return undefined
        taken.push(run.chat.turnId)
        return bench.journal.release(run, STOP)
      }
      await together(...times(20, (index) => [
        async () => { await bench.accepted(`t${index}`, { on: bench.node(index) }) },
        async () => { await work(await bench.journal.take(S, () => true)) }
      ]).flat())
      taken.push(...await bench.drain())
      assert.deepEqual(taken.toSorted(), times(20, (index) => `t${index}`).toSorted())
    }
  },
  {
    must: [3, 16],
    title: 'a chat that is followed while it is taken either waits and will start, or has started',
    async run (bench) {
      for (const of of times(10, (round) => key(`s${round}`))) {
        const { epoch } = await bench.accepted('t1', { of })
        const [, ...readers] = await Promise.all([bench.take(of), ...times(6, () => bench.follow({}, { of }))])
        for (const { followed: { turns: [turn], cursor } } of readers) {
          assert.deepEqual([turn?.status, cursor.seq], turn?.status === 'running' ? ['running', 1] : ['queued', 0])
          assert.equal(cursor.epoch, epoch)
        }
      }
    }
  },
  {
    must: [7],
    title: 'withdraw writes the end of a chat that waits, and answers false for one that does not',
    async run (bench) {
      assert.equal(await bench.journal.withdraw(S, 't1', ABORTED), false)
      const run = await bench.begin('t1')
      await bench.accepted('t2')
      await bench.accepted('t3')
      const reader = await bench.followTurn('t2')
      assert.equal(await bench.peer.withdraw(S, 't1', ABORTED), false)
      assert.equal(await bench.peer.withdraw(S, 'unknown', ABORTED), false)
      assert.equal(await bench.peer.withdraw(key('other'), 't2', ABORTED), false)
      assert.equal(await bench.peer.withdraw(S, 't2', { finishReason: 'error', error: { code: 'SHUTTING_DOWN' } }), true)
      assert.equal(await bench.journal.withdraw(S, 't2', ABORTED), false)
      assert.deepEqual(await reader.untilEnd(), [
        { kind: 'end', end: { finishReason: 'error', error: { code: 'SHUTTING_DOWN' } }, turnId: 't2', seq: 2 }
      ])
      await bench.finish(run)
      assert.equal(await bench.peer.withdraw(S, 't1', ABORTED), false)
      assert.deepEqual(await bench.drain(), ['t3'])
    }
  },
  {
    must: [3, 7],
    title: 'a chat that is withdrawn while it is taken is one or the other',
    run: (bench) => leaving(bench, (of) => bench.peer.withdraw(of, 't1', ABORTED), 't1 end aborted')
  },
  {
    must: [12],
    title: 'retract takes back a chat that waits, its claim included and without an entry',
    async run (bench) {
      const [t1, t2] = [chatOf('t1', { bodyHash: 'h' }), chatOf('t2', { bodyHash: 'h' })]
      assert.equal(await bench.journal.retract(S, t1), false)
      const run = await bench.begin('t1', { chat: { bodyHash: 'h' } })
      await bench.accepted('t2', { chat: { bodyHash: 'h' } })
      await bench.accepted('t3')
      const reader = await bench.follow()
      assert.equal(await bench.peer.retract(S, t1), false)
      assert.equal(await bench.peer.retract(S, chatOf('unknown')), false)
      assert.equal(await bench.peer.retract(S, t2), true)
      assert.equal(await bench.journal.retract(S, t2), false)
      assert.equal(await bench.journal.claimed(S, { turnId: 't2', bodyHash: 'h' }), undefined)
      assert.deepEqual(await bench.journal.claimed(S, { turnId: 't1', bodyHash: 'h' }), { isSame: true, ended: undefined })
      await bench.accepted('t2', { chat: { bodyHash: 'of another body' } })
      await bench.finish(run)
      assert.deepEqual((await reader.untilEnd()).map(told), ['t1 end stop'])
      assert.equal(await bench.peer.retract(S, t1), false)
      assert.deepEqual(await bench.drain(), ['t3', 't2'])
    }
  },
  {
    must: [12],
    title: 'a chat that somebody was told to be known is not taken back',
    async run (bench) {
      const run = await bench.begin('t1')
      for (const turnId of ['t2', 't3', 't4']) await bench.accepted(turnId, { chat: { bodyHash: 'h' } })
      await bench.peer.claimed(S, { turnId: 't2', bodyHash: 'h' })
      await bench.offer('t3', { chat: { bodyHash: 'h' } })
      // Who sends something else relies on nothing.
      await bench.peer.claimed(S, { turnId: 't4', bodyHash: 'of another body' })
      const isTaken = []
      for (const turnId of ['t2', 't3', 't4']) isTaken.push(await bench.journal.retract(S, chatOf(turnId, { bodyHash: 'h' })))
      assert.deepEqual(isTaken, [false, false, true])
      await bench.finish(run)
      assert.deepEqual(await bench.drain(), ['t2', 't3'])
    }
  },
  {
    must: [12],
    title: 'a chat that was accepted again is not taken back for the one before it',
    async run (bench) {
      const run = await bench.begin('t1')
      const before = chatOf('t2', { bodyHash: 'h' })
      const after = chatOf('t2', { bodyHash: 'h', acceptedAt: before.acceptedAt + 1 })
      await bench.accepted('t2', { chat: before })
      assert.equal(await bench.journal.retract(S, before), true)
      await bench.accepted('t2', { chat: after, on: bench.peer })
      assert.equal(await bench.journal.retract(S, before), false)
      assert.deepEqual(await bench.journal.claimed(S, after), { isSame: true, ended: undefined })
      await bench.finish(run)
      assert.deepEqual(await bench.drain(), ['t2'])
    }
  },
  {
    must: [12],
    title: 'the cursors of a turn that is taken back are lost',
    async run (bench) {
      await bench.begin('t1')
      await bench.accepted('t2')
      const reader = await bench.followTurn('t2')
      const lost = reader.next()
      assert.equal(await bench.peer.retract(S, chatOf('t2')), true)
      assert.equal(await lost, 'lost')
    }
  },
  {
    must: [20],
    title: 'what is asked at once takes effect in the order in which it is asked',
    async run (bench) {
      const { journal } = bench
      const cancelled = await together<unknown>(
        () => bench.offer('t1'),
        () => bench.offer('t2'),
        () => journal.cancel(S, undefined, ABORTED),
        () => bench.offer('t3'),
        () => journal.retract(S, chatOf('t3')),
        () => bench.offer('t4')
      )
      assert.deepEqual([cancelled[2], cancelled[4]], [['t1', 't2'], true])
      assert.deepEqual(await bench.drain(), ['t4'])
    }
  },
  {
    must: [3, 12],
    title: 'a chat that is retracted while it is taken is one or the other',
    run: (bench) => leaving(bench, (of) => bench.peer.retract(of, chatOf('t1')), undefined)
  }
]

/** A chat is taken, and leaves the queue in another way, at once: exactly one of both is done, and written. */
async function leaving (bench: JournalBench, leave: (of: SessionKey) => Awaitable<boolean>, end: string | undefined): Promise<void> {
  for (const of of times(20, (round) => key(`s${round}`))) {
    const { epoch } = await bench.accepted('t1', { of })
    let run: Run | undefined
    let hasLeft: boolean | undefined
    const calls = [
      async () => { run = await bench.journal.take(of, () => true) },
      async () => { hasLeft = await leave(of) }
    ]
    await together(...of.sessionId.endsWith('1') ? calls : calls.reverse())
    assert.notEqual(run !== undefined, hasLeft, 'both are done, or none')
    if (run !== undefined) await bench.journal.release(run, STOP)
    await bench.journal.publish(of, 'fence', '{}')
    const entries = await (await bench.followAll(epoch, of)).untilEvent('fence')
    const left = end === undefined ? [] : [end]
    assert.deepEqual(entries.slice(0, -1).map(told), hasLeft === true ? left : ['t1 turn-started', 't1 end stop'])
  }
}

function codesOf (offers: readonly Offer[]): string[] {
  return offers.filter((offer) => !isAccepted(offer)).map((offer) => 'code' in offer ? offer.code : 'claimed')
}
