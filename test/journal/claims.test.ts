import t from 'tap'

import type { Offer, OfferTerms, Run, StoredChat, TurnEnd } from '../../lib/journal/journal.js'
import { ANONYMOUS } from '../../lib/protocol/names.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, type SyncJournal } from '../helpers/sync-journal.js'

const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 2, displacedEnd: { finishReason: 'aborted' } }
const ABORTED: TurnEnd = { finishReason: 'aborted' }
const S = key('s')
const OPEN = { accepted: false, claimed: { isSame: true, ended: undefined } }
const OTHER = { accepted: false, claimed: { isSame: false } }
const LIMITED = { accepted: false, code: 'RATE_LIMITED' }

await t.test('a chat that is sent again', async (t) => {
  await t.test('while the first waits or runs is answered that it does, and changes nothing', async (t) => {
    const journal = open()
    t.equal(journal.claimed(S, { turnId: 't1', bodyHash: 'h' }), undefined)
    offer(journal, 't1')
    const before = journal.stats()
    t.strictSame(send(journal, 't1'), OPEN, 'it waits')
    t.strictSame(journal.claimed(S, { turnId: 't1', bodyHash: 'h' }), OPEN.claimed)
    t.strictSame(send(journal, 't1', { onBusy: 'interrupt' }), OPEN, 'which interrupts nothing')
    t.strictSame(send(journal, 't1', { maxQueued: 0 }), OPEN, 'also where there is no room')
    const run = take(journal)
    t.strictSame(send(journal, 't1'), OPEN, 'it runs')
    t.strictSame(journal.stats(), { ...before, entries: 1, bytes: journal.stats().bytes })
    journal.release(run, ABORTED)
    t.equal(journal.take(S, goesOn), undefined)
  })

  await t.test('after the first has ended is answered how, without its content', async (t) => {
    const journal = open()
    const { epoch } = offer(journal, 't1')
    const run = take(journal)
    journal.append(run, 1, [
      { kind: 'text', content: 'a' },
      { kind: 'end', end: { finishReason: 'error', error: { code: 'AGENT_ERROR', text: 'no' }, usage: { inputTokens: 1, outputTokens: 2 } } }
    ])
    const ended = { end: { finishReason: 'error', error: { code: 'AGENT_ERROR', text: 'no' }, usage: { inputTokens: 1, outputTokens: 2 } }, isWhole: false, epoch, seq: 3 }
    t.strictSame(send(journal, 't1'), { accepted: false, claimed: { isSame: true, ended } }, 'before it is released')
    journal.release(run, ABORTED)
    t.strictSame(send(journal, 't1'), { accepted: false, claimed: { isSame: true, ended } })
    offer(journal, 't2')
    const whole = take(journal)
    journal.append(whole, 2, [{ kind: 'end', end: { finishReason: 'stop', content: 'all of it' } }])
    t.strictSame(send(journal, 't2'), {
      accepted: false, claimed: { isSame: true, ended: { end: { finishReason: 'stop' }, isWhole: true, epoch, seq: 5 } }
    })
  })

  await t.test('after the first was withdrawn, displaced or cancelled is answered by that end', async (t) => {
    const journal = open()
    const { epoch } = offer(journal, 't1')
    const ended = (seq: number, finishReason: string): unknown => {
      return { accepted: false, claimed: { isSame: true, ended: { end: { finishReason }, isWhole: false, epoch, seq } } }
    }
    journal.withdraw(S, 't1', { finishReason: 'other' })
    t.strictSame(send(journal, 't1'), ended(1, 'other'))
    offer(journal, 't2')
    offer(journal, 't3', { onBusy: 'interrupt' })
    t.strictSame(send(journal, 't2'), ended(2, 'aborted'))
    journal.cancel(S, 't3', { finishReason: 'other' })
    t.strictSame(send(journal, 't3'), ended(3, 'other'))
    offer(journal, 't4')
    journal.release(take(journal), { finishReason: 'other' })
    t.strictSame(send(journal, 't4'), ended(5, 'other'))
  })

  await t.test('with another body is refused, whatever became of the first', async (t) => {
    const journal = open()
    offer(journal, 't1')
    t.strictSame(send(journal, 't1', {}, 'other'), OTHER)
    const run = take(journal)
    t.strictSame(send(journal, 't1', {}, 'other'), OTHER)
    journal.release(run, ABORTED)
    t.strictSame(send(journal, 't1', {}, 'other'), OTHER)
    t.match(send(journal, 't1'), { claimed: { isSame: true } })
  })

  await t.test('in another session is another chat', async (t) => {
    const journal = open()
    offer(journal, 't1')
    for (const other of [key('s2'), { ...S, owner: 'bob' }, { ...S, agentId: 'second' }]) {
      t.equal(journal.claimed(other, { turnId: 't1', bodyHash: 'h' }), undefined)
      t.match(send(journal, 't1', {}, 'other', other), { accepted: true })
    }
  })

  await t.test('without a claim is not known', async (t) => {
    const journal = open()
    accepted(journal.offer(S, { turnId: 't1', message: '', acceptedAt: 0 }, TERMS))
    t.equal(journal.claimed(S, { turnId: 't1' }), undefined)
    t.equal(journal.stats().claims, 0)
  })

  await t.test('by the id of a turn that has no claim is refused, while that is kept', async (t) => {
    const journal = open()
    accepted(journal.offer(S, { turnId: 't1', message: '', acceptedAt: 0 }, TERMS))
    t.strictSame(send(journal, 't1'), OTHER, 'it waits')
    const run = take(journal)
    t.strictSame(send(journal, 't1'), OTHER, 'it runs')
    journal.release(run, ABORTED)
    t.strictSame(send(journal, 't1'), OTHER, 'it has ended')
    t.equal(journal.claimed(key('s2'), { turnId: 't1', bodyHash: 'h' }), undefined)
  })
})

