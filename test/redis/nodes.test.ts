import t from 'tap'

import type { Journal } from '../../lib/journal/journal.js'
import { double } from '../conformance/subjects.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ack, end, failedEnd, piece, queued, subscribed, running, turnStarted } from '../transports/expected.js'
import { chat, LEASE_MS, quiet, SWEEP_MS, two, untilEnd, type Node } from './nodes.js'

const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }

t.test('a turn of one node is followed on another, without a missing or doubled character', async (t) => {
  const { nodes: [a, b] } = await two(t)
  const [client, watcher] = [await a.connect(), await b.connect()]
  a.stage.act('a').say('one ')
  chat(client, 'a')
  const { epoch } = await client.next('ack')
  for (const frame of [turnStarted('a', 1), piece('one ', 2)]) t.strictSame(await client.next(), frame)
  watcher.send({ type: 'subscribe', sessionId: 's' })
  t.strictSame(await watcher.next(), subscribed(epoch, 2, false, [running('a', 'one ')]))
  a.stage.act('a').say('two').end()
  for (const reader of [client, watcher]) for (const frame of [piece('two', 3), end(4)]) t.strictSame(await reader.next(), frame)
  watcher.send({ type: 'chat', id: 'a', sessionId: 's', message: 'a' })
  t.match(await watcher.next('ack'), { status: 'duplicate', content: 'one two' })
  t.match(await watcher.next(), { done: true, finishReason: 'stop' })
  for (const reader of [client, watcher]) await reader.close()
  t.strictSame([a.stage.begun, b.stage.begun], [['a'], []])
})

t.test('a cancel from another node stops the turn where it runs', async (t) => {
  const { nodes: [a, b] } = await two(t)
  const [client, other] = [await a.connect(), await b.connect()]
  a.stage.act('a').say('part')
  chat(client, 'a')
  for (const type of ['ack', 'event', 'stream']) await client.next(type)
  other.send({ type: 'cancel', id: 'c', sessionId: 's' })
  t.strictSame(await other.next(), { type: 'cancelled', id: 'c', agentId: 'main', sessionId: 's', turns: ['a'] })
  t.strictSame(await client.next(), end(3, {}, 'aborted'))
  t.ok((await a.stage.act('a').started.promise).signal.aborted)
  t.match((await a.store.messages(KEY, { limit: 9 })).messages[1], { content: 'part', complete: false })
  for (const reader of [client, other]) await reader.close()
})

t.test('what a turn had said whose node is gone is in the history when it is cancelled', async (t) => {
  const { nodes: [a, b] } = await two(t, { journal: { leaseMs: 60_000 } })
  const [client, other] = [await a.connect(), await b.connect()]
  a.stage.act('a').say({ type: 'message', content: 'whole' }).say('part')
  chat(client, 'a')
  for (const type of ['ack', 'event', 'message', 'stream']) await client.next(type)
  await client.terminate()
  a.line.cut()
  other.send({ type: 'cancel', id: 'c', sessionId: 's' })
  t.match(await other.next(), { type: 'cancelled', turns: ['a'] })
  t.match((await b.store.messages(KEY, { limit: 9 })).messages, [
    { turnId: 'a', role: 'user', content: 'a' }, { turnId: 'a', role: 'assistant', content: 'whole\n\npart', complete: false }
  ])
  a.line.mend()
  t.ok(await aborted(a, 'a'))
  await quiet(a, b)
  await other.close()
})

t.test('a chat waits for the turn of another node, and runs where the session is', async (t) => {
  const { nodes: [a, b] } = await two(t)
  const [client, other] = [await a.connect(), await b.connect()]
  chat(client, 'a')
  const { epoch } = await client.next('ack')
  await client.next('event')
  b.stage.act('b').say('answer').end()
  a.stage.act('b').say('answer').end()
  chat(other, 'b')
  t.strictSame(await other.next(), queued(1, epoch, 1, { id: 'b' }))
  a.stage.act('a').end()
  t.strictSame(await client.next(), end(2))
  t.match(await untilEnd(other, 'b'), { text: 'answer', end: { finishReason: 'stop' } })
  t.strictSame([...a.stage.begun, ...b.stage.begun], ['a', 'b'])
  await quiet(a, b)
  for (const reader of [client, other]) await reader.close()
})

t.test('the turn of a node that is gone ends with TURN_LOST, its answer is kept, and what waited there runs elsewhere', async (t) => {
  const { nodes: [a, b] } = await two(t)
  const [client, watcher] = [await a.connect(), await b.connect()]
  a.stage.act('a').say({ type: 'message', content: 'whole' }).say('part')
  chat(client, 'a', { metadata: { k: 1 } })
  for (const type of ['ack', 'event', 'message', 'stream']) await client.next(type)
  chat(client, 'b')
  await client.next('ack')
  watcher.send({ type: 'subscribe', sessionId: 's' })
  const { turns } = await watcher.next('subscribed')
  t.match(turns, [{ id: 'a', status: 'running', content: 'part' }, { id: 'b', status: 'queued' }])
  b.stage.act('b').say('from b').end()
  const cutAt = performance.now()
  a.line.cut()
  t.strictSame(await watcher.next(), failedEnd('TURN_LOST', 4))
  t.ok(performance.now() - cutAt < LEASE_MS + SWEEP_MS + 2_000, 'in the time that the README gives')
  t.match(await untilEnd(watcher, 'b'), { text: 'from b', end: { finishReason: 'stop' } })
  t.strictSame([a.stage.begun, b.stage.begun], [['a'], ['b']])
  t.match((await b.store.messages(KEY, { limit: 9 })).messages, [
    { turnId: 'a', role: 'user', content: 'a', metadata: { k: 1 } }, { turnId: 'a', role: 'assistant', content: 'whole\n\npart', complete: false },
    { turnId: 'b', role: 'user' }, { turnId: 'b', role: 'assistant', content: 'from b', complete: true }
  ])
  a.line.mend()
  t.ok((await a.stage.act('a').started.promise).signal.aborted || await aborted(a, 'a'))
  await quiet(a, b)
  // Whoever stayed with the node that was cut off has an end of each, too.
  const ends = new Map<unknown, unknown>()
  while (ends.size < 2) {
    const frame = await client.next()
    if (frame['done'] === true) ends.set(frame['id'], frame['code'] ?? frame['finishReason'])
    if (frame.type === 'subscribed') for (const id of ['a', 'b']) if (!ends.has(id)) ends.set(id, 'in the history')
  }
  t.strictSame(a.stage.begun, ['a'])
  await client.terminate()
  await watcher.close()
})

