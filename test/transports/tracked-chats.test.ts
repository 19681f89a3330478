import t from 'tap'

import { AgentError } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import type { Frame } from '../helpers/channel-client.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import {
  ack, end, event, failedEnd, piece, plainEnd, plainPiece, plainRefused, queued, refused, turnStarted, whole, wholeEnd
} from './expected.js'
import { Stage } from './stage.js'

t.test('a tracked chat is answered by ack, and then by all that its turn says', async (t) => {
  const stage = new Stage()
  const { app, connect } = await serve(t, { agentExecutor: stage.executor })
  const client = await connect()
  const raw: string[] = []
  client.ws.on('message', (data) => { if (Buffer.isBuffer(data)) raw.push(data.toString()) })
  const usage = { inputTokens: 3, outputTokens: 4, totalTokens: 7, reasoningTokens: 1, cachedInputTokens: 2 }
  stage.act('hi').say(
    '你"', { type: 'text', content: '好' },
    ...['reasoning', 'tool-input', 'tool-output', 'progress', 'of-the-host'].map((name) => ({ type: 'event' as const, name, data: [name] })),
    { type: 'message', content: 'a whole one' },
    'more', { type: 'event', name: 'nothing' },
    { type: 'finish', finishReason: 'length', usage }
  ).end()
  client.send({ type: 'chat', id: 'a', sessionId: 's', message: 'hi', metadata: { k: [1] } })
  const { epoch } = await client.next('ack')
  t.match(epoch, /^\S{20,}$/)
  const frames = await client.until('stream')
  while (frames.at(-1)?.['done'] !== true) frames.push(await client.next())
  t.strictSame(frames, [
    event('turn-started', { message: 'hi', metadata: { k: [1] } }, 1),
    piece('你"', 2),
    piece('好', 3),
    event('reasoning', ['reasoning'], 4),
    event('tool-input', ['tool-input'], 5),
    event('tool-output', ['tool-output'], 6),
    event('progress', ['progress'], 7),
    event('of-the-host', ['of-the-host'], 8),
    whole('a whole one', 9),
    piece('more', 10),
    event('nothing', null, 11),
    { ...end(12, {}, 'length'), usage }
  ])
  await client.fence()
  t.strictSame([raw[0], raw[1], raw[2], raw[9], raw[12]], [
    `{"type":"ack","id":"a","agentId":"main","sessionId":"s","status":"started","epoch":"${epoch}","seq":0}`,
    '{"type":"event","agentId":"main","id":"a","sessionId":"s","seq":1,"name":"turn-started","data":{"message":"hi","metadata":{"k":[1]}}}',
    '{"type":"stream","agentId":"main","content":"你\\"","done":false,"id":"a","sessionId":"s","seq":2}',
    '{"type":"message","agentId":"main","content":"a whole one","done":false,"id":"a","sessionId":"s","seq":9}',
    '{"type":"stream","agentId":"main","content":"","done":true,"id":"a","sessionId":"s","seq":12,"finishReason":"length",' +
      `"usage":${JSON.stringify(usage)}}`
  ], 'keys stand in their order')
  t.equal(app.channel.stats().followers, 0, 'the feed is gone with its turn')
  t.equal(app.channel.stats().claims, 1)
  await client.close()
})

t.test('with stream: false a tracked turn is read as whole messages and the joined text', async (t) => {
  const stage = new Stage()
  const { connect } = await serve(t, { agentExecutor: stage.executor })
  const client = await connect({ query: '?sessionId=s' })
  stage.act('pieces').say('one ', { type: 'message', content: 'whole' }, { type: 'event', name: 'progress', data: 1 }, 'two').end()
  client.send({ type: 'chat', id: 'a', message: 'pieces', stream: false })
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('pieces', 1), whole('whole', 3), event('progress', 1, 4), wholeEnd('one two', 6)]) {
    t.strictSame(await client.next(), frame)
  }
  stage.act('string').returns('all at once')
  for (const [id, stream, seq] of [['b', true, 6], ['c', false, 8]] as const) {
    client.send({ type: 'chat', id, message: 'string', stream })
    t.strictSame(await client.next(), ack('started', epoch, seq, { id }))
    t.strictSame(await client.next(), turnStarted('string', seq + 1, { id }))
    t.strictSame(await client.next(), wholeEnd('all at once', seq + 2, { id }))
  }
  await client.close()
})

