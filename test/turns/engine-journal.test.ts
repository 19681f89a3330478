import { setImmediate as tick } from 'node:timers/promises'
import t from 'tap'

import type { Executor, Part } from '../../lib/agent/executor.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { KEY, Reader, ticks, TurnBench } from '../helpers/turn-bench.js'

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

await t.test('a journal in memory that fails to start a turn: the turn has its end, and the next one runs', async (t) => {
  const clock = new ManualClock()
  const journal = memoryJournal({ clock })
  const take = journal.take.bind(journal)
  let count = 0
  journal.take = (...given) => { if (count++ === 0) throw new Error('no memory'); return take(...given) }
  const one = new TurnBench(() => 'done', { clock, journal })
  const first = await one.start()
  t.match(await first.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
  const second = await one.start()
  t.match(await second.ended.promise, { content: 'done' })
  await one.finish(t)
})