t.test('a turn for its readers goes on as long as somebody follows it on any node', async (t) => {
  let asked = 0
  const around = (inner: Journal) => double(inner, {
    ...inner.watch === undefined ? {} : { watch: (onNews) => inner.watch?.(onNews) ?? (() => {}) },
    async readers (...given) {
      const count = await inner.readers(...given)
      asked++
      return count
    }
  })
  const { nodes: [a, b] } = await two(t, { around, channel: { onDisconnect: 'cancel', disconnectGraceMs: 1 } })
  const [client, watcher] = [await a.connect(), await b.connect()]
  chat(client, 'a')
  for (const type of ['ack', 'event']) await client.next(type)
  watcher.send({ type: 'subscribe', sessionId: 's' })
  await watcher.next('subscribed')
  await client.close()
  asked = 0
  await eventually(() => asked > 2)
  a.stage.act('a').say('still here')
  t.strictSame(await watcher.next(), piece('still here', 2))
  await watcher.close()
  t.ok(await aborted(a, 'a'))
  await quiet(a)
})

t.test('what waits on a node that drains runs on another', async (t) => {
  const { nodes: [a, b] } = await two(t)
  const [client, other] = [await a.connect(), await b.connect()]
  chat(client, 'a')
  const { epoch } = await client.next('ack')
  await client.next('event')
  chat(client, 'b')
  t.strictSame(await client.next(), queued(1, epoch, 1, { id: 'b' }))
  b.stage.act('b').say('from b').end()
  other.send({ type: 'subscribe', sessionId: 's' })
  await other.next('subscribed')
  const drained = a.app.channel.drain({ timeoutMs: 5_000 })
  await client.next('reconnect')
  a.stage.act('a').end()
  t.strictSame(await other.next(), end(2))
  t.match(await untilEnd(other, 'b'), { text: 'from b', end: { finishReason: 'stop' } })
  t.match(await untilEnd(client, 'b'), { text: 'from b', end: { finishReason: 'stop' } })
  t.equal((await client.closed).code, 1012)
  await drained
  t.strictSame(a.stage.begun, ['a'])
  await other.close()
})

t.test('a chat that is sent again to another node runs once', async (t) => {
  const { nodes: [a, b] } = await two(t)
  const [client, other] = [await a.connect(), await b.connect()]
  a.stage.act('a').say('x')
  chat(client, 'a')
  const { epoch } = await client.next('ack')
  for (const type of ['event', 'stream']) await client.next(type)
  chat(other, 'a')
  t.strictSame(await other.next(), ack('duplicate', epoch, 2, { content: 'x' }))
  a.stage.act('a').end()
  for (const reader of [client, other]) {
    t.strictSame(await reader.next(), end(3))
    await reader.close()
  }
  t.strictSame([a.stage.begun, b.stage.begun], [['a'], []])
})

t.test('a chat that one node has to refuse, since Redis was not heard, runs where it was sent again meanwhile', async (t) => {
  let made = 0
  const [offered, sentAgain] = [deferred(), deferred()]
  const around = (inner: Journal) => made++ > 0 ? inner : double(inner, {
    watch: (onNews) => inner.watch?.(onNews) ?? (() => {}),
    async offer (...given) {
      await inner.offer(...given)
      offered.resolve()
      throw new Error('not heard')
    },
    async retract (...given) {
      await sentAgain.promise
      return await inner.retract(...given)
    }
  })
  const { nodes: [a, b] } = await two(t, { around })
  const [client, other] = [await a.connect(), await b.connect()]
  chat(other, 'x')
  for (const type of ['ack', 'event']) await other.next(type)
  chat(client, 'y')
  for (const { stage } of [a, b]) stage.act('y').say('answer').end()
  await offered.promise
  chat(other, 'y')
  let ack = await other.next()
  // Where nothing was heard of it yet, a cut comes first.
  if (ack.type === 'subscribed') ack = await other.next()
  const { type, status } = ack
  sentAgain.resolve()
  t.match(await client.next(), { type: 'error', id: 'y', code: 'STORE_UNAVAILABLE' })
  b.stage.act('x').end()
  t.match(await untilEnd(other, 'y'), { text: 'answer', end: { finishReason: 'stop' } })
  t.strictSame([type, status], ['ack', 'duplicate'])
  t.strictSame([...a.stage.begun, ...b.stage.begun].sort(), ['x', 'y'])
  for (const reader of [client, other]) await reader.close()
})

async function aborted ({ stage }: Node, message: string): Promise<boolean> {
  const { signal } = await stage.act(message).started.promise
  await eventually(() => signal.aborted)
  return signal.aborted
}
