import t from 'tap'

import { fuzzFrames } from './fuzz-frames.js'

for (const waiting of ['never', 'mostly'] as const) {
  t.test(`5,000 frames, good, bad and ugly, are answered as the protocol says, and leave nothing behind: they wait ${waiting}`, async (t) => {
    const report = await fuzzFrames({ frames: 5_000, seed: 1, limitMs: 60_000, waiting })
    t.strictSame(report.faults, [])
    t.equal(report.mismatches, 0)
    t.equal(report.frames, 5_000)
    t.equal(report.answered + report.closes + report.cut, 5_000)
    t.ok(report.closes > 0)
    t.ok(report.cut < 200, `${report.cut} have no answer`)
    t.match(report.stats, { connections: 0, turns: 0, runningTurns: 0, followers: 0 })
  })
}

t.test('it stops when its time is up', async (t) => {
  const report = await fuzzFrames({ frames: Infinity, seed: 2, limitMs: 200, connections: 2 })
  t.strictSame(report.faults, [])
  t.ok(report.hasReachedLimit)
  t.ok(report.frames > 0)
})
