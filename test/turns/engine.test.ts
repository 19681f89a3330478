import { setImmediate as tick } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import t from 'tap'

import { agentsOf } from '../../lib/agent/agents.js'
import type { Executor, Part } from '../../lib/agent/executor.js'
import type { Clock } from '../../lib/clock.js'
import type { Journal } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionHome } from '../../lib/turns/engine.js'
import { deferred, type Deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { KEY, Reader, ticks, TurnBench, type BenchOptions } from '../helpers/turn-bench.js'

/** Every turn goes the same way with a journal in memory and with one that answers later. */
for (const [kind, makeJournal] of [
  ['in memory', (clock: Clock): Journal => memoryJournal({ clock })],
  ['that answers later', (clock: Clock): Journal => new SlowJournal({ clock })]
] as const) {
  const bench = (executor: Executor, options: BenchOptions<ManualClock> = {}): TurnBench => {
    const clock = options.clock ?? new ManualClock()
    return new TurnBench(executor, { journal: makeJournal(clock), ...options, clock })
  }

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

    await t.test('cancel', async (t) => {
      await t.test('stops what runs and what waits, or one of them', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        const readers = []
        for (const message of ['a', 'b', 'c']) readers.push(await one.start({ message }))
        await ticks(10)
        t.strictSame(await one.engine.cancel(KEY, true, 't9'), [])
        t.strictSame(await one.engine.cancel({ ...KEY, owner: 'bob' }, true), [])
        t.strictSame(await one.engine.cancel(KEY, true, 't2'), ['t2'])
        t.strictSame(await one.engine.cancel(KEY, true, 't2'), [])
        t.strictSame(await one.engine.cancel(KEY, true), ['t1', 't3'])
        await desk.answer('a', 'late')
        await one.finish(t)
        t.strictSame(readers.map((reader) => reader.short), [['end aborted'], ['end aborted'], ['end aborted']])
        t.strictSame(desk.called, ['a'])
        t.strictSame(await one.engine.cancel(KEY, true), [], 'nothing runs')
      })

      await t.test('stops a turn at whatever step it is', async (t) => {
        // A cancel that came while the journal was asked found nothing to stop, and the turn ran.
        for (let when = 0; when < 8; when++) {
          const one = bench(async function * (turn) { await turn.waitFor(new Promise(() => {})); yield '' })
          const reader = new Reader()
          const starting = one.start({}, reader)
          await ticks(when)
          t.strictSame(await one.engine.cancel(KEY, true), ['t1'], `after ${when} ticks`)
          await starting
          await one.finish(t)
          t.strictSame(reader.short, ['end aborted'])
          t.strictSame(one.log.lines.filter(({ level }) => level === 'error'), [])
        }
      })
    })

    await t.test('drain', async (t) => {
      await t.test('ends what waits, lets what runs come to its end, and takes nothing more', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        const [a, b] = [await one.start({ message: 'a' }), await one.start({ message: 'b' })]
        t.notOk(one.engine.isDraining)
        const drained = one.engine.drain(10_000)
        t.ok(one.engine.isDraining)
        t.equal(one.engine.drain(1), drained, 'the first one counts')
        t.strictSame(await one.offer(), { accepted: false, code: 'SHUTTING_DOWN', retryAfterMs: 1_000 })
        t.match(await b.ended.promise, { error: { code: 'SHUTTING_DOWN' } })
        await desk.answer('a', 'done')
        await drained
        t.strictSame([a.short, b.short], [['end stop'], ['end SHUTTING_DOWN']])
        await one.finish(t)
      })

      await t.test('stops what still runs when its time is over', async (t) => {
        const desk = new Desk()
        const one = bench(desk.executor)
        const a = await one.start({ message: 'a' })
        const drained = one.engine.drain(10_000)
        await ticks(5)
        one.clock.advance(9_999)
        await ticks(5)
        t.equal(a.ends.length, 0)
        one.clock.advance(1)
        await drained
        t.strictSame(a.short, ['end SHUTTING_DOWN'])
        await desk.answer('a', 'late')
        await one.finish(t)
      })

      await t.test('has nothing to wait for where nothing runs', async (t) => {
        const one = bench(() => '')
        await one.engine.drain(10_000)
        await one.finish(t)
      })

      await t.test('ends a chat that was being taken, and settles after its end', async (t) => {
        // With a journal that answers later, drain was over before such a turn had begun.
        for (let when = 0; when < 6; when++) {
          const one = bench(async (turn) => await turn.waitFor(new Promise<string>(() => {})))
          const reader = new Reader()
          const starting = one.start({}, reader)
          await ticks(when)
          const draining = one.engine.drain(1_000)
          await ticks(20)
          one.clock.advance(1_000)
          await draining
          await starting
          reader.read()
          t.strictSame(reader.short, ['end SHUTTING_DOWN'], `after ${when} ticks`)
          await one.finish(t)
        }
      })

      await t.test('is known to whoever is woken by an end that it writes', async (t) => {
        // A chat that was sent then was accepted, and had no end.
        const desk = new Desk()
        const one = bench(desk.executor)
        await one.start({ message: 'a' })
        const answered = deferred<string>()
        const started = await one.offer({ message: 'b' }, () => {
          one.offer({ message: 'c' }).then((offered) => { answered.resolve(offered.accepted ? 'accepted' : offered.code) }, answered.reject)
        })
        if (!started.accepted) throw new Error(started.code)
        t.equal(started.follower.next(false), undefined)
        const draining = one.engine.drain(10_000)
        t.equal(await answered.promise, 'SHUTTING_DOWN')
        await desk.answer('a', '')
        await draining
        await one.finish(t)
      })
    })
  })
}

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

