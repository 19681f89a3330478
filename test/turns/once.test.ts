import { Type } from '@sinclair/typebox'
import t, { type Test } from 'tap'

import { agentsOf, type Agents } from '../../lib/agent/agents.js'
import type { MemoryJournalOptions } from '../../lib/journal/memory-journal.js'
import type { Chat, StartedOnce } from '../../lib/turns/engine.js'
import { deferred } from '../helpers/deferred.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SessionReader } from '../helpers/session-reader.js'
import { SlowJournal } from '../helpers/slow-journal.js'
import { JOURNALS, KEY, ticks, TurnBench, type BenchOptions } from '../helpers/turn-bench.js'

const CHAT: Chat = { key: KEY, isNamed: true, turnId: 'x', message: 'a', bodyHash: 'hash of a' }
const REFUSED = { accepted: false, retryAfterMs: 1_000 } as const

for (const [kind, makeJournal] of JOURNALS) {
  const bench = (options: BenchOptions<ManualClock> & { ofJournal?: MemoryJournalOptions } = {}): { one: TurnBench, desk: Desk } => {
    const clock = options.clock ?? new ManualClock()
    const desk = new Desk()
    return { desk, one: new TurnBench(desk.executor, { journal: makeJournal({ ...options.ofJournal, clock }), ...options, clock }) }
  }

  await t.test(`a chat with an id, with a journal ${kind}`, async (t) => {
    await t.test('is accepted once, and joined at its place before its turn begins', async (t) => {
      const { one, desk } = bench()
      const reader = new SessionReader()
      const started = await one.engine.startOnce(CHAT, async (epoch, seq) => {
        await ticks(10)
        t.strictSame([desk.called, seq], [[], 0])
        await reader.follow(one.engine, { position: { epoch, seq } })
      })
      t.match(started, { accepted: true, turnId: 'x', position: 0, seq: 0, epoch: String })
      t.match(reader.followed, { recovered: true, turns: [{ chat: { turnId: 'x', bodyHash: 'hash of a' }, status: 'queued' }] })
      const waiting = await one.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {})
      t.match(waiting, { accepted: true, position: 1 })
      await desk.answer('a', 'done')
      await one.idle()
      t.strictSame(desk.called, ['a', 'a'])
      t.strictSame(reader.short, ['x event turn-started', 'x end stop', 'y event turn-started', 'y end stop'])
      reader.close()
      await forget(one)
      t.equal(one.clock.pending, 1, 'for the claims')
      one.clock.advance(600_000)
      t.equal(one.clock.pending, 0)
    })

    await t.test('is a duplicate the second time, as long as its turn waits, runs, and after its end', async (t) => {
      const { one, desk } = bench()
      const joined: string[] = []
      const send = async (chat: Partial<Chat> = {}): Promise<StartedOnce> => await one.engine.startOnce({ ...CHAT, ...chat }, () => { joined.push(chat.turnId ?? 'x') })
      await send()
      await send({ turnId: 'y', message: 'b', bodyHash: 'hash of b' })
      await ticks(10)
      const open = { accepted: false, ended: undefined }
      t.strictSame(await send(), open)
      t.strictSame(await send({ turnId: 'y', bodyHash: 'hash of b' }), open)
      await desk.answer('a', 'done')
      await desk.answer('b', ['do', 'ne'])
      await one.idle()
      const { turns, runningTurns } = one.engine.stats()
      t.strictSame([turns, runningTurns], [0, 0])
      t.match(await send(), { accepted: false, code: undefined, ended: { end: { finishReason: 'stop' }, isWhole: true, seq: 2, epoch: String } })
      t.match(await send({ turnId: 'y', bodyHash: 'hash of b' }), { ended: { isWhole: false, seq: 6 } })
      t.strictSame([joined, desk.called], [['x', 'y'], ['a', 'b']])
      await forget(one)
    })

    await t.test('conflicts with another chat of its id, and with no other session\'s', async (t) => {
      const { one, desk } = bench()
      await one.engine.startOnce(CHAT, () => {})
      const conflict = { accepted: false, code: 'ID_CONFLICT' } as const
      t.strictSame(await one.engine.startOnce({ ...CHAT, bodyHash: 'hash of b' }, () => {}), conflict)
      await desk.answer('a', 'done')
      await one.idle()
      t.strictSame(await one.engine.startOnce({ ...CHAT, bodyHash: 'hash of b' }, () => {}), conflict)
      for (const key of [{ ...KEY, owner: 'bob' }, { ...KEY, agentId: 'other' }, { ...KEY, sessionId: 's2' }]) {
        t.match(await one.engine.startOnce({ ...CHAT, key, bodyHash: 'hash of b' }, () => {}), { accepted: true })
        await one.idle()
        await one.journal.forget(key)
      }
      await forget(one)
    })

    await t.test('that is refused leaves no claim', async (t) => {
      const { one, desk } = bench({ limits: { maxQueuedTurns: 1 } })
      await one.start({ message: 'first' })
      await one.start({ message: 'second' })
      t.strictSame(await one.engine.startOnce(CHAT, () => {}), { ...REFUSED, code: 'QUEUE_FULL' })
      t.strictSame(await one.engine.startOnce({ ...CHAT, onBusy: 'reject' }, () => {}), { ...REFUSED, code: 'SESSION_BUSY' })
      t.equal(await one.engine.known(CHAT), undefined)
      for (const message of ['first', 'second']) { await desk.answer(message, ''); await ticks(20) }
      t.match(await one.engine.startOnce({ ...CHAT, bodyHash: 'hash of b' }, () => {}), { accepted: true })
      await desk.answer('a', '')
      await finish(t, one)
    })

    await t.test('is refused where there is no room for its claim, and a duplicate is not', async (t) => {
      const { one, desk } = bench({ ofJournal: { maxClaims: 1 } })
      t.match(await one.engine.startOnce(CHAT, () => {}), { accepted: true })
      t.strictSame(await one.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {}), { ...REFUSED, code: 'RATE_LIMITED' })
      t.match(await one.engine.startOnce(CHAT, () => {}), { accepted: false, ended: undefined })
      await desk.answer('a', '')
      await finish(t, one)
    })

    await t.test('is known where a new one would be refused', async (t) => {
      await t.test('while the node drains', async (t) => {
        const { one, desk } = bench()
        await one.engine.startOnce(CHAT, () => {})
        await ticks(10)
        const draining = one.engine.drain(10_000)
        t.strictSame(await one.engine.startOnce(CHAT, () => {}), { accepted: false, ended: undefined })
        t.strictSame(await one.engine.startOnce({ ...CHAT, bodyHash: 'other' }, () => {}), { accepted: false, code: 'ID_CONFLICT' })
        t.strictSame(await one.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {}), { ...REFUSED, code: 'SHUTTING_DOWN' })
        await desk.answer('a', '')
        await draining
        t.match(await one.engine.startOnce(CHAT, () => {}), { ended: { end: { finishReason: 'stop' } } })
        await finish(t, one)
      })

      await t.test('while the node has no room', async (t) => {
        const { one, desk } = bench({ limits: { maxTurns: 1 } })
        await one.engine.startOnce(CHAT, () => {})
        t.strictSame(await one.engine.startOnce(CHAT, () => {}), { accepted: false, ended: undefined })
        t.strictSame(await one.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {}), { ...REFUSED, code: 'RATE_LIMITED' })
        await desk.answer('a', '')
        await finish(t, one)
      })

      await t.test('for an agent that is gone, or that takes other metadata now', async (t) => {
        const { one, desk } = bench()
        let agents = agentsOf({ main: desk.executor })
        const exchanged: Agents = { find: (id) => agents.find(id), metadataFault: (id, metadata) => agents.metadataFault(id, metadata) }
        const two = new TurnBench(desk.executor, { clock: one.clock, journal: one.journal, store: one.store, tools: { agents: exchanged } })
        await two.engine.startOnce(CHAT, () => {})
        await ticks(10)
        agents = agentsOf({ main: { execute: desk.executor, metadata: Type.Object({ lang: Type.String() }) } })
        t.match(await two.engine.startOnce(CHAT, () => {}), { accepted: false, ended: undefined })
        t.match(await two.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {}), { code: 'VALIDATION_FAILED', details: { path: /^\/metadata/ } })
        agents = agentsOf({})
        t.match(await two.engine.startOnce(CHAT, () => {}), { accepted: false, ended: undefined })
        t.strictSame(await two.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {}), { accepted: false, code: 'AGENT_NOT_FOUND' })
        await desk.answer('a', '')
        await finish(t, two)
      })
    })

    await t.test('is known until its time after the end is over', async (t) => {
      const { one, desk } = bench({ ofJournal: { dedupWindowMs: 1_000 } })
      await one.engine.startOnce(CHAT, () => {})
      one.clock.advance(10_000)
      t.match(await one.engine.known(CHAT), { accepted: false, ended: undefined })
      await desk.answer('a', '')
      await one.idle()
      await one.journal.forget(KEY)
      one.clock.advance(999)
      t.match(await one.engine.known(CHAT), { accepted: false, ended: { seq: 2 } })
      one.clock.advance(1)
      t.equal(await one.engine.known(CHAT), undefined)
      t.equal(await one.engine.known({ ...CHAT, bodyHash: undefined }), undefined)
      await finish(t, one)
    })

    await t.test('can be sent by many at once, and runs once', async (t) => {
      const { one, desk } = bench()
      const sent = await Promise.all(Array.from({ length: 5 }, async () => await one.engine.startOnce(CHAT, () => {})))
      t.strictSame(sent.map(({ accepted }) => accepted), [true, false, false, false, false])
      await desk.answer('a', '')
      await finish(t, one)
      t.strictSame(desk.called, ['a'])
    })

    await t.test('whose reader cannot join is refused, and taken back with its claim', async (t) => {
      const { one, desk } = bench()
      for (const join of [() => { throw new Error('no room') }, () => Promise.reject(new Error('no room'))]) {
        t.strictSame(await one.engine.startOnce(CHAT, join), { accepted: false, code: 'STORE_UNAVAILABLE' })
      }
      t.match(one.log.lines, [{ fields: { err: /no room/ }, text: 'the journal did not take a chat' }, { fields: { err: /no room/ } }])
      t.match(await one.engine.startOnce(CHAT, () => {}), { accepted: true })
      await desk.answer('a', '')
      await finish(t, one)
      t.strictSame(desk.called, ['a'])
    })
  })
}

