import t from 'tap'

import { PieceJoiner } from '../../lib/turns/piece-joiner.js'

const [HIGH, LOW] = ['\ud83d', '\ude00']

await t.test('pieces of text', async (t) => {
  await t.test('pass as they are', async (t) => {
    t.strictSame(join('a', '', 'b', '😀'), ['a', '', 'b', '😀', ''])
  })

  await t.test('that cut a character in two are joined', async (t) => {
    t.strictSame(join(HIGH, LOW), ['', '😀', ''])
    t.strictSame(join(`a${HIGH}`, '', `${LOW}b`), ['a', '', '😀b', ''])
    t.strictSame(join(HIGH, `${LOW}${HIGH}`, LOW), ['', '😀', '😀', ''])
  })

  await t.test('with half a character that stays alone have U+FFFD for it', async (t) => {
    t.strictSame(join(LOW), ['\ufffd', ''])
    t.strictSame(join(`a${HIGH}`, 'b'), ['a', '\ufffdb', ''])
    t.strictSame(join(HIGH, HIGH, LOW), ['', '\ufffd', '😀', ''])
    t.strictSame(join(`a${HIGH}`), ['a', '\ufffd'])
  })

  await t.test('give their rest once', async (t) => {
    const joiner = new PieceJoiner()
    joiner.take(HIGH)
    t.strictSame([joiner.rest(), joiner.rest(), joiner.take(LOW)], ['\ufffd', '', '\ufffd'])
  })

  await t.test('cut anywhere add up to the same text', async (t) => {
    const whole = `x😀${HIGH}y👩‍👧${LOW}z😀`
    for (let size = 1; size <= whole.length; size++) {
      const pieces: string[] = []
      for (let from = 0; from < whole.length; from += size) pieces.push(whole.slice(from, from + size))
      const joined = join(...pieces)
      t.equal(joined.join(''), whole.toWellFormed())
      t.ok(joined.every((piece) => piece.isWellFormed()))
    }
  })
})

function join (...pieces: string[]): string[] {
  const joiner = new PieceJoiner()
  return [...pieces.map((piece) => joiner.take(piece)), joiner.rest()]
}
