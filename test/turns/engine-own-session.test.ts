import t from 'tap'

import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionHome } from '../../lib/turns/engine.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, ticks, TurnBench } from '../helpers/turn-bench.js'

await t.test('a connection\'s own session', async (t) => {
  await t.test('lives in its own home, and is forgotten when it ends', async (t) => {
    const desk = new Desk()
    const clock = new ManualClock()
    const unnamed: SessionHome = { journal: memoryJournal({ clock }), store: memorySessionStore() }
    const one = new TurnBench(desk.executor, { clock, tools: { unnamed } })
    const first = await one.start({ message: 'a', isNamed: false })
    await desk.answer('a', 're: a')
    await first.ended.promise
    await ticks(5)
    t.equal((await unnamed.store.messages(KEY, { limit: 9 })).messages.length, 2)
    t.strictSame(await one.said(), [])
    const readers = [await one.start({ message: 'b', isNamed: false }), await one.start({ message: 'c', isNamed: false })]
    await ticks(5)
    const ended = one.engine.endUnnamed(KEY)
    await ended
    t.strictSame(await unnamed.store.messages(KEY, { limit: 9 }), { messages: [] })
    t.equal(unnamed.journal.stats().sessions, 0)
    t.strictSame(readers.map((reader) => reader.short), [['end aborted'], ['end aborted']])
    await desk.answer('b', 'late')
    await one.idle()
    t.strictSame(await unnamed.store.messages(KEY, { limit: 9 }), { messages: [] })
    await one.finish(t)
  })

  await t.test('ends though nothing was said in it', async (t) => {
    const one = new TurnBench(() => '')
    await one.engine.endUnnamed(KEY)
    await one.finish(t)
  })
})

await t.test('a named session and a connection\'s own of the same name are two', async (t) => {
  // They shared a queue: one waited for the other, and the end of the connection cancelled both.
  const desk = new Desk()
  const one = new TurnBench(desk.executor)
  const [named, own] = [await one.start({ message: 'a' }), await one.start({ message: 'b', isNamed: false })]
  await ticks(5)
  t.strictSame(desk.called, ['a', 'b'])
  t.strictSame(await one.engine.cancel(KEY, true, 't2'), [])
  await one.engine.endUnnamed(KEY)
  t.match(own.ends, [{ finishReason: 'aborted' }])
  t.equal(named.ends.length, 0)
  await desk.answer('b', 'late')
  await desk.answer('a', 'done')
  t.match(await named.ended.promise, { content: 'done' })
  await one.finish(t)
})
