import assert from 'node:assert/strict'

import t from 'tap'

import { BlockText } from '../lib/block-text.js'
import { Random } from './fuzz/random.js'

const SEEDS = 20
/** Of one, two, three and four bytes a character, and what a decoder may swallow. */
const ALPHABETS: [string, ...string[]] = ['plain ', 'é', '汉字', '😀', 'a汉😀é', '\ufeff\0']

t.test('a text is what was appended, piece by piece or at once, whoever used its blocks before', (t) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Random(seed)
    const texts = Array.from({ length: 4 }, () => ({ text: new BlockText(), plain: '' }))
    for (let step = 0; step < 300; step++) {
      const each = random.pick(texts as [typeof texts[number], ...typeof texts])
      if (random.perMille(20)) {
        each.text.forget()
        each.plain = ''
      } else {
        const piece = random.pick(ALPHABETS).repeat(random.perMille(50) ? random.below(9_000) : random.below(40))
        each.text.append(piece)
        each.plain += piece
      }
      assert.equal(each.text.bytes, Buffer.byteLength(each.plain), `seed ${seed}, step ${step}`)
      if (random.perMille(100)) for (const { text, plain } of texts) assert.ok(text.toString() === plain, `seed ${seed}, step ${step}`)
    }
    for (const { text, plain } of texts) assert.ok(text.toString() === plain, `seed ${seed}`)
    for (const { text } of texts) text.forget()
  }
  t.end()
})

t.test('at each border of a block', (t) => {
  for (const before of [1_021, 1_022, 1_023, 1_024, 1_025]) {
    for (const character of ['x', 'é', '汉', '😀', '\ud83d']) {
      const text = new BlockText()
      text.append('x'.repeat(before))
      text.append(character)
      text.append(`${character}${'y'.repeat(2_000)}`)
      assert.equal(text.toString(), 'x'.repeat(before) + `${character}${character}`.toWellFormed() + 'y'.repeat(2_000))
      text.forget()
    }
  }
  t.end()
})

t.test('half characters become one character each', (t) => {
  const text = new BlockText()
  text.append('\ude00'.repeat(3_000))
  t.equal(text.toString(), '\ufffd'.repeat(3_000))
  text.forget()
  t.end()
})

t.test('its room is what it needs and a quarter, and is used again', (t) => {
  const speak = (count: number, bytes: number): BlockText[] => Array.from({ length: count }, () => {
    const text = new BlockText()
    for (let left = bytes; left > 0; left -= 20) text.append('twenty letters, each')
    return text
  })
  const before = process.memoryUsage().arrayBuffers
  const texts = speak(1_000, 4_000)
  const made = process.memoryUsage().arrayBuffers - before
  t.ok(made <= 1_000 * 5_200, `${made} bytes`)
  for (const text of texts) text.forget()
  const again = speak(1_000, 4_000)
  t.ok(process.memoryUsage().arrayBuffers - before - made <= 20_000)
  for (const text of again) text.forget()
  const [long] = speak(1, 1_000_000)
  t.ok(process.memoryUsage().arrayBuffers - before - made <= 1_020_000)
  long?.forget()
  t.end()
})

t.test('what is free is of the sizes that were needed last', (t) => {
  const speak = (count: number, bytes: number): void => {
    const texts = Array.from({ length: count }, () => {
      const text = new BlockText()
      text.append('x'.repeat(bytes))
      return text
    })
    for (const text of texts) text.forget()
  }
  for (const [count, bytes] of [[12, 1_000_000], [1_000, 1_000], [12, 1_000_000]] as const) {
    speak(count, bytes)
    const before = process.memoryUsage().arrayBuffers
    speak(count, bytes)
    const made = process.memoryUsage().arrayBuffers - before
    // What does not fit into the 8 MiB is made anew, whatever was needed before.
    t.ok(made <= Math.max(0, count * bytes - 8 * 1024 * 1024) + 600_000, `${made} bytes for ${count} texts of ${bytes}`)
  }
  t.end()
})

t.test('one that is forgotten is empty, and can be written anew', (t) => {
  const text = new BlockText()
  text.append('secret '.repeat(1_000))
  text.forget()
  text.forget()
  t.strictSame([text.bytes, text.toString()], [0, ''])
  text.append('new')
  t.equal(text.toString(), 'new')
  t.end()
})
