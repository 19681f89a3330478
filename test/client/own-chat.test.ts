import t from 'tap'

import { momentOf } from '../../lib/client/client-clock.js'
import { ChannelClientError } from '../../lib/client/client-error.js'
import { OpenTurn } from '../../lib/client/open-turn.js'
import { OwnChat, type ChatTerms } from '../../lib/client/own-chat.js'
import type { ErrorCode } from '../../lib/protocol/codes.js'
import { ManualClock } from '../helpers/manual-clock.js'

function open (terms: ChatTerms = {}, metadata?: Record<string, unknown>) {
  const clock = new ManualClock()
  const turn = new OpenTurn({ id: 'q1', agentId: 'main', sessionId: 'trip', message: 'Hello', metadata }, {
    onCancel: async () => {},
    onDone: () => { chat.close() }
  })
  const chat: OwnChat = new OwnChat(turn, terms, { clock, turnPatienceMs: 120_000, resendWindowMs: 240_000 })
  let retries = 0
  const refuse = (code: ErrorCode, about: { retryable?: boolean, retryAfterMs?: number } = {}): void => {
    chat.onRefused({ type: 'error', id: 'q1', code, message: 'no', retryable: true, ...about }, () => { retries++ })
  }
  const lose = (): void => { chat.onLost(momentOf(clock)) }
  return { clock, turn, chat, refuse, lose, retries: () => retries }
}

t.test('its frame says what was asked, and no more', async (t) => {
  const bare = { type: 'chat', id: 'q1', agentId: 'main', sessionId: 'trip', message: 'Hello' }
  t.strictSame(JSON.parse(JSON.stringify(open().chat.frame)), bare)
  t.strictSame(JSON.parse(JSON.stringify(open({ stream: false, onBusy: 'reject' }, { a: 1 }).chat.frame)), {
    ...bare, stream: false, onBusy: 'reject', metadata: { a: 1 }
  })
})

t.test('is waiting, sent, followed, and waiting again after a loss', async (t) => {
  const { chat, lose } = open()
  t.match(chat, { state: 'waiting', isSent: false, isKnown: false, isEndAhead: false })
  chat.onSent('j1')
  t.match(chat, { state: 'sent', isSent: true })
  chat.onFollowed(true)
  t.match(chat, { state: 'followed', isKnown: true, isEndAhead: true })
  lose()
  t.match(chat, { state: 'waiting', isSent: true, isKnown: true, isEndAhead: true })
  chat.onFollowed(false)
  t.equal(chat.isEndAhead, false, 'the end of a duplicate may have been told')
  chat.onMissed()
  t.match(chat, { state: 'waiting', isKnown: false })
  chat.onSent('j1')
  chat.onMissed()
  t.equal(chat.state, 'sent', 'its answer is on its way')
})

t.test('the end of one that is told whole is ahead on no other connection', async (t) => {
  const { chat } = open({ stream: false })
  chat.onSent('j1')
  chat.onFollowed(true)
  t.match(chat, { isJoined: true, isKnown: true, isEndAhead: false })
})

t.test('is not sent again where it could run a second time', async (t) => {
  const { chat, clock, lose } = open()
  t.notOk(chat.isForgotten('j1'), 'never sent')
  chat.onSent('j1')
  lose()
  t.notOk(chat.isForgotten('j1'))
  t.ok(chat.isForgotten('j2'), 'another journal knows no ids')
  chat.onSent('j1')
  clock.advance(100_000)
  lose()
  chat.onSent('j1')
  clock.advance(140_001)
  t.ok(chat.isForgotten('j1'), 'counted from the first time: that may have been heard')
})

t.test('what was followed is known for a while after the last sign of it', async (t) => {
  const { chat, clock, lose } = open()
  chat.onSent('j1')
  chat.onFollowed(true)
  clock.advance(600_000)
  lose()
  clock.advance(100_000)
  t.notOk(chat.isForgotten('j1'))
  clock.setDate(clock.date() + 140_001)
  t.ok(chat.isForgotten('j1'), 'also where the clock stood still')
})

