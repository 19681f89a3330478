import t from 'tap'

import { AnswerRecord } from '../../lib/turns/answer-record.js'
import { CHAT, KEY } from './one-chat.js'

const [HIGH, LOW] = ['\ud83d', '\ude00']

await t.test('the record of an answer', async (t) => {
  await t.test('is the text, where there is nothing else', async (t) => {
    t.equal(recordOf('hello').answer(), 'hello')
    t.equal(recordOf('').answer(), '')
  })

  await t.test('has whole messages as paragraphs where they came', async (t) => {
    const record = recordOf('ab😀c')
    record.keepMessage('M0')
    record.join('ab')
    record.join(HIGH)
    record.keepMessage('M1')
    record.keepMessage('M2')
    record.join(LOW)
    record.keepMessage('')
    record.join('c')
    record.keepMessage('M3')
    t.equal(record.answer(), 'M0\n\nab\n\nM1\n\nM2\n\n😀\n\nc\n\nM3')
  })

  await t.test('tells half a character whose other half never comes before what follows', async (t) => {
    const record = recordOf('')
    t.strictSame(['a', HIGH, 'b', HIGH].map((piece) => record.join(piece)), ['a', '', '\ufffdb', ''])
    t.equal(record.rest(), '\ufffd')
  })

  await t.test('is a whole answer', async (t) => {
    const record = recordOf('')
    record.keepWhole('all')
    t.equal(record.answer(), 'all')
  })

  await t.test('counts bytes of UTF-8, and nothing that had no room', async (t) => {
    const record = recordOf('', 10)
    t.strictSame(['äöü', 'abcde', 'abcd', '', 'a'].map((text) => record.hasRoomFor(text)), [true, false, true, true, false])
  })
})

function recordOf (text: string, maxBytes = 1_000): AnswerRecord {
  return new AnswerRecord({ key: KEY, chat: CHAT, text }, maxBytes)
}
