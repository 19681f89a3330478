import t from 'tap'

import { EntryRing } from '../../lib/journal/entry-ring.js'
import type { Entry, NewEntry } from '../../lib/journal/journal.js'
import { MERGE_UNITS, TurnText } from '../../lib/journal/turn-text.js'
import { text } from './new-entries.js'

const OVERHEAD = 120

await t.test('a ring', async (t) => {
  await t.test('is empty before anything was written', async (t) => {
    const ring = new EntryRing({ maxEntries: 4, maxBytes: 1e6 })
    t.strictSame([ring.size, ring.bytes, ring.top, ring.first], [0, 0, 0, 1])
    t.equal(ring.get(1), undefined)
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
    t.equal(ring.get(30), undefined)
    t.equal(ring.get(51), undefined)
    t.strictSame(contents(ring), Array.from({ length: 20 }, (_, index) => `${31 + index}`))
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
    for (const onForgotten of [({ seq }: Entry): void => { forgotten.push(seq) }, undefined]) {
      const ring = new EntryRing({ maxEntries: 3, maxBytes: 1e6 }, onForgotten)
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

await t.test('the text of a turn', async (t) => {
  await t.test('is what was appended', async (t) => {
    const turnText = new TurnText()
    t.strictSame([turnText.length, turnText.toString(), turnText.step(0, 0)], [0, '', undefined])
    const pieces = Array.from({ length: 5_000 }, (_, index) => `piece ${index} `)
    pieces.forEach((piece, index) => { turnText.append(piece, index + 1) })
    t.equal(turnText.toString(), pieces.join(''))
    t.equal(turnText.length, pieces.join('').length)
  })

  await t.test('is told again in steps that add up to it, from any offset', async (t) => {
    const turnText = new TurnText()
    const ends: number[] = []
    for (let seq = 1; seq <= 3_000; seq++) {
      turnText.append(`${seq}-`.repeat(seq % 17), seq)
      ends.push(turnText.length)
    }
    const whole = turnText.toString()
    for (const start of [0, 1, MERGE_UNITS - 1, MERGE_UNITS, MERGE_UNITS + 1, whole.length - 1, whole.length]) {
      const { told, seqs, longest } = tell(turnText, start, whole.length)
      t.equal(told, whole.slice(start))
      t.ok(longest <= MERGE_UNITS)
      t.strictSame(seqs, [...seqs].sort((one, other) => one - other))
    }
    const { told, seqs } = tell(turnText, 0, whole.length)
    let offset = 0
    for (const [index, seq] of seqs.slice(0, -1).entries()) {
      offset += turnText.step(offset, whole.length)?.content.length ?? 0
      t.equal(ends[seq - 1], offset, `step ${index} covers the entries up to its seq, and no part of another`)
    }
    t.equal(told.length, whole.length)
  })

  await t.test('is told up to an offset', async (t) => {
    const turnText = new TurnText()
    for (let seq = 1; seq <= 10; seq++) turnText.append('x'.repeat(9_999) + '.', seq)
    for (const to of [10_000, 30_000, 90_000]) t.equal(tell(turnText, 0, to).told, turnText.toString().slice(0, to))
  })

  await t.test('of one long piece is told in steps too, whose seq counts the piece only when it was told whole', async (t) => {
    // A piece longer than a step used to be one step of any length.
    const turnText = new TurnText()
    turnText.append('short', 4)
    turnText.append('x'.repeat(2 * MERGE_UNITS + 1), 5)
    turnText.append('short', 6)
    const { told, steps } = tell(turnText, 0, turnText.length)
    t.equal(told, turnText.toString())
    t.strictSame(steps, [[5, 4], [MERGE_UNITS, 4], [MERGE_UNITS, 4], [6, 6]])
  })

  await t.test('is never cut inside a character', async (t) => {
    const turnText = new TurnText()
    turnText.append('x' + '😀'.repeat(MERGE_UNITS), 1)
    const { told, contents, longest } = tell(turnText, 0, turnText.length)
    t.equal(told, turnText.toString())
    t.ok(contents.every((content) => content.isWellFormed()))
    t.ok(longest <= MERGE_UNITS)
    t.equal(contents.length, 3)
  })
})

function push (ring: EntryRing, entry: NewEntry, at = 0): void {
  ring.push({ ...entry, turnId: 't', seq: ring.top + 1 }, 0, at)
}

function contents (ring: EntryRing): string[] {
  const held: string[] = []
  for (let seq = ring.first; seq <= ring.top; seq++) {
    const entry = ring.get(seq)?.entry
    held.push(entry?.seq === seq && entry.kind === 'text' ? entry.content : '(none)')
  }
  return held
}

function tell (turnText: TurnText, from: number, to: number): Told {
  const contents: string[] = []
  const steps: Array<[length: number, seq: number]> = []
  for (let step = turnText.step(from, to); step !== undefined; step = turnText.step(from, to)) {
    if (step.content === '') throw new Error('a step that does not get on')
    contents.push(step.content)
    steps.push([step.content.length, step.seq])
    from += step.content.length
  }
  const lengths = contents.map((content) => content.length)
  return { told: contents.join(''), contents, steps, seqs: steps.map(([, seq]) => seq), longest: Math.max(0, ...lengths) }
}

interface Told {
  told: string
  contents: string[]
  steps: Array<[length: number, seq: number]>
  seqs: number[]
  longest: number
}
