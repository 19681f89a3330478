import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import type { Answer, Executor, Part, Turn } from '../../lib/agent/executor.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import { deferred, type Deferred } from '../helpers/deferred.js'
import { JOURNALS, KEY, ticks } from '../helpers/turn-bench.js'
import { storeWith, turnScene } from './turn-scene.js'

for (const [kind, makeJournal] of JOURNALS) {
  const { bench } = turnScene(makeJournal)

  await t.test(`with a journal ${kind}`, async (t) => {
    await t.test('an executor that takes too long', async (t) => {
      await t.test('to its first part is timed out', async (t) => {
        const one = bench(() => new Promise<string>(() => {}), { limits: { cancelGraceMs: 1 } })
        const reader = await one.start()
        await ticks()
        one.clock.advance(59_900)
        t.equal(reader.ends.length, 0)
        one.clock.advance(350)
        t.match(await reader.ended.promise, { error: { code: 'AGENT_TIMEOUT' } })
        t.match(one.log.lines, [{ level: 'warn', fields: { err: /the first part took longer than 60000 ms/ } }])
      })

      await t.test('between two parts is timed out, counted from the last one', async (t) => {
        const parts = gates()
        const one = bench(parts.executor)
        const reader = await one.start()
        await reader.until(1)
        await ticks()
        for (const text of ['a', 'b']) {
          one.clock.advance(29_000)
          await parts.give(text)
          await ticks()
          one.clock.advance(250)
        }
        await reader.until(3)
        one.clock.advance(29_500)
        await ticks()
        t.equal(reader.ends.length, 0)
        one.clock.advance(750)
        t.match(await reader.ended.promise, { error: { code: 'AGENT_TIMEOUT' } })
        t.match(one.log.lines, [{ fields: { err: /the next part took longer than 30000 ms/ } }])
        t.match(parts.turn?.signal.reason, /the next part took longer/)
        parts.end()
        await one.finish(t)
        t.strictSame((await one.said())[1], ['assistant', 'ab', false])
      })

      await t.test('in all is timed out, whatever it yields', async (t) => {
        const parts = gates()
        const one = bench(parts.executor, { limits: { turnTimeoutMs: 60_000 } })
        const reader = await one.start()
        for (let count = 0; count < 5; count++) {
          await parts.give('.')
          await ticks()
          one.clock.advance(12_000)
        }
        t.match(await reader.ended.promise, { error: { code: 'AGENT_TIMEOUT' } })
        t.match(one.log.lines, [{ fields: { err: /the whole turn took longer than 60000 ms/ } }])
        parts.end()
        await one.finish(t)
      })

      await t.test('because it waits for somebody has only the time of the whole turn', async (t) => {
        const approval = deferred<string>()
        const one = bench(async function * (turn) {
          yield await turn.waitFor(approval.promise)
          await turn.waitFor(new Promise(() => {}))
        })
        const reader = await one.start()
        await ticks()
        one.clock.advance(200_000)
        approval.resolve('approved')
        await reader.until(2)
        await ticks()
        one.clock.advance(399_000)
        await ticks()
        t.strictSame(reader.short, ['text approved'])
        one.clock.advance(1_000)
        t.match(await reader.ended.promise, { error: { code: 'AGENT_TIMEOUT' } })
        await one.finish(t)
      })
    })

    await t.test('an executor that ignores its signal', async (t) => {
      await t.test('is left behind, and can write nothing more', async (t) => {
        const parts = gates()
        const one = bench((turn) => turn.message === 'first' ? parts.executor(turn) : 'second answer')
        const first = await one.start({ message: 'first' })
        await first.until(1)
        await parts.give('a')
        await first.until(2)
        const second = await one.start({ message: 'second' })
        t.equal(second.position, 1)
        t.strictSame(await one.engine.cancel(KEY, true, 't1'), ['t1'])
        t.match(await first.ended.promise, { finishReason: 'aborted' })
        await ticks(10)
        one.clock.advance(4_999)
        await ticks(10)
        t.equal(second.entries.length, 0, 'the next one waits for it')
        t.strictSame(one.engine.stats(), { turns: 2, runningTurns: 1 })
        one.clock.advance(1)
        t.match(await second.ended.promise, { content: 'second answer' })
        await ticks(10)
        t.strictSame(one.engine.stats(), { turns: 1, runningTurns: 0 }, 'the one left behind still counts')
        await parts.give('b')
        await ticks(10)
        parts.end()
        await one.finish(t)
        t.strictSame(first.short, ['text a', 'end aborted'])
        t.strictSame(await one.said(), [
          ['user', 'first', true], ['assistant', 'a', false], ['user', 'second', true], ['assistant', 'second answer', true]
        ])
      })

      await t.test('and returns at last is not heard', async (t) => {
        const answer = deferred<Answer>()
        let isClosed = false
        for (const late of ['x'.repeat(1_000_000), 'late', (function * () { try { yield 'late' } finally { isClosed = true } })()]) {
          const returning = late === 'late' ? answer : deferred<Answer>()
          const one = bench(() => returning.promise)
          const reader = await one.start()
          await ticks()
          await one.engine.cancel(KEY, true)
          await reader.ended.promise
          returning.resolve(late)
          await one.finish(t)
          t.strictSame(reader.short, ['end aborted'])
          t.strictSame(one.log.lines, [])
          t.strictSame(await one.said(), [['user', 'hello', true]])
        }
        t.notOk(isClosed, 'it has not begun')
      })

      await t.test('and throws at last is logged where nobody is alarmed', async (t) => {
        const answer = deferred<Answer>()
        const one = bench(() => answer.promise)
        const reader = await one.start()
        await ticks()
        await one.engine.cancel(KEY, true)
        await reader.ended.promise
        answer.reject(new Error('aborted'))
        await one.finish(t)
        t.match(one.log.lines, [{ level: 'debug', fields: { err: /aborted/ } }])
      })

      await t.test('and fails while it is closed is logged where nobody is alarmed', async (t) => {
        for (const close of [() => { throw new Error('stuck') }, async () => { throw new Error('stuck') }]) {
          const next = deferred<IteratorResult<string>>()
          const iterator: AsyncIterator<string> = { next: () => next.promise, return: close }
          const one = bench(() => ({ [Symbol.asyncIterator]: () => iterator }))
          await one.start()
          await ticks()
          await one.engine.cancel(KEY, true)
          next.resolve({ done: false, value: 'late' })
          await one.finish(t)
          t.match(one.log.lines, [{ level: 'debug', fields: { err: /stuck/ }, text: 'an executor failed while it was closed' }])
        }
      })
    })

    await t.test('a cancel', async (t) => {
      await t.test('fires the signal, closes the generator and keeps what there is', async (t) => {
        let isClosed = false
        const one = bench(async function * (turn) {
          try {
            yield 'a\ud83d'
            await turn.waitFor(new Promise(() => {}))
          } finally {
            isClosed = true
          }
        })
        const reader = await one.start()
        await reader.until(2)
        t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
        t.strictSame(await one.engine.cancel(KEY, true), [], 'its end is decided')
        await one.finish(t)
        t.ok(isClosed)
        t.strictSame(reader.short, ['text a', 'text \ufffd', 'end aborted'])
        t.strictSame((await one.said())[1], ['assistant', 'a\ufffd', false])
      })

      await t.test('before the executor was called means that it is not', async (t) => {
        const gate = deferred()
        const store = memorySessionStore()
        const one = bench(() => { t.fail('called'); return '' }, {
          store: storeWith(store, { append: async (key, messages) => { await gate.promise; store.append(key, messages) } })
        })
        const reader = await one.start()
        await ticks()
        t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
        await reader.ended.promise
        gate.resolve()
        await one.finish(t)
        t.strictSame(reader.short, ['end aborted'])
      })
    })
  })
}

/** An executor that yields what a test gives it, when it gives it, and never looks at its signal. */
function gates (): { executor: Executor, give: (part: Part) => Promise<void>, end: () => void, turn: Turn | undefined } {
  const results: Array<Deferred<IteratorResult<Part, undefined>>> = []
  const at = (index: number): Deferred<IteratorResult<Part, undefined>> => results[index] ??= deferred()
  let given = 0
  let taken = 0
  const made: ReturnType<typeof gates> = {
    turn: undefined,
    executor (turn) {
      made.turn = turn
      return { [Symbol.asyncIterator]: () => ({ next: () => at(taken++).promise }) }
    },
    async give (value) {
      at(given++).resolve({ done: false, value })
      await tick()
    },
    end () { at(given).resolve({ done: true, value: undefined }) }
  }
  return made
}
