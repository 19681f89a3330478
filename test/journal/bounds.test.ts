import { setImmediate as tick } from 'node:timers/promises'

import t from 'tap'

import type { Followed, FollowFrom, OfferTerms, Run, TurnEnd } from '../../lib/journal/journal.js'
import { collectGarbage } from '../helpers/garbage.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, type SyncJournal } from '../helpers/sync-journal.js'

const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
const STOP: TurnEnd = { finishReason: 'stop' }
const NOTHING = { sessions: 0, entries: 0, bytes: 0, cursors: 0, claims: 0 }

await t.test('a session that is followed', async (t) => {
  await t.test('is kept whatever its age, without what is too old, until nobody follows it', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000 })
    say(journal, 'a', 't1', 'x')
    const { cursor } = follow(journal, 'a')
    for (let minute = 0; minute < 10; minute++) clock.advance(60_000)
    t.strictSame(journal.stats(), { ...NOTHING, sessions: 1, cursors: 1 })
    journal.publish(key('a'), 'note', '1')
    t.match(cursor.next(0), { kind: 'event', name: 'note', seq: 4 })
    cursor.close()
    clock.advance(20_000)
    t.strictSame(journal.stats(), NOTHING)
    t.equal(clock.pending, 0)
  })

  await t.test('is looked at in its turn: what is behind it goes all the same', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000 })
    follow(journal, 'a')
    begin(journal, 'b', 't1')
    say(journal, 'c', 't1', 'x')
    offer(journal, 'd', 't1')
    say(journal, 'e', 't1', 'x')
    clock.advance(15_000)
    t.equal(journal.stats().sessions, 3)
    t.strictSame(['a', 'b', 'd'].map((name) => journal.readers(key(name), 't1')), [1, 0, 0])
  })

  await t.test('does not go when others need its place or its bytes', async (t) => {
    const journal = open({ maxSessions: 2, maxTotalBytes: 30_000 })
    say(journal, 'a', 't1', 'x'.repeat(5_000))
    const { cursor } = follow(journal, 'a')
    for (const name of ['b', 'c', 'd']) say(journal, name, 't1', 'x'.repeat(5_000))
    const { epoch, seq } = cursor
    t.equal(follow(journal, 'a', { position: { epoch, seq } }).recovered, true)
    t.equal(cursor.next(0), undefined)
  })

  await t.test('stays when it is the one by which there are too many bytes', async (t) => {
    // It was dropped while it was being followed, and its reader was told nothing of what came after.
    const journal = open({ maxTotalBytes: 1_000 })
    const run = begin(journal, 'a', 't1')
    journal.append(run, 1, [{ kind: 'text', content: 'x'.repeat(1_000) }])
    offer(journal, 'a', 't2')
    const { cursor } = follow(journal, 'b')
    t.equal(journal.publish(key('b'), 'note', '1').epoch, cursor.epoch)
    t.match(cursor.next(0), { name: 'note', seq: 1 })
  })

  await t.test('takes a place: when all are taken there is none for another, but for those that are there', async (t) => {
    const journal = open({ maxSessions: 2 })
    const { cursor } = follow(journal, 'a')
    begin(journal, 'b', 't1')
    t.equal(journal.follow(key('c'), {}, () => {}), undefined)
    t.equal(journal.stats().sessions, 2)
    follow(journal, 'a')
    follow(journal, 'b').cursor.close()
    for (const reader of [cursor, follow(journal, 'a').cursor]) reader.close()
    t.equal(journal.follow(key('c'), {}, () => {}), undefined, 'one still follows')
    journal.forget(key('a'))
    follow(journal, 'c')
    t.equal(journal.stats().sessions, 2)
  })

  await t.test('takes the place of one that is idle', async (t) => {
    const journal = open({ maxSessions: 2 })
    say(journal, 'a', 't1', 'x')
    say(journal, 'b', 't1', 'x')
    follow(journal, 'c')
    t.strictSame(['a', 'b', 'c'].map((name) => journal.cancel(key(name), undefined, STOP)), [[], [], []])
    t.match(journal.stats(), { sessions: 2, cursors: 1 })
  })
})

