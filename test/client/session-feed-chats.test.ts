import t from 'tap'

import { ChannelClientError } from '../../lib/client/client-error.js'
import { isOfSession } from '../../lib/client/session-feed.js'
import type { ServerFrame } from '../../lib/protocol/server-frames.js'
import { Bench, endOf, SESSION, SUBSCRIBE } from './feed-bench.js'

const LOST = new ChannelClientError('CONNECTION_REFUSED')

t.test('a chat is sent, told and forgotten', async (t) => {
  const bench = new Bench()
  const turn = bench.chat('q1')
  t.equal(bench.feed.own('q1'), turn)
  t.strictSame(bench.take(), [{ type: 'chat', id: 'q1', ...SESSION, message: 'say q1' }])
  bench.ack('q1')
  bench.started('q1', 1)
  bench.piece('q1', 2, 'On')
  bench.says({ type: 'message', id: 'q1', seq: 3, content: 'Whole', done: false })
  bench.piece('q1', 4, 'ce')
  bench.end('q1', 5)
  t.strictSame(await turn.finished, { text: 'Once', finishReason: 'stop' })
  const types: string[] = []
  for await (const { type } of turn.events) types.push(type)
  t.strictSame(types, ['ack', 'event', 'text', 'message', 'text'])
  t.equal(bench.idle, 1)
  t.equal(bench.feed.own('q1'), undefined)
  bench.piece('q1', 6, 'late')
  bench.ack('q9')
})

t.test('without a connection a chat waits', async (t) => {
  const bench = new Bench()
  bench.journal = undefined
  bench.chat('q1')
  bench.chat('q2')
  t.strictSame(bench.take(), [])
  t.match(bench.comeBack(), [{ id: 'q1' }, { id: 'q2' }])
})

t.test('refusals', async (t) => {
  await t.test('nothing overtakes a chat that is to be sent again', async (t) => {
    const bench = new Bench()
    bench.chat('q1')
    const [first] = bench.take()
    t.ok(bench.refuse(first, 'RATE_LIMITED'))
    bench.chat('q2')
    t.strictSame(bench.take(), [])
    bench.clock.advance(1_000)
    t.match(bench.take(), [{ id: 'q1' }, { id: 'q2' }])
    t.notOk(bench.refuse({ type: 'chat', id: 'q9' }, 'FORBIDDEN'), 'of something else')
  })

  await t.test('of one let the next go', async (t) => {
    const bench = new Bench()
    const turn = bench.chat('q1')
    const [first] = bench.take()
    bench.refuse(first, 'FORBIDDEN', false)
    await t.rejects(turn.finished, { code: 'FORBIDDEN' })
    bench.chat('q2')
    t.match(bench.take(), [{ id: 'q2' }])
  })

  await t.test('of a subscription are answered by another attempt, then by the end of it', async (t) => {
    const bench = new Bench()
    const subscription = bench.feed.subscribe()
    for (let attempt = 0; attempt < 7; attempt++) {
      const [subscribe] = bench.take()
      t.match(subscribe, SUBSCRIBE)
      t.ok(bench.refuse(subscribe, 'RATE_LIMITED'))
      bench.clock.advance(1_000)
    }
    await t.rejects(subscription.ready, { code: 'RATE_LIMITED' })
    t.strictSame(bench.take(), [])
    t.equal(bench.idle, 1)
  })

  await t.test('of a position: the chats tell their turns themselves', async (t) => {
    const bench = new Bench()
    bench.chat('q1')
    bench.ack('q1')
    bench.take()
    bench.lose()
    const [subscribe] = bench.comeBack()
    bench.refuse(subscribe, 'FORBIDDEN', false)
    t.match(bench.take(), [{ type: 'chat', id: 'q1' }])
  })

  await t.test('a frame that cannot be sent is the end of its turn', async (t) => {
    const bench = new Bench()
    bench.failure = new ChannelClientError('TOO_BIG')
    const turn = bench.chat('q1')
    await t.rejects(turn.finished, { code: 'TOO_BIG' })
  })
})

