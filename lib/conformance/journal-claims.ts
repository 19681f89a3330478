import assert from 'node:assert/strict'

import type { Claimed, Offer, Run } from '../journal/journal.js'
import type { SessionKey } from '../protocol/session-key.js'
import { times, together } from './conformance-case.js'
import { ABORTED, END, isAccepted, key, S, STOP, text, type JournalBench, type JournalCase } from './journal-bench.js'
import { told } from './journal-reader.js'

const OPEN: Claimed = { isSame: true, ended: undefined }
const OTHER: Claimed = { isSame: false }
const H = { chat: { bodyHash: 'h' } }

/** A chat that is sent twice runs once: sentence 11. */
export const CLAIMS: readonly JournalCase[] = [
  {
    must: [11],
    title: 'an id is known from its acceptance on: while its chat waits, while it runs, and with its end',
    async run (bench) {
      const { epoch } = await bench.accepted('t1', H)
      await assertClaimed(bench, 't1', OPEN)
      const run = await bench.take()
      await assertClaimed(bench, 't1', OPEN)
      const usage = { inputTokens: 1, outputTokens: 2, totalTokens: 3 }
      await bench.append(run, 1, [{ kind: 'end', end: { finishReason: 'length', content: 'all of it', usage } }])
      const ended = { isSame: true, ended: { end: { finishReason: 'length', usage }, isWhole: true, epoch, seq: 2 } } as const
      await assertClaimed(bench, 't1', ended)
      await bench.journal.release(run, ABORTED)
      await assertClaimed(bench, 't1', ended)
      const next = await bench.begin('t2', H)
      await bench.append(next, 1, [text('a')])
      await bench.journal.release(next, ABORTED)
      await assertClaimed(bench, 't2', { isSame: true, ended: { end: ABORTED, isWhole: false, epoch, seq: 5 } })
      assert.deepEqual(await bench.drain(), [])
    }
  },
  {
    must: [11],
    title: 'neither a chat that is sent again nor one of another body changes anything',
    async run (bench) {
      const run = await bench.begin('t1', H)
      await bench.accepted('t2', H)
      const { followed: { turns }, cursor } = await bench.follow()
      for (const turnId of ['t1', 't2']) {
        for (const onBusy of ['queue', 'reject', 'interrupt'] as const) {
          assert.deepEqual(await bench.offer(turnId, { ...H, onBusy, maxQueued: 0 }), { accepted: false, claimed: OPEN })
          assert.deepEqual(await bench.offer(turnId, { chat: { bodyHash: 'x' }, onBusy }), { accepted: false, claimed: OTHER })
        }
      }
      await assertClaimed(bench, 't1', OPEN)
      const later = await bench.follow()
      assert.deepEqual([later.followed.turns, later.cursor.seq], [turns, cursor.seq])
      await bench.finish(run)
      assert.deepEqual(await bench.drain(), ['t2'])
    }
  },
  {
    must: [2, 11],
    title: 'of one chat that is offered several times at once one is accepted, and the others hear of it',
    async run (bench) {
      for (const of of times(10, (round) => key(`s${round}`))) {
        const offers = await together(...times(4, (index) => () => bench.offer('t1', { ...H, of, on: bench.node(index) })))
        assert.deepEqual(refusalsOf(offers), times(3, (): Offer => ({ accepted: false, claimed: OPEN })))
        assert.deepEqual(await bench.drain(of), ['t1'])
      }
    }
  },
  {
    must: [2, 11],
    title: 'of two chats of one id and different bodies that are offered at once one is accepted',
    async run (bench) {
      for (const of of times(10, (round) => key(`s${round}`))) {
        const bodies = ['h', 'x'].map((bodyHash) => ({ bodyHash, message: bodyHash }))
        const offers = await together(...bodies.map((chat, index) => () => bench.offer('t1', { of, chat, on: bench.node(index) })))
        assert.deepEqual(refusalsOf(offers), [{ accepted: false, claimed: OTHER }])
        const run: Run = await bench.take(of)
        assert.equal(run.chat.message, offers[0]?.accepted === true ? 'h' : 'x')
      }
    }
  },
  {
    must: [11],
    title: 'a chat that is offered again while its turn ends hears that it is open or ended, and does not run again',
    async run (bench) {
      for (const of of times(10, (round) => key(`s${round}`))) {
        const { epoch } = await bench.accepted('t1', { ...H, of })
        const run = await bench.take(of)
        const ended: Claimed = { isSame: true, ended: { end: STOP, isWhole: false, epoch, seq: 2 } }
        const offers: Offer[] = []
        await together<unknown>(
          () => bench.journal.append(run, 1, [END]), () => bench.journal.release(run, ABORTED),
          ...times(4, (index) => async () => { offers.push(await bench.offer('t1', { ...H, of, on: bench.node(index) })) })
        )
        for (const offer of offers) assert.deepEqual(offer, { accepted: false, claimed: isOpen(offer) ? OPEN : ended })
        assert.deepEqual(await bench.drain(of), [])
      }
    }
  },
  {
    must: [11],
    title: 'chats that were withdrawn, cancelled or displaced are known with their ends',
    async run (bench) {
      const run = await bench.begin('t0')
      const { epoch } = await bench.accepted('t1', H)
      await bench.journal.withdraw(S, 't1', ABORTED)
      await bench.accepted('t2', H)
      await bench.journal.cancel(S, 't2', STOP)
      await bench.accepted('t3', H)
      await bench.accepted('t4', { ...H, onBusy: 'interrupt' })
      for (const [index, end] of [ABORTED, STOP, ABORTED].entries()) {
        await assertClaimed(bench, `t${index + 1}`, { isSame: true, ended: { end, isWhole: false, epoch, seq: index + 2 } })
      }
      await bench.finish(run)
      assert.deepEqual(await bench.drain(), ['t4'])
    }
  },
  {
    must: [11],
    title: 'a claim lasts for the window after its end, whatever else is forgotten, and no longer',
    limits: { maxEntries: 8, maxAgeMs: 1, maxSessions: 2, dedupWindowMs: 'window' },
    async run (bench) {
      const { epoch } = await bench.accepted('t1', H)
      // A turn of any length: its window begins when it ends.
      await bench.advance(2 * bench.windowMs)
      await assertClaimed(bench, 't1', OPEN)
      await bench.finish(await bench.take())
      for (let index = 0; index < 3; index++) await bench.play(`o${index}`, 80, { of: key(`other${index}`) })
      await bench.journal.forget(S)
      await bench.advance(bench.windowMs / 4)
      await assertClaimed(bench, 't1', { isSame: true, ended: { end: STOP, isWhole: false, epoch, seq: 2 } })
      await bench.advance(2 * bench.windowMs)
      assert.equal(await bench.peer.claimed(S, { turnId: 't1', bodyHash: 'x' }), undefined)
      await bench.accepted('t1', { chat: { bodyHash: 'x' } })
    }
  },
  {
    must: [11],
    title: 'a claim of a turn that was forgotten while it ran or waited does not run again',
    async run (bench) {
      await bench.begin('t1', H)
      await bench.accepted('t2', H)
      await bench.journal.forget(S)
      for (const turnId of ['t1', 't2']) {
        assert.equal((await bench.offer(turnId, H)).accepted, false)
        assert.deepEqual(await bench.offer(turnId, { chat: { bodyHash: 'x' } }), { accepted: false, claimed: OTHER })
      }
      assert.deepEqual(await bench.drain(), [])
    }
  },
  {
    must: [11],
    title: 'when there is no room for a claim the chat is refused, and no claim is dropped for it',
    limits: { maxClaimsPerOwner: 4, dedupWindowMs: 'window' },
    async run (bench) {
      for (let index = 0; index < 4; index++) await bench.accepted(`t${index}`, { ...H, of: key(`s${index % 2}`) })
      assert.deepEqual(await bench.drain(key('s0')), ['t0', 't2'])
      for (const onBusy of ['queue', 'reject', 'interrupt'] as const) {
        assert.deepEqual(await bench.offer('t9', { ...H, onBusy }), { accepted: false, code: 'RATE_LIMITED' })
      }
      assert.equal(await bench.peer.claimed(S, { turnId: 't9', bodyHash: 'h' }), undefined)
      assert.equal((await bench.follow()).followed.turns.length, 0)
      for (let index = 0; index < 4; index++) await assertKnown(bench, `t${index}`, key(`s${index % 2}`))
      await bench.accepted('t8')
      await bench.accepted('t9', { ...H, of: { ...S, owner: 'bob' } })
      await bench.advance(2 * bench.windowMs)
      await bench.accepted('t9', H)
      await assertKnown(bench, 't1', key('s1'))
    }
  },
  {
    must: [2, 11],
    title: 'of many chats at once as many are accepted as there is room for claims',
    limits: { maxClaimsPerOwner: 4 },
    async run (bench) {
      const offers = await together(...times(9, (index) => () => bench.offer(`t${index}`, { ...H, of: key(`s${index}`), on: bench.node(index) })))
      assert.deepEqual(refusalsOf(offers), times(5, () => ({ accepted: false, code: 'RATE_LIMITED' })))
    }
  },
  {
    must: [11],
    title: 'an id is claimed in its own session, whatever others are called',
    async run (bench) {
      const keys = [['a', 'b', 'c'], ['a","b', 'c', 'd'], ['a', 'b","c', 'd'], ['a:b', 'c', 'd'], ['a', 'b:c', 'd'], ['A', 'b', 'c']]
        .map(([owner = '', agentId = '', sessionId = '']) => ({ owner, agentId, sessionId }))
      for (const of of keys) await bench.accepted('t1', { ...H, of })
      for (const of of keys) assert.deepEqual(await bench.offer('t1', { ...H, of }), { accepted: false, claimed: OPEN })
      for (const of of keys) {
        const { followed } = await bench.follow({}, { of })
        assert.deepEqual(followed.turns.map(({ chat }) => chat.turnId), ['t1'])
        await bench.journal.publish(of, of.owner, '{}')
        assert.deepEqual((await (await bench.followAll(followed.cursor.epoch, of)).read(1)).map(told), [`- ${of.owner}`])
      }
    }
  }
]

