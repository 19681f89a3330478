import t from 'tap'

import { ChannelClientError } from '../../lib/client/client-error.js'
import { Requests } from '../../lib/client/requests.js'
import type { ServerFrame } from '../../lib/protocol/server-frames.js'
import type { AnyFrame } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

function open () {
  const clock = new ManualClock()
  const line = { isOpen: true, sent: [] as AnyFrame[] }
  const requests = new Requests({
    clock,
    answerTimeoutMs: 30_000,
    send (frame) {
      if ('tooBig' in frame) throw new ChannelClientError('TOO_BIG')
      if (line.isOpen) line.sent.push(frame as AnyFrame)
      return line.isOpen
    }
  })
  const answer = (index: number, frame: object): boolean => requests.take({ ...frame, id: line.sent[index]?.id } as unknown as ServerFrame)
  return { clock, line, requests, answer }
}

t.test('answers are found by their ids, in any order', async (t) => {
  const { requests, line, answer, clock } = open()
  const [one, two] = [requests.ask({ type: 'history' }), requests.ask({ type: 'mine' })]
  t.match(line.sent, [{ type: 'history' }, { type: 'mine' }])
  t.notOk(requests.take({ type: 'pong' }))
  t.notOk(requests.take({ type: 'pong', id: 'other' }))
  t.ok(answer(1, { type: 'mine', data: 7 }))
  t.ok(answer(0, { type: 'history', messages: [] }))
  t.notOk(answer(0, { type: 'history', messages: [] }), 'once')
  t.match(await two, { data: 7 })
  t.match(await one, { messages: [] })
  t.equal(clock.pending, 0)
})

t.test('a refusal rejects', async (t) => {
  const { requests, answer } = open()
  const asked = requests.ask({ type: 'mine' })
  answer(0, { type: 'error', code: 'FORBIDDEN', message: 'Not allowed', retryable: false })
  await t.rejects(asked, { code: 'FORBIDDEN', message: 'Not allowed' })
})

t.test('what cannot be sent rejects', async (t) => {
  const { requests, clock } = open()
  await t.rejects(requests.ask({ type: 'x', tooBig: true } as { type: string }), { code: 'TOO_BIG' })
  t.equal(clock.pending, 0)
})

t.test('what is asked without a connection is sent when there is one', async (t) => {
  const { requests, line, answer } = open()
  line.isOpen = false
  const asked = requests.ask({ type: 'mine' })
  requests.onLost()
  line.isOpen = true
  requests.onReady()
  t.equal(line.sent.length, 1)
  answer(0, { type: 'mine' })
  await asked
})

t.test('what was lost with its connection is asked again only where that does no harm', async (t) => {
  const { requests, line, answer } = open()
  const [repeatable, other] = [requests.ask({ type: 'history' }, { isRepeatable: true }), requests.ask({ type: 'mine' })]
  requests.onLost()
  await t.rejects(other, { code: 'OUTCOME_UNKNOWN' })
  requests.onReady()
  t.match(line.sent.slice(2), [{ type: 'history', id: line.sent[0]?.id }])
  answer(2, { type: 'history' })
  await repeatable
})

t.test('what is not answered in time rejects', async (t) => {
  const { requests, line, clock } = open()
  const [repeatable, other] = [requests.ask({ type: 'history' }, { isRepeatable: true }), requests.ask({ type: 'mine' })]
  line.isOpen = false
  const unsent = requests.ask({ type: 'mine' })
  clock.advance(30_000)
  await t.rejects(repeatable, { code: 'TIMEOUT' })
  await t.rejects(other, { code: 'OUTCOME_UNKNOWN' })
  await t.rejects(unsent, { code: 'CONNECTION_LOST', retryable: true })
})

t.test('a signal ends the waiting', async (t) => {
  const { requests, line, answer, clock } = open()
  const [controller, reason] = [new AbortController(), new Error('enough')]
  const asked = requests.ask({ type: 'mine' }, { signal: controller.signal })
  controller.abort(reason)
  await t.rejects(asked, reason)
  t.notOk(answer(0, { type: 'mine' }), 'too late')
  await t.rejects(requests.ask({ type: 'mine' }, { signal: controller.signal }), reason)
  t.equal(line.sent.length, 1, 'what is not wanted is not asked')
  t.equal(clock.pending, 0)
})

t.test('closed, everything rejects', async (t) => {
  const { requests, clock } = open()
  const asked = requests.ask({ type: 'mine' })
  requests.close(new ChannelClientError('CLOSED'))
  await t.rejects(asked, { code: 'CLOSED' })
  t.equal(clock.pending, 0)
})
