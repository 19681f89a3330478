import t from 'tap'

import type { Journal, Run, TurnCursor } from '../../lib/journal/journal.js'
import { unsharedJournal } from '../../lib/journal/memory-journal.js'
import { heldBytes } from '../helpers/garbage.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { key, open, short, type SyncJournal } from '../helpers/sync-journal.js'
import { ABORTED, STOP, text } from './new-entries.js'
import { begin, chat, done, fill, follow, offer, read, readUntilEmpty, result, S, take, TERMS } from './turn-scene.js'

await t.test('bounds', async (t) => {
  await t.test('entries and bytes are held per session', async (t) => {
    const journal = open({ maxEntries: 10, maxBytes: 2_000 })
    const { run } = begin(journal, 't1')
    for (let batch = 1; batch <= 20; batch++) journal.append(run, batch, [text('x')])
    t.match(journal.stats(), { sessions: 1, entries: 10, bytes: 10 * 122 })
    journal.append(run, 21, [text('x'.repeat(500))])
    t.match(journal.stats(), { entries: 8, bytes: 7 * 122 + 1_120 })
  })

  await t.test('what a turn\'s reader has read is kept for a reader of the session, and for no longer than that one is there', async (t) => {
    const journal: Journal = unsharedJournal({ clock: new ManualClock() })
    const { run, cursor } = begin(journal, 't1')
    const whole = result(journal.follow(S, {}, () => {}))
    journal.append(run, 1, [text('a')])
    read(cursor)
    t.equal(journal.stats().entries, 2)
    whole?.cursor.close()
    journal.append(run, 2, [text('b')])
    read(cursor)
    t.equal(journal.stats().entries, 0)
    journal.append(run, 3, [STOP])
    journal.release(run, ABORTED)
  })

  await t.test('what the reader of a turn has read is forgotten until somebody was told a position of the session', async (t) => {
    const ways: Array<[string, (journal: Journal) => unknown]> = [
      ['an offer', (journal) => offer(journal, 'told')],
      ['an event', (journal) => journal.publish(S, 'x', '1')],
      ['a reader of the session', (journal) => result(journal.follow(S, {}, () => {}))?.cursor.close()]
    ]
    for (const [way, tell] of ways) {
      const journal: Journal = open({})
      t.match(journal.offer(S, chat('t1'), { ...TERMS, isUnplaced: true }), { accepted: true, position: 0, seq: 0 })
      const run = take(journal)
      const cursor = follow(journal, 't1')
      journal.append(run, 1, [text('a')])
      t.strictSame(readUntilEmpty(cursor), ['1 turn-started', '2 a'])
      t.equal(journal.stats().entries, 0)
      tell(journal)
      const before = journal.stats().entries
      journal.append(run, 2, [text('b')])
      t.strictSame(readUntilEmpty(cursor).slice(-1), [`${3 + before} b`])
      t.equal(journal.stats().entries, before + 1, `${way} tells one`)
      cursor.close()
    }
  })

  await t.test('whoever comes to a session of which something was forgotten as read is told the turn, and can come back', async (t) => {
    const journal = open({})
    journal.offer(S, chat('t1'), { ...TERMS, isUnplaced: true })
    const run = take(journal)
    const cursor = follow(journal, 't1')
    journal.append(run, 1, [text('a'), text('b')])
    t.equal(readUntilEmpty(cursor).length, 3)
    const first = journal.follow(S, {}, () => {})
    t.match(first, { recovered: false, turns: [{ status: 'running', text: 'ab' }], cursor: { seq: 3 } })
    journal.append(run, 2, [text('c')])
    journal.append(run, 3, [STOP])
    t.strictSame(readUntilEmpty(cursor), ['4 c', '5 end stop'])
    t.match(first?.cursor.next(0), { content: 'c', seq: 4 })
    first?.cursor.close()
    journal.release(run, ABORTED)
    const again = journal.follow(S, { position: { epoch: first?.cursor.epoch ?? '', seq: 3 } }, () => {})
    t.equal(again?.recovered, true)
    t.match([again?.cursor.next(0), again?.cursor.next(0)], [{ content: 'c', seq: 4 }, { kind: 'end', seq: 5 }])
    t.match(again?.cursor.view('t1'), { text: 'abc', end: { finishReason: 'stop' } })
  })

  await t.test('of a session whose turn is over and was read, and of which nobody was told a position, nothing is held for long', async (t) => {
    const unplaced = { ...TERMS, isUnplaced: true }
    const steps: Record<string, (journal: SyncJournal, run: Run, cursor: TurnCursor) => void> = {
      'its reader leaves last': (journal, run, cursor) => { journal.release(run, ABORTED); readUntilEmpty(cursor); cursor.close() },
      'its run is over last': (journal, run, cursor) => { readUntilEmpty(cursor); cursor.close(); journal.release(run, ABORTED) }
    }
    const ask = (journal: SyncJournal, of = S, end = steps['its run is over last']): void => {
      journal.offer(of, chat('t1'), unplaced)
      const [run, cursor] = [take(journal, of), follow(journal, 't1', undefined, of)]
      journal.append(run, 1, [text('a'), STOP])
      end?.(journal, run, cursor)
    }
    const others: Record<string, [isHeld: boolean, tell: (journal: SyncJournal) => void]> = {
      nothing: [false, () => {}],
      'the same once more': [false, ask],
      'another chat': [true, (journal) => journal.offer(S, chat('t2'), unplaced)],
      'a chat whose position was told': [true, (journal) => done(journal, 't2')],
      'an event': [true, (journal) => journal.publish(S, 'x', '1')],
      'a reader of the session': [true, (journal) => journal.follow(S, {}, () => {})]
    }
    for (const [how, end] of Object.entries(steps)) {
      for (const [what, [isHeld, tell]] of Object.entries(others)) {
        const journal = open()
        ask(journal, S, end)
        tell(journal)
        t.match(journal.stats(), { sessions: 1 }, 'it may be asked again')
        for (let i = 0; i < 64; i++) ask(journal, key(`other ${i}`), end)
        t.equal(journal.stats().sessions, isHeld ? 65 : 64, `${how}, and then there is ${what}`)
        for (let i = 64; i < 200; i++) ask(journal, key(`other ${i}`), end)
        t.equal(journal.stats().sessions, isHeld ? 65 : 64)
      }
    }
  })

  await t.test('a session that is forgotten is held no longer, also where it was kept to be asked again', async (t) => {
    const journal = open({ maxBytes: 10_000_000 })
    const before = heldBytes()
    for (let i = 0; i < 40; i++) {
      const of = key(`s${i}`)
      journal.offer(of, chat('t1'), { ...TERMS, isUnplaced: true })
      const [run, cursor] = [take(journal, of), follow(journal, 't1', undefined, of)]
      journal.append(run, 1, [STOP])
      journal.release(run, ABORTED)
      readUntilEmpty(cursor)
      cursor.close()
      journal.publish(of, 'x', Buffer.alloc(500_000, `${i} `).toString())
    }
    t.ok(heldBytes() - before > 10_000_000)
    for (let i = 0; i < 40; i++) journal.forget(key(`s${i}`))
    t.ok(heldBytes() - before < 2_000_000, 'of 20 MB')
    t.equal(journal.stats().sessions, 0)
  })

  await t.test('what a reader leaves that leaves at once, in the middle of what is done, is whole', async (t) => {
    const unplaced = { ...TERMS, isUnplaced: true }
    // One other session at a time: what is not in use has to go.
    const scene = (): SyncJournal => {
      const journal = open({ maxSessions: 2 })
      journal.offer(S, chat('t1'), unplaced)
      const cursor = follow(journal, 't1', () => {
        const entry = cursor.next()
        if (entry === 'lost' || entry?.kind === 'end') cursor.close()
      })
      readUntilEmpty(cursor)
      return journal
    }
    const interrupted = scene()
    t.match(interrupted.offer(S, chat('t2'), { ...unplaced, onBusy: 'interrupt' }), { accepted: true, displaced: ['t1'] })
    t.equal(take(interrupted).chat.turnId, 't2')
    for (const end of ['withdraw', 'cancel', 'retract'] as const) {
      const journal = scene()
      if (end === 'retract') journal.retract(S, chat('t1'))
      else journal[end](S, 't1', ABORTED)
      const { run } = begin(journal, 't2')
      for (const other of ['a', 'b', 'c']) journal.publish(key(other), 'x', '1')
      t.equal(journal.append(run, 1, [text('a')]), true)
      t.match(readUntilEmpty(follow(journal, 't2')), [/turn-started$/, / a$/], end)
    }
  })

  await t.test('a chat that is known by its id has told where its turn has ended', async (t) => {
    const journal = open()
    const again = chat('t1', { bodyHash: 'h' })
    journal.offer(S, again, { ...TERMS, isUnplaced: true })
    const [run, cursor] = [take(journal), follow(journal, 't1')]
    journal.append(run, 1, [STOP])
    readUntilEmpty(cursor)
    cursor.close()
    journal.release(run, ABORTED)
    const claimed = journal.claimed(S, { turnId: 't1', bodyHash: 'h' })
    const ended = claimed?.isSame === true ? claimed.ended : undefined
    t.match(ended, { seq: 2 })
    t.equal(journal.follow(S, { position: { epoch: ended?.epoch ?? '', seq: 2 } }, () => {})?.recovered, true)
  })

  await t.test('the last reader of a session that was forgotten takes nothing from the one after it', async (t) => {
    const journal = open()
    journal.offer(S, chat('t1'), { ...TERMS, isUnplaced: true })
    const [run, cursor] = [take(journal), follow(journal, 't1')]
    journal.append(run, 1, [STOP])
    journal.release(run, ABORTED)
    journal.forget(S)
    journal.offer(S, chat('t2'), { ...TERMS, isUnplaced: true })
    t.strictSame(readUntilEmpty(cursor), ['1 turn-started', '2 end stop'])
    cursor.close()
    t.equal(take(journal).chat.turnId, 't2')
  })

  await t.test('the text of a turn goes with its last reader, where nobody can join, and where its end is held no longer', async (t) => {
    const said = 'what was said '.repeat(100)
    for (const [journal, left] of [[unsharedJournal({ clock: new ManualClock() }), ''], [open({}), said]] as const) {
      const { run, cursor } = begin(journal, 't1')
      const other = result(journal.followTurn(S, 't1', () => {}))
      journal.append(run, 1, [text(said)])
      journal.append(run, 2, [STOP])
      journal.release(run, ABORTED)
      readUntilEmpty(cursor)
      cursor.close()
      t.equal(other?.text(), said, 'another reads it still')
      other?.close()
      t.equal(run.text.toString(), left)
    }
  })

  await t.test('a turn keeps its text until its end is forgotten, and a reader of the session that is in it has passed it', async (t) => {
    const said = 'what was said '.repeat(100)
    for (const isRead of [false, true]) {
      const journal = open({ maxEntries: 4 })
      const first = begin(journal, 't1')
      const whole = result(journal.follow(S, {}, () => {}))
      journal.append(first.run, 1, [text('It is '), text(said)])
      t.match(whole?.cursor.next(0), { content: 'It is ' })
      if (!isRead) whole?.cursor.close()
      first.cursor.close()
      journal.append(first.run, 2, [STOP])
      journal.release(first.run, ABORTED)
      t.equal(first.run.text.toString(), `It is ${said}`)
      const next = begin(journal, 't2')
      journal.append(next.run, 1, ['a', 'b', 'c'].map((piece) => text(piece)))
      t.equal(first.run.text.toString(), isRead ? `It is ${said}` : '')
    }
  })

  await t.test('entries older than allowed go with the next append', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 1_000 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('a')])
    clock.advance(1_001)
    journal.append(run, 2, [text('b')])
    t.equal(journal.stats().entries, 1)
    t.strictSame(readUntilEmpty(cursor), ['2 a', '3 b'])
  })

  await t.test('the sweep drops sessions that nobody used, trims live ones, and stops when none is left', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxAgeMs: 10_000 })
    t.equal(clock.pending, 0)
    const live = begin(journal, 't1', key('live'))
    done(journal, 't1', key('idle'))
    clock.advance(9_000)
    done(journal, 't1', key('fresh'))
    t.equal(clock.pending, 1)
    t.match(journal.stats(), { sessions: 3, entries: 5 })
    clock.advance(6_000)
    t.match(journal.stats(), { sessions: 2, entries: 2 }, 'the live one is kept, without its old entries')
    journal.append(live.run, 1, [STOP])
    journal.release(live.run, ABORTED)
    clock.advance(10_000)
    t.match(journal.stats(), { sessions: 1 })
    clock.advance(10_000)
    t.match(journal.stats(), { sessions: 0, entries: 0, bytes: 0 })
    t.equal(clock.pending, 0)
    t.strictSame(read(live.cursor).map(short), ['2 end stop'])
  })

  await t.test('the session unused for longest makes room for a new one, a live one never', async (t) => {
    const journal = open({ maxSessions: 3 })
    begin(journal, 't1', key('live'))
    const epochs = new Map(['a', 'b'].map((name) => [name, done(journal, 't1', key(name)).epoch]))
    done(journal, 't2', key('a'))
    done(journal, 't1', key('c'))
    t.equal(journal.stats().sessions, 3)
    t.equal(done(journal, 't3', key('a')).epoch, epochs.get('a'), 'used since')
    t.not(done(journal, 't2', key('b')).epoch, epochs.get('b'), 'it had to go')
  })

  await t.test('bytes are held in all: above, idle sessions go, the one unused for longest first, a live one never', async (t) => {
    // There was no bound in all: as many sessions as allowed could hold 50 GB.
    const journal = open({ maxTotalBytes: 85_000 })
    const fillOne = (name: string): Run => {
      const { run } = begin(journal, 't1', key(name))
      fill(journal, run, 1, 'x'.repeat(5_000))
      return run
    }
    const live = fillOne('live')
    journal.offer(key('live'), chat('t2'), TERMS)
    let turns = 2
    const epochOf = (name: string): string => done(journal, `t${++turns}`, key(name)).epoch
    const epochs = new Map<string, string>()
    for (const name of ['a', 'b', 'c']) {
      journal.release(fillOne(name), ABORTED)
      epochs.set(name, epochOf(name))
    }
    t.equal(journal.stats().sessions, 4)
    epochOf('a')
    const big = begin(journal, 't1', key('big')).run
    fill(journal, big, 2, 'x'.repeat(5_000))
    t.equal(journal.stats().sessions, 5, 'it is not counted with every entry')
    journal.release(big, ABORTED)
    t.equal(journal.stats().sessions, 3)
    t.ok(journal.stats().bytes <= 85_000)
    t.equal(epochOf('a'), epochs.get('a'), 'used since')
    t.not(epochOf('b'), epochs.get('b'), 'it had to go')
    t.not(epochOf('c'), epochs.get('c'), 'it had to go too')
    t.equal(journal.append(live, 999_999, [text('a')]), true)
  })

  await t.test('a session that alone has too many bytes goes when its turn is over, and leaves no timer', async (t) => {
    const clock = new ManualClock()
    const journal = open({ clock, maxTotalBytes: 1_000 })
    const { run, cursor } = begin(journal, 't1')
    journal.append(run, 1, [text('x'.repeat(1_000)), STOP])
    offer(journal, 't2')
    journal.release(run, ABORTED)
    t.equal(journal.stats().sessions, 1, 'a chat waits')
    journal.withdraw(S, 't2', ABORTED)
    t.equal(journal.stats().sessions, 0)
    t.equal(clock.pending, 0)
    t.equal(read(cursor).length, 3)
  })

  await t.test('live sessions may be more than allowed', async (t) => {
    const journal = open({ maxSessions: 2 })
    for (const name of ['a', 'b', 'c']) begin(journal, 't1', key(name))
    t.equal(journal.stats().sessions, 3)
  })
})