t.test('cancel', async (t) => {
  await t.test('of what was never sent needs no server', async (t) => {
    const bench = new Bench()
    bench.journal = undefined
    const [first, second] = [bench.chat('q1'), bench.chat('q2')]
    await first.cancel()
    t.strictSame(await first.finished, { text: '', finishReason: 'aborted' })
    t.strictSame(bench.feed.cancel(undefined), ['q2'])
    t.strictSame(await second.finished, { text: '', finishReason: 'aborted' })
    t.strictSame(bench.cancelled, [])
  })

  await t.test('is asked for, and again when a chat that was lost is accepted', async (t) => {
    const bench = new Bench()
    const turn = bench.chat('q1')
    bench.lose()
    const cancelled = turn.cancel()
    t.strictSame(bench.cancelled, ['q1'])
    bench.comeBack()
    bench.ack('q1')
    t.strictSame(bench.cancelled, ['q1', 'q1'])
    bench.end('q1', 1, 'aborted')
    await cancelled
    t.equal((await turn.finished).finishReason, 'aborted')
  })

  await t.test('of all in a session ends here what is not sent, and marks what may be lost', async (t) => {
    const bench = new Bench()
    const [first, second] = [bench.chat('q1'), bench.chat('q2')]
    bench.ack('q1')
    t.strictSame(bench.feed.cancel('q9'), [])
    t.strictSame(bench.feed.cancel(undefined), [])
    bench.ack('q2')
    t.strictSame(bench.cancelled, ['q2'], 'what was accepted is stopped by whoever asked')
    t.ok(first.id < second.id)
  })

  await t.test('of a chat that was refused meanwhile keeps it from being sent again', async (t) => {
    const bench = new Bench()
    const turn = bench.chat('q1')
    const [chat] = bench.take()
    const cancelled = turn.cancel()
    bench.refuse(chat, 'RATE_LIMITED')
    bench.clock.advance(1_000)
    await cancelled
    t.strictSame(await turn.finished, { text: '', finishReason: 'aborted' })
    t.strictSame(bench.take(), [])
  })

  await t.test('by the caller who has lost interest ends the turn at once', async (t) => {
    const bench = new Bench()
    const turn = bench.feed.chat({ id: 'q1', message: 'x' }, {})
    await bench.feed.abort(turn, new Error('enough'))
    await t.rejects(turn.finished, { message: 'enough' })
    t.strictSame(bench.cancelled, ['q1'])
    bench.journal = undefined
    await bench.feed.abort(bench.feed.chat({ id: 'q2', message: 'x' }, {}), new Error('enough'))
    t.strictSame(bench.cancelled, ['q1'], 'nobody knows of the other')
  })
})

t.test('the end of the connection is the end of all', async (t) => {
  const bench = new Bench()
  const { subscription, news } = bench.follow({ turns: [{ id: 'a', status: 'queued', message: 'A?' }] })
  const sent = bench.chat('q1')
  bench.journal = undefined
  const unsent = bench.chat('q2')
  await new Promise(setImmediate)
  bench.feed.close(LOST)
  await t.rejects(async () => { for await (const news of subscription) t.equal(news.type, 'turn') }, { code: 'CONNECTION_REFUSED' })
  await t.rejects(sent.finished, { code: 'OUTCOME_UNKNOWN', cause: LOST })
  await t.rejects(unsent.finished, { code: 'CONNECTION_REFUSED' })
  const [first] = news
  await t.rejects(async () => { await endOf(first) }, { code: 'CONNECTION_REFUSED' })
  t.equal(bench.clock.pending, 0)
})

t.test('closed by the caller, everything says so', async (t) => {
  const bench = new Bench()
  const { subscription } = bench.follow()
  const turn = bench.chat('q1')
  bench.feed.close(new ChannelClientError('CLOSED'))
  await t.rejects(turn.finished, { code: 'CLOSED' })
  for await (const news of subscription) t.fail(`nothing is told: ${news.type}`)
})

t.test('frames of a session', async (t) => {
  const of = (frame: object): boolean => isOfSession(frame as ServerFrame)
  t.ok(of({ type: 'stream', sessionId: 's', seq: 1 }))
  t.notOk(of({ type: 'error', id: 'q1' }))
  t.notOk(of({ type: 'unsubscribed', sessionId: 's' }))
})
