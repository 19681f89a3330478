// Chats of a connection that is behind in their session, or goes: read by hand, as in `slow-feeds.test.ts`.
import t from 'tap'

import { eventually } from '../helpers/eventually.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { KEY, ticks } from '../helpers/turn-bench.js'
import { ack, end, failedEnd, refused, running, subscribed, turnStarted, waiting, wholeEnd } from './expected.js'
import { PLACE, connection, ofTurn, open } from './slow-scene.js'

t.test('a duplicate that a feed far behind has not come to is told from its place on, and what was lost there', async (t) => {
  const opened = open({ maxEntries: 8 })
  const { chat, told, feeds } = connection(opened)
  const { stage, start } = opened
  const [first] = await chat('a') as [{ epoch: string }]
  const { epoch } = first
  t.strictSame(first, { ...ack('started', epoch, 0), ...PLACE })
  const pieces = Array.from({ length: 20 }, (_, i) => `${i},`)
  stage.act('a').end()
  await ticks()
  stage.act('b').say(...pieces)
  await start('b')
  t.strictSame(await chat('b'), [{ ...ack('duplicate', epoch, 0, { id: 'b', content: '' }), ...PLACE }])
  t.strictSame(told(), [{ ...subscribed(epoch, 23, false, [running('b', pieces.join(''), 'b')]), ...PLACE }])
  stage.act('b').end()
  await ticks()
  t.strictSame(told(), [end(24, ofTurn('b'))])
  feeds.close()
})

t.test('what a chat has missed of its turn is told behind its ack, before anything else, and keeps nothing waiting', async (t) => {
  const journal = new SlowJournal({ maxEntries: 8 })
  const opened = open({}, journal)
  const { feeds, replies, told } = connection(opened)
  let follow: () => void = () => {}
  journal.before = (method, count) => method === 'follow' && count === 1 ? new Promise((resolve) => { follow = resolve }) : undefined
  feeds.chat({ type: 'chat', id: 'a', message: 'a' }, KEY)
  feeds.subscribe({ type: 'subscribe', id: 's', sessionId: KEY.sessionId }, KEY)
  let ran = 0
  feeds.inOrder(KEY, () => { ran++ })
  await eventually(() => journal.calls.follow === 1)
  for (let i = 0; i < 20; i++) await opened.bench.engine.publish(KEY, 'news', `${i}`)
  t.strictSame([replies, told()], [[], []])
  follow()
  await eventually(() => ran === 1)
  const [{ epoch }] = replies as [{ epoch: string }]
  const [ackFrame, missed, answer] = replies as [unknown, { seq: number }, { seq: number }]
  t.strictSame(ackFrame, { ...ack('started', epoch, 0), ...PLACE })
  t.strictSame(missed, { ...subscribed(epoch, 20, false, [waiting('a', 'a')]), ...PLACE })
  t.match(answer, { type: 'subscribed', id: 's' })
  t.ok(answer.seq >= missed.seq)
  t.equal(replies.length, 3)
  opened.stage.act('a').end()
  await opened.bench.idle()
  await ticks()
  told()
  t.equal(feeds.turns, 0)
  feeds.close()
})

t.test('a duplicate whose turn has come and gone behind a feed\'s back is told from the store, after a new start', async (t) => {
  const opened = open({ maxEntries: 8 })
  const { chat, told, feeds } = connection(opened)
  const { stage, start } = opened
  const [{ epoch }] = await chat('a') as [{ epoch: string }]
  t.strictSame(told(), [turnStarted('a', 1, PLACE)])
  const pieces = Array.from({ length: 20 }, (_, i) => `${i},`)
  for (const id of ['b', 'c']) stage.act(id).say(...pieces).end()
  stage.act('a').end()
  await start('b')
  await start('c')
  t.strictSame(await chat('b'), [
    { ...subscribed(epoch, 46, false), ...PLACE },
    { ...ack('duplicate', epoch, 46, { id: 'b', content: pieces.join('') }), ...PLACE },
    end(46, ofTurn('b'))
  ])
  t.strictSame(told(), [])
  feeds.settle()
  t.equal(opened.bench.journal.stats().cursors, 0)
  feeds.close()
})

t.test('a duplicate whose turn is kept nowhere is STORE_UNAVAILABLE', async (t) => {
  const opened = open()
  const { chat, feeds } = connection(opened)
  Reflect.set(opened.bench.engine, 'startOnce', async () => ({ accepted: false, ended: undefined }))
  const [cut, refusal] = await chat('a') as [{ epoch: string }, object]
  t.strictSame(cut, { ...subscribed(cut.epoch, 0, false), ...PLACE })
  t.strictSame(refusal, refused('STORE_UNAVAILABLE', { retryAfterMs: 1_000, id: 'a' }))
  feeds.settle()
  feeds.close()
  t.equal(opened.bench.journal.stats().cursors, 0)
})

t.test('what is asked once the connection has gone is not done', async (t) => {
  const journal = new SlowJournal()
  const opened = open({}, journal)
  const { feeds, chat, ask, failures } = connection(opened)
  const first = chat('a')
  const second = chat('b')
  await ticks(1)
  feeds.close()
  t.strictSame([await first, await second], [[], []])
  t.strictSame(opened.bench.engine.stats().turns, 1, 'what was accepted goes on')
  t.strictSame(await ask(() => { feeds.subscribe({ type: 'subscribe', sessionId: KEY.sessionId }, KEY) }), [])
  opened.stage.act('a').end()
  await opened.bench.idle()
  t.strictSame([failures, journal.openCursors], [[], 0])
})

t.test('what is to be told again when the connection goes is not', async (t) => {
  const journal = new SlowJournal()
  const opened = open({}, journal)
  const { feeds, replies } = connection(opened)
  opened.stage.act('a').say('x').end()
  await opened.start('a')
  await opened.bench.idle()
  let follow: () => void = () => {}
  journal.before = (method) => method === 'follow' ? new Promise((resolve) => { follow = resolve }) : undefined
  feeds.chat({ type: 'chat', id: 'a', message: 'a' }, KEY)
  await eventually(() => journal.calls.follow === 1)
  feeds.close()
  follow()
  await eventually(() => journal.openCursors === 0)
  await ticks()
  t.strictSame(replies, [])
})

t.test('a failed turn of a feed that is read whole ends by its error', async (t) => {
  const opened = open()
  const { chat, told, feeds } = connection(opened)
  opened.stage.act('a').say('x').end(new Error('boom'))
  await chat('a', { stream: false })
  await ticks()
  t.strictSame(told(), [turnStarted('a', 1, PLACE), failedEnd('AGENT_ERROR', 3, PLACE)])
  opened.stage.act('b').say('x', 'y').end()
  await chat('b', { stream: false })
  await ticks()
  t.strictSame(told(), [turnStarted('b', 4, ofTurn('b')), wholeEnd('xy', 7, ofTurn('b'))])
  feeds.close()
})
