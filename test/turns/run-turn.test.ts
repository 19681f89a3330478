import { setImmediate as tick } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { AgentError, AgentNotFoundError, type Answer, type Executor, type Part, type Turn } from '../../lib/agent/executor.js'
import { systemClock, type Clock } from '../../lib/clock.js'
import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { deferred, type Deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { KEY, LIMITS, Reader, ticks, TurnBench, type BenchOptions } from '../helpers/turn-bench.js'

/** Every turn goes the same way with a journal in memory and with one that answers later. */
for (const [kind, makeJournal] of [
  ['in memory', (clock: Clock): Journal => memoryJournal({ clock })],
  ['that answers later', (clock: Clock): Journal => new SlowJournal({ clock })]
] as const) {
  const bench = (executor: Executor, options: BenchOptions<ManualClock> = {}): TurnBench => {
    const clock = options.clock ?? new ManualClock()
    return new TurnBench(executor, { journal: makeJournal(clock), ...options, clock })
  }

  /** One turn, from its chat to its end. */
  const turn = async (
    t: Test, executor: Executor, options: BenchOptions<ManualClock> = {}
  ): Promise<{ bench: TurnBench, reader: Reader }> => {
    const one = bench(executor, options)
    const reader = await one.start()
    await reader.ended.promise
    await one.finish(t)
    return { bench: one, reader }
  }

  await t.test(`with a journal ${kind}`, async (t) => {
    await t.test('what an executor returns', async (t) => {
      const parts: Part[] = ['a', '', { type: 'text', content: 'b' }, { type: 'message', content: 'M' }, { type: 'event', name: 'x' }, 'c']
      const streamed = ['text a', 'text b', 'message M', 'event x', 'text c', 'end stop']
      const answers: Array<[what: string, answer: () => Answer | Promise<Answer>]> = [
        ['an array', () => parts],
        ['a generator', () => (function * () { yield * parts })()],
        ['an async generator', () => (async function * () { yield * parts })()],
        ['a ReadableStream', () => ReadableStream.from(parts)],
        ['a promise of an iterable', async () => parts]
      ]
      for (const [what, answer] of answers) {
        await t.test(`${what} is streamed`, async (t) => {
          const { bench, reader } = await turn(t, answer)
          t.strictSame(reader.short, streamed)
          t.strictSame(reader.entries.map(({ seq }) => seq), reader.entries.map((_, index) => index + 1))
          t.strictSame(reader.ends, [{ finishReason: 'stop' }])
          t.strictSame(await bench.said(), [['user', 'hello', true], ['assistant', 'ab\n\nM\n\nc', true]])
        })
      }

      for (const [what, answer] of [['a string', () => 'all'], ['a promise of a string', async () => 'all']] as const) {
        await t.test(`${what} is the whole answer`, async (t) => {
          const { bench, reader } = await turn(t, answer)
          t.strictSame(reader.ends, [{ finishReason: 'stop', content: 'all' }])
          t.strictSame(await bench.said(), [['user', 'hello', true], ['assistant', 'all', true]])
        })
      }

      await t.test('an empty answer is an end, and nothing to remember', async (t) => {
        for (const answer of ['', []]) {
          const { bench, reader } = await turn(t, () => answer)
          t.match(reader.ends, [{ finishReason: 'stop' }])
          t.strictSame(await bench.said(), [['user', 'hello', true]])
        }
      })

      await t.test('an iterable of nothing is warned of', async (t) => {
        const { bench } = await turn(t, () => [])
        t.strictSame(bench.texts('warn'), ['the executor yielded nothing'])
      })

      await t.test('something else ends the turn, and is logged with what to return', async (t) => {
        for (const answer of [undefined, 5, {}]) {
          const { bench, reader } = await turn(t, () => answer as unknown as string)
          t.strictSame(reader.ends, [{ finishReason: 'error', error: { code: 'AGENT_ERROR' } }])
          t.match(bench.log.lines, [{ level: 'error', fields: { err: /return a string/, turnId: 't1', ...session() } }])
        }
      })

      await t.test('a part that is none ends the turn, closes the iterable, and keeps what came before', async (t) => {
        let isClosed = false
        const { bench, reader } = await turn(t, function * () {
          try { yield 'a'; yield 5 as unknown as string } finally { isClosed = true }
        })
        t.strictSame(reader.short, ['text a', 'end AGENT_ERROR'])
        t.strictSame((await bench.said())[1], ['assistant', 'a', false])
        t.match(bench.log.lines, [{ level: 'error', fields: { err: /yield strings/ } }])
        t.ok(isClosed)
      })
    })

    await t.test('characters that were cut in two are joined over pieces, events and messages', async (t) => {
      const { bench, reader } = await turn(t, () => [
        'a\ud83d', { type: 'event', name: 'x' }, '\ude00b\ud83d', { type: 'message', content: 'M\ud83d' }, '\ude00', 'c\ude00d\ud83d', 'e\ud83d'
      ])
      t.strictSame(reader.short, [
        'text a', 'event x', 'text 😀b', 'message M\ufffd', 'text 😀', 'text c\ufffdd', 'text \ufffde', 'text \ufffd', 'end stop'
      ])
      t.equal((await bench.said())[1]?.[1], 'a😀b\n\nM\ufffd\n\n😀c\ufffdd\ufffde\ufffd')
      const whole = await turn(t, () => 'x\ud83d')
      t.equal(whole.reader.ends[0]?.content, 'x\ufffd')
    })

    await t.test('what an executor is given', async (t) => {
      await t.test('is the chat, the history and a log', async (t) => {
        const seen: unknown[] = []
        const one = bench(async (turn) => {
          seen.push((await turn.history()).map(({ content }) => content), turn.metadata, turn.context)
          turn.log.info('said')
          return `re: ${turn.message}`
        })
        for (const message of ['one', 'two']) {
          const reader = await one.start({ message, metadata: { message }, context: [message] })
          await reader.ended.promise
          await one.idle()
        }
        t.strictSame(seen, [[], { message: 'one' }, ['one'], ['one', 're: one'], { message: 'two' }, ['two']])
        t.match(one.log.lines, [{ fields: { ...session(), turnId: 't1' } }, { fields: { turnId: 't2' } }])
        t.match((await one.store.messages(KEY, { limit: 9 })).messages[0], { metadata: { message: 'one' } })
        await one.finish(t)
      })
    })

    await t.test('an executor that throws', async (t) => {
      const cases: Array<[when: string, executor: Executor, text: string[]]> = [
        ['at once', () => { throw new Error('secret') }, []],
        ['later', async () => { throw new Error('secret') }, []],
        ['before it yields', function * () { throw new Error('secret') }, []],
        ['between', function * () { yield 'a'; throw new Error('secret') }, ['text a']],
        ['between, later', async function * () { yield 'a'; await tick(); throw new Error('secret') }, ['text a']],
        ['in place of an iterator', () => ({ [Symbol.iterator] () { throw new Error('secret') } }), []],
        ['no Error', () => { throw Object.create(null) as Error }, []]
      ]
      for (const [when, executor, text] of cases) {
        await t.test(`${when} ends its turn, and its text stays here`, async (t) => {
          const { bench, reader } = await turn(t, executor)
          t.strictSame(reader.short, [...text, 'end AGENT_ERROR'])
          t.notMatch(JSON.stringify(reader.entries), /secret/)
          t.match(bench.log.lines, [{ level: 'error', fields: { err: /secret|not an Error/ }, text: 'the executor failed' }])
        })
      }

      await t.test('an AgentError has its text sent', async (t) => {
        const { bench, reader } = await turn(t, function * () { yield 'a'; throw new AgentError('no more credit \ud83d') })
        t.strictSame(reader.ends, [{ finishReason: 'error', error: { code: 'AGENT_ERROR', text: 'no more credit \ufffd' } }])
        t.match(bench.log.lines, [{ level: 'info' }])
        t.strictSame((await bench.said())[1], ['assistant', 'a', false])
      })

      await t.test('an AgentError without a text ends its turn all the same', async (t) => {
        // The turn had no end until it was timed out.
        const { reader } = await turn(t, () => { throw Object.assign(new AgentError(), { message: undefined }) })
        t.strictSame(reader.short, ['end INTERNAL'])
      })

      await t.test('an AgentNotFoundError says that there is no such agent', async (t) => {
        const { bench, reader } = await turn(t, (turn) => { throw new AgentNotFoundError(turn.agentId) })
        t.strictSame(reader.ends, [{ finishReason: 'error', error: { code: 'AGENT_NOT_FOUND' } }])
        t.match(bench.log.lines, [{ level: 'info' }])
      })
    })

    await t.test('events', async (t) => {
      await t.test('carry their data as JSON', async (t) => {
        const { reader } = await turn(t, () => [
          { type: 'event', name: 'a', data: { b: [1, null] } }, { type: 'event', name: 'b' }, { type: 'event', name: 'c', data: () => {} }
        ])
        t.strictSame(reader.entries.flatMap((entry) => entry.kind === 'event' ? [entry.json] : []), [
          '{"message":"hello"}', '{"b":[1,null]}', 'null', 'null'
        ])
      })

      await t.test('whose data is no JSON, or too large, are the executor\'s failure', async (t) => {
        const cyclic: Record<string, unknown> = {}
        cyclic.self = cyclic
        for (const [data, why] of [[cyclic, /circular/i], [5n, /BigInt/], ['ä'.repeat(500), /maxEventBytes/]] as const) {
          const { bench, reader } = await turn(t, () => ['a', { type: 'event', name: 'x', data }, 'b'])
          t.strictSame(reader.short, ['text a', 'end AGENT_ERROR'])
          t.match(bench.log.lines, [{ level: 'error', fields: { err: why } }])
        }
        const { reader } = await turn(t, () => [{ type: 'event', name: 'x', data: 'ä'.repeat(499) }])
        t.strictSame(reader.short, ['event x', 'end stop'])
      })
    })

    await t.test('how it says that it ended', async (t) => {
      await t.test('is the last finish, and iteration goes on', async (t) => {
        const usage = { inputTokens: 1, outputTokens: 2 }
        const { reader } = await turn(t, () => [{ type: 'finish', finishReason: 'stop' }, 'a', { type: 'finish', finishReason: 'length', usage }, 'b'])
        t.strictSame(reader.short, ['text a', 'text b', 'end length'])
        t.strictSame(reader.ends, [{ finishReason: 'length', usage }])
      })

      await t.test('is other for a reason that nobody knows', async (t) => {
        const { reader } = await turn(t, () => [{ type: 'finish', finishReason: 'bored' as 'stop' }])
        t.strictSame(reader.ends, [{ finishReason: 'other' }])
      })

      await t.test('has usage without what does not belong there, or none', async (t) => {
        const good = { inputTokens: 1, outputTokens: 2, totalTokens: 3, reasoningTokens: 0, cachedInputTokens: 0 }
        for (const [usage, expected] of [
          [{ ...good, raw: { prompt: 'secret' } }, good],
          // A method among the fields used to fail the turn.
          [{ ...good, toString () { return 'x' } }, good],
          [{ inputTokens: -1, outputTokens: 2 }, undefined],
          [{ inputTokens: 1.5, outputTokens: 2 }, undefined],
          [{ inputTokens: 1 }, undefined],
          ['much', undefined]
        ]) {
          const { reader } = await turn(t, () => [{ type: 'finish', usage: usage as typeof good }])
          t.strictSame(reader.ends, [expected === undefined ? { finishReason: 'stop' } : { finishReason: 'stop', usage: expected }])
        }
      })
    })

    await t.test('an answer that is too large', async (t) => {
      const limits = { maxAnswerBytes: 10 }

      await t.test('as text ends before the piece that has no room, and asks for no other', async (t) => {
        let asked = 0
        const parts = ['äöü', 'abcd', 'efghi\ud83d', 'j']
        const iterator = { next: () => ({ done: false as const, value: parts[asked++] ?? 'more' }) }
        const { bench, reader } = await turn(t, () => ({ [Symbol.iterator]: () => iterator as Iterator<string> }), { limits })
        t.strictSame(reader.short, ['text äöü', 'text abcd', 'end ANSWER_TOO_LARGE'])
        t.equal(asked, 3, 'one part more used to be asked for')
        t.strictSame((await bench.said())[1], ['assistant', 'äöüabcd', false])
        t.match(bench.log.lines, [{ level: 'warn', fields: { err: /maxAnswerBytes/ } }])
      })

      await t.test('as a string has nothing of it', async (t) => {
        const { bench, reader } = await turn(t, () => 'äöüabcde', { limits })
        t.strictSame(reader.short, ['end ANSWER_TOO_LARGE'])
        t.strictSame(await bench.said(), [['user', 'hello', true]])
      })

      await t.test('counts whole messages with the text', async (t) => {
        const { bench, reader } = await turn(t, () => ['abc', { type: 'message', content: 'defgh' }, { type: 'message', content: 'ijk' }], { limits })
        t.strictSame(reader.short, ['text abc', 'message defgh', 'end ANSWER_TOO_LARGE'])
        t.strictSame((await bench.said())[1], ['assistant', 'abc\n\ndefgh', false])
      })

      await t.test('may have exactly as much as allowed', async (t) => {
        const { reader } = await turn(t, () => ['äöü', 'abcd'], { limits })
        t.strictSame(reader.short, ['text äöü', 'text abcd', 'end stop'])
      })
    })

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

    await t.test('a session store', async (t) => {
      for (const [how, append] of [
        ['rejects', async () => { throw new Error('no disk') }],
        ['throws', () => { throw new Error('no disk') }]
      ] as const) {
        await t.test(`that ${how} at the question ends the turn before its executor is called`, async (t) => {
          const { bench, reader } = await turn(t, () => { t.fail('called'); return '' }, { store: storeWith(memorySessionStore(), { append }) })
          t.strictSame(reader.ends, [{ finishReason: 'error', error: { code: 'STORE_UNAVAILABLE' } }])
          t.match(bench.log.lines, [{ level: 'error', fields: { err: /no disk/ }, text: 'the session store failed to keep a question' }])
        })

        await t.test(`that ${how} at the answer ends the turn so, once`, async (t) => {
          const store = memorySessionStore()
          const { bench, reader } = await turn(t, () => ['a', 'b'], {
            store: storeWith(store, { append: (key, messages) => messages[0]?.role === 'user' ? store.append(key, messages) : append() })
          })
          t.strictSame(reader.short, ['text a', 'text b', 'end STORE_UNAVAILABLE'])
          t.match(bench.log.lines, [{ level: 'error', text: 'the session store failed to keep an answer' }])
        })
      }

      await t.test('that fails at the answer hides neither what the turn failed of, nor that it was cancelled', async (t) => {
        // Both ended as STORE_UNAVAILABLE: a client was told to try again what it had cancelled.
        const append: SessionStore['append'] = (_, messages) => { if (messages[0]?.role === 'assistant') throw new Error('no disk') }
        const store = (): SessionStore => storeWith(memorySessionStore(), { append })
        const failed = await turn(t, function * () { yield 'a'; throw new AgentError('no credit') }, { store: store() })
        t.strictSame(failed.reader.ends, [{ finishReason: 'error', error: { code: 'AGENT_ERROR', text: 'no credit' } }])
        t.match(failed.bench.log.lines.filter(({ level }) => level === 'error'), [{ text: 'the session store failed to keep an answer' }])
        const one = bench(async function * (turn) { yield 'a'; await turn.waitFor(new Promise(() => {})) }, { store: store() })
        const reader = await one.start()
        await reader.until(2)
        t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
        await one.finish(t)
        t.strictSame(reader.ends, [{ finishReason: 'aborted' }])
        t.match(one.log.lines.filter(({ level }) => level === 'error'), [{ text: 'the session store failed to keep an answer' }])
      })

      await t.test('that hangs at the question is given up', async (t) => {
        const one = bench(() => { t.fail('called'); return '' }, { store: storeWith(memorySessionStore(), { append: () => new Promise(() => {}) }) })
        const reader = await one.start()
        await ticks()
        one.clock.advance(LIMITS.storeTimeoutMs)
        t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
        t.match(one.log.lines, [{ fields: { err: /the session store took longer than 4000 ms/ } }])
        await one.finish(t)
      })

      await t.test('that hangs at the answer is given up', async (t) => {
        const store = memorySessionStore()
        const one = bench(() => 'all', {
          store: storeWith(store, { append: (key, messages) => messages[0]?.role === 'user' ? store.append(key, messages) : new Promise(() => {}) })
        })
        const reader = await one.start()
        await ticks()
        t.equal(reader.ends.length, 0, 'an end is never seen without its answer')
        t.strictSame(await one.engine.cancel(KEY, true), [], 'how it ends is decided')
        one.clock.advance(LIMITS.storeTimeoutMs)
        t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
        await one.finish(t)
      })
    })

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
      const busyUntil = performance.now() + 200
      for (let part = 0; part < 100_000 || performance.now() < busyUntil; part++) yield '.'
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

await t.test('a run whose text cannot be read has an end, though nobody\'s fault but ours', async (t) => {
  // The turn had no end at all, and its session never got on.
  const clock = new ManualClock()
  const journal = memoryJournal({ clock })
  const broken: Journal = Object.assign(Object.create(journal) as Journal, {
    take (...given: Parameters<Journal['take']>) {
      const run = journal.take(...given)
      if (run !== undefined && 'text' in run) run.text.toString = () => { throw new Error('no text') }
      return run
    }
  })
  const bound = bind(broken, journal)
  const one = new TurnBench(() => ['a'], { clock, journal: bound })
  const reader = await one.start()
  t.match(await reader.ended.promise, { error: { code: 'INTERNAL' } })
  t.match(one.log.lines, [{ level: 'error', text: 'a turn could not be ended' }])
  await one.finish(t)
})

function bind (double: Journal, journal: Journal): Journal {
  return {
    ...Object.fromEntries((['offer', 'claimed', 'append', 'release', 'withdraw', 'retract', 'cancel', 'publish', 'followTurn', 'follow', 'readers', 'pace', 'forget', 'stats', 'close'] as const)
      .map((name) => [name, journal[name].bind(journal)])),
    id: journal.id,
    take: double.take
  } as Journal
}

function session (): { agentId: string, sessionId: string } {
  return { agentId: KEY.agentId, sessionId: KEY.sessionId }
}

function storeWith (store: SessionStore, methods: Partial<SessionStore>): SessionStore {
  return {
    append: store.append.bind(store),
    messages: store.messages.bind(store),
    turn: store.turn.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    ...methods
  }
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