await t.test('the dedup window', async (t) => {
  await t.test('begins with the end of the turn, however long that ran', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, dedupWindowMs: 10_000, maxAgeMs: 1_000 })
    offer(journal, 't1')
    clock.advance(60_000)
    const run = take(journal)
    clock.advance(60_000)
    t.strictSame(send(journal, 't1'), OPEN)
    journal.release(run, ABORTED)
    clock.advance(9_999)
    t.match(send(journal, 't1'), { claimed: { isSame: true } })
    clock.advance(1)
    t.equal(journal.claimed(S, { turnId: 't1', bodyHash: 'h' }), undefined)
    t.match(send(journal, 't1', {}, 'other'), { accepted: true })
  })

  await t.test('is each chat\'s own, and what has passed leaves no claim and no timer', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, dedupWindowMs: 10_000, maxAgeMs: 1_000 })
    for (let turn = 1; turn <= 5; turn++) {
      done(journal, `t${turn}`)
      clock.advance(3_000)
    }
    // 15 s have passed; the sweep comes every 5 s.
    t.equal(journal.stats().claims, 3)
    t.strictSame([3, 4, 5].map((turn) => journal.claimed(S, { turnId: `t${turn}`, bodyHash: 'h' }) !== undefined), [true, true, true])
    t.equal(clock.pending, 1)
    clock.advance(15_000)
    t.match(journal.stats(), { sessions: 0, claims: 0 })
    t.equal(clock.pending, 0)
  })

  await t.test('has passed, but what is still held is known: its id is that of no other chat', async (t) => {
    // The same chat, sent a third time, was refused as another one.
    const clock = new ManualClock()
    const journal = open({ clock, dedupWindowMs: 1_000, maxAgeMs: 60_000 })
    const { epoch } = offer(journal, 't1')
    const run = take(journal)
    journal.append(run, 1, [{ kind: 'end', end: { finishReason: 'stop', content: 'a' } }])
    clock.advance(10_000)
    t.equal(journal.stats().claims, 0)
    const ended = { end: { finishReason: 'stop' }, isWhole: true, epoch, seq: 2 }
    t.strictSame(send(journal, 't1'), { accepted: false, claimed: { isSame: true, ended } })
    t.strictSame(send(journal, 't1', {}, 'other'), OTHER)
    journal.release(run, ABORTED)
    clock.advance(70_000)
    t.match(send(journal, 't1', {}, 'other'), { accepted: true })
  })

  await t.test('goes on when the session has been forgotten, or has made room for others, or was unused for long', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, dedupWindowMs: 60_000, maxAgeMs: 10_000, maxSessions: 2 })
    const { epoch } = offer(journal, 'queued', {}, key('forgotten'))
    const running = take(journal, key('forgotten'))
    offer(journal, 'waiting', {}, key('forgotten'))
    done(journal, 't1')
    journal.forget(key('forgotten'))
    journal.release(running, ABORTED)
    const ended = { end: { finishReason: 'aborted' }, isWhole: false, epoch, seq: 0 }
    for (const turnId of ['queued', 'waiting']) t.strictSame(send(journal, turnId, {}, 'h', key('forgotten')), { accepted: false, claimed: { isSame: true, ended } })
    for (const name of ['a', 'b']) done(journal, 't1', key(name))
    t.equal(journal.stats().sessions, 2)
    t.match(send(journal, 't1'), { claimed: { isSame: true, ended: { seq: 2 } } }, 'it made room')
    clock.advance(20_000)
    t.match(journal.stats(), { sessions: 0, claims: 5 })
    t.match(send(journal, 't1', {}, 'h', key('a')), { claimed: { isSame: true } }, 'it was unused for long')
    t.equal(clock.pending, 1, 'claims are looked after when no session is left')
    clock.advance(50_000)
    t.equal(journal.stats().claims, 0)
    t.equal(clock.pending, 0)
  })

  await t.test('ends with the journal', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock })
    done(journal, 't1')
    offer(journal, 't2')
    journal.close()
    t.strictSame(journal.stats(), { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims: 0 })
    t.equal(clock.pending, 0)
  })
})

