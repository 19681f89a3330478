import t from 'tap'

import type { Journal, TurnEnd } from '../../lib/journal/journal.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { double } from '../conformance/subjects.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { KEY, ticks, TurnBench } from '../helpers/turn-bench.js'

/** An engine over a journal that nodes share as far as it can see, and that gives the right to run with a chat, where it is free. */
function givingRights (changes: (inner: Journal) => Partial<Journal> = () => ({}), answer: () => string | Promise<string> = () => 'done') {
  const clock = new ManualClock()
  const inner = memoryJournal({ clock })
  const seen = {
    takes: 0,
    stops: new Array<() => boolean>(),
    released: new Array<[turnId: string, end: TurnEnd]>(),
    said: new Array<string>()
  }
  const journal = double(inner, {
    watch: () => () => {},
    async offer (key, chat, terms) {
      const offer = await inner.offer(key, chat, terms)
      const { onStop } = terms
      if (!offer.accepted || onStop === undefined) return offer
      seen.stops.push(onStop)
      const run = await inner.take(key, onStop)
      return run === undefined ? offer : { ...offer, run }
    },
    async take (...given) {
      seen.takes++
      return await inner.take(...given)
    },
    release (run, end) {
      seen.released.push([run.chat.turnId, end])
      return inner.release(run, end)
    },
    ...changes(inner)
  })
  const executor = ({ message }: { message: string }) => {
    seen.said.push(message)
    return answer()
  }
  return { seen, one: new TurnBench({ [KEY.agentId]: executor }, { journal, clock }) }
}

/** The same, where a turn's reader is there no sooner than `open` is called. */
function readLater () {
  const opened = deferred<undefined>()
  const scene = givingRights((inner) => ({
    async followTurn (...given) {
      await opened.promise
      return await inner.followTurn(...given)
    }
  }))
  return { ...scene, open: () => { opened.resolve(undefined) } }
}

/** The same, where the first turn cannot be read. */
function unreadableOnce (answer?: () => Promise<string>) {
  let reads = 0
  return givingRights((inner) => ({
    followTurn (...given) {
      if (reads++ === 0) throw new Error('no way to read it')
      return inner.followTurn(...given)
    }
  }), answer)
}

t.test('a turn of which the right comes with its chat runs without being asked for; those behind it are', async (t) => {
  const { one, seen } = givingRights()
  const readers = await Promise.all([one.start(), one.start()])
  for (const reader of readers) t.match(await reader.ended.promise, { content: 'done' })
  t.strictSame(readers.map(({ position }) => position), [0, 1])
  await one.idle()
  t.not(seen.takes, 0, 'the second one')
  const before = seen.takes
  t.match(await (await one.start()).ended.promise, { content: 'done' })
  await one.idle()
  t.equal(seen.takes, before, 'the third one has found the session free')
  await one.finish(t)
})

t.test('a turn that is stopped before it could run ends so', async (t) => {
  const { one, seen, open } = readLater()
  const starting = one.start()
  await eventually(() => seen.stops.length > 0)
  t.equal(seen.stops[0]?.(), true)
  open()
  t.match(await (await starting).ended.promise, { finishReason: 'aborted' })
  t.strictSame(seen.said, [])
  await one.finish(t)
})

t.test('a chat that came with its right, and that nobody can read, is refused, and the next one runs', async (t) => {
  const { one, seen } = unreadableOnce()
  const [refused, reader] = await Promise.all([one.offer({ message: 'first' }), one.start({ message: 'second' })])
  t.match(refused, { accepted: false, code: 'STORE_UNAVAILABLE' })
  t.match(await reader.ended.promise, { content: 'done' })
  t.strictSame(seen.said, ['second'])
  t.match(seen.released[0], ['t1', { finishReason: 'error', error: { code: 'STORE_UNAVAILABLE' } }])
  await one.finish(t)
})

t.test('one that its client can send again, and then finds, runs all the same', async (t) => {
  const answer = deferred<string>()
  const { one, seen } = unreadableOnce(() => answer.promise)
  t.match(await one.offer({ bodyHash: 'hash' }), { accepted: false, code: 'STORE_UNAVAILABLE' })
  t.strictSame(one.engine.stats(), { turns: 1, runningTurns: 1 })
  answer.resolve('done')
  await one.idle()
  t.strictSame(seen.said, ['hello'])
  t.match(await one.engine.known({ key: KEY, isNamed: true, turnId: 't1', message: 'hello', bodyHash: 'hash' }), {
    ended: { end: { finishReason: 'stop' } }
  })
  t.strictSame(one.engine.stats(), { turns: 0, runningTurns: 0 })
})

t.test('a turn that is cancelled before its reader is there ends by its run, as one turn', async (t) => {
  const { one, seen, open } = readLater()
  const starting = one.start()
  await eventually(() => seen.stops.length > 0)
  t.strictSame(await one.engine.cancel(KEY, true), ['t1'])
  t.equal(one.engine.stats().turns, 1, 'it has not left yet')
  const forgotten = one.engine.forget(KEY)
  await ticks(5)
  open()
  const reader = await starting
  t.match(await reader.ended.promise, { finishReason: 'aborted' })
  await forgotten
  t.strictSame(seen.said, [])
  await one.finish(t)
})

t.test('a right that comes while a drain begins is made use of', async (t) => {
  const answer = deferred<string>()
  const { one, seen } = givingRights(undefined, () => answer.promise)
  const starting = one.start()
  const drained = one.engine.drain(60_000)
  const reader = await starting
  await eventually(() => seen.said.length > 0)
  await ticks(5)
  t.strictSame(one.engine.stats(), { turns: 1, runningTurns: 1 })
  answer.resolve('done')
  t.match(await reader.ended.promise, { content: 'done' })
  await drained
  t.equal(seen.released.length, 1)
  await one.finish(t)
})
