import t from 'tap'

import { memoryJournal, type Executor } from '../../lib/index.js'
import { readableLog, serve } from '../helpers/app.js'
import type { Attendant } from '../helpers/channel-client.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { answer, text } from '../helpers/plain-answer.js'

/** Pieces of 40 characters, told apart by their numbers, with characters that UTF-16 writes in two halves. */
function numbered (count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${String(i).padStart(8, '0')} 你好 😀 and some more words `)
}

t.test('a reader that was away for a while gets the exact text, in fewer pieces', async (t) => {
  const all = numbered(50_000)
  let yielded = 0
  const { app, connect } = await serve(t, {
    * agentExecutor () {
      for (const piece of all) { yielded++; yield piece }
    }
  })
  const client = await connect()
  client.ws.pause()
  client.send({ type: 'chat', message: 'x' })
  let seen = -1
  await eventually(() => {
    const isStill = yielded > 0 && yielded === seen
    seen = yielded
    return isStill
  })
  const longEnoughToBeBehind = performance.now() + 40
  await eventually(() => performance.now() > longEnoughToBeBehind)
  t.ok(yielded < all.length, 'the executor waits for its reader')
  client.ws.resume()
  const frames = await answer(client)
  t.ok(text(frames) === all.join(''), 'the text is exact')
  t.ok(frames.length < all.length, `${frames.length} frames for ${all.length} pieces`)
  t.ok(frames.every(({ content }) => Buffer.byteLength(String(content)) <= 64 * 1024))
  await client.close()
  await eventually(() => app.channel.stats().followers === 0)
})

t.test('a reader that takes nothing for too long is closed, and its turn goes on or ends', async (t) => {
  const clock = new ManualClock()
  const { lines, logger } = readableLog()
  const { app, connect } = await serve(t, {
    clock,
    fastify: { logger },
    heartbeatMs: 1_000_000,
    slowConsumerTimeoutMs: 5_000,
    * agentExecutor () { yield * numbered(50_000) }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.ws.pause()
  client.send({ type: 'chat', message: 'x' })
  await eventually(() => app.channel.stats().runningTurns === 1)
  let entries = -1
  await eventually(() => {
    const isStill = entries === app.channel.stats().entries
    entries = app.channel.stats().entries
    return isStill
  })
  for (let second = 0; second < 10 && app.channel.stats().followers > 0; second++) clock.advance(1_000)
  t.equal(app.channel.stats().followers, 0)
  t.ok(lines.some(({ msg }) => msg === 'a connection reads too slowly'))
  await eventually(() => app.channel.stats().turns === 0)
  const key = { owner: 'anonymous', agentId: 'main', sessionId: 's' }
  const [, kept] = (await app.sessionStore.messages(key, { limit: 2 })).messages
  t.ok(kept?.complete === true && kept.content === numbered(50_000).join(''), 'the whole answer is in the history')
  clock.advance(500)
  client.ws.resume()
  await client.closed
  while (client.unread().length > 0) await client.next()
  await eventually(() => app.channel.stats().connections === 0)
})

/** A first turn that is held, and behind it, in another session, one that runs ahead of its reader. */
async function runAhead (t: Attendant, second: Executor) {
  const [clock, gate] = [new ManualClock(), deferred()]
  const host = await serve(t, {
    clock,
    heartbeatMs: 1_000_000,
    slowConsumerTimeoutMs: 1_000,
    async * agentExecutor (turn) {
      if (turn.sessionId === 'first') await gate.promise
      else yield * second(turn) as Iterable<string>
    }
  })
  const client = await host.connect()
  client.send({ type: 'chat', sessionId: 'first', message: 'x' })
  client.send({ type: 'chat', sessionId: 'second', message: 'x' })
  await eventually(() => host.app.channel.stats().entries > 500)
  // It waits for its reader, whose turn has not come: for as long as it may, and then no more.
  await eventually(() => { clock.advance(250); return host.app.channel.stats().turns === 1 })
  gate.resolve()
  return { ...host, client }
}

t.test('an answer that waits behind another is told whole, though the journal no longer holds its pieces', async (t) => {
  const all = numbered(5_000)
  const { client } = await runAhead(t, () => all)
  t.same(await answer(client), [{ type: 'stream', agentId: 'main', content: '', done: true }])
  const frames = await answer(client)
  t.ok(text(frames) === all.join(''), 'the text is exact')
  t.ok(frames.length < all.length)
  await client.close()
})

t.test('whole messages that wait behind another answer are told too, though the journal no longer holds them', async (t) => {
  // The reader of a healthy client used to be closed 1008: the ring had forgotten a message before its turn had come.
  const all = numbered(2_000)
  const { client } = await runAhead(t, function * () {
    for (const content of all) yield { type: 'message' as const, content }
  })
  t.same(await answer(client), [{ type: 'stream', agentId: 'main', content: '', done: true }])
  const frames = await answer(client)
  t.strictSame(frames.slice(0, -1).map(({ type, content }) => [type, content]), all.map((content) => ['message', content]))
  await client.close()
})

t.test('a plain reader whose turn the journal has forgotten is closed 1008', async (t) => {
  const journal = memoryJournal()
  const { connect } = await serve(t, {
    journal,
    async * agentExecutor (turn) {
      yield 'a'
      await new Promise((resolve) => { turn.signal.addEventListener('abort', resolve) })
    }
  })
  const client = await connect({ query: '?sessionId=s' })
  client.send({ type: 'chat', message: 'x' })
  t.equal((await client.next('stream')).content, 'a')
  await journal.forget({ owner: 'anonymous', agentId: 'main', sessionId: 's' })
  t.same(await client.closed, { code: 1008, reason: 'reads too slowly' })
})
