import t from 'tap'

import { MERGE_UNITS } from '../../lib/journal/turn-text.js'
import type { Entry, TurnCursor } from '../../lib/journal/journal.js'
import { TurnFollower } from '../../lib/turns/follow.js'
import { failedEnd } from '../../lib/turns/turn-end.js'

await t.test('a follower', async (t) => {
  await t.test('gives entries one by one to a reader that keeps up', async (t) => {
    const { follower } = following([textEntry(1, 'a'), textEntry(2, 'b'), undefined, end(3)])
    t.match([follower.next(false), follower.next(false), follower.next(false), follower.next(false)], [
      { seq: 1 }, { seq: 2 }, undefined, { seq: 3 }
    ])
  })

  await t.test('merges neighbouring text for a reader that is behind, never across anything else', async (t) => {
    const entries: Entry[] = [
      textEntry(1, 'a'), textEntry(2, 'b'), { kind: 'event', name: 'x', json: '1', turnId: 't1', seq: 3 }, textEntry(4, 'c'),
      { kind: 'message', content: 'M', turnId: 't1', seq: 5 }, textEntry(6, 'd'), textEntry(7, 'e'), end(8)
    ]
    const { follower } = following([...entries])
    const seen = Array.from({ length: 7 }, () => follower.next(true))
    t.strictSame(seen, [
      textEntry(2, 'ab'), entries[2], textEntry(4, 'c'), entries[4], textEntry(7, 'de'), entries[7], undefined
    ])
  })

  await t.test('never merges text of two turns', async (t) => {
    // Neighbouring pieces became one, of the first turn, whosever they were.
    const other: Entry = { ...textEntry(2, 'b'), turnId: 't2' }
    const { follower } = following([textEntry(1, 'a'), other, textEntry(3, 'c')])
    t.strictSame([follower.next(true), follower.next(true), follower.next(true)], [textEntry(1, 'a'), other, textEntry(3, 'c')])
  })

  await t.test('merges no more than one step', async (t) => {
    const half = 'x'.repeat(Math.ceil(MERGE_UNITS / 2))
    const { follower } = following([textEntry(1, half), textEntry(2, half), textEntry(3, 'y'), textEntry(4, half.repeat(4)), textEntry(5, 'z')])
    const seen = Array.from({ length: 4 }, () => follower.next(true))
    t.match(seen, [{ seq: 1 }, { seq: 3 }, { seq: 4 }, { seq: 5 }])
    t.strictSame(seen.map((entry) => lengthOf(entry)), [half.length, half.length + 1, half.length * 4, 1])
  })

  await t.test('holds what it read too far, also for a reader that has caught up', async (t) => {
    const { follower } = following([textEntry(1, 'a'), end(2)])
    t.match([follower.next(true), follower.next(false), follower.next(false)], [{ content: 'a' }, { kind: 'end' }, undefined])
  })

  await t.test('says when the rest is lost, after what came before', async (t) => {
    const { follower } = following([textEntry(1, 'a'), 'lost', 'lost'])
    t.match([follower.next(true), follower.next(true), follower.next(true)], [{ content: 'a' }, 'lost', 'lost'])
  })

  await t.test('tells an end that its journal could not be told, after what is there, and once', async (t) => {
    let wakes = 0
    const { follower } = following([textEntry(1, 'a'), textEntry(2, 'b')], () => { wakes++ })
    follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.equal(wakes, 1)
    t.match([follower.next(true), follower.next(true), follower.next(true)], [
      { content: 'ab' }, { kind: 'end', turnId: 't1', end: { error: { code: 'STORE_UNAVAILABLE' } } }, undefined
    ])
  })

  await t.test('tells that end also where the rest is lost', async (t) => {
    const { follower } = following(['lost', 'lost'])
    follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.match([follower.next(false), follower.next(false)], [{ kind: 'end' }, undefined])
  })

  await t.test('tells one end, when the journal had written it and then failed to say so', async (t) => {
    // It gave the journal's end, and then the unwritten one too.
    const { follower } = following([end(1)])
    follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.match([follower.next(false), follower.next(false), follower.next(true)], [{ end: { finishReason: 'stop' } }, undefined, undefined])
    const other = following([undefined, end(1)])
    other.follower.endUnwritten(failedEnd('STORE_UNAVAILABLE'))
    t.match([other.follower.next(false), other.follower.next(false)], [{ end: { finishReason: 'error' } }, undefined])
  })

  await t.test('knows the text, and closes its cursor', async (t) => {
    const { follower, cursor } = following([])
    t.equal(follower.text(), 'whole')
    follower.close()
    t.ok(cursor.isClosed)
  })
})

function textEntry (seq: number, content: string): Entry {
  return { kind: 'text', content, turnId: 't1', seq }
}

function end (seq: number): Entry {
  return { kind: 'end', end: { finishReason: 'stop' }, turnId: 't1', seq }
}

function lengthOf (entry: Entry | 'lost' | undefined): number {
  return entry !== undefined && entry !== 'lost' && entry.kind === 'text' ? entry.content.length : -1
}

function following (
  entries: Array<Entry | 'lost' | undefined>, wake = (): void => {}
): { follower: TurnFollower, cursor: TurnCursor & { isClosed: boolean } } {
  const cursor = {
    isClosed: false,
    next: () => entries.shift(),
    text: () => 'whole',
    close () { cursor.isClosed = true }
  }
  return { follower: new TurnFollower(cursor, 't1', wake), cursor }
}