await t.test('claims', async (t) => {
  await t.test('are limited in all: above, a chat with an id is refused, until one has expired', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxClaims: 2, dedupWindowMs: 10_000, maxAgeMs: 1_000_000 })
    done(journal, 't1')
    clock.advance(5_000)
    done(journal, 't2', { ...S, owner: 'bob' })
    t.strictSame(send(journal, 't3'), LIMITED)
    t.match(send(journal, 't1'), { claimed: { isSame: true } }, 'what is known is answered all the same')
    t.match(journal.offer(S, { turnId: 't4', message: '', acceptedAt: 0 }, TERMS), { accepted: true }, 'so is what needs no claim')
    clock.advance(4_999)
    t.strictSame(send(journal, 't3'), LIMITED)
    clock.advance(1)
    t.match(send(journal, 't3'), { accepted: true })
    t.strictSame(send(journal, 't5'), LIMITED)
  })

  await t.test('are limited for each owner, but not for those who are nobody', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxClaimsPerOwner: 2, dedupWindowMs: 10_000 })
    for (let turn = 1; turn <= 2; turn++) done(journal, `t${turn}`)
    t.strictSame(send(journal, 't3'), LIMITED)
    t.strictSame(send(journal, 't3', {}, 'h', key('s2')), LIMITED, 'in any session')
    t.match(send(journal, 't3', {}, 'h', { ...S, owner: 'bob' }), { accepted: true })
    for (let turn = 1; turn <= 9; turn++) done(journal, `t${turn}`, { ...S, owner: ANONYMOUS })
    clock.advance(10_000)
    for (let turn = 3; turn <= 4; turn++) done(journal, `t${turn}`)
    t.strictSame(send(journal, 't5'), LIMITED)
  })

  await t.test('are not left behind by a chat that is refused, nor is a session', async (t) => {
    // A chat that was refused for want of a claim made its session, for which another had to go.
    const clock = new ManualClock()
    const journal = open({ clock, maxClaims: 3, maxSessions: 1, maxAgeMs: 1_000_000 })
    offer(journal, 't1')
    offer(journal, 't2', { maxQueued: 1 })
    t.strictSame(send(journal, 't3', { maxQueued: 1 }), { accepted: false, code: 'QUEUE_FULL' })
    t.strictSame(send(journal, 't3', { onBusy: 'reject' }), { accepted: false, code: 'SESSION_BUSY' })
    t.equal(journal.stats().claims, 2)
    t.equal(journal.claimed(S, { turnId: 't3', bodyHash: 'h' }), undefined)
    offer(journal, 't3')
    journal.cancel(S, undefined, ABORTED)
    t.strictSame(send(journal, 't4', {}, 'h', key('s2')), LIMITED)
    t.match(journal.stats(), { sessions: 1, entries: 3, claims: 3 })
    t.equal(journal.claimed(key('s2'), { turnId: 't4', bodyHash: 'h' }), undefined)
    journal.forget(S)
    t.strictSame(send(journal, 't4'), LIMITED)
    t.equal(journal.stats().sessions, 0)
  })

  await t.test('leave what an interrupt finds as it is when there is no room', async (t) => {
    const journal = open({ maxClaims: 2 })
    offer(journal, 't1')
    const run = journal.take(S, () => { t.fail('stopped'); return true })
    offer(journal, 't2')
    t.strictSame(send(journal, 't3', { onBusy: 'interrupt' }), LIMITED)
    t.strictSame(send(journal, 't2', { onBusy: 'interrupt' }), OPEN)
    t.ok(run)
    t.equal(journal.withdraw(S, 't2', ABORTED), true)
  })
})

