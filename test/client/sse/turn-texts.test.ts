import t from 'tap'

import { TurnTexts } from '../../../lib/client/sse/turn-texts.js'
import type { ServerFrameOf } from '../../../lib/protocol/server-frames.js'

const place = { agentId: 'main', sessionId: 's' }
const piece = (id: string, content: string, done = false): ServerFrameOf<'stream'> => ({ type: 'stream', content, done, id, seq: 1, ...place })

t.test('the text of a turn is what it had, and all that follows', async (t) => {
  const texts = new TurnTexts([
    { id: 'a', status: 'running', message: '?', content: 'one' }, { id: 'b', status: 'queued', message: '?' }, { id: 'c', status: 'running', message: '?' }
  ])
  t.strictSame(['a', 'b', 'c'].map((id) => texts.of(id)), ['one', '', undefined])
  t.equal(texts.take(piece('a', ', two')), 'one, two')
  t.equal(texts.of('a'), 'one, two')
  t.equal(texts.take(piece('c', 'x')), undefined, 'what it had is not known')
  texts.begin('c', 'so far')
  t.equal(texts.take(piece('c', ', so good')), 'so far, so good')
})

t.test('a turn that starts has none', async (t) => {
  const texts = new TurnTexts([])
  t.equal(texts.take({ type: 'event', name: 'turn-started', data: { message: '?' }, id: 'a', seq: 1, ...place }), '')
  t.equal(texts.take({ type: 'event', name: 'progress', data: 1, id: 'a', seq: 2, ...place }), '')
  t.equal(texts.take({ type: 'message', content: 'aside', done: false, id: 'a', seq: 3, ...place }), '', 'a whole message is no piece')
  t.equal(texts.of('a'), '')
})

t.test('the end gives all of it, and there is no turn any more', async (t) => {
  const ends = [
    piece('a', ' and so on', true),
    { type: 'error', code: 'AGENT_ERROR', message: 'no', retryable: true, done: true, id: 'a', seq: 1, ...place } as const
  ]
  for (const end of ends) {
    const texts = new TurnTexts([{ id: 'a', status: 'running', message: '?', content: 'one' }])
    t.equal(texts.take(end), end.type === 'stream' ? 'one and so on' : 'one')
    t.equal(texts.of('a'), undefined)
  }
})

t.test('an event outside a turn belongs to none', async (t) => {
  t.equal(new TurnTexts([]).take({ type: 'event', name: 'shipped', data: 1, seq: 1, ...place }), undefined)
})
