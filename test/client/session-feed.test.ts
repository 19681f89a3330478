import t from 'tap'

import { momentOf } from '../../lib/client/client-clock.js'
import { ChannelClientError } from '../../lib/client/client-error.js'
import type { ClientTurn } from '../../lib/client/open-turn.js'
import { isOfSession, SessionFeed, type SessionFrame } from '../../lib/client/session-feed.js'
import type { SessionNews, Subscription } from '../../lib/client/subscription.js'
import type { ServerFrame } from '../../lib/protocol/server-frames.js'
import type { AnyFrame } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

const SESSION = { agentId: 'main', sessionId: 'trip' }

/** A feed and its server, which says what a test has it say. */
class Bench {
  readonly clock = new ManualClock()
  readonly sent: AnyFrame[] = []
  readonly cancelled: string[] = []
  journal: string | undefined = 'j1'
  idle = 0
  failure: Error | undefined
  readonly feed = new SessionFeed('main', 'trip', {
    clock: this.clock,
    turnPatienceMs: 120_000,
    resendWindowMs: 240_000,
    journal: () => this.journal,
    send: (frame) => {
      if (this.failure !== undefined) throw this.failure
      if (this.journal !== undefined) this.sent.push(JSON.parse(JSON.stringify(frame)) as AnyFrame)
      return this.journal !== undefined
    },
    cancel: async ({ id }) => { this.cancelled.push(id) },
    onIdle: () => { this.idle++ }
  })

  chat (id: string, terms: { stream?: boolean } = {}): ClientTurn & { text: string } {
    return this.feed.chat({ id, message: `say ${id}` }, terms)
  }

  take (): AnyFrame[] {
    return this.sent.splice(0)
  }

  says (...frames: object[]): void {
    for (const frame of frames) this.feed.take({ ...SESSION, ...frame } as SessionFrame)
  }

  ack (id: string, about: object = {}): void {
    this.says({ type: 'ack', id, status: 'started', epoch: 'e1', seq: 0, ...about })
  }

  piece (id: string, seq: number, content: string): void {
    this.says({ type: 'stream', id, seq, content, done: false })
  }

  end (id: string, seq: number, finishReason = 'stop'): void {
    this.says({ type: 'stream', id, seq, content: '', done: true, finishReason })
  }

  started (id: string, seq: number): void {
    this.says({ type: 'event', id, seq, name: 'turn-started', data: { message: `say ${id}` } })
  }

  /** The answer to the `subscribe` that was sent last, or one that nobody has asked for. */
  subscribed (about: object = {}, asked?: AnyFrame): void {
    const id = asked === undefined ? {} : { id: asked.id }
    this.says({ type: 'subscribed', ...id, epoch: 'e1', seq: 0, recovered: false, turns: [], ...about })
  }

  refuse (frame: AnyFrame | undefined, code: string, retryable = true): boolean {
    return this.feed.takeRefusal({ type: 'error', id: frame?.id as string, code: code as 'INTERNAL', message: code, retryable })
  }

  lose (isBlamed = false): void {
    this.journal = undefined
    this.feed.onLost(momentOf(this.clock), isBlamed)
  }

  comeBack (journal = 'j1'): AnyFrame[] {
    this.journal = journal
    this.feed.onReady()
    return this.take()
  }

  /** Follows, from the beginning. */
  follow (about: object = {}): { subscription: Subscription, news: SessionNews[] } {
    const subscription = this.feed.subscribe()
    const news: SessionNews[] = []
    const read = async (): Promise<void> => { for await (const one of subscription) news.push(one) }
    read().catch(() => {})
    this.subscribed(about, this.take().at(-1))
    return { subscription, news }
  }
}

async function endOf (news: SessionNews | undefined): Promise<unknown> {
  return news?.type === 'turn' ? await news.turn.finished : undefined
}

const SUBSCRIBE = { type: 'subscribe', ...SESSION }
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