t.test('out of touch for too long, it ends', async (t) => {
  await t.test('with nothing done, if it was never sent', async (t) => {
    const { clock, turn } = open()
    clock.advance(119_999)
    t.ok(turn.isOpen)
    clock.advance(1)
    await t.rejects(turn.finished, { code: 'CONNECTION_LOST', retryable: true })
    t.equal(clock.pending, 0)
  })

  await t.test('with an outcome that nobody knows, if it was', async (t) => {
    const { chat, clock, turn } = open()
    chat.onSent('j1')
    clock.advance(120_000)
    await t.rejects(turn.finished, { code: 'OUTCOME_UNKNOWN', cause: { code: 'CONNECTION_LOST' } })
  })

  await t.test('counted from the loss, and not while it is followed', async (t) => {
    const { chat, clock, turn, lose } = open()
    chat.onSent('j1')
    chat.onFollowed(true)
    t.equal(clock.pending, 0)
    clock.advance(600_000)
    lose()
    clock.advance(119_999)
    t.ok(turn.isOpen)
    chat.onFollowed(true)
    chat.onMissed()
    clock.advance(119_999)
    t.ok(turn.isOpen)
    clock.advance(1)
    await t.rejects(turn.finished, { code: 'OUTCOME_UNKNOWN' })
  })
})

t.test('a refusal', async (t) => {
  await t.test('of a server that is busy is answered by another attempt, when it says', async (t) => {
    const { chat, clock, refuse, retries } = open()
    chat.onSent('j1')
    refuse('RATE_LIMITED', { retryAfterMs: 3_000 })
    t.match(chat, { state: 'held', isSent: false })
    clock.advance(2_999)
    t.equal(retries(), 0)
    clock.advance(1)
    t.match([chat.state, retries()], ['waiting', 1])
    chat.onSent('j1')
    refuse('INTERNAL')
    clock.advance(1_000)
    t.equal(retries(), 2)
  })

  await t.test('is forgotten with its connection', async (t) => {
    const { chat, clock, refuse, lose, retries } = open()
    chat.onSent('j1')
    refuse('STORE_UNAVAILABLE')
    lose()
    t.equal(chat.state, 'waiting')
    clock.advance(1_000)
    t.equal(retries(), 0)
  })

  await t.test('of a server that goes down holds it until there is another connection', async (t) => {
    const { chat, clock, refuse, lose, retries } = open()
    chat.onSent('j1')
    refuse('SHUTTING_DOWN', { retryAfterMs: 1 })
    clock.advance(60_000)
    t.match([chat.state, retries()], ['held', 0])
    lose()
    t.equal(chat.state, 'waiting')
  })

  await t.test('that will not change is the end', async (t) => {
    const { chat, turn, refuse, clock } = open()
    chat.onSent('j1')
    refuse('FORBIDDEN', { retryable: false })
    await t.rejects(turn.finished, { code: 'FORBIDDEN' })
    t.equal(clock.pending, 0)
  })

  await t.test('of a busy session is for the caller, who chose it', async (t) => {
    for (const code of ['SESSION_BUSY', 'QUEUE_FULL'] as const) {
      const { chat, turn, refuse, lose } = open()
      chat.onSent('j1')
      lose()
      chat.onSent('j1')
      refuse(code, { retryAfterMs: 10 })
      await t.rejects(turn.finished, { code, retryable: true, retryAfterMs: 10 })
    }
  })

  await t.test('again and again is the end', async (t) => {
    const { chat, turn, refuse, clock } = open()
    for (let attempt = 0; attempt < 7; attempt++) {
      chat.onSent('j1')
      refuse('RATE_LIMITED')
      clock.advance(1_000)
    }
    await t.rejects(turn.finished, { code: 'RATE_LIMITED' })
  })

  await t.test('says nothing of what an earlier attempt has done', async (t) => {
    const { chat, turn, refuse, lose } = open()
    chat.onSent('j1')
    lose()
    chat.onSent('j1')
    refuse('FORBIDDEN', { retryable: false })
    await t.rejects(turn.finished, { code: 'OUTCOME_UNKNOWN', cause: { code: 'FORBIDDEN' } })
  })
})

t.test('what ends elsewhere stops its timers', async (t) => {
  const { chat, turn, clock, refuse } = open()
  chat.onSent('j1')
  refuse('RATE_LIMITED')
  chat.fail(new ChannelClientError('UNAUTHORIZED'))
  await t.rejects(turn.finished, { code: 'UNAUTHORIZED' })
  t.equal(clock.pending, 0)
})
