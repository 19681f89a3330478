import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import type { Executor, Part } from '../../lib/agent/executor.js'
import { systemClock } from '../../lib/clock.js'
import type { Run } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import type { JournalWriter } from '../../lib/turns/journal-writer.js'
import { RunPace } from '../../lib/turns/run-pace.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { JOURNALS, KEY, LIMITS, Reader, ticks, TurnBench } from '../helpers/turn-bench.js'
import { turnScene } from './turn-scene.js'

for (const [kind, makeJournal] of JOURNALS) {
  const { bench } = turnScene(makeJournal)

  await t.test(`with a journal ${kind}`, async (t) => {
    await t.test('a reader that is half a ring behind', async (t) => {
      const endless = (): Executor & { count: number } => {
        const executor: Executor & { count: number } = Object.assign(function * () {
          for (;;) { executor.count++; yield 'x' }
        }, { count: 0 })
        return executor
      }

      await t.test('is waited for, however fast the executor is', async (t) => {
        const executor = endless()
        const one = bench(executor, { limits: { maxAnswerBytes: 5_000 } })
        const reader = await one.start({}, new Reader({ isLazy: true }))
        await ticks(20)
        const first = executor.count
        // The most that may gather, and what was in flight before.
        t.ok(first >= 512 && first <= 1_200, `${first} parts`)
        await ticks(20)
        t.equal(executor.count, first)
        reader.read(100)
        await ticks(20)
        t.equal(executor.count, first, 'a little is not enough')
        reader.read(first - 200)
        await ticks(20)
        t.ok(executor.count > first)
        t.equal(one.log.lines.length, 0)
        for (; reader.ends.length === 0; await ticks(1)) reader.read()
        t.equal(reader.text.length, 5_000)
        await one.finish(t)
      })

      await t.test('is waited for no longer than allowed, without a time-out of the executor', async (t) => {
        const executor = endless()
        const one = bench(executor, { limits: { maxAnswerBytes: 5_000, idleTimeoutMs: 1_000 } })
        const reader = await one.start({}, new Reader({ isLazy: true }))
        await ticks(20)
        one.clock.advance(LIMITS.slowConsumerTimeoutMs - 500)
        await ticks(20)
        t.ok(executor.count < 5_000)
        one.clock.advance(750)
        await one.idle()
        t.equal(executor.count, 5_001)
        reader.read()
        t.equal(reader.text.length, 5_000)
        t.match(reader.ends, [{ error: { code: 'ANSWER_TOO_LARGE' } }])
        await one.finish(t)
      })

      await t.test('gets every whole message, also where the journal has room for one', async (t) => {
        // Messages of one run of the event loop pushed each other out, and the end the last: all their readers were lost.
        const clock = new ManualClock()
        const options = { clock, maxBytes: 10_000 }
        const slow = new SlowJournal(options)
        slow.before = (method) => method === 'append' ? tick() : undefined
        const journal = kind === 'in memory' ? memoryJournal(options) : slow
        const messages = ['a', 'b', 'c'].map((content): Part => ({ type: 'message', content: content.repeat(9_000) }))
        const one = bench(() => messages, { clock, journal })
        const reader = await one.start({}, new Reader({ isLazy: true }))
        for (let round = 0; round < 1_000 && reader.ends.length === 0; round++) {
          await ticks(3)
          reader.read()
        }
        t.notOk(reader.isLost)
        t.strictSame(reader.short.map((text) => text.slice(0, 10)), ['message aa', 'message bb', 'message cc', 'end stop'])
        await one.finish(t)
      })

      await t.test('holds up no cancel', async (t) => {
        const one = bench(endless())
        const reader = await one.start({}, new Reader({ isLazy: true }))
        await ticks(20)
        t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
        await one.idle()
        reader.read()
        t.match(reader.ends, [{ finishReason: 'aborted' }])
        await one.finish(t)
      })
    })
  })
}

await t.test('an iterable that never waits', async (t) => {
  await t.test('lets the event loop run in between', async (t) => {
    let rounds = 0
    let isOver = false
    const count = async (): Promise<void> => { for (; !isOver; rounds++) await tick() }
    const one = new TurnBench(function * () {
      // On a busy machine the rounds are few in any given time.
      const busyUntil = performance.now() + 10_000
      for (let part = 0; part < 100_000 || (rounds < 10 && performance.now() < busyUntil); part++) yield '.'
    }, { clock: systemClock, limits: { maxAnswerBytes: 1e9 } })
    const counting = count()
    const reader = await one.start({}, new Reader())
    await reader.ended.promise
    isOver = true
    await counting
    t.ok(reader.text.length >= 100_000)
    t.ok(rounds >= 10, `${rounds} rounds`)
    await one.finish(t)
    await one.journal.close()
  })
})

await t.test('an iterable whose parts are slow', async (t) => {
  await t.test('lets the event loop run after eight of them', async (t) => {
    // It blocked the process for 128 parts, however long each took: for 1.3 s with parts of 10 ms.
    const clock = new ManualClock()
    let [rounds, isOver] = [0, false]
    const roundsSeen: number[] = []
    const counting = (async () => { for (; !isOver; rounds++) await tick() })()
    const one = new TurnBench(function * () {
      for (let part = 0; part < 64; part++) {
        clock.advance(10)
        if (part % 8 === 0) roundsSeen.push(rounds)
        yield '.'
      }
    }, { clock })
    const reader = await one.start()
    await reader.ended.promise
    isOver = true
    await counting
    t.equal(new Set(roundsSeen).size, 8, roundsSeen.join())
    await one.finish(t)
  })
})

await t.test('readers that follow without a turn of the event loop', async (t) => {
  await t.test('give a run no more time than it has', async (t) => {
    // Each began its slice anew: an executor that never waits kept everybody else out for as long as its readers were quick.
    const clock = new ManualClock()
    const journal = { pace: async () => {} }
    const pace = new RunPace({} as Run, { isFull: false } as JournalWriter, { journal, clock, limits: LIMITS })
    let hasTurned = false
    const turned = tick().then(() => { hasTurned = true })
    clock.advance(6)
    await pace.pause(128)
    t.notOk(hasTurned)
    clock.advance(6)
    await pace.pause(256)
    t.ok(hasTurned)
    await turned
  })
})

await t.test('a run whose executor has waited for the event loop', async (t) => {
  await t.test('is given a slice anew, at the next look', async (t) => {
    const clock = new ManualClock()
    const pace = new RunPace({} as Run, { isFull: false } as JournalWriter, { journal: { pace: () => undefined }, clock, limits: LIMITS })
    clock.advance(6)
    t.notOk(pace.isDue(8))
    await ticks(2)
    clock.advance(6)
    t.notOk(pace.isDue(16))
    clock.advance(10)
    t.notOk(pace.isDue(17))
    t.ok(pace.isDue(24))
  })
})
