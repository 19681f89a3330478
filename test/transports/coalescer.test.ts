import { performance } from 'node:perf_hooks'

import t from 'tap'

import { Coalescer, type Waiting } from '../../lib/transports/coalescer.js'

const never: Waiting = { pumpIfWaiting () { throw new Error('it was not to wait') } }

t.test('nothing waits that was not written to just now, and nothing at all for 0 ms', async (t) => {
  t.equal(new Coalescer(2).takes(never, -Infinity), false)
  t.equal(new Coalescer(2).takes(never, performance.now() - 2), false)
  t.equal(new Coalescer(0).takes(never, performance.now()), false)
})

t.test('all that waits is told by one timer, and what waits then by the next', async (t) => {
  const coalescer = new Coalescer(20)
  const told: string[] = []
  // The coalescer's timer alone would keep no process.
  const alive = setTimeout(() => { t.fail('it waits for ever') }, 10_000)
  await new Promise<void>((resolve) => {
    const wait = (name: string, then?: () => void): void => {
      t.equal(coalescer.takes({ pumpIfWaiting () { told.push(name); then?.() } }, Infinity), true)
    }
    wait('a')
    wait('b', () => { wait('again', resolve) })
    wait('c')
  })
  clearTimeout(alive)
  t.strictSame(told, ['a', 'b', 'c', 'again'])
})
