import t from 'tap'
import * as ws from 'ws'

import { encodeStreamPiece, encodeTrackedPiece, streamHead, trackedTail } from '../../lib/protocol/encode.js'
import { bytesOf, FrameBatch, frameBytes, type FramesTaken } from '../../lib/transports/frame-bytes.js'

/** Of `ws` itself, which its types leave out. */
const { Sender } = ws as unknown as { Sender: { frame: (data: Buffer, options: object) => Buffer[] } }

/** What `ws` writes for the same text. */
function byWs (payload: string): Buffer {
  return Buffer.concat(Sender.frame(Buffer.from(payload), { fin: true, opcode: 1, mask: false, readOnly: true, rsv1: false }))
}

function taken (batch: FrameBatch): Buffer {
  return Buffer.concat(batch.take().chunks)
}

/** Of each length class, the lengths beside its borders. */
const LENGTHS = [0, 1, 60, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537, 200_000]

t.test('a frame is what ws writes for the same text, whatever its length', async (t) => {
  for (const length of LENGTHS) {
    // One byte, two, three and four of them for a character, which may lie across the border.
    for (const [character, bytes] of [['a', 1], ['é', 2], ['你', 3], ['😀', 4]] as const) {
      for (const filler of ['', 'x', 'xx', 'xxx']) {
        const payload = filler + character.repeat(Math.floor(length / bytes))
        t.ok(frameBytes(payload).equals(byWs(payload)), `${length} bytes of ${character} behind ${filler.length}`)
      }
    }
  }
})

const HEAD = streamHead('"main"')
const TAIL = trackedTail({ id: '"turn"', sessionId: '"session"' })

function pieces (content: string, seq: number): [ours: Buffer, expected: Buffer][] {
  const batch = new FrameBatch()
  batch.piece(bytesOf(`${HEAD}"`), content, bytesOf('","done":false}'))
  const plain = taken(batch)
  batch.piece(bytesOf(`${HEAD}"`), content, bytesOf(`","done":false${TAIL}${seq}}`))
  return [[plain, byWs(encodeStreamPiece(HEAD, content))], [taken(batch), byWs(encodeTrackedPiece(HEAD, content, TAIL, seq))]]
}

t.test('a piece is what ws writes for its JSON', async (t) => {
  const around = Buffer.byteLength(encodeStreamPiece(HEAD, ''))
  const texts = [
    ...LENGTHS.flatMap((length) => {
      const rest = Math.max(0, length - around)
      return ['a', 'é', '你', '😀', '"', '\n', '\u0001', '\\'].map((character) => character.repeat(rest / character.length))
    }),
    '\u2028\u2029\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff', '你好, "world"\t\\', '\ud83d', '\ude00', '\ude00\ud83d', 'a\ud83d', '\ud83da',
    `${'x'.repeat(60)}\ud83d`, `${'x'.repeat(60)}"`, `${'你'.repeat(5_000)}"\ud83d`
  ]
  for (const [index, text] of texts.entries()) {
    for (const seq of [0, 9, 10, 2_147_483_647, 2_147_483_648, Number.MAX_SAFE_INTEGER]) {
      for (const [ours, expected] of pieces(text, seq)) t.ok(ours.equals(expected), `text ${index} of ${text.length} units, seq ${seq}`)
    }
  }
})

t.test('a piece whose length is not seen from its text alone has the header of ws', async (t) => {
  const tail = '"}'
  for (let around = 0; around <= 130; around++) {
    const head = 'x'.repeat(around)
    for (const character of ['a', 'é', '你', '😀', '"', '你a', '\ud83d']) {
      const batch = new FrameBatch()
      for (const content of [1, 2, 5, 20, 60].map((times) => character.repeat(times))) {
        batch.piece(bytesOf(head), content, bytesOf(tail))
        const expected = byWs(`${head}${JSON.stringify(content).slice(1, -1)}${tail}`)
        if (!taken(batch).equals(expected)) t.fail(`${around} bytes before ${content.length} units of ${character}`)
      }
    }
  }
})

t.test('pieces of all characters are what JSON.stringify makes of them', async (t) => {
  let all = ''
  for (let unit = 0; unit < 0x10000; unit += 7) all += String.fromCharCode(unit)
  for (let at = 0, length = 0; at < all.length; at += length, length = (length + 1) % 50) {
    for (const [ours, expected] of pieces(all.slice(at, at + length), at)) if (!ours.equals(expected)) t.fail(`from ${at}, ${length} units`)
    if (length === 0) at++
  }
})

t.test('frames lie behind each other, across slabs, and those of others between them', async (t) => {
  const batch = new FrameBatch()
  const other = new FrameBatch()
  for (let round = 0; round < 3; round++) {
    const expected: Buffer[] = []
    for (let i = 0; i < 2_000; i++) {
      const payload = `${i} `.repeat(i % 40)
      expected.push(byWs(payload))
      if (i % 7 < 3) {
        other.text(payload)
        for (const chunk of other.take().chunks) batch.borrow(chunk)
      } else {
        batch.text(payload)
      }
    }
    t.equal(batch.size, Buffer.concat(expected).length)
    const taken = batch.take()
    t.ok(Buffer.concat(taken.chunks).equals(Buffer.concat(expected)))
    t.equal(batch.size, 0)
    taken.sent()
  }
})

t.test('memory is used again only when what lies in it was sent', async (t) => {
  const batch = new FrameBatch()
  const kept: { bytes: Buffer, taken: FramesTaken }[] = []
  for (let i = 0; i < 200; i++) {
    const payload = `${i % 10}`.repeat(20_000)
    batch.text(payload)
    kept.push({ bytes: byWs(payload), taken: batch.take() })
    // Out of order, and some very late.
    if (i % 3 !== 0) kept.splice(i % kept.length, 1)[0]?.taken.sent()
    for (const { bytes, taken } of kept) if (!Buffer.concat(taken.chunks).equals(bytes)) t.fail(`written over after ${i}`)
  }
  t.ok(kept.length > 0)
})

t.test('one frame that lies in memory of others stays as it is, and neighbours of one memory are one chunk', async (t) => {
  const [batch, other] = [new FrameBatch(), new FrameBatch()]
  const chunks = ['a', 'b', 'c'].map((text) => {
    other.text(text)
    return Buffer.concat(other.take().chunks, 3)
  })
  const together = Buffer.concat(chunks)
  for (let at = 0; at < together.length; at += 3) batch.borrow(together.subarray(at, at + 3))
  const { chunks: [first, ...rest] } = batch.take()
  t.strictSame([first, rest], [together, []])
})

t.test('memory of all slabs that a write was in is used again', async (t) => {
  const batch = new FrameBatch()
  const slabs = new Set<unknown>()
  for (let i = 0; i < 100; i++) {
    for (let frame = 0; frame < 3; frame++) batch.text('x'.repeat(40_000))
    const taken = batch.take()
    t.equal(taken.chunks.length, 3)
    for (const { buffer } of taken.chunks) slabs.add(buffer)
    taken.sent()
  }
  // At most those that are kept for later.
  t.ok(slabs.size <= 36, `${slabs.size} slabs`)
})
