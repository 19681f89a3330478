import t from 'tap'

import type { Journal, Run, StoredChat, TurnEnd } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { TimedJournal } from '../../lib/turns/timed-journal.js'
import { deferred } from '../helpers/deferred.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, ticks } from '../helpers/turn-bench.js'

const CHAT: StoredChat = { turnId: 't1', message: 'hello', acceptedAt: 0, bodyHash: 'hash' }
const END: TurnEnd = { finishReason: 'aborted' }
const TERMS = { onBusy: 'queue', maxQueued: 1, displacedEnd: END } as const
const RUN: Run = { key: KEY, chat: CHAT, text: '' }
const LIMIT_MS = 1_000

const CALLS: Record<string, (journal: TimedJournal) => unknown> = {
  offer: (journal) => journal.offer(KEY, CHAT, TERMS),
  claimed: (journal) => journal.claimed(KEY, CHAT),
  take: (journal) => journal.take(KEY, () => true),
  append: (journal) => journal.append(RUN, 1, []),
  release: (journal) => journal.release(RUN, END),
  withdraw: (journal) => journal.withdraw(KEY, 't1', END),
  retract: (journal) => journal.retract(KEY, CHAT),
  cancel: (journal) => journal.cancel(KEY, 't1', END),
  publish: (journal) => journal.publish(KEY, 'note', '1'),
  followTurn: (journal) => journal.followTurn(KEY, 't1', () => {}),
  follow: (journal) => journal.follow(KEY, {}, () => {}),
  readers: (journal) => journal.readers(KEY, 't1'),
  forget: (journal) => journal.forget(KEY)
}

await t.test('what a journal answers at once is answered at once, and costs no timer', async (t) => {
  const clock = new ManualClock()
  const inner = memoryJournal()
  const journal = new TimedJournal(inner, clock, LIMIT_MS, fail)
  t.match(journal.offer(KEY, CHAT, TERMS), { accepted: true, position: 0 })
  t.strictSame(journal.claimed(KEY, CHAT), { isSame: true, ended: undefined })
  t.match(journal.followTurn(KEY, 't1', () => {}), { next: Function })
  t.equal(journal.readers(KEY, 't1'), 1)
  const run = journal.take(KEY, () => true) as Run
  t.equal(run.chat, CHAT)
  t.equal(journal.append(run, 1, [{ kind: 'text', content: 'a' }]), true)
  t.equal(journal.pace(run), undefined)
  t.strictSame(journal.cancel(KEY, 't1', END), ['t1'])
  t.equal(journal.release(run, END), undefined)
  t.match(journal.follow(KEY, {}, () => {}), { recovered: false, cursor: { seq: 3 } })
  t.match(journal.publish(KEY, 'note', '1'), { seq: 4 })
  t.strictSame([journal.withdraw(KEY, 't1', END), journal.retract(KEY, CHAT)], [false, false])
  t.equal(journal.forget(KEY), undefined)
  t.equal(clock.pending, 0)
})

for (const [method, call] of Object.entries(CALLS)) {
  await t.test(`${method} that hangs is given up, and one that fails says so`, async (t) => {
    const { journal, gate, clock } = hanging(method)
    const failed = t.rejects<unknown>(Promise.resolve(call(journal)), { message: `the journal took longer than ${LIMIT_MS} ms` })
    clock.advance(LIMIT_MS)
    await failed
    gate.reject(new Error('too late to matter'))
    const second = hanging(method)
    const rejected = t.rejects<unknown>(Promise.resolve(call(second.journal)), { message: 'no disk' })
    second.gate.reject(new Error('no disk'))
    await rejected
    t.equal(second.clock.pending, 0)
  })
}

await t.test('what comes too late is given back:', async (t) => {
  /** What the journal was asked after it had answered too late. */
  const late = async (method: string, answer: unknown): Promise<Array<[string, ...unknown[]]>> => {
    const { journal, gate, clock, called } = hanging(method)
    const failed = t.rejects<unknown>(Promise.resolve(CALLS[method]?.(journal)), { message: /took longer/ })
    clock.advance(LIMIT_MS)
    await failed
    gate.resolve(answer)
    await ticks(2)
    return called.slice(1)
  }

  await t.test('a chat that was accepted, and none that was refused', async (t) => {
    t.strictSame(await late('offer', { accepted: true, position: 0, epoch: 'e', seq: 0, displaced: [] }), [['retract', KEY, CHAT]])
    t.strictSame(await late('offer', { accepted: false, code: 'QUEUE_FULL' }), [])
  })

  await t.test('the right to run that has come with one', async (t) => {
    const accepted = { accepted: true, position: 0, epoch: 'e', seq: 0, displaced: [], run: RUN }
    t.strictSame(await late('offer', accepted), [['release', RUN, { finishReason: 'error', error: { code: 'STORE_UNAVAILABLE' } }]])
  })

  await t.test('the right to run, and the turn has an end', async (t) => {
    t.strictSame(await late('take', RUN), [['release', RUN, { finishReason: 'error', error: { code: 'STORE_UNAVAILABLE' } }]])
    t.strictSame(await late('take', undefined), [])
  })

  await t.test('a reader of a turn, or of a session', async (t) => {
    let closed = 0
    const cursor = { close () { closed++ } }
    await late('followTurn', cursor)
    t.equal(closed, 1)
    await late('follow', { cursor, recovered: false, turns: [] })
    t.equal(closed, 2)
    t.strictSame([await late('followTurn', undefined), await late('follow', undefined)], [[], []])
  })

  await t.test('and where that fails, or hangs, it is told', async (t) => {
    for (const how of ['throws', 'rejects', 'hangs'] as const) {
      const failures: unknown[] = []
      const { journal, gate, clock, inner } = hanging('offer', (err) => { failures.push(err) })
      const failed = t.rejects<unknown>(Promise.resolve(CALLS['offer']?.(journal)), { message: /took longer/ })
      clock.advance(LIMIT_MS)
      await failed
      inner.retract = () => {
        if (how === 'throws') throw new Error('no disk')
        return how === 'rejects' ? Promise.reject(new Error('no disk')) : new Promise(() => {})
      }
      gate.resolve({ accepted: true })
      await ticks(2)
      clock.advance(LIMIT_MS)
      await ticks(2)
      t.match(failures, [{ message: how === 'hangs' ? 'the journal took longer than 1000 ms' : 'no disk' }])
    }
  })
})

/** A journal of which one method does not answer before a gate is opened. */
function hanging (method: string, onFailure: (err: unknown) => void = fail) {
  const clock = new ManualClock()
  const gate = deferred<unknown>()
  const called: Array<[string, ...unknown[]]> = []
  const answer = (name: string) => (...given: unknown[]): unknown => {
    called.push([name, ...given])
    return name === method ? gate.promise : undefined
  }
  // Only what is called is there.
  const inner = Object.fromEntries([...Object.keys(CALLS), 'pace'].map((name) => [name, answer(name)])) as unknown as Journal
  return { journal: new TimedJournal(inner, clock, LIMIT_MS, onFailure), inner, clock, gate, called }
}

function fail (err: unknown): void {
  t.fail(String(err))
}
