import assert from 'node:assert/strict'

import t from 'tap'

import { EntryRing } from '../../lib/journal/entry-ring.js'
import type { Entry, NewEntry } from '../../lib/journal/journal.js'
import { Random } from '../fuzz/random.js'
import { text } from './new-entries.js'

const OVERHEAD = 120

await t.test('a ring', async (t) => {
  await t.test('is empty before anything was written', async (t) => {
    const ring = new EntryRing({ maxEntries: 4, maxBytes: 1e6 })
    t.strictSame([ring.size, ring.bytes, ring.top, ring.first], [0, 0, 0, 1])
    t.equal(ring.entryAt(1), undefined)
    ring.trimOlderThan(Infinity)
    t.equal(ring.size, 0)
  })

  await t.test('holds the newest entries, and as many as it may', async (t) => {
    const ring = new EntryRing({ maxEntries: 20, maxBytes: 1e6 })
    for (let seq = 1; seq <= 50; seq++) {
      push(ring, text(`${seq}`))
      t.equal(ring.size, Math.min(seq, 20))
    }
    t.strictSame([ring.first, ring.top], [31, 50])
    t.equal(ring.entryAt(30), undefined)
    t.equal(ring.entryAt(51), undefined)
    t.strictSame(contents(ring), Array.from({ length: 20 }, (_, index) => `${31 + index}`))
  })

  await t.test('gives each entry as it was written, with its turn and its number', async (t) => {
    const ring = new EntryRing({ maxEntries: 20, maxBytes: 1e6 })
    const written: Array<[NewEntry, string | undefined]> = [
      [{ kind: 'event', name: 'x', json: '1' }, 'a'], [text(''), 'a'], [text('of no turn'), undefined], [{ kind: 'message', content: 'M' }, 'a'],
      [text('b'), 'b'], [{ kind: 'end', end: { finishReason: 'stop' } }, 'b'], [{ kind: 'event', name: 'y', json: '2' }, undefined]
    ]
    for (const [index, [entry, turnId]] of written.entries()) ring.push(entry, turnId, index + 1, 0)
    for (const [index, [entry, turnId]] of written.entries()) t.strictSame(ring.entryAt(index + 1), { ...entry, turnId, seq: index + 1 })
  })

  await t.test('holds what a list of all that was written holds, whether one entry is left or many', async (t) => {
    const random = new Random(11)
    for (let round = 0; round < 200; round++) {
      const maxEntries = 1 + random.below(random.pick([12, 40]))
      const ring = new EntryRing({ maxEntries, maxBytes: 1e6 })
      const written: Array<{ content: string | undefined, turnId: string, size: number }> = []
      for (let seq = 1; seq <= 80; seq++) {
        const [content, turnId] = [random.perMille(800) ? 'x'.repeat(random.below(9)) : undefined, random.pick(['a', 'b'])]
        ring.push(content === undefined ? { kind: 'event', name: 'x', json: '' } : text(content), turnId, seq, seq)
        written.push({ content, turnId, size: OVERHEAD + 2 * (content?.length ?? 0) })
        if (random.perMille(400)) ring.trimThrough(seq - random.below(random.pick([3, 30])))
        const held = written.slice(ring.first - 1)
        assert.ok(held.length <= maxEntries)
        assert.equal(ring.size, held.length)
        assert.equal(ring.bytes, held.reduce((sum, { size }) => sum + size, 0))
        let through = ring.through - ring.bytes
        for (const [index, { content, turnId, size }] of held.entries()) {
          const at = ring.first + index
          const entry = ring.entryAt(at)
          assert.strictEqual(entry?.kind === 'text' ? entry.content : undefined, content)
          assert.equal(entry?.turnId, turnId)
          assert.equal(ring.sizeAt(at), size)
          assert.equal(ring.throughAt(at), through += size)
          const rest = held.slice(index).filter((each) => each.turnId === turnId)
          assert.equal(ring.textFrom(at, turnId), rest.reduce((sum, { content }) => sum + (content?.length ?? 0), 0))
        }
      }
    }
    t.pass()
  })

  await t.test('has no room left where a reader was far behind and has read all', async (t) => {
    const ring = new EntryRing({ maxEntries: 1_024, maxBytes: 1e9 })
    for (let seq = 1; seq <= 1_000; seq++) push(ring, text('old'))
    ring.trimThrough(1_000)
    push(ring, text('new'))
    push(ring, text('newer'))
    t.strictSame([ring.first, ring.top, contents(ring)], [1_001, 1_002, ['new', 'newer']])
  })

  await t.test('knows the turn of each text, however many were forgotten', async (t) => {
    const random = new Random(7)
    for (let round = 0; round < 200; round++) {
      const ring = new EntryRing({ maxEntries: 1 + random.below(9), maxBytes: 1e6 })
      const turnIds: Array<string | undefined> = []
      let turnId: string | undefined = 'a'
      for (let seq = 1; seq <= 60; seq++) {
        if (random.perMille(300)) turnId = random.pick(['a', 'b', 'c', undefined])
        turnIds.push(turnId)
        ring.push(random.perMille(700) ? text(`${seq}`) : { kind: 'event', name: 'x', json: '1' }, turnId, seq, seq)
        if (random.perMille(50)) ring.trimThrough(seq - random.below(4))
        if (random.perMille(20)) ring.trimOlderThan(seq + 1)
        for (let held = ring.first; held <= ring.top; held++) assert.equal(ring.entryAt(held)?.turnId, turnIds[held - 1])
      }
    }
    t.pass()
  })

  await t.test('adds up the sizes up to an entry, and the text of a turn from one on', async (t) => {
    const ring = new EntryRing({ maxEntries: 5, maxBytes: 1e6 })
    const written: Array<[NewEntry, string]> = [
      [text('forgotten'), 'a'], [text('ab'), 'a'], [{ kind: 'event', name: 'x', json: '{}' }, 'a'], [text('abc'), 'b'], [text('d'), 'a'], [text(''), 'a']
    ]
    for (const [index, [entry, turnId]] of written.entries()) ring.push(entry, turnId, index + 1, 0)
    const sums = Array.from({ length: 6 }, (_, index) => ring.throughAt(index + 1) - OVERHEAD * (index + 1))
    t.strictSame(sums, [18, 22, 26, 32, 34, 34])
    t.equal(ring.throughAt(6), ring.through)
    t.strictSame([0, 2, 3, 5, 6].map((seq) => ring.textFrom(seq, 'a')), [3, 3, 1, 1, 0])
    t.strictSame([ring.textFrom(1, 'b'), ring.textFrom(5, 'b'), ring.textFrom(1, 'c')], [3, 0, 0])
  })

  await t.test('holds one entry when it may hold one', async (t) => {
    const ring = new EntryRing({ maxEntries: 1, maxBytes: 1e6 })
    for (const content of ['a', 'b', 'c']) push(ring, text(content))
    t.strictSame([ring.first, ring.top, contents(ring)], [3, 3, ['c']])
  })

  await t.test('counts what each kind of entry costs', async (t) => {
    const ring = new EntryRing({ maxEntries: 9, maxBytes: 1e6 })
    const sizes: number[] = []
    const entries: NewEntry[] = [
      text('abc'),
      { kind: 'message', content: 'abcd' },
      { kind: 'event', name: 'x', json: '{}' },
      { kind: 'end', end: { finishReason: 'stop', content: 'abcde' } },
      { kind: 'end', end: { finishReason: 'stop' } }
    ]
    for (const entry of entries) {
      const before = ring.through
      push(ring, entry)
      sizes.push(ring.through - before - OVERHEAD)
    }
    t.strictSame(sizes, [6, 8, 4, 10, 0])
    t.equal(ring.bytes, ring.through)
  })

  await t.test('forgets the oldest when it has too many bytes', async (t) => {
    const ring = new EntryRing({ maxEntries: 100, maxBytes: 3 * (OVERHEAD + 20) })
    for (let seq = 1; seq <= 5; seq++) push(ring, text('0123456789'))
    t.strictSame([ring.first, ring.size, ring.bytes], [3, 3, 3 * (OVERHEAD + 20)])
    push(ring, text('a'))
    t.strictSame([ring.first, ring.size], [4, 3])
  })

  await t.test('keeps the newest entry, however large', async (t) => {
    const ring = new EntryRing({ maxEntries: 100, maxBytes: 1_000 })
    push(ring, text('small'))
    push(ring, text('x'.repeat(10_000)))
    t.strictSame([ring.first, ring.size, ring.bytes], [2, 1, OVERHEAD + 20_000])
    push(ring, text('small'))
    t.strictSame([ring.first, ring.size, ring.bytes], [3, 1, OVERHEAD + 10])
  })

  await t.test('forgets what is older than an hour, not what is of that hour', async (t) => {
    const ring = new EntryRing({ maxEntries: 9, maxBytes: 1e6 })
    for (const at of [10, 20, 20, 30]) push(ring, text(`${at}`), at)
    ring.trimOlderThan(20)
    t.strictSame(contents(ring), ['20', '20', '30'])
    ring.trimOlderThan(31)
    t.strictSame([ring.size, ring.bytes, ring.first, ring.top], [0, 0, 5, 4])
  })

  await t.test('tells of what it forgets, but not of text', async (t) => {
    const forgotten: number[] = []
    for (const owner of [{ onForgotten ({ seq }: Entry): void { forgotten.push(seq) } }, undefined]) {
      const ring = new EntryRing({ maxEntries: 3, maxBytes: 1e6 }, owner)
      const end: NewEntry = { kind: 'end', end: { finishReason: 'stop' } }
      for (const entry of [{ kind: 'event', name: 'x', json: '1' }, text('a'), { kind: 'message', content: 'M' }, end, text('b')] as const) push(ring, entry)
      t.equal(ring.first, 3)
      ring.trimOlderThan(1)
      t.equal(ring.size, 0)
    }
    t.strictSame(forgotten, [1, 3, 4])
  })

  await t.test('numbers on after it was emptied', async (t) => {
    const ring = new EntryRing({ maxEntries: 9, maxBytes: 1e6 })
    for (let seq = 1; seq <= 9; seq++) push(ring, text('old'), 10)
    ring.trimOlderThan(11)
    push(ring, text('new'), 12)
    t.strictSame([ring.first, ring.top, contents(ring)], [10, 10, ['new']])
  })
})

function push (ring: EntryRing, entry: NewEntry, at = 0): void {
  ring.push(entry, 't', ring.top + 1, at)
}

function contents (ring: EntryRing): string[] {
  const held: string[] = []
  for (let seq = ring.first; seq <= ring.top; seq++) {
    const entry = ring.entryAt(seq)
    held.push(entry?.seq === seq && entry.kind === 'text' ? entry.content : '(none)')
  }
  return held
}