await t.test('ended turns', async (t) => {
  const sizes = (journal: SyncJournal, names: string[]): Array<number | undefined> => {
    const { cursor } = follow(journal, 'a')
    const lengths = names.map((turnId) => cursor.view(turnId)?.text.length)
    cursor.close()
    return lengths
  }

  await t.test('are kept as long as their ends are held, and the older ones as far as there is room', async (t) => {
    const journal = open({ maxBytes: 10_000, maxEntries: 3 })
    say(journal, 'a', 't1', 'x'.repeat(1_000))
    t.strictSame(sizes(journal, ['t1']), [1_000])
    journal.publish(key('a'), 'note', '1')
    journal.publish(key('a'), 'note', '1')
    t.strictSame(sizes(journal, ['t1']), [1_000])
    journal.publish(key('a'), 'note', '1')
    t.strictSame(sizes(journal, ['t1']), [undefined], 'its end has gone')
  })

  await t.test('have half of the bytes of the session, the newest as many as it needs', async (t) => {
    const journal = open({ maxBytes: 10_000, maxEntries: 1_000 })
    // Many pieces, of which the ring holds the last.
    const long = (turnId: string, length: number): void => {
      const run = begin(journal, 'a', turnId)
      for (let batch = 1; batch <= length / 100; batch++) journal.append(run, batch, [{ kind: 'text', content: 'x'.repeat(100) }])
      journal.append(run, 1e6, [{ kind: 'end', end: STOP }])
      journal.release(run, STOP)
    }
    long('t1', 4_000)
    long('t2', 1_000)
    t.strictSame(sizes(journal, ['t1', 't2']), [4_000, 1_000], 'just as much as may be')
    t.equal(journal.stats().bytes > 10_000, true)
    long('t3', 100)
    t.strictSame(sizes(journal, ['t1', 't2', 't3']), [undefined, 1_000, 100])
    long('t4', 20_000)
    t.strictSame(sizes(journal, ['t3', 't4']), [undefined, 20_000])
    long('t5', 100)
    t.strictSame(sizes(journal, ['t4', 't5']), [undefined, 100])
    t.ok(journal.stats().bytes <= 10_000 + 2 * 100)
  })

  await t.test('are let go by who has read their end, and waits for another', async (t) => {
    // Whoever only listened used to hold on to the last answer.
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 1_000 })
    const { cursor } = follow(journal, 'a')
    const turn = new WeakRef(say(journal, 'a', 't1', 'x'))
    while (cursor.next(0) !== undefined);
    clock.advance(20_000)
    await tick()
    collectGarbage()
    t.equal(turn.deref(), undefined)
    t.equal(journal.stats().cursors, 1)
  })
})

function offer (journal: SyncJournal, name: string, turnId: string): void {
  if (!journal.offer(key(name), { turnId, message: turnId, acceptedAt: 0 }, TERMS).accepted) throw new Error('refused')
}

function begin (journal: SyncJournal, name: string, turnId: string): Run {
  offer(journal, name, turnId)
  const run = journal.take(key(name), () => false)
  if (run === undefined) throw new Error('nothing to take')
  return run
}

/** A turn that has come, said something, and gone. */
function say (journal: SyncJournal, name: string, turnId: string, content: string): Run {
  const run = begin(journal, name, turnId)
  journal.append(run, 1, [{ kind: 'text', content }, { kind: 'end', end: STOP }])
  journal.release(run, STOP)
  return run
}

function follow (journal: SyncJournal, name: string, from: FollowFrom = {}): Followed {
  const followed = journal.follow(key(name), from, () => {})
  if (followed === undefined) throw new Error('no room')
  return followed
}
