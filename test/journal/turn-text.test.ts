import assert from 'node:assert/strict'
import { setImmediate as nextRun } from 'node:timers/promises'

import t from 'tap'

import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { MERGE_UNITS, stepOf, TurnText } from '../../lib/journal/turn-text.js'
import { Random } from '../fuzz/random.js'
import { bufferBytes } from '../helpers/garbage.js'
import { CHAT, KEY } from '../turns/one-chat.js'
import { ABORTED, text } from './new-entries.js'

const SEEDS = 12
/** What is kept of blocks that nobody uses. */
const FREE_BYTES = 8 * 1024 * 1024
/** More blocks than are kept for others. */
const TEXTS = 12_000
const PIECES = 150
/** Of one, two, three and four bytes a character, and what a decoder may swallow. */
const ALPHABETS: [string, ...string[]] = ['plain ', 'é', '汉字', '😀', 'a汉😀é', '\ufeff\0']
/** In UTF-16 code units: what stays a string, and what is told in one step. */
const BORDERS: [number, ...number[]] = [
  1, 127, 128, 129, MERGE_UNITS - 1, MERGE_UNITS, MERGE_UNITS + 1, 2 * MERGE_UNITS + 1
]

await t.test('a text is what was appended', async (t) => {
  const turnText = new TurnText()
  t.strictSame([turnText.length, turnText.toString(), turnText.step(0, 0)], [0, '', undefined])
  const pieces = Array.from({ length: 5_000 }, (_, index) => `piece ${index} `)
  pieces.forEach((piece, index) => { turnText.append(piece, index + 1) })
  t.equal(turnText.toString(), pieces.join(''))
  t.equal(turnText.length, pieces.join('').length)
})

await t.test('a text is told again in steps that add up to it, from any offset', async (t) => {
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

await t.test('a text is told up to an offset', async (t) => {
  const turnText = new TurnText()
  for (let seq = 1; seq <= 10; seq++) turnText.append('x'.repeat(9_999) + '.', seq)
  for (const to of [10_000, 30_000, 90_000]) t.equal(tell(turnText, 0, to).told, turnText.toString().slice(0, to))
})

await t.test('a text of one long piece is told in steps too, whose seq counts the piece only when it was told whole', async (t) => {
  // A piece longer than a step used to be one step of any length.
  const turnText = new TurnText()
  turnText.append('short', 4)
  turnText.append('x'.repeat(2 * MERGE_UNITS + 1), 5)
  turnText.append('short', 6)
  const { told, steps } = tell(turnText, 0, turnText.length)
  t.equal(told, turnText.toString())
  t.strictSame(steps, [[5, 4], [MERGE_UNITS, 4], [MERGE_UNITS, 4], [6, 6]])
})

await t.test('a text is never cut inside a character', async (t) => {
  const turnText = new TurnText()
  turnText.append('x' + '😀'.repeat(MERGE_UNITS), 1)
  const { told, contents, longest } = tell(turnText, 0, turnText.length)
  t.equal(told, turnText.toString())
  t.ok(contents.every((content) => content.isWellFormed()))
  t.ok(longest <= MERGE_UNITS)
  t.equal(contents.length, 3)
})

await t.test('a text is the same whenever it is packed, whatever its pieces are', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed)
    const turnText = new TurnText()
    const packs = random.pick([0, 100, 500, 1_000])
    const ends: number[] = []
    let plain = ''
    for (let seq = 1; seq <= PIECES; seq++) {
      const piece = pieceOf(random)
      turnText.append(piece, seq)
      plain += piece
      ends.push(plain.length)
      if (random.perMille(packs)) turnText.pack(random.perMille(500))
      if (random.perMille(80)) same(turnText, plain, ends, random, `seed ${seed}, piece ${seq}`)
    }
    same(turnText, plain, ends, random, `seed ${seed}, whole`)
  }
})

