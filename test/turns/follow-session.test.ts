import t from 'tap'

import type { Entry, SessionCursor, TurnEnd } from '../../lib/journal/journal.js'
import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import { SessionFollower } from '../../lib/turns/follow-session.js'

const FAILED: TurnEnd = { finishReason: 'error', error: { code: 'STORE_UNAVAILABLE' } }

await t.test('a reader of a session', async (t) => {
  await t.test('is where its cursor is, and asks it for pieces as they are, or merged', async (t) => {
    const { follower, cursor } = following([textEntry(1), textEntry(2)])
    t.strictSame([follower.epoch, follower.seq], ['e', 0])
    t.match(follower.next(false), { seq: 1 })
    t.equal(follower.seq, 1)
    t.match(follower.next(true), { seq: 2 })
    t.equal(follower.next(true), undefined)
    t.strictSame(cursor.merges, [0, MERGE_UNITS, MERGE_UNITS])
    t.strictSame(follower.view('t1'), { text: 'view of t1', end: undefined })
  })

  await t.test('says that the rest is lost', async (t) => {
    const { follower } = following([textEntry(1), 'lost'])
    t.strictSame([follower.next(false), follower.next(false), follower.next(false)], [textEntry(1), 'lost', undefined])
  })

  await t.test('can be narrowed to some turns, and widened', async (t) => {
    const { follower, cursor } = following([])
    const turns = new Set(['t1'])
    follower.narrow(turns)
    t.equal(cursor.turns, turns)
    follower.narrow(undefined)
    t.equal(cursor.turns, undefined)
  })

  await t.test('closes its cursor, and says so', async (t) => {
    const { follower, cursor, closed } = following([])
    follower.close()
    t.ok(cursor.isClosed)
    t.strictSame(closed, [follower])
  })
})

await t.test('an end of which the journal could not be told', async (t) => {
  await t.test('is told after what is there, once, at the place of the reader', async (t) => {
    const { follower, wakes } = following([textEntry(1), textEntry(2)])
    follower.endUnwritten('t1', FAILED)
    t.equal(wakes(), 1)
    t.strictSame([follower.next(false), follower.next(false)], [textEntry(1), textEntry(2)])
    t.strictSame(follower.next(false), { kind: 'end', end: FAILED, turnId: 't1', seq: 2 })
    t.equal(follower.next(false), undefined)
  })

  await t.test('is told of several turns, in the order in which they ended', async (t) => {
    const { follower } = following([])
    for (const turnId of ['t2', 't1']) follower.endUnwritten(turnId, FAILED)
    t.strictSame([follower.next(false), follower.next(false), follower.next(false)], [end(0, 't2', FAILED), end(0, 't1', FAILED), undefined])
  })

  await t.test('is not told where the journal has written it after all, and tells it now', async (t) => {
    const { follower } = following([end(1)])
    follower.endUnwritten('t1', FAILED)
    t.strictSame([follower.next(false), follower.next(false)], [end(1), undefined])
  })

  await t.test('is told once, also where the journal tells it later', async (t) => {
    const { follower, entries } = following([])
    follower.endUnwritten('t1', FAILED)
    t.match(follower.next(false), { kind: 'end' })
    entries.push(end(1), textEntry(2, 't2'), end(3, 't2'))
    t.strictSame([follower.next(false), follower.next(false), follower.next(false)], [textEntry(2, 't2'), end(3, 't2'), undefined])
  })

  await t.test('is told once, also where the journal has told it before it failed to say so', async (t) => {
    // Every reader of the whole session was told a second end.
    const { follower, cursor, wakes } = following([end(1)])
    t.strictSame(follower.next(false), end(1))
    cursor.view = (turnId) => ({ text: '', end: turnId === 't1' ? { finishReason: 'stop' } : undefined })
    follower.endUnwritten('t1', FAILED)
    t.strictSame([follower.next(false), wakes()], [undefined, 0])
    follower.endUnwritten('t2', FAILED)
    t.match(follower.next(false), { turnId: 't2' })
  })

  await t.test('is told though what the journal knows of the turn cannot be told', async (t) => {
    const { follower, cursor } = following([])
    cursor.view = () => undefined
    follower.endUnwritten('t1', FAILED)
    t.match(follower.next(false), { kind: 'end', turnId: 't1' })
  })

  await t.test('does not matter to whoever reads other turns', async (t) => {
    const { follower, wakes } = following([])
    follower.narrow(new Set(['t2']))
    follower.endUnwritten('t1', FAILED)
    t.strictSame([follower.next(false), wakes()], [undefined, 0])
    follower.endUnwritten('t2', FAILED)
    t.match(follower.next(false), { turnId: 't2' })
  })

  await t.test('is told once, however often it is said', async (t) => {
    const { follower } = following([])
    for (const times of [1, 2]) {
      follower.endUnwritten('t1', FAILED)
      t.match(follower.next(false), times === 1 ? { turnId: 't1' } : undefined)
    }
  })

  await t.test('is not told to whoever has gone over to other turns meanwhile', async (t) => {
    // After `unsubscribed` came the end of a turn of somebody else's.
    const { follower } = following([])
    for (const turnId of ['t1', 't2']) follower.endUnwritten(turnId, FAILED)
    follower.narrow(new Set(['t2']))
    t.strictSame([follower.next(false), follower.next(false)], [end(0, 't2', FAILED), undefined])
  })

  await t.test('is remembered of the last 64 turns', async (t) => {
    const { follower, entries } = following([])
    for (let turn = 0; turn < 65; turn++) {
      follower.endUnwritten(`t${turn}`, FAILED)
      t.match(follower.next(false), { turnId: `t${turn}` })
    }
    for (let turn = 0; turn < 65; turn++) entries.push(end(turn + 1, `t${turn}`))
    t.strictSame([follower.next(false), follower.next(false)], [end(1, 't0'), undefined])
  })

  await t.test('takes nothing from events that belong to no turn', async (t) => {
    const event: Entry = { kind: 'event', name: 'note', json: '1', turnId: undefined, seq: 1 }
    const { follower } = following([event])
    follower.endUnwritten('t1', FAILED)
    t.strictSame([follower.next(false), follower.next(false)], [event, end(1, 't1', FAILED)])
  })
})

interface Double extends SessionCursor {
  seq: number
  isClosed: boolean
  merges: number[]
}

function following (entries: Array<Entry | 'lost'>) {
  const cursor: Double = {
    epoch: 'e',
    seq: 0,
    turns: undefined,
    isClosed: false,
    merges: [],
    next (mergeUnits) {
      cursor.merges.push(mergeUnits)
      const entry = entries.shift()
      if (entry !== undefined && entry !== 'lost') cursor.seq = entry.seq
      return entry
    },
    view: (turnId) => ({ text: `view of ${turnId}`, end: undefined }),
    close () { cursor.isClosed = true }
  }
  const closed: SessionFollower[] = []
  let wakes = 0
  const follower = new SessionFollower(cursor, () => { wakes++ }, (one) => { closed.push(one) })
  return { follower, cursor, entries, closed, wakes: () => wakes }
}

function textEntry (seq: number, turnId = 't1'): Entry {
  return { kind: 'text', content: `text ${seq}`, turnId, seq }
}

function end (seq: number, turnId = 't1', how: TurnEnd = { finishReason: 'stop' }): Entry {
  return { kind: 'end', end: how, turnId, seq }
}
