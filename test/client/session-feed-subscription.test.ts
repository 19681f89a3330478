import t from 'tap'

import { Bench, endOf, SESSION, SUBSCRIBE } from './feed-bench.js'

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

  await t.test('goes on from an answer that is ahead of it, and says nothing of a gap', async (t) => {
    const bench = new Bench()
    const { news } = bench.follow({ seq: 4 })
    bench.chat('own')
    bench.ack('own', { seq: 6 })
    bench.lose()
    t.match(bench.comeBack().find(({ type }) => type === 'subscribe'), { epoch: 'e1', after: 6 })
    await new Promise(setImmediate)
    t.strictSame(news.map(({ type }) => type), ['turn'], 'and no gap')
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
