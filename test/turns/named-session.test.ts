import t, { type Test } from 'tap'

import type { EndedTurn } from '../../lib/journal/journal.js'
import type { MemoryJournalOptions } from '../../lib/journal/memory-journal.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { Chat } from '../../lib/turns/engine.js'
import { Desk } from '../helpers/desk.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { SessionReader } from '../helpers/session-reader.js'
import { JOURNALS, KEY, LIMITS, ticks, TurnBench } from '../helpers/turn-bench.js'

const CHAT: Chat = { key: KEY, isNamed: true, turnId: 'x', message: 'a', bodyHash: 'hash of a' }

for (const [kind, makeJournal] of JOURNALS) {
  const bench = (ofJournal: MemoryJournalOptions = {}): { one: TurnBench, desk: Desk } => {
    const clock = new ManualClock()
    const desk = new Desk()
    return { desk, one: new TurnBench(desk.executor, { clock, journal: makeJournal({ ...ofJournal, clock }) }) }
  }

  await t.test(`a named session, with a journal ${kind}`, async (t) => {
    await t.test('tells again what an ended turn answered, in pieces or whole, and nothing of one that said nothing', async (t) => {
      const { one, desk } = bench()
      for (const [turnId, message] of [['x', 'a'], ['y', 'b'], ['z', 'c']] as const) {
        await one.engine.startOnce({ ...CHAT, turnId, message }, () => {})
      }
      await desk.answer('a', ['do', 'ne'])
      await desk.answer('b', 'whole')
      await desk.answer('c', [])
      await one.idle()
      const told = await Promise.all(['x', 'y', 'z'].map(async (turnId) => await one.engine.recall(KEY, turnId, await endedOf(one, turnId))))
      t.strictSame(told, [
        { text: 'done', end: { finishReason: 'stop' } },
        { text: '', end: { finishReason: 'stop', content: 'whole' } },
        { text: undefined, end: { finishReason: 'stop' } }
      ])
      await forget(one)
    })

    await t.test('has a history by pages, and nobody else\'s', async (t) => {
      const { one, desk } = bench()
      await one.start({ message: 'a' })
      await desk.answer('a', 'done')
      await one.idle()
      t.match(await one.engine.history(KEY, { limit: 1 }), { messages: [{ role: 'assistant', content: 'done' }], before: String })
      t.strictSame(await one.engine.history({ ...KEY, owner: 'bob' }, { limit: 1 }), { messages: [] })
      await one.finish(t)
    })

    await t.test('tells its readers what is published, between its turns and within them', async (t) => {
      const { one, desk } = bench()
      const reader = await new SessionReader().follow(one.engine)
      t.match(reader.followed, { recovered: false, turns: [], follower: { seq: 0 } })
      await one.engine.publish(KEY, 'note', '1')
      await one.engine.startOnce(CHAT, () => {})
      await ticks(10)
      await one.engine.publish(KEY, 'note', '2')
      await desk.answer('a', '')
      await one.idle()
      reader.read()
      t.strictSame(reader.short, ['- event note', 'x event turn-started', '- event note', 'x end stop'])
      t.match(reader.entries[0], { json: '1', seq: 1 })
      reader.close()
      await finish(t, one)
    })

    await t.test('is followed by as many as there is room for', async (t) => {
      const { one } = bench({ maxSessions: 1 })
      const reader = await new SessionReader().follow(one.engine)
      const other = await new SessionReader().follow(one.engine, {}, { ...KEY, sessionId: 's2' })
      t.equal(other.followed, undefined)
      t.ok((await new SessionReader().follow(one.engine)).followed)
      reader.close()
      await forget(one)
    })

    await t.test('is told no more than its readers\' own turns, where they want no other', async (t) => {
      const { one, desk } = bench()
      const turns = new Set(['y'])
      const reader = await new SessionReader().follow(one.engine, { turns })
      await one.engine.startOnce(CHAT, () => {})
      await one.engine.startOnce({ ...CHAT, turnId: 'y' }, () => {})
      await desk.answer('a', ['b'])
      await one.idle()
      t.strictSame(reader.short, ['y event turn-started', 'y text b', 'y end stop'])
      reader.close()
      await finish(t, one)
    })
  })
}

await t.test('a session store that hangs', async (t) => {
  const clock = new ManualClock()
  const never = (): Promise<never> => new Promise(() => {})
  const store = Object.assign(memorySessionStore(), { messages: never, turn: never })
  const one = new TurnBench(() => '', { clock, store })
  const ended: EndedTurn = { end: { finishReason: 'stop' }, isWhole: false, epoch: 'e', seq: 1 }
  for (const ask of [() => one.engine.history(KEY, { limit: 1 }), () => one.engine.recall(KEY, 'x', ended)]) {
    const failed = t.rejects<unknown>(ask(), { message: `the session store took longer than ${LIMITS.storeTimeoutMs} ms` })
    clock.advance(LIMITS.storeTimeoutMs)
    await failed
  }
})

await t.test('a session store that fails to tell a history ends the turn of whoever asked, as the store\'s fault', async (t) => {
  const failing = Object.assign(memorySessionStore(), { messages: () => Promise.reject(new Error('no disk')) })
  const one = new TurnBench(async (turn) => String((await turn.history()).length), { store: failing })
  const reader = await one.start()
  t.match(await reader.ended.promise, { error: { code: 'STORE_UNAVAILABLE' } })
  t.match(one.log.lines, [{ level: 'error', fields: { err: { cause: /no disk/ } }, text: 'the session store failed to tell a history' }])
  await one.finish(t)
})

await t.test('the journal keeps all that another node needs to run a chat', async (t) => {
  const one = new TurnBench((turn) => JSON.stringify([turn.metadata, turn.context]))
  const reader = await one.start({ metadata: { a: 1 }, context: { of: 'ann' } })
  t.match(await reader.ended.promise, { content: '[{"a":1},{"of":"ann"}]' })
  await one.finish(t)
})

async function endedOf (one: TurnBench, turnId: string): Promise<EndedTurn> {
  const known = await one.engine.known({ ...CHAT, turnId })
  if (known === undefined || known.code !== undefined || known.ended === undefined) throw new Error('has not ended')
  return known.ended
}

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
