import t, { type Test } from 'tap'

import type { Journal } from '../../lib/journal/journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { double } from '../conformance/subjects.js'
import { readableLog } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { failedEnd, piece } from '../transports/expected.js'
import { chat, quiet, two, type Node } from './nodes.js'

const KEY = { owner: 'anonymous', agentId: 'main', sessionId: 's' }

/** A turn of one node has said a part when that node is cut off; who watches it on the other has been told its end. */
async function watchLoss (t: Test, a: Node, b: Node) {
  const [client, watcher] = [await a.connect(), await b.connect()]
  a.stage.act('a').say('part')
  chat(client, 'a')
  for (const type of ['ack', 'event', 'stream']) await client.next(type)
  watcher.send({ type: 'subscribe', sessionId: 's' })
  await watcher.next('subscribed')
  await client.terminate()
  a.line.cut()
  t.strictSame(await watcher.next(), failedEnd('TURN_LOST', 3))
  return watcher
}

t.test('a turn whose node is gone ends, though its history cannot be kept, and though the first try to end it fails', async (t) => {
  let salvages = 0
  const around = (inner: Journal) => double(inner, {
    watch: (onNews) => inner.watch?.(onNews) ?? (() => {}),
    async salvage (key) {
      if (++salvages === 1) throw new Error('not yet')
      return await inner.salvage?.(key)
    }
  })
  const { lines, logger } = readableLog()
  const inner = memorySessionStore()
  const sessionStore: SessionStore = {
    messages: (...given) => inner.messages(...given),
    turn: (...given) => inner.turn(...given),
    list: (...given) => inner.list(...given),
    delete: (...given) => inner.delete(...given),
    append (key, messages) {
      if (messages.length > 1) throw new Error('no disk')
      return inner.append(key, messages)
    }
  }
  const { nodes: [a, b] } = await two(t, { around, channel: { sessionStore }, fastify: { logger } })
  const watcher = await watchLoss(t, a, b)
  const hasLine = (msg: string) => lines.some((line) => line['msg'] === msg)
  t.ok(hasLine('a turn whose node is gone could not be ended'))
  await watcher.close()
  await b.app.close()
  await eventually(() => hasLine('the session store failed to keep what a lost turn had answered'))
})

t.test('the answer of a turn whose node is gone is kept by a store that was away for a moment', async (t) => {
  const sessionStore = memorySessionStore()
  const { append } = sessionStore
  let failures = 0
  sessionStore.append = (key, messages) => {
    if (messages.length > 1 && ++failures <= 2) throw new Error('away')
    return append.call(sessionStore, key, messages)
  }
  const { nodes: [a, b] } = await two(t, { channel: { sessionStore } })
  const watcher = await watchLoss(t, a, b)
  t.equal(failures, 3)
  t.match(sessionStore.messages(KEY, { limit: 9 }).messages[1], { turnId: 'a', content: 'part', complete: false })
  await watcher.close()
})

// The node used to keep the shorter text, and what the other knew of it came too late: readers had been told more than was kept.
for (const isFirst of [true, false]) {
  const when = isFirst ? 'before the other ends it' : 'when the other has ended it'
  t.test(`of a lost turn all that was told is kept, though its node has not heard that its last append was taken, and gives up ${when}`, async (t) => {
    const [mayGiveUp, mayEnd] = [deferred(), deferred()]
    const around = (inner: Journal) => double(inner, {
      watch: (onNews) => inner.watch?.(onNews) ?? (() => {}),
      async append (...given) {
        try {
          return await inner.append(...given)
        } catch (err) {
          await mayGiveUp.promise
          throw err
        }
      },
      async salvage (key) {
        await mayEnd.promise
        return await inner.salvage?.(key)
      }
    })
    const { nodes: [a, b], store } = await two(t, { around, journal: { journalGraceMs: 50 } })
    const answer = () => store.messages(KEY, { limit: 9 }).messages[1]
    const [client, watcher] = [await a.connect(), await b.connect()]
    a.stage.act('a').say('one ')
    chat(client, 'a')
    for (const type of ['ack', 'event', 'stream']) await client.next(type)
    await client.terminate()
    watcher.send({ type: 'subscribe', sessionId: 's' })
    t.match(await watcher.next('subscribed'), { turns: [{ content: 'one ' }] })
    a.line.mute()
    a.stage.act('a').say('two')
    t.strictSame(await watcher.next(), piece('two', 3))
    a.line.cut()
    if (isFirst) {
      mayGiveUp.resolve()
      await eventually(() => answer() !== undefined)
      t.match(answer(), { content: 'one ', complete: false })
    }
    mayEnd.resolve()
    t.strictSame(await watcher.next(), failedEnd('TURN_LOST', 4))
    mayGiveUp.resolve()
    await quiet(a)
    t.match(answer(), { content: 'one two', complete: false })
    a.line.mend()
    await watcher.close()
  })
}

t.test('the answer of a turn whose node is gone is kept when the store is there again, though the turn has its end', async (t) => {
  const sessionStore = memorySessionStore()
  const { append } = sessionStore
  let isAway = true
  sessionStore.append = (key, messages) => {
    if (messages.length > 1 && isAway) throw new Error('away')
    return append.call(sessionStore, key, messages)
  }
  const { nodes: [a, b] } = await two(t, { channel: { sessionStore } })
  const watcher = await watchLoss(t, a, b)
  isAway = false
  await eventually(() => sessionStore.messages(KEY, { limit: 9 }).messages.length > 1)
  t.match(sessionStore.messages(KEY, { limit: 9 }).messages[1], { turnId: 'a', content: 'part', complete: false })
  await watcher.close()
})
