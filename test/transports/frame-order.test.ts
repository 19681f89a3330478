// Frames of one connection to one session take effect in the order in which they came, whatever takes its time.
import t, { type Test } from 'tap'

import type { WsChannelOptions } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import type { Frame } from '../helpers/channel-client.js'
import { eventually } from '../helpers/eventually.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { ack, end, piece, plainEnd, plainPiece, plainRefused, queued, refused, running, subscribed, turnStarted } from './expected.js'
import { Stage } from './stage.js'

const tick = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

const KINDS: Array<[name: string, options: () => WsChannelOptions]> = [
  ['a journal in memory', () => ({})],
  ['a journal over a network', () => ({ journal: new SlowJournal() })],
  ['an authorize that thinks', () => ({ authorize: () => tick().then(() => true) })],
  ['both', () => ({ journal: new SlowJournal(), authorize: () => tick().then(() => true) })]
]

async function open (t: Test, options: WsChannelOptions) {
  const stage = new Stage()
  const host = await serve(t, { agentExecutor: stage.executor, ...options })
  const client = await host.connect({ query: '?sessionId=s' })
  const chat = (id: string, more: object = {}): void => { client.send({ type: 'chat', id, message: id, ...more }) }
  /** All frames up to the first that is so. */
  const until = async (isLast: (frame: Frame) => boolean): Promise<Frame[]> => {
    const frames = [await client.next()]
    for (let last = frames[0]; last !== undefined && !isLast(last);) frames.push(last = await client.next())
    return frames
  }
  const over = async (): Promise<void> => {
    await client.fence()
    await eventually(() => host.app.channel.stats().turns === 0)
    await eventually(() => host.app.channel.stats().followers === 0)
    await client.close()
  }
  return { ...host, stage, client, chat, until, over }
}

for (const [name, options] of KINDS) {
  t.test(`with ${name} a cancel stops the chats before it, and none behind it`, async (t) => {
    const { stage, client, chat, until, over } = await open(t, options())
    stage.act('d').say('x').end()
    chat('a')
    chat('b')
    client.send({ type: 'cancel', id: 'c' })
    chat('d')
    const frames = await until((frame) => frame['done'] === true && frame['id'] === 'd')
    const of = (id: string): Frame[] => frames.filter((frame) => frame['id'] === id)
    t.strictSame(of('a')[0], ack('started', frames[0]?.['epoch'], 0))
    const [cancelled] = of('c')
    t.strictSame(cancelled, { type: 'cancelled', id: 'c', agentId: 'main', sessionId: 's', turns: ['a', 'b'] })
    for (const id of ['a', 'b']) {
      t.match(of(id)[0], { type: 'ack', id })
      const last = of(id).at(-1)
      t.match(last, { type: 'stream', content: '', done: true, id, finishReason: 'aborted' })
      t.ok(frames.findIndex((frame) => frame === last) > frames.findIndex((frame) => frame === cancelled), 'the ends follow the answer')
    }
    t.match(of('d').map(({ type }) => type), ['ack', 'event', 'stream', 'stream'])
    t.strictSame(stage.begun.filter((message) => message === 'b'), [])
    await over()
  })

  t.test(`with ${name} a cancel finds the turn of a chat that was sent just before it, by its id alone`, async (t) => {
    // The chat used to be looked for among those that the journal had accepted.
    const { app, client, stage, connect } = await open(t, options())
    const other = await connect()
    for (const id of ['a', 'b']) other.send({ type: 'chat', id, sessionId: 's', message: id })
    other.send({ type: 'cancel', id: 'c', turnId: 'b' })
    const frames = [await other.next()]
    for (let ends = 0; ends < 2;) {
      const frame = await other.next()
      frames.push(frame)
      if (frame['done'] === true && ++ends === 1) stage.act('a').end()
    }
    t.strictSame(frames.find(({ type }) => type === 'cancelled'), {
      type: 'cancelled', id: 'c', agentId: 'main', sessionId: 's', turns: ['b']
    })
    t.strictSame(frames.filter((frame) => frame['done'] === true).map(({ id, finishReason }) => [id, finishReason]).toSorted(),
      [['a', 'stop'], ['b', 'aborted']])
    t.strictSame(stage.begun, ['a'])
    await eventually(() => app.channel.stats().turns === 0)
    await client.close()
    await other.close()
  })

  t.test(`with ${name} a subscribe tells of the chats before it, and is told those behind it`, async (t) => {
    const { stage, client, chat, until, over } = await open(t, options())
    chat('a')
    client.send({ type: 'subscribe', id: 's1', sessionId: 's' })
    chat('b', { message: 'b' })
    client.send({ type: 'chat', message: 'plain' })
    const frames = await until(({ type, id }) => type === 'ack' && id === 'b')
    const epoch = frames[0]?.['epoch']
    const cut = frames.find(({ type }) => type === 'subscribed')
    t.match(cut, { id: 's1', epoch, recovered: false, turns: [{ id: 'a', message: 'a' }] })
    t.strictSame(frames.filter(({ id, type }) => type === 'ack' && id === 'b'), [queued(1, epoch, Number(frames.at(-1)?.['seq']), { id: 'b' })])
    stage.act('a').say('x').end()
    stage.act('b').end()
    stage.act('plain').say('y').end()
    const told = await until(({ done, seq }) => done === true && seq === 9 - 1)
    const all = [...frames, ...told].filter(({ type }) => type === 'event' || type === 'stream')
    const id = String(all.at(-1)?.['id'])
    t.strictSame(all.filter(({ seq }) => Number(seq) > 1), [
      piece('x', 2), end(3), turnStarted('b', 4, { id: 'b' }), end(5, { id: 'b' }),
      turnStarted('plain', 6, { id }), piece('y', 7, { id }), end(8, { id })
    ])
    client.send({ type: 'unsubscribe', sessionId: 's' })
    t.strictSame(await client.next(), { type: 'unsubscribed', agentId: 'main', sessionId: 's' })
    await over()
  })

  t.test(`with ${name} a plain chat behind unsubscribe is plain again`, async (t) => {
    const { stage, client, over } = await open(t, options())
    stage.act('in the feed').say('x').end()
    stage.act('plain').say('y').end()
    client.send({ type: 'subscribe', sessionId: 's' })
    client.send({ type: 'chat', message: 'in the feed' })
    await client.next('subscribed')
    const { id } = await client.next('event') as { id: string }
    for (const frame of [piece('x', 2, { id }), end(3, { id })]) t.strictSame(await client.next(), frame)
    client.send({ type: 'unsubscribe', id: 'u', sessionId: 's' })
    client.send({ type: 'chat', message: 'plain' })
    t.strictSame(await client.next(), { type: 'unsubscribed', id: 'u', agentId: 'main', sessionId: 's' })
    for (const frame of [plainPiece('y'), plainEnd()]) t.strictSame(await client.next(), frame)
    await over()
  })

  t.test(`with ${name} a subscription that the limit takes counts from its frame on`, async (t) => {
    const { client, over } = await open(t, { ...options(), maxSubscriptions: 1 })
    for (const [id, sessionId] of [['1', 's'], ['2', 'other'], ['3', 's']]) client.send({ type: 'subscribe', id, sessionId })
    const frames = [await client.next(), await client.next(), await client.next()]
    const cut = (id: string) => frames.find((frame) => frame['id'] === id)
    t.strictSame(cut('2'), refused('RATE_LIMITED', { retryAfterMs: 1_000, id: '2' }))
    t.strictSame(cut('1'), { ...subscribed(cut('1')?.['epoch'], 0, false), id: '1' })
    t.strictSame(cut('3'), { ...subscribed(cut('1')?.['epoch'], 0, false), id: '3' })
    client.send({ type: 'unsubscribe', sessionId: 's' })
    client.send({ type: 'unsubscribe', sessionId: 'other' })
    await client.next('unsubscribed')
    await client.next('unsubscribed')
    client.send({ type: 'subscribe', sessionId: 'other' })
    t.match(await client.next('subscribed'), { sessionId: 'other' })
    client.send({ type: 'unsubscribe', sessionId: 'other' })
    await client.next('unsubscribed')
    await over()
  })
}

