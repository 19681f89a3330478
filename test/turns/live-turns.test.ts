import t from 'tap'

import { LiveTurns } from '../../lib/turns/live-turns.js'
import { KEY } from './one-chat.js'

await t.test('live turns', async (t) => {
  await t.test('are bounded in all, by owner and by bytes, and make room when they leave', async (t) => {
    const live = new LiveTurns({ maxTurns: 3, maxTurnsPerOwner: 2, maxQueuedBytes: 100 })
    const bob = { ...KEY, owner: 'bob' }
    t.ok(live.enter(KEY, 10))
    t.ok(live.enter(KEY, 10))
    t.notOk(live.enter(KEY, 10), 'too many of the owner')
    t.notOk(live.enter(bob, 81), 'too many bytes')
    t.ok(live.enter(bob, 80))
    live.leave(bob, 80)
    t.ok(live.enter(bob, 0))
    t.notOk(live.enter({ ...KEY, owner: 'cat' }, 0), 'too many in all')
    live.leave(KEY, 10)
    t.ok(live.enter(KEY, 90))
    t.equal(live.count, 3)
    for (const [key, bytes] of [[KEY, 90], [KEY, 10], [bob, 0]] as const) live.leave(key, bytes)
    t.equal(live.count, 0)
  })

  await t.test('of anonymous owners are bounded in all only', async (t) => {
    const live = new LiveTurns({ maxTurns: 3, maxTurnsPerOwner: 1, maxQueuedBytes: 100 })
    const anonymous = { ...KEY, owner: 'anonymous' }
    t.strictSame([1, 2, 3, 4].map(() => live.enter(anonymous, 0)), [true, true, true, false])
  })
})