await t.test('a text is the same at each border of what is packed', async () => {
  for (const alphabet of ALPHABETS) {
    for (const first of BORDERS) {
      for (const second of BORDERS) {
        const turnText = new TurnText()
        const pieces = [filled(alphabet, first), filled(alphabet, second), alphabet]
        const ends: number[] = []
        for (const [index, piece] of pieces.entries()) {
          turnText.append(piece, index + 1)
          turnText.pack(true)
          ends.push(turnText.length)
        }
        // What was packed and what was not, in one block.
        turnText.append(alphabet, 4)
        const plain = pieces.join('') + alphabet
        same(turnText, plain, [...ends, plain.length], new Random(first), `${alphabet}, ${first} and ${second} units`)
      }
    }
  }
})

await t.test('a text of half characters keeps its length: the offsets of others are counted on it', async (t) => {
  const turnText = new TurnText()
  for (let seq = 1; seq <= 300; seq++) {
    turnText.append(seq % 2 === 0 ? '\ud83d' : 'x\ude00', seq)
    turnText.pack(true)
  }
  t.equal(turnText.length, 450)
  t.equal(turnText.toString().length, 450)
  t.equal(turnText.step(448, 450)?.content.length, 2)
})

await t.test('a text of pieces is bytes, outside the heap, long before a block of it is full', async (t) => {
  // Each piece used to live as a string until the block was full: every collection copied all of them.
  const before = await heldBytes()
  const texts = Array.from({ length: 1_000 }, () => new TurnText())
  for (let seq = 1; seq <= 200; seq++) {
    for (const turnText of texts) {
      turnText.append('twenty letters, each', seq)
      turnText.pack(true)
    }
  }
  // Without a collection: what grew by a copy of itself used to be held until the next one.
  const made = process.memoryUsage().arrayBuffers - before
  t.ok(made >= 1_000 * 4_000 && made <= 1_000 * 5_100, `${made} bytes`)
  t.ok(texts.every(({ length }) => length === 4_000))
  const ended = texts.map((turnText) => turnText.close())
  t.ok(ended.every((text) => text.toString() === 'twenty letters, each'.repeat(200)))
  texts.forEach((turnText) => { turnText.forget() })
})

await t.test('a short text is bytes where it comes bit by bit, and a string where it comes at once', async (t) => {
  // Strings that wait for some of their kind live through two collections, and fill the old generation.
  for (const [batches, blocks] of [[1, 0], [3, 0], [4, 1]] as const) {
    const texts = Array.from({ length: TEXTS }, () => new TurnText())
    const before = await heldBytes()
    for (let seq = 1; seq <= batches; seq++) {
      for (const turnText of texts) {
        turnText.append('five.', seq)
        turnText.pack(seq === 1)
      }
    }
    const held = process.memoryUsage().arrayBuffers - before
    t.ok(isNear(held, blocks * TEXTS * 1_024), `${held} bytes for ${batches}`)
    const ended = texts.map((turnText) => turnText.close())
    t.ok(ended.every((text) => text === 'five.'.repeat(batches)), 'one that has ended is a string')
    texts.forEach((turnText) => { turnText.forget() })
  }
})

await t.test('a text that has ended is told as before, be it a string or not', async (t) => {
  for (const pieces of [1, 3, 5, 100, 5_000]) {
    const turnText = new TurnText()
    for (let seq = 1; seq <= pieces; seq++) {
      turnText.append('five.', seq)
      turnText.pack(seq === 1)
    }
    const plain = 'five.'.repeat(pieces)
    const { length } = plain
    const steps = [[0, 5], [2, 4], [0, length], [length - 1, length], [3, 3], [length, length]] as const
    const before = steps.map(([from, to]) => turnText.step(from, to))
    const text = turnText.close()
    t.strictSame([typeof text, text.toString()], [pieces <= 100 ? 'string' : 'object', plain])
    t.strictSame(steps.map(([from, to]) => stepOf(text, from, to, pieces)), before)
  }
})

await t.test('a long one that came at once is bytes once it has ended', async (t) => {
  const texts = Array.from({ length: TEXTS }, () => new TurnText())
  const before = await heldBytes()
  for (const turnText of texts) for (let seq = 1; seq <= 20; seq++) turnText.append('twenty letters, each'.repeat(10), seq)
  const ended = texts.map((turnText) => turnText.close())
  t.ok(await heldBytes() - before >= TEXTS * 4_000 - FREE_BYTES)
  t.ok(ended.every((text) => text.toString() === 'twenty letters, each'.repeat(200)))
  texts.forEach((turnText) => { turnText.forget() })
})

