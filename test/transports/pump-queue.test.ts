import { setImmediate as tick } from 'node:timers/promises'

import t from 'tap'

import { pumpBehind, pumpSoon } from '../../lib/transports/pump-queue.js'

/** Waits until what was to happen in the next tick has. */
const nextTick = (): Promise<void> => new Promise((resolve) => { process.nextTick(resolve) })

t.test('all that is due in one run of the event loop is pumped behind it, in its order', async (t) => {
  const pumped: string[] = []
  const one = (name: string) => ({ pump: () => { pumped.push(name) } })
  for (const name of ['a', 'b', 'a']) pumpSoon(one(name))
  await nextTick()
  t.strictSame(pumped, [])
  await tick()
  t.strictSame(pumped, ['a', 'b', 'a'])
})

t.test('what is due while others are pumped comes in the next run', async (t) => {
  const pumped: string[] = []
  const last = { pump: () => { pumped.push('last') } }
  pumpSoon({ pump: () => { pumped.push('first'); pumpSoon(last) } })
  await tick()
  t.strictSame(pumped, ['first'])
  await tick()
  t.strictSame(pumped, ['first', 'last'])
})

t.test('what becomes due meanwhile is pumped behind what was to be done', async (t) => {
  const order: string[] = []
  const one = (name: string) => ({ pump: () => { order.push(name) } })
  pumpSoon(one('before'))
  setImmediate(() => {
    pumpSoon(one('in it'))
    void Promise.resolve().then(() => { pumpSoon(one('a little later')) })
  })
  pumpBehind()
  await tick()
  t.strictSame(order, ['before', 'in it', 'a little later'])
  pumpSoon(one('after'))
  await tick()
  t.equal(order.at(-1), 'after')
})

t.test('where many are due nobody waits for all of them', async (t) => {
  let pumped = 0
  for (let i = 0; i < 64; i++) pumpSoon({ pump: () => { pumped++ } })
  t.equal(pumped, 0, 'never while something is handled')
  await nextTick()
  t.equal(pumped, 64)
  pumpSoon({ pump: () => { pumped++ } })
  await tick()
  t.equal(pumped, 65)
})
