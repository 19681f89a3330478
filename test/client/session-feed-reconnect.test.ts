import t from 'tap'

import { Bench, SESSION, SUBSCRIBE } from './feed-bench.js'

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