t.test('a plain chat behind a subscribe that finds no room is answered plainly, and so is its refusal', async (t) => {
  const journal = new SlowJournal()
  const stage = new Stage()
  const { connect, app } = await serve(t, { journal, agentExecutor: stage.executor, maxQueuedTurns: 1 })
  const client = await connect({ query: '?sessionId=s' })
  const real = journal.follow
  journal.follow = async () => undefined
  stage.act('x').say('1').end()
  client.send({ type: 'subscribe', id: 'n', sessionId: 's' })
  client.send({ type: 'chat', message: 'x' })
  t.strictSame(await client.next(), refused('RATE_LIMITED', { retryAfterMs: 1_000, id: 'n' }))
  for (const frame of [plainPiece('1'), plainEnd()]) t.strictSame(await client.next(), frame)
  journal.follow = real
  client.send({ type: 'subscribe', sessionId: 's' })
  await client.next('subscribed')
  for (const message of ['a', 'b', 'c']) client.send({ type: 'chat', message })
  // What is no frame of the feed has no order among its frames.
  const frames = [await client.next(), await client.next()]
  const [started, refusal] = frames[0]?.type === 'event' ? frames : frames.reverse()
  t.strictSame(started, turnStarted('a', 4, { id: String(started?.id) }))
  t.strictSame(refusal, plainRefused('QUEUE_FULL', { retryAfterMs: 1_000 }), 'no frame of the feed')
  client.send({ type: 'subscribe', sessionId: 's' })
  const { turns, seq } = await client.next('subscribed')
  const [first, second] = turns
  t.strictSame([first, second], [running('a', '', String(started?.id)), { id: second?.id, status: 'queued', message: 'b' }])
  client.send({ type: 'cancel', sessionId: 's' })
  const ids = turns.map(({ id }) => id)
  t.strictSame(await client.next(), { type: 'cancelled', agentId: 'main', sessionId: 's', turns: ids })
  const ends = [await client.next('stream'), await client.next('stream')]
  t.strictSame(new Set(ends.map(({ id }) => id)), new Set(ids))
  t.strictSame(ends.map((frame) => frame.seq), [seq + 1, seq + 2])
  await client.fence()
  t.equal(app.channel.stats().followers, 1)
  await client.close()
  await eventually(() => app.channel.stats().followers === 0)
})

t.test('while a subscription changes, plain chats of one agent keep their order of answers', async (t) => {
  const stage = new Stage()
  const { connect } = await serve(t, { journal: new SlowJournal(), agentExecutor: stage.executor })
  const client = await connect()
  for (const message of ['one', 'two']) stage.act(message).say(message).end()
  client.send({ type: 'chat', id: 'a', sessionId: 's', message: 'a' })
  client.send({ type: 'chat', sessionId: 's', message: 'one' })
  client.send({ type: 'chat', sessionId: 'z', message: 'two' })
  await client.next('ack')
  t.strictSame(await client.next(), turnStarted('a', 1))
  await client.fence()
  stage.act('a').end()
  t.strictSame(await client.next(), end(2))
  for (const frame of [plainPiece('one'), plainEnd(), plainPiece('two'), plainEnd()]) t.strictSame(await client.next(), frame)
  await client.close()
})
