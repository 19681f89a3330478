import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextRun } from 'node:timers/promises'

import t from 'tap'

import { pumpSoon } from '../../lib/transports/pump-queue.js'
import { ReadSlices, type LateReader } from '../../lib/transports/read-slices.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Readers, and what they have handled, by their names. */
class Desk {
  readonly clock = new ManualClock()
  readonly slices = new ReadSlices(this.clock)
  readonly read: string[] = []

  readonly held: string[] = []

  /** One with so many frames, each of which takes `ms`. */
  reader (name: string, frames: number, ms: number): LateReader {
    const { clock, slices, read, held } = this
    const reader: LateReader = {
      readOn () {
        for (; frames > 0; frames--) {
          if (slices.isOver(clock.now())) return slices.wait(reader)
          clock.advance(ms)
          read.push(name)
        }
      },
      hold () { held.push(name) }
    }
    return reader
  }
}

t.test('frames are handled for 5 ms, and then in the next run of the loop', async (t) => {
  const desk = new Desk()
  const reader = desk.reader('x', 8, 2)
  desk.slices.wait(reader)
  // The slice begins with its run.
  desk.clock.advance(1_000)
  for (const expected of [3, 6, 8]) {
    await nextRun()
    t.equal(desk.read.length, expected)
  }
  t.strictSame(desk.held, [], 'it holds itself')
})

t.test('those that wait read on in the next run, in the order in which they began to wait', async (t) => {
  const desk = new Desk()
  const [one, two, three] = [desk.reader('one', 1, 0), desk.reader('two', 1, 0), desk.reader('three', 1, 0)]
  for (const reader of [two, one, three, two]) desk.slices.wait(reader)
  t.strictSame(desk.read, [])
  await nextRun()
  t.strictSame(desk.read, ['two', 'one', 'three'])
  await nextRun()
  t.equal(desk.read.length, 3)
})

t.test('a reader of many slow frames does not keep those waiting that came after it', async (t) => {
  // It used to come first in every slice, and to have it for itself, as long as it had frames.
  const desk = new Desk()
  const [slow, two, three] = [desk.reader('slow', 4, 5), desk.reader('two', 1, 5), desk.reader('three', 2, 3)]
  for (const reader of [slow, two, three]) desk.slices.wait(reader)
  const runs: string[] = []
  for (let run = 0; run < 7; run++) {
    await nextRun()
    runs.push(desk.read.splice(0).join(' '))
  }
  t.strictSame(runs, ['slow', 'two', 'three three', 'slow', 'slow', 'slow', ''])
})

t.test('a reader that the slice is too short for keeps its place', async (t) => {
  const desk = new Desk()
  const [one, two, three] = [desk.reader('one', 1, 5), desk.reader('two', 1, 5), desk.reader('three', 1, 5)]
  desk.slices.wait(one)
  desk.slices.wait(two)
  await nextRun()
  t.strictSame(desk.read, ['one'])
  t.strictSame(desk.held, ['two'], 'and is read no further')
  desk.slices.wait(three)
  await nextRun()
  t.strictSame(desk.read, ['one', 'two'])
  await nextRun()
  t.strictSame(desk.read, ['one', 'two', 'three'])
  t.strictSame(desk.held, ['two', 'three'], 'each once')
})

t.test('each of many that wait for long is held once', async (t) => {
  const desk = new Desk()
  const names = Array.from({ length: 20 }, (_, index) => `${index}`)
  for (const name of names) desk.slices.wait(desk.reader(name, 1, 2))
  while (desk.read.length < names.length) await nextRun()
  t.strictSame(desk.read, names)
  t.strictSame(desk.held, names.slice(3), 'but those of the first slice')
})

t.test('what is said in answer leaves behind all that is handled, in the same run', async (t) => {
  const order: string[] = []
  const slices = new ReadSlices(new ManualClock())
  for (const name of ['a', 'b']) {
    slices.wait({
      readOn () {
        order.push(`read ${name}`)
        pumpSoon({ pump: () => { order.push(`pump ${name}`) } })
      },
      hold () {}
    })
  }
  await nextRun()
  t.strictSame(order, ['read a', 'read b', 'pump a', 'pump b'])
})

t.test('what is said in answer a little later leaves in the same run too', async (t) => {
  const order: string[] = []
  const slices = new ReadSlices(new ManualClock())
  slices.wait({
    readOn () {
      void Promise.resolve().then(() => { pumpSoon({ pump: () => { order.push('pump') } }) })
    },
    hold () {}
  })
  await nextRun()
  t.strictSame(order, ['pump'])
})

t.test('where many are heard, some are in the next run, and need not be held for that', async (t) => {
  const desk = new Desk()
  const names = Array.from({ length: 130 }, (_, index) => `${index}`)
  for (const name of names) desk.slices.wait(desk.reader(name, 1, 0))
  for (const expected of [64, 128, 130]) {
    await nextRun()
    t.equal(desk.read.length, expected)
  }
  t.strictSame(desk.read, names)
  t.strictSame(desk.held, [])
})

t.test('those that wait behind too many others are held when time is short', async (t) => {
  const desk = new Desk()
  const names = Array.from({ length: 70 }, (_, index) => `${index}`)
  for (const [index, name] of names.entries()) desk.slices.wait(desk.reader(name, 1, index < 64 ? 0 : 4))
  await nextRun()
  t.strictSame([desk.read.length, desk.held], [64, []])
  await nextRun()
  t.strictSame([desk.read.length, desk.held], [66, names.slice(66)])
  while (desk.read.length < names.length) await nextRun()
  t.strictSame([desk.read, desk.held], [names, names.slice(66)], 'each once')
})

t.test('nobody is heard in the async context of another, who happened to be read first', async (t) => {
  const context = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const slices = new ReadSlices(new ManualClock())
  for (const name of ['one', 'two']) {
    context.run(name, () => { slices.wait({ readOn () { seen.push(context.getStore()) }, hold () {} }) })
  }
  await nextRun()
  t.strictSame(seen, [undefined, undefined])
})

t.test('a reader that has nothing to handle keeps nobody waiting', async (t) => {
  const desk = new Desk()
  const [empty, full] = [desk.reader('empty', 0, 0), desk.reader('full', 1, 0)]
  desk.slices.wait(empty)
  desk.slices.wait(full)
  await nextRun()
  t.strictSame(desk.read, ['full'])
})