t.test('after a reconnect', async (t) => {
  await t.test('what was followed goes on from its position, and is not said again', async (t) => {
    const bench = new Bench()
    const turn = bench.chat('q1')
    bench.ack('q1')
    bench.piece('q1', 2, 'On')
    bench.lose()
    bench.take()
    const [subscribe, ...others] = bench.comeBack()
    t.match(subscribe, { ...SUBSCRIBE, epoch: 'e1', after: 2 })
    t.strictSame(others, [])
    const later = bench.chat('q2')
    t.strictSame(bench.take(), [], 'what is said meanwhile comes after it')
    bench.subscribed({ seq: 2, recovered: true, turns: [{ id: 'q1', status: 'running', message: 'say q1' }] }, subscribe)
    t.match(bench.take(), [{ type: 'chat', id: 'q2' }])
    bench.piece('q1', 3, 'ce')
    bench.end('q1', 4)
    t.match(bench.take(), [{ type: 'unsubscribe', ...SESSION }], 'all that is open was begun on this connection')
    t.equal((await turn.finished).text, 'Once')
    t.equal(later.text, '')
  })

  await t.test('what has ended meanwhile is told to its end', async (t) => {
    const bench = new Bench()
    const turn = bench.chat('q1')
    bench.ack('q1')
    bench.take()
    bench.lose()
    const [subscribe] = bench.comeBack()
    bench.subscribed({ recovered: true }, subscribe)
    t.strictSame(bench.take(), [])
    bench.piece('q1', 1, 'Once')
    bench.end('q1', 2)
    t.equal((await turn.finished).text, 'Once')
  })

  await t.test('a chat without an answer is sent again; what of it was told before needs none', async (t) => {
    const bench = new Bench()
    const [first, second] = [bench.chat('q1'), bench.chat('q2')]
    bench.ack('q1')
    bench.take()
    bench.lose()
    const [subscribe] = bench.comeBack()
    bench.subscribed({ recovered: true, turns: [{ id: 'q1', status: 'running', message: '' }, { id: 'q2', status: 'running', message: '' }] }, subscribe)
    t.match(bench.take(), [{ type: 'chat', id: 'q2' }])
    bench.end('q1', 1)
    bench.piece('q2', 2, 'from the middle: not known to be all')
    t.equal(second.text, '')
    bench.started('q2', 3)
    bench.piece('q2', 4, 'On')
    bench.ack('q2', { status: 'duplicate', seq: 4, content: 'On' })
    bench.piece('q2', 5, 'ce')
    bench.end('q2', 6)
    await first.finished
    t.equal((await second.finished).text, 'Once')
  })

  await t.test('a chat without an answer in a session without a position is sent again at once', async (t) => {
    const bench = new Bench()
    bench.chat('q1')
    bench.take()
    bench.lose()
    t.match(bench.comeBack(), [{ type: 'chat', id: 'q1' }])
  })

  await t.test('the position of an answer says nothing of a chat that has none yet', async (t) => {
    const bench = new Bench()
    const [first, second] = [bench.chat('q1'), bench.chat('q2')]
    bench.take()
    bench.lose()
    bench.comeBack()
    bench.ack('q1', { status: 'duplicate', seq: 9, content: 'One' })
    bench.lose()
    const [subscribe] = bench.comeBack()
    t.match(subscribe, { after: 9 })
    bench.subscribed({ seq: 9, recovered: true, turns: [{ id: 'q2', status: 'running', message: '' }] }, subscribe)
    t.match(bench.take(), [{ id: 'q1' }, { id: 'q2' }], 'the end of the one may have been lost, of the other all')
    bench.piece('q2', 10, 'two')
    bench.ack('q1', { status: 'duplicate', seq: 9, content: 'One' })
    bench.end('q1', 9)
    bench.ack('q2', { status: 'duplicate', seq: 10, content: 'Number two' })
    bench.end('q2', 11)
    t.equal((await first.finished).text, 'One')
    t.equal((await second.finished).text, 'Number two')
  })

  await t.test('a text that is to come whole is asked for again', async (t) => {
    const bench = new Bench()
    const turn = bench.chat('q1', { stream: false })
    bench.ack('q1')
    bench.take()
    bench.lose()
    const [subscribe] = bench.comeBack()
    bench.subscribed({ seq: 3, recovered: true, turns: [{ id: 'q1', status: 'running', message: '' }] }, subscribe)
    t.match(bench.take(), [{ type: 'chat', id: 'q1', stream: false }, { type: 'unsubscribe' }])
    bench.piece('q1', 4, 'ce')
    bench.ack('q1', { status: 'duplicate', seq: 4, content: 'Once' })
    bench.says({ type: 'message', id: 'q1', seq: 5, content: 'Once.', done: true, finishReason: 'stop' })
    t.strictSame(await turn.finished, { text: 'Once.', finishReason: 'stop' })
  })

  await t.test('what was lost with the journal ends', async (t) => {
    const bench = new Bench()
    const [first, second] = [bench.chat('q1'), bench.chat('q2')]
    bench.ack('q1')
    bench.take()
    bench.lose()
    const unsent = bench.chat('q3')
    const [subscribe] = bench.comeBack('j2')
    bench.subscribed({ epoch: 'e2' }, subscribe)
    await t.rejects(first.finished, { code: 'OUTCOME_UNKNOWN' })
    await t.rejects(second.finished, { code: 'OUTCOME_UNKNOWN' })
    t.match(bench.take(), [{ type: 'chat', id: 'q3' }, { type: 'unsubscribe' }], 'what was never sent is')
    bench.ack('q3', { epoch: 'e2' })
    bench.end('q3', 1)
    await unsent.finished
  })

  await t.test('a frame that has cost the connection is not sent again', async (t) => {
    const bench = new Bench()
    const [first, second] = [bench.chat('q1'), bench.chat('q2')]
    bench.ack('q1')
    bench.lose(true)
    await t.rejects(second.finished, { code: 'OUTCOME_UNKNOWN', cause: { code: 'TOO_BIG' } })
    t.equal(bench.feed.own('q1'), first)
  })
})