t.test('a turn that fails ends with an error frame, which has its id, its place and its reason', async (t) => {
  const stage = new Stage()
  const { connect } = await serve(t, { agentExecutor: stage.executor, maxAnswerBytes: 10 })
  const client = await connect({ query: '?sessionId=s' })
  stage.act('secret').say('x').end(new Error('secret'))
  client.send({ type: 'chat', id: 'a', message: 'secret' })
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('secret', 1), piece('x', 2), failedEnd('AGENT_ERROR', 3)]) t.strictSame(await client.next(), frame)
  stage.act('told').end(new AgentError('the orders are down'))
  client.send({ type: 'chat', id: 'b', message: 'told', stream: false })
  t.strictSame(await client.next(), ack('started', epoch, 3, { id: 'b' }))
  t.strictSame(await client.next(), turnStarted('told', 4, { id: 'b' }))
  t.strictSame(await client.next(), { ...failedEnd('AGENT_ERROR', 5, { id: 'b' }), message: 'the orders are down' })
  stage.act('long').say('0123456789', '!')
  client.send({ type: 'chat', id: 'c', message: 'long', stream: false })
  t.strictSame(await client.next(), ack('started', epoch, 5, { id: 'c' }))
  t.strictSame(await client.next(), turnStarted('long', 6, { id: 'c' }))
  t.strictSame(await client.next(), failedEnd('ANSWER_TOO_LARGE', 8, { id: 'c' }))
  await client.close()
})

t.test('a refused chat gets one error with its id, no ack, and no done', async (t) => {
  const stage = new Stage()
  const { connect } = await serve(t, {
    agentExecutor: { main: stage.executor, strict: { execute: stage.executor, metadata: { type: 'object', required: ['k'] } } },
    maxQueuedTurns: 1,
    maxTurnsPerConnection: 2,
    authorize: (frame) => frame.type !== 'chat' || frame.message !== 'forbidden',
    retryAfterMs: 1_234
  })
  const client = await connect()
  const other = await connect({ query: '?sessionId=s' })
  const chat = (id: string, more: object = {}): void => { client.send({ type: 'chat', id, sessionId: 's', message: 'x', ...more }) }
  chat('a')
  const { epoch } = await client.next('ack')
  t.strictSame(await client.next(), turnStarted('x', 1))
  chat('r', { onBusy: 'reject' })
  t.strictSame(await client.next(), refused('SESSION_BUSY', { retryAfterMs: 1_234, id: 'r' }))
  chat('q')
  t.strictSame(await client.next(), queued(1, epoch, 1, { id: 'q' }))
  other.send({ type: 'chat', id: 'f', message: 'x' })
  t.strictSame(await other.next(), refused('QUEUE_FULL', { retryAfterMs: 1_234, id: 'f' }))
  chat('l', { sessionId: 'elsewhere' })
  t.strictSame(await client.next(), refused('RATE_LIMITED', { retryAfterMs: 1_234, id: 'l' }))
  other.send({ type: 'chat', id: 'a', message: 'another' })
  t.strictSame(await other.next(), refused('ID_CONFLICT', { id: 'a' }))
  other.send({ type: 'chat', id: 'n', agentId: 'nobody', message: 'x' })
  t.strictSame(await other.next(), refused('AGENT_NOT_FOUND', { id: 'n' }))
  other.send({ type: 'chat', id: 'm', agentId: 'strict', message: 'x', metadata: {} })
  const invalid = await other.next('error')
  t.match(invalid.details, { path: '/metadata', rule: /required/i })
  t.strictSame(invalid, { ...refused('VALIDATION_FAILED'), details: invalid.details, id: 'm' })
  other.send({ type: 'chat', id: 'p', message: 'forbidden' })
  t.strictSame(await other.next(), refused('FORBIDDEN', { id: 'p' }))
  const nowhere = await connect()
  nowhere.send({ type: 'chat', id: 'w', message: 'x' })
  t.match(await nowhere.next('error'), { id: 'w', code: 'VALIDATION_FAILED', details: { path: '/sessionId' }, done: undefined, agentId: undefined })
  stage.act('x').end()
  t.strictSame(await client.next(), end(2))
  t.strictSame(await client.next(), turnStarted('x', 3, { id: 'q' }))
  t.strictSame(await client.next(), end(4, { id: 'q' }))
  for (const each of [client, other, nowhere]) await each.fence()
  t.strictSame(stage.begun, ['x', 'x'])
  for (const each of [client, other, nowhere]) await each.close()
})