/** What an offer is answered, on both nodes, and what it would be answered. */
async function assertClaimed (bench: JournalBench, turnId: string, claimed: Claimed): Promise<void> {
  for (const on of [bench.journal, bench.peer]) {
    assert.deepEqual(await bench.offer(turnId, { ...H, on }), { accepted: false, claimed })
    assert.deepEqual(await on.claimed(S, { turnId, bodyHash: 'h' }), claimed)
    assert.deepEqual(await bench.offer(turnId, { on, chat: { bodyHash: 'x' } }), { accepted: false, claimed: OTHER })
    assert.deepEqual(await on.claimed(S, { turnId, bodyHash: 'x' }), OTHER)
  }
  assert.equal(await bench.journal.claimed(key('other'), { turnId, bodyHash: 'h' }), undefined)
}

async function assertKnown (bench: JournalBench, turnId: string, of: SessionKey): Promise<void> {
  const claimed = await bench.peer.claimed(of, { turnId, bodyHash: 'h' })
  assert.equal(claimed?.isSame, true)
}

function refusalsOf (offers: readonly Offer[]): Offer[] {
  return offers.filter((offer) => !isAccepted(offer))
}

function isOpen (offer: Offer): boolean {
  return 'claimed' in offer && offer.claimed.isSame && offer.claimed.ended === undefined
}
