import { performance } from 'node:perf_hooks'

import t from 'tap'

import { Coalescer, writeTime, type Waiting } from '../../lib/transports/coalescer.js'

const never: Waiting = { pumpIfWaiting () { throw new Error('it was not to wait') } }

t.test('nothing waits that was not written to just now, and nothing at all for 0 ms', async (t) => {
  t.equal(new Coalescer(2).takes(never, undefined), false)
  t.equal(new Coalescer(2).takes(never, (writeTime() - 20) | 0), false)
  t.equal(new Coalescer(0).takes(never, writeTime()), false)
})

t.test('the time of a write wraps around, and what was written before that was written just now', async (t) => {
  let ms = 2 ** 31 / 10 - 1
  t.capture(performance, 'now', () => ms)
  const writtenAt = writeTime()
  ms += 1.5
  t.ok(writeTime() < 0 && writtenAt > 0)
  t.equal(new Coalescer(2).takes({ pumpIfWaiting () {} }, writtenAt), true)
  ms += 0.5
  t.equal(new Coalescer(2).takes(never, writtenAt), false)
  for (const days of [1, 3, 4, 9]) {
    ms = days * 86_400_000
    t.equal(new Coalescer(0).takes(never, 0), false, `${days} days`)
  }
})

t.test('all that waits is told by one timer, and what waits then by the next', async (t) => {
  const coalescer = new Coalescer(20)
  const told: string[] = []
  // The coalescer's timer alone would keep no process.
  const alive = setTimeout(() => { t.fail('it waits for ever') }, 10_000)
  await new Promise<void>((resolve) => {
    const wait = (name: string, then?: () => void): void => {
      t.equal(coalescer.takes({ pumpIfWaiting () { told.push(name); then?.() } }, writeTime()), true)
    }
    wait('a')
    wait('b', () => { wait('again', resolve) })
    wait('c')
  })
  clearTimeout(alive)
  t.strictSame(told, ['a', 'b', 'c', 'again'])
})
