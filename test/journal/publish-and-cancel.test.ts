import t from 'tap'

import type { Offer, OfferTerms, Run, StoredChat, TurnCursor, TurnEnd } from '../../lib/journal/journal.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, short, type SyncJournal } from '../helpers/sync-journal.js'

const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
const ABORTED: TurnEnd = { finishReason: 'aborted' }
const S = key('s')

await t.test('publish', async (t) => {
  await t.test('numbers an event as any other entry, in a session that it makes if need be', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock })
    const first = journal.publish(S, 'note', '1')
    t.equal(first.seq, 1)
    const { offered, run } = begin(journal, 't1')
    t.strictSame([offered.epoch, offered.seq], [first.epoch, 1])
    t.strictSame(journal.publish(S, 'note', '2'), { epoch: first.epoch, seq: 3 })
    journal.release(run, ABORTED)
    t.strictSame(journal.publish(S, 'note', '3'), { epoch: first.epoch, seq: 5 })
    t.equal(journal.stats().entries, 5)
    t.equal(clock.pending, 1)
  })

  await t.test('is no business of readers of a turn', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    journal.publish(S, 'note', '1')
    journal.append(run, 1, [{ kind: 'text', content: 'a' }])
    t.strictSame(read(cursor), ['1 turn-started', '3 a'])
  })

  await t.test('lets go of what is older than allowed', async (t) => {
    // A session in which nothing but events came held them all, up to its limits.
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000 })
    for (let count = 0; count < 10; count++) {
      journal.publish(S, 'note', '1')
      clock.advance(6_000)
    }
    t.match(journal.stats(), { sessions: 1, entries: 2 })
  })

  await t.test('is refused by a journal that is closed', async (t) => {
    const journal = open()
    journal.close()
    t.throws(() => journal.publish(S, 'note', '1'), /closed/)
    t.throws(() => journal.follow(S, {}, () => {}), /closed/)
  })
})

await t.test('cancel', async (t) => {
  await t.test('of a chat that waits ends it, and leaves the others', async (t) => {
    const journal = open()
    begin(journal, 't1', () => { t.fail('stopped'); return true })
    const [two, three] = ['t2', 't3'].map((turnId) => wait(journal, turnId))
    t.strictSame(journal.cancel(S, 't2', { finishReason: 'other' }), ['t2'])
    t.strictSame([two, three].map(read), [['2 end other'], []])
    t.strictSame(journal.cancel(S, 't2', ABORTED), [], 'twice')
    t.equal(journal.withdraw(S, 't3', ABORTED), true)
  })

  await t.test('of the turn that runs asks it to stop, and answers its id if it will', async (t) => {
    for (const willStop of [true, false]) {
      const journal = open()
      let asked = 0
      const { run, cursor } = begin(journal, 't1', () => {
        asked++
        return willStop
      })
      wait(journal, 't2')
      t.strictSame(journal.cancel(S, 't1', ABORTED), willStop ? ['t1'] : [])
      t.equal(asked, 1)
      t.strictSame(read(cursor), ['1 turn-started'], 'its end is its own')
      t.equal(journal.append(run, 1, [{ kind: 'text', content: 'a' }]), true)
      t.equal(journal.retract(S, chatOf('t2')), true, 'who waits is not meant')
    }
  })

  await t.test('of all there is ends what waits in its order, then asks what runs, whose id comes first', async (t) => {
    const journal = open()
    const ended: string[] = []
    const { cursor } = begin(journal, 't1', () => {
      ended.push('t1')
      return true
    })
    const waiting = ['t2', 't3', 't4'].map((turnId) => wait(journal, turnId, () => { ended.push(turnId) }))
    for (const reader of waiting) read(reader)
    read(cursor)
    t.strictSame(journal.cancel(S, undefined, ABORTED), ['t1', 't2', 't3', 't4'])
    t.strictSame(ended, ['t2', 't3', 't4', 't1'])
    t.strictSame(waiting.map(read), [['2 end aborted'], ['3 end aborted'], ['4 end aborted']])
    t.strictSame(journal.cancel(S, undefined, ABORTED), ['t1'])
  })

  await t.test('of a run that does not stop answers those that waited', async (t) => {
    const journal = open()
    begin(journal, 't1')
    wait(journal, 't2')
    t.strictSame(journal.cancel(S, undefined, ABORTED), ['t2'])
  })

  await t.test('of what is not there changes nothing', async (t) => {
    const journal = open()
    t.strictSame(journal.cancel(S, undefined, ABORTED), [])
    t.equal(journal.stats().sessions, 0)
    const { run } = begin(journal, 't1', () => { t.fail('stopped'); return true })
    t.strictSame(journal.cancel(S, 't9', ABORTED), [])
    t.strictSame(journal.cancel(key('other'), undefined, ABORTED), [])
    journal.release(run, ABORTED)
    t.strictSame(journal.cancel(S, undefined, ABORTED), [], 'it has ended')
  })
})

