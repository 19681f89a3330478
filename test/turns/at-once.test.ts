import t from 'tap'

import { andFinally, andThen, attempt } from '../../lib/awaitable.js'
import type { Journal, JournalNews } from '../../lib/journal/journal.js'
import { memoryJournal, unsharedJournal } from '../../lib/journal/memory-journal.js'
import { unsharedSessionStore } from '../../lib/sessions/memory-session-store.js'
import { TouchOrder, type Ordered } from '../../lib/touch-order.js'
import { hasSurrogates, utf8Length } from '../../lib/turns/utf8-length.js'
import { WaitingTurns } from '../../lib/turns/waiting-turns.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, TurnBench } from '../helpers/turn-bench.js'

t.test('a turn whose executor, store and journal answer at once is over when its chat is accepted', async (t) => {
  const one = new TurnBench(() => ['a', 'b'])
  const started = one.engine.startTurn({ key: KEY, isNamed: true, turnId: 'x', message: 'hello' }, () => {})
  if ('then' in started || !started.accepted) throw new Error('it was to be accepted at once')
  t.strictSame(one.engine.stats(), { turns: 0, runningTurns: 0 })
  t.equal(one.clock.pending, 1, 'the timer of the journal, and none to watch the turn')
  t.equal(started.follower.text(), 'ab')
  started.follower.close()
})

t.test('turns that waited run one after another, however many, and not one inside another', async (t) => {
  const gate = deferred()
  let depth = 0
  const one = new TurnBench(({ message }) => {
    if (message === 'first') return gate.promise.then(() => 'done')
    depth = Math.max(depth, new Error().stack?.split('advance').length ?? 0)
    return message
  }, { limits: { maxQueuedTurns: 90, maxTurnsPerOwner: 90 } })
  const readers = [await one.start({ message: 'first' })]
  for (let i = 0; i < 80; i++) readers.push(await one.start({ message: `${i}` }))
  gate.resolve()
  for (const reader of readers) await reader.ended.promise
  t.strictSame(readers.slice(1).map(({ ends }) => ends[0]?.content), Array.from({ length: 80 }, (_, i) => `${i}`))
  t.ok(depth <= 2, `${depth} at most`)
  await one.finish(t)
})

t.test('what a journal throws at once is no worse than what it rejects with', async (t) => {
  await t.test('when it is to take a right to run back', async (t) => {
    const clock = new ManualClock()
    const journal = memoryJournal({ clock })
    const release = journal.release.bind(journal)
    let count = 0
    journal.release = (...given) => {
      void release(...given)
      if (count++ === 0) throw new Error('no disk')
    }
    const one = new TurnBench(() => 'done', { journal, clock })
    for (const reader of [await one.start(), await one.start()]) t.match(await reader.ended.promise, { content: 'done' })
    t.match(one.log.lines, [{ fields: { err: /no disk/ }, text: 'the journal did not take the right to run back' }])
    await one.finish(t)
  })

  await t.test('when it is to start a chat that another node has taken', async (t) => {
    const clock = new ManualClock()
    let hear: (news: JournalNews) => void = () => {}
    const journal: Journal = Object.assign(memoryJournal({ clock }), {
      isShared: true,
      watch: (listener: (news: JournalNews) => void) => {
        hear = listener
        return () => {}
      },
      take: (): never => { throw new Error('no disk') }
    })
    const one = new TurnBench(() => 'done', { journal, clock })
    hear({ kind: 'free', key: KEY })
    await eventually(() => one.log.lines.length > 0)
    t.match(one.log.lines, [{ fields: { err: /no disk/, turnId: '' }, text: 'the journal did not start a turn' }])
    await one.finish(t)
  })
})

t.test('a journal that nobody shares forgets what its reader has read; one that is shared does not', (t) => {
  for (const [journal, entries] of [[unsharedJournal(), 0], [memoryJournal(), 3]] as const) {
    journal.offer(KEY, { turnId: 'x', message: 'hello', acceptedAt: 0 }, { onBusy: 'queue', maxQueued: 1, displacedEnd: { finishReason: 'aborted' } })
    const cursor = journal.followTurn(KEY, 'x', () => {})
    const run = journal.take(KEY, () => true)
    if (run === undefined || 'then' in run || cursor === undefined || 'then' in cursor) throw new Error('a memory journal answers at once')
    journal.append(run, 1, [{ kind: 'text', content: 'a' }, { kind: 'end', end: { finishReason: 'stop' } }])
    t.equal(journal.stats().entries, 3)
    t.strictSame([cursor.next(), cursor.next(), cursor.next()].map((entry) => typeof entry === 'object' && entry.kind), ['event', 'text', 'end'])
    t.equal(journal.stats().entries, entries)
    journal.close()
  }
  t.end()
})