await t.test('a journal that fails', async (t) => {
  const failing = (...methods: Array<Parameters<SlowJournal['before']>[0]>): { one: TurnBench, journal: SlowJournal, desk: Desk } => {
    const clock = new ManualClock()
    const journal = new SlowJournal({ clock })
    journal.before = (method): undefined => { if (methods.includes(method)) throw new Error('no disk') }
    const desk = new Desk()
    return { desk, journal, one: new TurnBench(desk.executor, { clock, journal }) }
  }

  await t.test('to say whether a chat is known: that is logged, and the chat may be sent again', async (t) => {
    const { one } = failing('claimed')
    t.strictSame(await one.engine.known(CHAT), { accepted: false, code: 'STORE_UNAVAILABLE' })
    t.match(one.log.lines, [{ level: 'error', fields: { turnId: 'x', err: /no disk/ }, text: 'the journal did not say whether a chat is known' }])
  })

  await t.test('to follow or to publish: whoever asked is told', async (t) => {
    const { one, journal } = failing('follow', 'publish')
    await t.rejects(Promise.resolve(one.engine.followSession(KEY, {}, () => {})), { message: 'no disk' })
    await t.rejects(one.engine.publish(KEY, 'note', '1'), { message: 'no disk' })
    t.equal(journal.openCursors, 0)
  })

  await t.test('to take a chat back that it was not to have: the session goes on without it', async (t) => {
    const { one, journal, desk } = failing('retract')
    t.match(await one.engine.startOnce(CHAT, () => { throw new Error('no room') }), { code: 'STORE_UNAVAILABLE' })
    t.match(one.log.lines, [{ fields: { err: /no room/ } }, { level: 'error', fields: { err: /no disk/, turnId: 'x' }, text: 'the journal did not take a chat back' }])
    journal.before = () => undefined
    await one.start({ message: 'b' })
    await desk.answer('b', '')
    await finish(t, one)
    t.strictSame(desk.called, ['b'])
  })

  await t.test('to tell a reader where it is, when its turn runs already: the chat is refused, and its turn stopped', async (t) => {
    const { one, desk } = failing()
    await one.start({ message: 'first' })
    await ticks(5)
    const gate = deferred()
    const starting = one.engine.startOnce(CHAT, () => gate.promise)
    await desk.answer('first', '')
    await ticks(20)
    t.strictSame(desk.called, ['first', 'a'])
    const reader = await new SessionReader().follow(one.engine)
    gate.reject(new Error('no room'))
    t.strictSame(await starting, { accepted: false, code: 'STORE_UNAVAILABLE' })
    await desk.answer('a', 'late')
    await one.idle()
    t.strictSame(reader.short, ['x end STORE_UNAVAILABLE'])
    reader.close()
    await finish(t, one)
  })

  await t.test('to write an end: whoever follows the session is told it once', async (t) => {
    for (const when of ['before', 'after'] as const) {
      // With `after`, the journal has written the end, and told it, and then fails to say so.
      const { one, journal, desk } = failing()
      const [whole, own, none] = await Promise.all([{}, { turns: new Set(['x']) }, { turns: new Set(['other']) }]
        .map((from) => new SessionReader().follow(one.engine, from)))
      await one.engine.startOnce(CHAT, () => {})
      await ticks(5)
      journal[when] = (method): undefined => { if (method === 'append') throw new Error('no disk') }
      await desk.answer('a', 'done')
      await one.idle()
      const end = when === 'before' ? 'x end STORE_UNAVAILABLE' : 'x end stop'
      for (const reader of [whole, own]) t.strictSame(reader?.short, ['x event turn-started', end], when)
      t.strictSame(none?.short, [])
      for (const reader of [whole, own, none]) reader?.close()
      t.equal(journal.openCursors, 0)
    }
  })

  await t.test('to start a turn whose reader is still on its way: that reader is told its end', async (t) => {
    // It waited for ever: neither the journal nor anybody else told it.
    const { one, journal, desk } = failing()
    await one.start({ message: 'first' })
    await ticks(5)
    const gate = deferred()
    const reader = new SessionReader()
    const starting = one.engine.startOnce(CHAT, async (epoch, seq) => {
      await gate.promise
      await reader.follow(one.engine, { position: { epoch, seq }, turns: new Set(['x']) })
    })
    await ticks(5)
    journal.before = (method): undefined => { if (method === 'take' || method === 'withdraw') throw new Error('no disk') }
    await desk.answer('first', '')
    await ticks(20)
    gate.resolve()
    t.match(await starting, { accepted: true })
    t.strictSame(reader.short, ['x end STORE_UNAVAILABLE'])
    reader.close()
  })
})

async function forget (one: TurnBench): Promise<void> {
  await one.journal.forget(KEY)
}

/** Nothing is left but claims, and the timer for them. */
async function finish (t: Test, one: TurnBench): Promise<void> {
  await one.idle()
  t.strictSame(one.engine.stats(), { turns: 0, runningTurns: 0 })
  await one.journal.forget(KEY)
  t.match(one.journal.stats(), { sessions: 0, entries: 0, cursors: 0 })
  one.clock.advance(600_000)
  t.equal(one.clock.pending, 0, 'no timer is left')
}