for (const [name, journal] of [['in memory', () => undefined], ['over a network', () => new SlowJournal()]] as const) {
  t.test(`two chats in one packet are acknowledged, then told one after the other, with a journal ${name}`, async (t) => {
    const { app, connect } = await serve(t, { agentExecutor: ({ message }) => message, journal: journal() })
    const client = await connect({ query: '?sessionId=s' })
    client.send({ type: 'chat', id: 'a', message: 'one' })
    client.send({ type: 'chat', id: 'b', message: 'two' })
    const frames: Frame[] = []
    for (let ends = 0; ends < 2;) {
      const frame = await client.next()
      if (frame['done'] === true) ends++
      frames.push(frame)
    }
    const of = (id: string) => frames.filter((frame) => frame['id'] === id)
    const epoch = frames[0]?.['epoch']
    t.strictSame(of('a'), [ack('started', epoch, 0), turnStarted('one', 1), wholeEnd('one', 2)])
    t.match(of('b')[0], { type: 'ack', id: 'b', agentId: 'main', sessionId: 's', epoch })
    t.strictSame(of('b').slice(1), [turnStarted('two', 3, { id: 'b' }), wholeEnd('two', 4, { id: 'b' })])
    await client.fence()
    t.equal(app.channel.stats().followers, 0)
    await client.close()
  })

  t.test(`chats to several sessions run side by side, each with its own numbers, with a journal ${name}`, async (t) => {
    const stage = new Stage()
    const { connect, app } = await serve(t, { agentExecutor: stage.executor, journal: journal() })
    const client = await connect()
    for (const id of ['a', 'b', 'c']) client.send({ type: 'chat', id, sessionId: `s-${id}`, message: id })
    await Promise.all(['a', 'b', 'c'].map((id) => stage.act(id).started.promise))
    for (const id of ['c', 'a', 'b']) stage.act(id).say(id).end()
    const byId = new Map<unknown, unknown[]>()
    for (let ends = 0; ends < 3;) {
      const frame = await client.next()
      if (frame['done'] === true) ends++
      byId.set(frame['id'], [...byId.get(frame['id']) ?? [], frame])
    }
    for (const id of ['a', 'b', 'c']) {
      const place = { id, sessionId: `s-${id}` }
      const [first, ...rest] = byId.get(id) ?? []
      t.match(first, { type: 'ack', status: 'started', seq: 0 })
      t.strictSame(rest, [turnStarted(id, 1, place), piece(id, 2, place), end(3, place)])
    }
    await client.fence()
    t.match(app.channel.stats(), { followers: 0, turns: 0 })
    await client.close()
  })
}

t.test('plain and tracked chats count together, also those that the journal has not accepted yet', async (t) => {
  // Chats to several sessions used to be counted only once the journal had accepted them.
  const [stage, journal, gate] = [new Stage(), new SlowJournal(), deferred()]
  const { app, connect } = await serve(t, { agentExecutor: stage.executor, journal, maxTurnsPerConnection: 2 })
  const client = await connect()
  journal.after = (method) => method === 'offer' ? gate.promise : undefined
  for (const id of ['a', 'b', 'c']) client.send({ type: 'chat', id, sessionId: id, message: id })
  t.strictSame(await client.next(), refused('RATE_LIMITED', { retryAfterMs: 1_000, id: 'c' }))
  gate.resolve()
  await Promise.all(['a', 'b'].map((id) => stage.act(id).started.promise))
  await eventually(() => client.unread().filter(({ type }) => type === 'event').length === 2)
  while (client.unread().length > 0) await client.next()
  client.send({ type: 'chat', sessionId: 'd', message: 'd' })
  t.strictSame(await client.next(), plainRefused('RATE_LIMITED', { retryAfterMs: 1_000 }))
  for (const id of ['a', 'b']) stage.act(id).end()
  for (const type of ['stream', 'stream'] as const) t.match(await client.next(type), { done: true })
  await client.fence()
  for (const message of ['p', 'q']) client.send({ type: 'chat', sessionId: message, message })
  client.send({ type: 'chat', id: 'e', sessionId: 'e', message: 'e' })
  t.strictSame(await client.next(), refused('RATE_LIMITED', { retryAfterMs: 1_000, id: 'e' }))
  for (const message of ['p', 'q']) {
    stage.act(message).say(message).end()
    for (const frame of [plainPiece(message), plainEnd()]) t.strictSame(await client.next(), frame)
  }
  await eventually(() => app.channel.stats().turns === 0)
  t.strictSame(stage.begun.toSorted(), ['a', 'b', 'p', 'q'])
  await client.close()
})

t.test('a journal that takes no chat is STORE_UNAVAILABLE, and leaves no claim', async (t) => {
  const journal = new SlowJournal()
  const { app, connect } = await serve(t, { agentExecutor: () => 'x', journal })
  const client = await connect({ query: '?sessionId=s' })
  for (const [when, method] of [['after', 'offer'], ['before', 'follow']] as const) {
    journal[when] = (called) => { if (called === method) throw new Error('boom'); return undefined }
    client.send({ type: 'chat', id: 'a', message: 'x' })
    t.strictSame(await client.next(), refused('STORE_UNAVAILABLE', { id: 'a' }), method)
    await client.fence()
    t.match(app.channel.stats(), { turns: 0, claims: 0, runningTurns: 0 })
    journal[when] = () => undefined
  }
  client.send({ type: 'chat', id: 'a', message: 'x' })
  t.match(await client.next('ack'), { status: 'started' })
  t.match(await client.next('event'), { name: 'turn-started' })
  t.match(await client.next('message'), { content: 'x', done: true })
  await client.fence()
  t.equal(app.channel.stats().followers, 0)
  await client.close()
})