t.test('a store that nobody shares keeps what it is given, and finds that of a turn', (t) => {
  const store = unsharedSessionStore({ maxMessagesPerSession: 3 })
  const message = (turnId: string, role: 'user' | 'assistant') => ({ turnId, role, content: turnId, at: 1, complete: true })
  for (const turnId of ['x', 'y']) store.append(KEY, [message(turnId, 'user'), message(turnId, 'assistant')])
  t.strictSame(store.messages(KEY, { limit: 9 }).messages, [message('x', 'assistant'), message('y', 'user'), message('y', 'assistant')])
  t.strictSame(store.turn(KEY, 'y'), [message('y', 'user'), message('y', 'assistant')])
  t.strictSame(store.turn(KEY, 'z'), [])
  t.end()
})

t.test('a store that nobody shares keeps long messages as they are, and nothing of a session that it has forgotten', (t) => {
  const store = unsharedSessionStore({ maxMessagesPerSession: 2 })
  const said = (turnId: string, content: string) => ({ turnId, role: 'assistant' as const, content, at: 1, complete: true })
  const [long, half] = [said('y', 'It is long. 很长 😀 '.repeat(200)), said('z', 'half a character \ud83d '.repeat(200))]
  const other = { ...KEY, sessionId: 'other' }
  store.append(KEY, [said('x', 'short'), long, half])
  t.strictSame(store.messages(KEY, { limit: 9 }).messages, [long, half])
  store.append(KEY, [said('x', 'More is said than there is room for. '.repeat(100))])
  store.append(other, [said('x', 'another '.repeat(600))])
  t.strictSame(store.messages(KEY, { limit: 9 }).messages.map(({ content }) => content.slice(0, 6)), ['half a', 'More i'])
  store.delete(KEY)
  t.strictSame(store.messages(KEY, { limit: 9 }), { messages: [] })
  t.strictSame(store.messages(other, { limit: 9 }).messages.map(({ content }) => content), ['another '.repeat(600)])
  t.end()
})

t.test('turns that wait are in their order, and one of the same id takes the place of the other', (t) => {
  const waiting = new WaitingTurns<{ chat: { turnId: string }, n: number }>()
  const turn = (turnId: string, n = 0) => ({ chat: { turnId }, n })
  const [first, second, third, other] = [turn('a'), turn('b'), turn('c'), turn('b', 1)] as const
  for (const each of [first, second, third, other]) waiting.add(each)
  t.strictSame(waiting.all(), [turn('a'), turn('b', 1), turn('c')])
  t.strictSame([waiting.first, waiting.find('c'), waiting.find('d')], [turn('a'), turn('c'), undefined])
  for (const each of [turn('d'), second]) waiting.delete(each)
  t.strictSame(waiting.all(), [first, other, third], 'the one whose place was taken takes nobody with it')
  for (const each of [other, first, third]) waiting.delete(each)
  t.strictSame([waiting.size, waiting.first], [0, undefined])
  t.end()
})

t.test('an order of touches goes from the one left alone longest to the newest', (t) => {
  interface Item extends Ordered<Item> { name: string }
  const order = new TouchOrder<Item>()
  const [a, b, c] = ['a', 'b', 'c'].map((name): Item => ({ name, older: undefined, newer: undefined, rank: 0 }))
  if (a === undefined || b === undefined || c === undefined) throw new Error('there are three')
  order.delete(a)
  for (const item of [a, b, c, c, a]) order.touch(item)
  t.equal(order.oldest()?.name, 'b')
  t.strictSame(order.newest(9, order.top).map(({ name }) => name), ['a', 'c', 'b'])
  t.strictSame(order.newest(1, a.rank).map(({ name }) => name), ['c'])
  order.delete(c)
  t.strictSame(order.newest(9, order.top).map(({ name }) => name), ['a', 'b'])
  order.delete(b)
  order.delete(a)
  t.strictSame([order.size, order.oldest()], [0, undefined])
  t.end()
})

t.test('texts are measured as UTF-8, short ones and long ones', (t) => {
  for (const piece of ['', 'a', 'é', '你', '😀', 'a"\\\u0001é你😀']) {
    for (const text of [piece, piece.repeat(20)]) {
      t.equal(utf8Length(text), Buffer.byteLength(text))
      t.equal(hasSurrogates(text), text.includes('😀'))
    }
  }
  t.ok(hasSurrogates('\ud83d'))
  t.end()
})

t.test('what may come at once or later goes on in the same way', async (t) => {
  const failed = (err: unknown): string => `failed ${String(err)}`
  t.equal(andThen(1, (n) => n + 1), 2)
  t.equal(await andThen(Promise.resolve(1), (n) => n + 1), 2)
  t.equal(attempt(() => 'well', failed), 'well')
  t.equal(attempt((): string => { throw 'x' as unknown as Error }, failed), 'failed x')
  t.equal(await attempt<string>(async () => { throw 'x' as unknown as Error }, failed), 'failed x')
  let done = 0
  const count = (): void => { done++ }
  t.equal(andFinally(() => 1, count), 1)
  t.equal(await andFinally(async () => 1, count), 1)
  t.throws(() => andFinally(() => { throw new Error('at once') }, count), { message: 'at once' })
  await t.rejects(Promise.resolve(andFinally(async () => { throw new Error('later') }, count)), { message: 'later' })
  t.equal(done, 4)
})