await t.test('a chat that is taken back', async (t) => {
  await t.test('is as if it had never been offered', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxClaims: 2, maxAgeMs: 1_000 })
    t.equal(journal.retract(S, chatOf('t1')), false, 'no session')
    offer(journal, 't1')
    offer(journal, 't2')
    const before = journal.stats()
    t.equal(journal.retract(S, chatOf('t1')), true)
    t.equal(journal.retract(S, chatOf('t1')), false, 'twice')
    t.strictSame(journal.stats(), { ...before, claims: 1 })
    t.match(send(journal, 't1', {}, 'other'), { accepted: true, position: 1, seq: 0 })
    t.equal(take(journal).chat.turnId, 't2')
    t.equal(journal.retract(S, chatOf('t2')), false, 'it runs')
    t.equal(journal.retract(S, chatOf('t1')), false, 'what waits under the id now is another')
    t.equal(journal.retract(S, { ...chatOf('t1', 'other'), acceptedAt: 1 }), false, 'of another time')
    t.equal(journal.retract(S, chatOf('t1', 'other')), true)
    const unclaimed = { turnId: 't9', message: '', acceptedAt: 0 }
    accepted(journal.offer(S, unclaimed, TERMS))
    t.equal(journal.retract(S, unclaimed), true, 'one without a claim too')
  })

  await t.test('leaves no timer once its session has gone', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 1_000 })
    offer(journal, 't1')
    journal.retract(S, chatOf('t1'))
    clock.advance(10_000)
    t.strictSame(journal.stats(), { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims: 0 })
    t.equal(clock.pending, 0)
  })
})

function goesOn (): boolean {
  return false
}

function chatOf (turnId: string, bodyHash = 'h'): StoredChat {
  return { turnId, message: turnId, acceptedAt: 0, bodyHash }
}

function send (journal: SyncJournal, turnId: string, terms: Partial<OfferTerms> = {}, bodyHash = 'h', of = S): Offer {
  return journal.offer(of, chatOf(turnId, bodyHash), { ...TERMS, ...terms })
}

function offer (journal: SyncJournal, turnId: string, terms: Partial<OfferTerms> = {}, of = S): Extract<Offer, { accepted: true }> {
  return accepted(send(journal, turnId, terms, 'h', of))
}

function accepted (offered: Offer): Extract<Offer, { accepted: true }> {
  if (!offered.accepted) throw new Error(JSON.stringify(offered))
  return offered
}

function take (journal: SyncJournal, of = S): Run {
  const run = journal.take(of, goesOn)
  if (run === undefined) throw new Error('nothing to take')
  return run
}

/** A turn that has come and gone. */
function done (journal: SyncJournal, turnId: string, of = S): void {
  offer(journal, turnId, {}, of)
  journal.release(take(journal, of), { finishReason: 'stop' })
}
