// The benchmark over Redis: that everything is measured, and that what is told wrong is found. The figures are no matter here.
import t from 'tap'

import { smokeOf } from '../smoke.js'
import { PieceCounter } from './piece-counter.js'

t.test('every load runs, and tells its figures of every target', async (t) => {
  const loads = await smokeOf(t, new URL('run.ts', import.meta.url))
  t.strictSame(loads.map((text) => [/^[\w-]+/.exec(text)?.[0], [...text.matchAll(/^- ([\w. -]+): \S/gm)].map(([, target]) => target)]), [
    ['added', ['memory journal', 'Redis journal']],
    ['added', ['memory journal', 'Redis journal']],
    ...Array.from({ length: 3 }, () => ['two-nodes', ['Redis journal', 'resumable-stream', 'Socket.IO']]),
    ...Array.from({ length: 2 }, () => ['memory', ['Redis journal']])
  ])
  for (const text of loads) t.notMatch(text, /NaN|Infinity/)
})

t.test('pieces are counted however their bytes are cut', async (t) => {
  const counter = new PieceCounter(false)
  for (const bytes of ['1 the0', '|, is1|--12, ', '2', '|']) counter.take(Buffer.from(bytes))
  t.strictSame([counter.pieces, counter.isInOrder, counter.delays], [3, true, []])
  counter.take(Buffer.from('4|'))
  t.strictSame([counter.pieces, counter.isInOrder], [4, false])
  const late = new PieceCounter(true)
  late.take(Buffer.from(`-- at${Math.round(performance.now())}|--`), 2)
  t.equal(late.delays.length, 1)
})
