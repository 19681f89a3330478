import { Type } from '@sinclair/typebox'
import t from 'tap'

import { agentsOf } from '../../lib/agent/agents.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { JOURNALS, KEY, ticks, TurnBench } from '../helpers/turn-bench.js'
import { turnScene } from './turn-scene.js'

for (const [kind, makeJournal] of JOURNALS) {
  const { bench } = turnScene(makeJournal)

  await t.test(`with a journal ${kind}`, async (t) => {
    await t.test('turns of one session run one at a time and in order, of several side by side', async (t) => {
      const desk = new Desk()
      const one = bench(desk.executor)
      const readers = [await one.start({ message: 'a' }), await one.start({ message: 'b' }), await one.start({ message: 'c' })]
      const other = await one.start({ message: 'x', key: { ...KEY, sessionId: 'other' } })
      t.strictSame(readers.map(({ position }) => position), [0, 1, 2])
      await ticks(10)
      t.strictSame(desk.called, ['a', 'x'])
      t.strictSame(one.engine.stats(), { turns: 4, runningTurns: 2 })
      for (const message of ['x', 'a', 'b', 'c']) {
        await desk.answer(message, `re: ${message}`)
        await ticks(10)
      }
      t.strictSame(desk.called, ['a', 'x', 'b', 'c'])
      t.strictSame((await one.said()).map(([, content]) => content), ['a', 're: a', 'b', 're: b', 'c', 're: c'])
      t.match(other.ends, [{ content: 're: x' }])
      await one.journal.forget({ ...KEY, sessionId: 'other' })
      await one.finish(t)
    })

    await t.test('a chat to a busy session', async (t) => {
      await t.test('waits, until too many do', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor, { limits: { maxQueuedTurns: 2 } })
        for (const message of ['a', 'b', 'c']) await one.start({ message })
        t.strictSame(await one.offer(), { accepted: false, code: 'QUEUE_FULL', retryAfterMs: 1_000 })
        t.equal(one.engine.stats().turns, 3)
        for (const message of ['a', 'b', 'c']) { await desk.answer(message, ''); await ticks(10) }
        await one.finish(t)
      })

      await t.test('is refused where it does not want to wait', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        await one.start({ message: 'a' })
        t.strictSame(await one.offer({ onBusy: 'reject' }), { accepted: false, code: 'SESSION_BUSY', retryAfterMs: 1_000 })
        await desk.answer('a', '')
        await ticks(10)
        await one.start({ message: 'b', onBusy: 'reject' })
        await desk.answer('b', '')
        await one.finish(t)
      })

      await t.test('interrupts what runs and what waits, by its own wish or by default', async (t) => {
        for (const options of [{}, { limits: { onBusy: 'interrupt' } }] as const) {
          const desk = new Desk()
          const one = bench(desk.executor, options)
          const [a, b, c] = [await one.start({ message: 'a', onBusy: 'queue' }), await one.start({ message: 'b', onBusy: 'queue' }), await one.start({ message: 'c', onBusy: 'queue' })]
          const d = await one.start({ message: 'd', ...'limits' in options ? {} : { onBusy: 'interrupt' } })
          await a.ended.promise
          await desk.answer('a', 'late')
          await desk.answer('d', 'done')
          await one.finish(t)
          t.strictSame([a, b, c, d].map((reader) => reader.short), [['end aborted'], ['end aborted'], ['end aborted'], ['end stop']])
          t.strictSame(desk.called, ['a', 'd'])
        }
      })
    })

    await t.test('a chat is refused', async (t) => {
      await t.test('to an agent that does not exist, or with metadata that it does not take', async (t) => {
        const metadata = Type.Object({ lang: Type.String() })
        const clock = new ManualClock()
        const one = bench(() => '', { clock, tools: { agents: agentsOf({ main: { execute: () => '', metadata } }) } })
        t.strictSame(await one.offer({ key: { ...KEY, agentId: 'other' } }), { accepted: false, code: 'AGENT_NOT_FOUND' })
        t.match(await one.offer({ metadata: { lang: 5 } }), { accepted: false, code: 'VALIDATION_FAILED', details: { path: '/metadata/lang' } })
        t.strictSame(one.engine.stats(), { turns: 0, runningTurns: 0 })
        await one.start({ metadata: { lang: 'en' } })
        await one.finish(t)
      })

      await t.test('when the node has taken on enough', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor, { limits: { maxTurnsPerOwner: 1 } })
        await one.start({ message: 'a' })
        t.strictSame(await one.offer(), { accepted: false, code: 'RATE_LIMITED', retryAfterMs: 1_000 })
        await desk.answer('a', '')
        await one.idle()
        await one.start({ message: 'b' })
        await desk.answer('b', '')
        await one.finish(t)
      })
    })
  })
}

await t.test('an interrupt that runs before its journal has said everything does not stop itself', async (t) => {
  const clock = new ManualClock()
  const journal = new SlowJournal({ clock })
  const desk = new Desk()
  const one = new TurnBench(desk.executor, { journal, clock })
  await one.start({ message: 'a' })
  await ticks(10)
  const gate = deferred()
  journal.after = (method, count) => method === 'followTurn' && count === 2 ? gate.promise : undefined
  const starting = one.start({ message: 'b', onBusy: 'interrupt' })
  await ticks(3)
  await desk.answer('a', 'by itself')
  await ticks(20)
  t.strictSame(desk.called, ['a', 'b'])
  gate.resolve()
  const b = await starting
  await desk.answer('b', 'done')
  t.match(await b.ended.promise, { finishReason: 'stop', content: 'done' })
  await one.finish(t)
})

await t.test('an agent that is gone when its turn comes ends that turn', async (t) => {
  let asked = 0
  const agents = { find: () => asked++ === 0 ? () => '' : undefined, metadataFault: () => undefined }
  const one = new TurnBench(() => '', { tools: { agents } })
  const reader = await one.start()
  t.match(await reader.ended.promise, { error: { code: 'AGENT_NOT_FOUND' } })
  await one.finish(t)
})

await t.test('a right to run that is somebody else\'s is waited for', async (t) => {
  const clock = new ManualClock()
  const journal = memoryJournal({ clock })
  const terms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } } as const
  await journal.offer(KEY, { turnId: 'theirs', message: '', acceptedAt: 0 }, terms)
  const theirs = await journal.take(KEY, () => true)
  if (theirs === undefined) throw new Error('nothing to take')
  const one = new TurnBench(() => 'done', { clock, journal })
  const [first] = [await one.start()]
  await ticks(3)
  t.equal(first.entries.length, 0)
  await journal.release(theirs, { finishReason: 'stop' })
  const second = await one.start()
  await Promise.all([first.ended.promise, second.ended.promise])
  await one.finish(t)
})
