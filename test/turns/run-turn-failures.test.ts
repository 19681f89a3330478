import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import { AgentError, AgentNotFoundError, type Executor } from '../../lib/agent/executor.js'
import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { JOURNALS, KEY, LIMITS, ticks, TurnBench } from '../helpers/turn-bench.js'
import { storeWith, turnScene } from './turn-scene.js'

for (const [kind, makeJournal] of JOURNALS) {
  const { bench, turn } = turnScene(makeJournal)

  await t.test(`with a journal ${kind}`, async (t) => {
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
  })
}

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
