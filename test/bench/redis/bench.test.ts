// The benchmark over Redis: that everything is measured, and that what is told wrong is found. The figures are no matter here.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

import t from 'tap'

import { PieceCounter } from './piece-counter.js'

t.test('every load runs, and tells its figures of every target', async (t) => {
  const child = spawn(process.execPath, ['--import=tsx', fileURLToPath(new URL('run.ts', import.meta.url)), '--smoke'], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let [printed, failures] = ['', '']
  child.stdout.on('data', (chunk) => { printed += String(chunk) })
  child.stderr.on('data', (chunk) => { failures += String(chunk) })
  const [code] = await once(child, 'close') as [number | null]
  t.equal(code, 0, failures)
  const loads = printed.split('\n## ').slice(1)
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
