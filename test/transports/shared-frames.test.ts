import t from 'tap'

import type { Entry } from '../../lib/journal/journal.js'
import { FeedFrames } from '../../lib/transports/feed-frames.js'
import { FrameBatch } from '../../lib/transports/frame-bytes.js'
import { eventually } from '../helpers/eventually.js'
import { bufferBytes } from '../helpers/garbage.js'
import { SharedFrames, type SessionFrames } from '../../lib/transports/shared-frames.js'

const KEY = { owner: 'o', agentId: 'main', sessionId: 's' }
type SharedEntry = Parameters<SessionFrames['write']>[1]

const text = (seq: number, content = `piece ${seq}`): SharedEntry => ({ kind: 'text', content, turnId: 'turn', seq })

function bytesBy (writer: Pick<SessionFrames, 'write'>, entries: SharedEntry[]): { bytes: Buffer, chunks: readonly Buffer[] } {
  const batch = new FrameBatch()
  for (const entry of entries) writer.write(batch, entry)
  const { chunks } = batch.take()
  return { bytes: Buffer.concat(chunks), chunks }
}

const entries: SharedEntry[] = [
  { kind: 'event', name: 'turn-started', json: '{"message":"hi"}', turnId: 'turn', seq: 1 },
  text(2),
  { kind: 'message', content: 'whole', turnId: 'turn', seq: 3 },
  { kind: 'event', name: 'news', json: '[1]', turnId: undefined, seq: 4 },
  text(5, 'é你😀"\n')
]

t.test('readers of one session are told the same bytes, made once, and as one reader alone is', async (t) => {
  const shared = new SharedFrames()
  const first = shared.open(KEY)
  const expected = bytesBy(new FeedFrames(KEY), entries).bytes
  t.ok(bytesBy(first, entries).bytes.equals(expected), 'alone')
  const second = shared.open({ ...KEY })
  t.equal(second, first)
  const [one, other] = [bytesBy(first, entries), bytesBy(second, entries)]
  t.ok(one.bytes.equals(expected))
  t.ok(other.bytes.equals(expected))
  t.equal(one.chunks[0]?.buffer, other.chunks[0]?.buffer, 'the memory is the same')
  t.equal(one.chunks.length, 1, 'neighbours leave as one chunk')
})

t.test('another session has frames of its own', async (t) => {
  const shared = new SharedFrames()
  const other = shared.open({ ...KEY, sessionId: 'other' })
  t.not(other, shared.open(KEY))
  t.match(bytesBy(other, [text(1)]).bytes.toString(), '"sessionId":"other"')
})

t.test('what was kept for the last readers is not told to later ones', async (t) => {
  const shared = new SharedFrames()
  const first = shared.open(KEY)
  shared.open(KEY)
  bytesBy(first, [text(1, 'old')])
  first.close()
  first.close()
  const anew = shared.open(KEY)
  t.not(anew, first)
  shared.open(KEY)
  // A session that was forgotten begins again at the same seq.
  t.match(bytesBy(anew, [text(1, 'new')]).bytes.toString(), '"content":"new"')
  const again: Entry = text(1, 'newer')
  t.match(bytesBy(anew, [again]).bytes.toString(), '"content":"newer"', 'a merged entry, or another, has the seq of one that was kept')
})

t.test('more is told than can be kept, also what is large', async (t) => {
  const shared = new SharedFrames()
  const [first, second] = [shared.open(KEY), shared.open(KEY)]
  const many = Array.from({ length: 3_000 }, (_, i) => text(i + 1, `${i} `.repeat(i % 7 === 0 ? 500 : 2)))
  const expected = bytesBy(new FeedFrames(KEY), many).bytes
  t.ok(bytesBy(first, many).bytes.equals(expected))
  t.ok(bytesBy(second, many).bytes.equals(expected))
  const large = [text(1, 'x'.repeat(200_000)), text(2, 'y'.repeat(200_000))]
  t.ok(bytesBy(first, large).bytes.equals(bytesBy(second, large).bytes))
})

t.test('all sessions together keep only so much, however many have two readers', async (t) => {
  // Each had a slab, and up to 256 KiB, for as long as two tabs were open.
  const shared = new SharedFrames()
  const before = bufferBytes()
  const sessions = Array.from({ length: 1_000 }, (_, i) => {
    const key = { ...KEY, sessionId: `s${i}` }
    return [shared.open(key), shared.open(key)] as const
  })
  const told = Array.from({ length: 100 }, (_, i) => text(i + 1, 'some words of an answer '.repeat(30)))
  const batch = new FrameBatch()
  for (const [index, [first, second]] of sessions.entries()) {
    for (const reader of [first, second]) {
      for (const entry of told) reader.write(batch, entry)
      if (index % 100 === 0) t.ok(Buffer.concat(batch.take().chunks).equals(bytesBy(new FeedFrames({ ...KEY, sessionId: `s${index}` }), told).bytes))
      else batch.take().sent()
    }
  }
  await eventually(() => bufferBytes() - before < 40 * 1024 * 1024)
  t.ok(sessions.every(([first]) => first.readers === 2))
})