t.test('an answer that is kept no longer', async (t) => {
  const bench = new Bench()
  const [known, empty] = [bench.chat('q1'), bench.chat('q2')]
  bench.ack('q1')
  bench.piece('q1', 1, 'Perhaps not all')
  bench.ack('q1', { status: 'duplicate', seq: 9 })
  await t.rejects(known.finished, { code: 'OUTCOME_UNKNOWN' })
  bench.ack('q2', { status: 'duplicate', seq: 9 })
  bench.end('q2', 9)
  t.strictSame(await empty.finished, { text: '', finishReason: 'stop' })
})

t.test('a feed that fell behind is told anew', async (t) => {
  const bench = new Bench()
  const [running, ended] = [bench.chat('q1'), bench.chat('q2')]
  for (const id of ['q1', 'q2']) bench.ack(id)
  bench.piece('q1', 1, 'On')
  bench.take()
  bench.subscribed({ seq: 50, turns: [{ id: 'q1', status: 'running', message: '', content: 'Once upon' }] })
  t.equal(running.text, 'Once upon')
  t.match(bench.take(), [{ type: 'chat', id: 'q2' }], 'how it ended only its chat can bring')
  bench.ack('q2', { status: 'duplicate', seq: 50, content: 'Two' })
  bench.end('q2', 50)
  t.equal((await ended.finished).text, 'Two')
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

t.test('a subscription', async (t) => {
  await t.test('gives the turns of others, with what there is of their text, and events', async (t) => {
    const bench = new Bench()
    const { subscription, news } = bench.follow({ seq: 4, turns: [
      { id: 'a', status: 'running', message: 'A?', content: 'so far' }, { id: 'b', status: 'queued', message: 'B?', metadata: { x: 1 } }
    ] })
    await subscription.ready
    bench.piece('a', 5, ', and on')
    bench.end('a', 6)
    bench.started('b', 7)
    bench.started('c', 8)
    bench.says({ type: 'event', seq: 9, name: 'shipped', data: 1 })
    bench.says({ type: 'event', id: 'unknown', seq: 10, name: 'progress', data: 1 })
    await new Promise(setImmediate)
    t.match(news, [
      { type: 'turn', turn: { id: 'a', message: 'A?' } },
      { type: 'turn', turn: { id: 'b', message: 'B?', metadata: { x: 1 } } },
      { type: 'turn', turn: { id: 'c', message: 'say c' } },
      { type: 'event', event: { name: 'shipped' } }
    ])
    t.equal(news.length, 4)
    const [first] = news
    t.strictSame(await endOf(first), { text: 'so far, and on', finishReason: 'stop' })
  })

  await t.test('can be asked to stop the turns of others', async (t) => {
    const bench = new Bench()
    const { news } = bench.follow({ turns: [{ id: 'a', status: 'queued', message: 'A?' }] })
    await new Promise(setImmediate)
    const [first] = news
    if (first?.type !== 'turn') throw new Error('no turn')
    const cancelled = first.turn.cancel()
    t.strictSame(bench.cancelled, ['a'])
    bench.end('a', 1, 'aborted')
    await cancelled
  })

  await t.test('a second one of the same session costs nothing', async (t) => {
    const bench = new Bench()
    const { subscription: first } = bench.follow({ turns: [{ id: 'a', status: 'queued', message: 'A?' }] })
    const second = bench.feed.subscribe()
    await second.ready
    t.strictSame(bench.take(), [])
    first.close()
    t.strictSame(bench.take(), [])
    second.close()
    t.match(bench.take(), [{ type: 'unsubscribe', ...SESSION }])
    t.ok(bench.idle > 0)
  })

  await t.test('goes on from its position; what was missed follows', async (t) => {
    const bench = new Bench()
    const { news } = bench.follow({ turns: [{ id: 'a', status: 'running', message: 'A?', content: 'On' }] })
    bench.lose()
    const [subscribe] = bench.comeBack()
    t.match(subscribe, { epoch: 'e1', after: 0 })
    bench.subscribed({ recovered: true, turns: [{ id: 'n', status: 'running', message: 'N?' }] }, subscribe)
    bench.piece('a', 1, 'ce')
    bench.end('a', 2)
    bench.started('n', 3)
    await new Promise(setImmediate)
    t.match(news, [{ turn: { id: 'a', text: 'Once' } }, { turn: { id: 'n' } }])
    t.equal(news.length, 2)
  })

  await t.test('what cannot be told any more is a gap, and the end of what was open', async (t) => {
    const bench = new Bench()
    const { news } = bench.follow({ turns: [{ id: 'a', status: 'running', message: 'A?', content: 'On' }] })
    bench.lose()
    const [subscribe] = bench.comeBack('j2')
    bench.subscribed({ epoch: 'e2' }, subscribe)
    await new Promise(setImmediate)
    t.match(news, [{ type: 'turn' }, { type: 'gap' }])
    const [first] = news
    await t.rejects(async () => { await endOf(first) }, { code: 'OUTCOME_UNKNOWN' })
  })

  await t.test('one that came between is told afresh', async (t) => {
    const bench = new Bench()
    bench.chat('q1')
    bench.ack('q1')
    bench.take()
    bench.lose()
    const [goesOn] = bench.comeBack()
    const subscription = bench.feed.subscribe()
    const [afresh] = bench.take()
    t.match(afresh, SUBSCRIBE)
    t.notOk('after' in (afresh ?? {}))
    bench.subscribed({ seq: 0, recovered: true, turns: [{ id: 'a', status: 'running', message: 'A?' }] }, goesOn)
    t.strictSame(bench.take(), [], 'the other answer is on its way')
    bench.subscribed({ seq: 5, turns: [{ id: 'a', status: 'running', message: 'A?', content: 'On' }] }, afresh)
    await subscription.ready
    t.match(bench.take(), [{ type: 'chat', id: 'q1' }])
  })

  await t.test('an answer that comes from another position leaves it with a gap', async (t) => {
    const bench = new Bench()
    const { news } = bench.follow()
    bench.lose()
    bench.chat('q1')
    const [subscribe] = bench.comeBack()
    bench.refuse(subscribe, 'RATE_LIMITED')
    bench.ack('q1', { seq: 40 })
    await new Promise(setImmediate)
    t.match(news, [{ type: 'turn', turn: { id: 'q1' } }, { type: 'gap' }])
    bench.take()
    bench.clock.advance(1_000)
    const [again] = bench.take()
    t.notOk('after' in (again ?? {}), 'what it knows is older than the position')
  })

  await t.test('closed, the turns of others end, and its own go on', async (t) => {
    const bench = new Bench()
    const { subscription, news } = bench.follow({ turns: [{ id: 'a', status: 'queued', message: 'A?' }] })
    const own = bench.chat('q1')
    bench.ack('q1')
    await new Promise(setImmediate)
    bench.take()
    subscription.close()
    t.match(bench.take(), [{ type: 'unsubscribe' }])
    const [first] = news
    await t.rejects(async () => { await endOf(first) }, { code: 'CLOSED' })
    bench.piece('q1', 3, 'x')
    bench.end('q1', 4)
    t.equal((await own.finished).text, 'x')
  })
})

t.test('a subscription from a position', async (t) => {
  const from = { epoch: 'e1', seq: 4 }

  await t.test('asks for what followed, and knows the turn that it tells from its start', async (t) => {
    const bench = new Bench()
    const subscription = bench.feed.subscribe(from)
    const [asked] = bench.take()
    t.match(asked, { ...SUBSCRIBE, epoch: 'e1', after: 4 })
    bench.subscribed({ seq: 4, recovered: true, turns: [{ id: 'a', status: 'running', message: 'say a' }] }, asked)
    await subscription.ready
    t.equal(subscription.isGapless, true)
    t.strictSame(subscription.turns, [], 'its start has not been told yet')
    bench.started('a', 5)
    bench.piece('a', 6, 'One')
    t.match(subscription.turns, [{ id: 'a', text: 'One' }])
    bench.subscribed({ seq: 90, turns: [{ id: 'a', status: 'running', message: 'say a', content: 'One, two' }] })
    t.match(subscription.turns, [{ id: 'a', text: 'One, two' }])
    t.equal(subscription.isGapless, false, 'it fell too far behind')
  })

  await t.test('asks for it as soon as there is a connection, and again', async (t) => {
    const bench = new Bench()
    bench.journal = undefined
    bench.feed.subscribe(from)
    t.match(bench.comeBack(), [{ ...SUBSCRIBE, epoch: 'e1', after: 4 }])
    bench.lose()
    t.match(bench.comeBack(), [{ ...SUBSCRIBE, epoch: 'e1', after: 4 }])
  })

  await t.test('of which nothing is held has what runs', async (t) => {
    const bench = new Bench()
    const subscription = bench.feed.subscribe(from)
    bench.subscribed({ epoch: 'e2', turns: [{ id: 'a', status: 'running', message: 'say a', content: 'One' }] }, bench.take()[0])
    await subscription.ready
    t.equal(subscription.isGapless, false)
    t.match(subscription.turns, [{ id: 'a', message: 'say a', text: 'One' }])
  })

  await t.test('is one like others where more is known', async (t) => {
    const bench = new Bench()
    bench.follow({ seq: 7 })
    const subscription = bench.feed.subscribe(from)
    await subscription.ready
    t.strictSame(bench.take(), [])
    t.equal(subscription.isGapless, false)
    const other = new Bench()
    other.chat('q1')
    other.feed.subscribe(from)
    t.strictSame(other.take().map(({ type, after }) => [type, after]), [['chat', undefined], ['subscribe', undefined]])
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