await t.test('a chat that interrupts', async (t) => {
  await t.test('asks what runs to stop, when it is itself in the queue', async (t) => {
    const journal = open()
    const seen: unknown[] = []
    begin(journal, 't1', () => {
      seen.push(journal.withdraw(S, 't3', ABORTED))
      return true
    })
    const two = wait(journal, 't2')
    t.match(offer(journal, 't3', { onBusy: 'interrupt' }), { displaced: ['t2'], position: 1 })
    t.strictSame(seen, [true])
    t.strictSame(read(two), ['2 end aborted'])
  })

  await t.test('stops nothing where nothing runs', async (t) => {
    const journal = open()
    const { run } = begin(journal, 't1', () => { t.fail('stopped'); return true })
    journal.release(run, ABORTED)
    t.match(offer(journal, 't2', { onBusy: 'interrupt' }), { displaced: [], position: 0 })
  })
})

await t.test('release', async (t) => {
  await t.test('writes the end of a turn that has none', async (t) => {
    const journal = open()
    const { run, cursor } = begin(journal, 't1')
    journal.release(run, { finishReason: 'other', usage: { inputTokens: 1, outputTokens: 2 } })
    t.match(cursor.next(), { seq: 1 })
    t.strictSame(cursor.next(), { kind: 'end', end: { finishReason: 'other', usage: { inputTokens: 1, outputTokens: 2 } }, turnId: 't1', seq: 2 })
    journal.release(run, ABORTED)
    t.equal(journal.stats().entries, 2)
  })

  await t.test('writes none where there is one, or the session was forgotten', async (t) => {
    const journal = open()
    const ended = begin(journal, 't1')
    journal.append(ended.run, 1, [{ kind: 'end', end: { finishReason: 'stop' } }])
    journal.release(ended.run, ABORTED)
    t.strictSame(read(ended.cursor), ['1 turn-started', '2 end stop'])
    const forgotten = begin(journal, 't2')
    journal.forget(S)
    journal.release(forgotten.run, ABORTED)
    t.strictSame([forgotten.cursor.next(), forgotten.cursor.next()].map((entry) => entry === 'lost'), [false, true])
    t.equal(journal.stats().sessions, 0)
  })
})

await t.test('the readers of a turn are those of it, of its session, and of sets that have it', async (t) => {
  const journal = open()
  t.equal(journal.readers(S, 't1'), 0)
  const { cursor } = begin(journal, 't1')
  wait(journal, 't2')
  const sets = [undefined, new Set(['t1']), new Set(['t1', 't2']), new Set<string>()].map((turns) => journal.follow(S, { turns }, () => {})?.cursor)
  journal.follow(key('other'), {}, () => {})
  t.strictSame(['t1', 't2', 't9'].map((turnId) => journal.readers(S, turnId)), [4, 3, 1])
  for (const set of sets) set?.close()
  t.strictSame(['t1', 't2', 't9'].map((turnId) => journal.readers(S, turnId)), [1, 1, 0])
  cursor.close()
  t.equal(journal.readers(S, 't1'), 0)
})

function chatOf (turnId: string): StoredChat {
  return { turnId, message: turnId, acceptedAt: 0 }
}

function offer (journal: SyncJournal, turnId: string, terms: Partial<OfferTerms> = {}): Extract<Offer, { accepted: true }> {
  const offered = journal.offer(S, chatOf(turnId), { ...TERMS, ...terms })
  if (!offered.accepted) throw new Error(JSON.stringify(offered))
  return offered
}

/** A turn that waits, as seen by a reader. */
function wait (journal: SyncJournal, turnId: string, wake = (): void => {}): TurnCursor {
  offer(journal, turnId)
  return follow(journal, turnId, wake)
}

function follow (journal: SyncJournal, turnId: string, wake = (): void => {}): TurnCursor {
  const cursor = journal.followTurn(S, turnId, wake)
  if (cursor === undefined) throw new Error(`no turn ${turnId}`)
  return cursor
}

/** A turn that runs, and a reader of it. */
function begin (
  journal: SyncJournal, turnId: string, onStop = (): boolean => false
): { offered: Extract<Offer, { accepted: true }>, run: Run, cursor: TurnCursor } {
  const offered = offer(journal, turnId)
  const run = journal.take(S, onStop)
  if (run === undefined) throw new Error('nothing to take')
  return { offered, run, cursor: follow(journal, turnId) }
}

/** All that is there now. */
function read (cursor: TurnCursor | undefined): string[] {
  const told: string[] = []
  for (let entry = cursor?.next(); entry !== undefined; entry = cursor?.next()) {
    if (entry === 'lost') throw new Error('lost')
    told.push(short(entry))
  }
  return told
}