await t.test('a short one that has ended leaves its block to others', (t) => {
  const speak = (count: number): Array<TurnText | string> => Array.from({ length: count }, () => {
    const turnText = new TurnText()
    for (let seq = 1; seq <= 4; seq++) {
      turnText.append('z'.repeat(40), seq)
      turnText.pack(seq === 1)
    }
    return turnText.close()
  })
  speak(1)
  const before = process.memoryUsage().arrayBuffers
  t.ok(speak(TEXTS).every((text) => text === 'z'.repeat(160)))
  t.ok(isNear(process.memoryUsage().arrayBuffers - before, 0))
  t.end()
})

await t.test('one that is forgotten tells nothing, and what its blocks say next least of all', (t) => {
  for (const pieces of [1, 20, 2_000]) {
    const [one, next] = [new TurnText(), new TurnText()]
    for (let seq = 1; seq <= pieces; seq++) {
      one.append('What I say to you.', seq)
      one.pack(seq === 1)
    }
    const { length } = one
    one.forget()
    for (let seq = 1; seq <= pieces; seq++) {
      next.append('What another says.', seq)
      next.pack(seq === 1)
    }
    t.strictSame([one.length, one.toString(), one.step(0, length)], [0, '', undefined])
    t.equal(next.toString(), 'What another says.'.repeat(pieces))
    next.forget()
  }
  t.end()
})

await t.test('a turn in memory packs what it is written', async (t) => {
  const journal = memoryJournal()
  const offered = { onBusy: 'queue', maxQueued: 1, displacedEnd: ABORTED } as const
  const before = await heldBytes()
  for (let session = 0; session < 500; session++) {
    const key = { ...KEY, sessionId: `s${session}` }
    await journal.offer(key, CHAT, offered)
    const run = await journal.take(key, () => true)
    if (run === undefined) throw new Error('nothing to take')
    t.ok(await journal.append(run, 1, [text('x'.repeat(10_000)), text('y'.repeat(10_000))]))
  }
  t.ok(process.memoryUsage().arrayBuffers - before >= 500 * 20_000)
  await journal.close()
})

/** Of buffers, once all that nobody holds is given back. */
async function heldBytes (): Promise<number> {
  for (let bytes = bufferBytes(); ;) {
    await nextRun()
    const now = bufferBytes()
    if (now >= bytes) return now
    bytes = now
  }
}

/** As far as other things of a process let one tell; and what is kept of free blocks. */
function isNear (bytes: number, expected: number): boolean {
  return bytes > expected - FREE_BYTES - 20_000 && bytes < expected + 20_000
}

/** The text is `plain`, as a whole and in steps, of which each covers the entries that it ends. */
function same (turnText: TurnText, plain: string, ends: number[], random: Random, about: string): void {
  assert.equal(turnText.length, plain.length, about)
  assert.ok(turnText.toString() === plain, `${about}: the whole`)
  const to = ends[random.below(ends.length)] ?? 0
  const from = random.below(to)
  assert.ok(tell(turnText, from, to).told === plain.slice(from, to), `${about}: from ${from} to ${to}`)
  let offset = 0
  for (const [length, seq] of tell(turnText, 0, plain.length).steps) {
    assert.ok(length <= MERGE_UNITS, about)
    offset += length
    assert.equal(seq, ends.findLastIndex((end) => end <= offset) + 1, `${about}: the seq at ${offset}`)
    assert.ok(plain.slice(offset - length, offset).isWellFormed(), `${about}: a character is cut at ${offset}`)
  }
}

function pieceOf (random: Random): string {
  const alphabet = random.pick(ALPHABETS)
  if (random.perMille(30)) return filled(alphabet, random.pick(BORDERS))
  if (random.perMille(100)) return filled(alphabet, 1 + random.below(3_000))
  return filled(alphabet, 1 + random.below(40))
}

/** So many units of it, or one more where that would cut a character. */
function filled (alphabet: string, units: number): string {
  let piece = alphabet.repeat(Math.ceil(units / alphabet.length))
  piece = piece.slice(0, units)
  return piece.isWellFormed() ? piece : piece.slice(0, -1) + '\u{1f600}'
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
