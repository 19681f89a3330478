// The benchmark itself: that every workload runs, checks what it is sent, and says figures. The figures are no matter here.
import t from 'tap'

import { checkTurn, openMany } from './speakers.js'
import { smokeOf } from './smoke.js'
import { median, percentile, ratiosOf } from './statistics.js'
import { startTarget } from './targets.js'

t.test('every workload runs, and tells its figures of every target', async (t) => {
  const workloads = await smokeOf(t, new URL('run.ts', import.meta.url))
  t.strictSame(workloads.map((text) => /^[\w-]+/.exec(text)?.[0]), [
    'burst', 'burst-microtask', 'burst-immediate', 'turns', 'ping', 'paced', 'paced-memory', 'paced-at-once', 'idle', 'slow', 'replay', 'fan-out',
    'long-turn', 'many-sessions'
  ])
  for (const text of workloads) {
    // Memory that was given back meanwhile is no growth to compare with.
    const isCompared = !/^slow .*\n- .* -\d/.test(text)
    const first = isCompared ? /\n- .*: .* [\d.,]+ \(× 1\.00, 1\.00–1\.00\)/ : /\n- .*: .* -?[\d.,]+/
    t.match(text, first, 'the first target is the one that the others are compared with')
    t.notMatch(text, /NaN|Infinity/)
  }
  t.match(workloads[0], /\n- ours-tracked \/ ours-plain: pieces\/s [\d.,]+ \(× [\d.]+, /, 'a pair is compared too')
})

t.test('what a target says wrong is found before it is timed', async (t) => {
  const target = await startTarget({ kind: 'raw-ws', isBuilt: false })
  t.teardown(() => target.stop())
  const [client] = await openMany(target.port, 1)
  if (client === undefined) {
    t.fail('no connection')
    return
  }
  await t.resolves(checkTurn(client, 'plain', { agentId: 'ready', pieces: 30 }))
  const onFrame = client.send.bind(client)
  // A client that is told the frames of another turn: one piece is missing.
  client.send = () => { onFrame(Buffer.from([0x81, 0x80 | SHORT.length, 0, 0, 0, 0, ...Buffer.from(SHORT)])) }
  await t.rejects(checkTurn(client, 'plain', { agentId: 'ready', pieces: 30 }), { message: '30 frames for 30 pieces' })
  client.end()
})

const SHORT = '{"type":"chat","agentId":"ready","message":"29"}'

t.test('medians, percentiles and ratios', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 3)
  t.equal(percentile([5, 1, 4, 2, 3], 0.5), 3)
  t.equal(percentile([5, 1, 4, 2, 3], 0.99), 5)
  t.strictSame(ratiosOf([3, -1], [2, 4]), [1.5, -0.25])
  t.strictSame(ratiosOf([3, 1], [2, 0]), [], 'nothing is compared with nothing')
  t.strictSame(ratiosOf([3, 1], [2, NaN]), [])
})