await t.test('a journal that answers later has few appends for many parts', async (t) => {
  const journal = new SlowJournal()
  const one = new TurnBench(() => Array.from({ length: 2_000 }, () => '.'), { journal })
  const reader = await one.start()
  await reader.ended.promise
  t.equal(reader.text.length, 2_000)
  t.ok(journal.batches.length < 10, `${journal.batches.length} appends`)
  t.equal(journal.batches.reduce((sum, entries) => sum + entries), 2_001)
  await journal.close()
  await one.finish(t)
})

await t.test('a journal that fails', async (t) => {
  const failing = (before: SlowJournal['before'], after: SlowJournal['after'] = () => undefined): { journal: SlowJournal, clock: ManualClock } => {
    const clock = new ManualClock()
    const journal = new SlowJournal({ clock })
    journal.before = before
    journal.after = after
    return { clock, journal }
  }
  const parts: Executor = async function * () {
    for (const part of ['a', 'b', 'c', 'd']) { yield part; await tick(); await tick() }
  }

  for (let nth = 1; nth <= 5; nth++) {
    for (const how of ['rejects', 'answers false', 'writes and rejects'] as const) {
      await t.test(`so that append number ${nth} ${how}: its readers get one end, and the next turn runs`, async (t) => {
        const fail = (method: string, count: number): undefined => { if (method === 'append' && count === nth) throw new Error('no disk') }
        const { journal, clock } = how === 'writes and rejects' ? failing(() => undefined, fail) : failing(how === 'rejects' ? fail : () => undefined)
        if (how === 'answers false') {
          const { append } = journal
          let count = 0
          journal.append = (...given) => ++count === nth ? Promise.resolve(false) : append(...given)
        }
        const one = new TurnBench(parts, { journal, clock })
        const [first, other] = [await one.start(), new Reader()]
        const second = await one.start()
        await Promise.all([first.ended.promise, second.ended.promise])
        await one.finish(t)
        const isAll = first.ends[0]?.error === undefined
        if (isAll) t.equal(how, 'writes and rejects')
        else t.match(first.ends, [{ error: { code: 'STORE_UNAVAILABLE' } }])
        t.strictSame(second.short, ['text a', 'text b', 'text c', 'text d', 'end stop'])
        const [, answer] = await one.said()
        if (answer?.[0] === 'assistant' && answer[1] !== 'abcd') t.equal(answer[2], false, 'what is not all is not complete')
        t.equal(other.entries.length, 0)
        t.ok(one.texts('error').includes('the journal does not take any more of a turn'))
      })
    }
  }

  await t.test('while an ended executor\'s text has not landed: the answer that is kept is not complete', async (t) => {
    // It was kept as complete, and its readers were told that it had ended well.
    const { journal, clock } = failing((method, count): undefined => { if (method === 'append' && count === 2) throw new Error('no disk') })
    // One after another: what is there at once is one append.
    const one = new TurnBench(async function * () { yield * ['a', 'b', 'c'] }, { journal, clock })
    const reader = await one.start()
    t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
    await one.finish(t)
    t.strictSame((await one.said())[1], ['assistant', 'a', false])
  })

  await t.test('the answer that is kept has none of the whole messages that have not landed', async (t) => {
    // They were kept, though no reader was told of them.
    const { journal, clock } = failing((method, count): undefined => { if (method === 'append' && count === 2) throw new Error('no disk') })
    const said: Part[] = [{ type: 'message', content: 'M1' }, 'a', { type: 'message', content: 'M2' }, 'b']
    const one = new TurnBench(async function * () { yield * said }, { journal, clock })
    const reader = await one.start()
    t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
    await one.finish(t)
    t.strictSame((await one.said())[1], ['assistant', 'M1', false])
  })

  await t.test('in memory, when a session is forgotten under its turn', async (t) => {
    const gate = deferred()
    const one = new TurnBench(async function * () { yield 'a'; await gate.promise; yield 'b' })
    const reader = await one.start()
    await reader.until(2)
    await one.journal.forget(KEY)
    gate.resolve()
    t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
    await one.finish(t)
    t.ok(reader.isLost)
  })

  for (const method of ['offer', 'followTurn'] as const) {
    for (const how of ['before', 'after'] as const) {
      await t.test(`${how} ${method}: the chat is refused, does not run, and the next one does`, async (t) => {
        // What the journal had taken was given to run later and never given back: the session stood still for ever.
        const fail = (name: string, count: number): undefined => { if (name === method && count === 1) throw new Error('no disk') }
        const { journal, clock } = how === 'before' ? failing(fail) : failing(() => undefined, fail)
        const desk = new Desk()
        const one = new TurnBench(desk.executor, { journal, clock })
        t.strictSame(await one.offer({ message: 'a' }), { accepted: false, code: 'STORE_UNAVAILABLE' })
        t.strictSame(one.engine.stats(), { turns: 0, runningTurns: 0 })
        const reader = await one.start({ message: 'b' })
        await desk.answer('b', 'done')
        await reader.ended.promise
        t.strictSame(desk.called, ['b'])
        t.match(one.log.lines, [{ level: 'error', fields: { err: /no disk/, turnId: 't1' }, text: 'the journal did not take a chat' }])
        await one.finish(t)
      })
    }
  }

  await t.test('to take a chat back that it was not to have: it ends without being run', async (t) => {
    const { journal, clock } = failing((method, count): undefined => {
      if ((method === 'followTurn' || method === 'retract') && count === 1) throw new Error('no disk')
    })
    const desk = new Desk()
    const one = new TurnBench(desk.executor, { journal, clock })
    t.match(await one.offer({ message: 'a' }), { code: 'STORE_UNAVAILABLE' })
    const reader = await one.start({ message: 'b' })
    t.equal(reader.position, 1)
    await desk.answer('b', 'done')
    await reader.ended.promise
    t.strictSame(desk.called, ['b'])
    await one.finish(t)
  })

  await t.test('to follow what it has taken: the chat is refused', async (t) => {
    const { journal, clock } = failing(() => undefined)
    const { followTurn } = journal
    let count = 0
    journal.followTurn = (...given) => count++ === 0 ? undefined : followTurn(...given)
    const one = new TurnBench(() => 'done', { journal, clock })
    t.match(await one.offer(), { code: 'STORE_UNAVAILABLE' })
    t.match(one.log.lines, [{ fields: { err: /has lost a chat/ } }])
    await one.start()
    await one.finish(t)
  })

  await t.test('to give the right to run: the turn has its end, and the next one runs', async (t) => {
    // It waited without an end for as long as nobody sent another chat.
    for (const [before, after] of [[1, 0], [0, 1]]) {
      const { journal, clock } = failing(
        (method, count): undefined => { if (method === 'take' && count === before) throw new Error('no disk') },
        (method, count): undefined => { if (method === 'take' && count === after) throw new Error('no disk') }
      )
      const one = new TurnBench(() => 'done', { journal, clock })
      const first = await one.start()
      t.match(await first.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
      t.match(one.log.lines, [{ fields: { err: /no disk/ }, text: 'the journal did not start a turn' }])
      if (before === 1) {
        const second = await one.start()
        t.match(await second.ended.promise, { content: 'done' })
      }
      await one.finish(t)
    }
  })

  await t.test('to take the right to run back: that is logged, and every turn has its end', async (t) => {
    const { journal, clock } = failing(() => undefined, (method, count): undefined => { if (method === 'release' && count === 1) throw new Error('no disk') })
    const one = new TurnBench(() => 'done', { journal, clock })
    const readers = [await one.start(), await one.start()]
    await Promise.all(readers.map((reader) => reader.ended.promise))
    t.match(one.log.lines, [{ text: 'the journal did not take the right to run back' }])
    await one.finish(t)
  })

  await t.test('to cancel or withdraw: cancel ends what runs and waits here, else says so; drain ends all the same', async (t) => {
    const { journal, clock } = failing((method): undefined => { if (method === 'cancel' || method === 'withdraw') throw new Error('no disk') })
    const desk = new Desk()
    const one = new TurnBench(desk.executor, { journal, clock })
    const [a, b, c] = [await one.start({ message: 'a' }), await one.start({ message: 'b' }), await one.start({ message: 'c' })]
    await ticks(5)
    t.strictSame(await one.engine.cancel(KEY, true, 't2'), ['t2'])
    t.strictSame(b.short, ['end aborted'])
    t.match(one.log.lines, [
      { level: 'error', fields: { err: /no disk/, turnId: 't2' }, text: 'the journal did not cancel a turn' },
      { level: 'error', fields: { err: /no disk/, turnId: 't2' }, text: 'the journal did not withdraw a chat' }
    ])
    t.strictSame(await one.engine.cancel(KEY, true, 't1'), ['t1'])
    t.match(await a.ended.promise, { finishReason: 'aborted' })
    await t.rejects(one.engine.cancel(KEY, true, 't1'), { message: 'no disk' }, 'its end is decided')
    await t.rejects(one.engine.cancel({ ...KEY, owner: 'bob' }, true), { message: 'no disk' })
    t.equal(c.ends.length, 0)
    await one.engine.drain(1_000)
    c.read()
    t.strictSame(c.short, ['end SHUTTING_DOWN'])
    t.match(one.log.lines.at(-1), { fields: { turnId: 't3' }, text: 'the journal did not withdraw a chat' })
    await desk.answer('a', '')
    await one.finish(t)
  })
})

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

await t.test('a turn whose right to run is on its way', async (t) => {
  const slowTake = (): { one: TurnBench, desk: Desk, gate: Deferred<void> } => {
    const clock = new ManualClock()
    const journal = new SlowJournal({ clock })
    const gate = deferred()
    journal.after = (method) => method === 'take' ? gate.promise : undefined
    const desk = new Desk()
    return { one: new TurnBench(desk.executor, { journal, clock }), desk, gate }
  }

  await t.test('can be cancelled', async (t) => {
    // It no longer waited, and did not run yet: there was nothing to cancel.
    const { one, desk, gate } = slowTake()
    const reader = await one.start({ message: 'a' })
    const cancelling = one.engine.cancel(KEY, true, 't1')
    await ticks(5)
    gate.resolve()
    t.strictSame(await cancelling, ['t1'])
    await reader.ended.promise
    await desk.answer('a', 'late')
    await one.finish(t)
    t.strictSame(reader.short, ['end aborted'])
  })

  await t.test('is waited for by a drain', async (t) => {
    const { one, desk, gate } = slowTake()
    const reader = await one.start({ message: 'a' })
    const draining = one.engine.drain(10_000)
    await ticks(5)
    gate.resolve()
    await ticks(5)
    await desk.answer('a', 'done')
    await draining
    t.strictSame(reader.short, ['end stop'])
    await one.finish(t)
  })
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

await t.test('a reader whose wake throws is logged', async (t) => {
  const clock = new ManualClock()
  const journal = new SlowJournal({ clock })
  journal.before = (method): undefined => { if (method === 'append') throw new Error('no disk') }
  const one = new TurnBench(() => ['a'], { clock, journal })
  const started = await one.offer({}, () => { throw new Error('bad reader') })
  t.ok(started.accepted)
  await eventually(() => one.log.lines.length > 1)
  t.match(one.log.lines.find(({ text }) => text.startsWith('a reader')), { level: 'error', text: 'a reader could not be told how its turn ended' })
  await one.idle()
  t.equal(one.engine.stats().turns, 0, 'its session used to stand still')
})
