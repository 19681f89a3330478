import t from 'tap'

import { ReaderPace } from '../../lib/adapters/reader-pace.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ticks } from '../helpers/turn-bench.js'

/** So many pieces a producer may be ahead. */
const AHEAD = 16

await t.test('a producer goes on when its reader waits for it, and not when the reader does something else', async (t) => {
  const pace = new ReaderPace()
  const [pieces, taken] = [[] as number[], [] as number[]]
  const over = new AbortController()
  void (async () => {
    for (let piece = 0; !over.signal.aborted; piece++) {
      await pace.mayGoOn()
      pieces.push(piece)
    }
  })()
  await ticks(10)
  t.equal(pieces.length, AHEAD)

  const gate = deferred()
  // It gets what lies ready: there is no need for more.
  const ready = pace.watched(async function * () { yield * [1, 2, 3]; await gate.promise }())[Symbol.asyncIterator]()
  for (let count = 0; count < 3; count++) {
    taken.push(Number((await ready.next()).value))
    await ticks(3)
  }
  t.strictSame(taken, [1, 2, 3])
  t.equal(pieces.length, AHEAD)

  const last = ready.next()
  await eventually(() => pieces.length >= 3 * AHEAD)
  over.abort()
  gate.resolve()
  t.match(await last, { done: true })
  const { length } = pieces
  await ticks(10)
  t.equal(pieces.length, length)
})

await t.test('a stream that is held can be cancelled', async (t) => {
  let reason: unknown
  const pace = new ReaderPace()
  const held = pace.held(new ReadableStream({ cancel (why) { reason = why } }))
  await held.cancel('enough')
  t.equal(reason, 'enough')
})

await t.test('a stream that cannot be closed is watched as well', async (t) => {
  const source = { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false as const, value: 1 }) }) }
  const iterator = new ReaderPace().watched(source)[Symbol.asyncIterator]()
  t.strictSame(await iterator.next(), { done: false, value: 1 })
  t.strictSame(await iterator.return?.(), { done: true, value: undefined })
})
