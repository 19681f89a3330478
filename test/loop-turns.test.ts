import { setImmediate as nextTurn } from 'node:timers/promises'

import t from 'tap'

import { exactTime, systemClock } from '../lib/clock.js'
import { afterReads, exactNow, loopNow, loopTurn } from '../lib/loop-turns.js'

/** Until the system's own clock has moved on. */
function busy (): void {
  for (const start = performance.now(); performance.now() - start < 1;) Math.sqrt(start)
}

t.test('the time stands still within a turn of the event loop, and has moved on in the next', async (t) => {
  const first = loopNow()
  busy()
  t.equal(loopNow(), first)
  await nextTurn()
  t.ok(loopNow() > first)
})

t.test('who measures within a turn sees it move, and all others then do', async (t) => {
  const first = loopNow()
  busy()
  const exact = exactNow()
  t.ok(exact > first)
  t.equal(loopNow(), exact)
  t.equal(systemClock.now(), exact)
  busy()
  t.ok(exactTime(systemClock) > exact)
  t.equal(exactTime({ now: () => 7 }), 7, 'of a clock that knows no other')
  await nextTurn()
})

t.test('what is to be done behind what was read is done at the end of the turn, in its order, and as of the same time', async (t) => {
  const [turn, now] = [loopTurn(), loopNow()]
  const done: string[] = []
  afterReads(() => {
    done.push('first')
    t.equal(loopNow(), now)
    t.not(loopTurn(), turn, 'what is written now may take the next time')
    afterReads(() => { done.push('of the next turn') })
  })
  afterReads(() => { done.push('second') })
  t.strictSame(done, [])
  await nextTurn()
  t.strictSame(done, ['first', 'second'])
  await nextTurn()
  t.strictSame(done, ['first', 'second', 'of the next turn'])
  t.ok(loopNow() > now)
})
