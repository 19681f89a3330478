import { setImmediate as nextRun } from 'node:timers/promises'

import t from 'tap'

import { ReadSlices, type LateReader } from '../../lib/transports/read-slices.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** Readers, and what they have handled, by their names. */
class Desk {
  readonly clock = new ManualClock()
  readonly slices = new ReadSlices(this.clock)
  readonly read: string[] = []

  spendSlice (): void {
    this.slices.isOver(this.clock.now())
    this.clock.advance(5)
  }

  /** One with so many frames, each of which takes `ms`. */
  reader (name: string, frames: number, ms: number): LateReader {
    const { clock, slices, read } = this
    const reader: LateReader = {
      readOn () {
        for (; frames > 0; frames--) {
          if (slices.isOver(clock.now())) return slices.wait(reader)
          clock.advance(ms)
          read.push(name)
        }
      }
    }
    return reader
  }
}

t.test('frames are handled for 5 ms, and then in the next run of the loop', async (t) => {
  const clock = new ManualClock()
  const slices = new ReadSlices(clock)
  t.equal(slices.isOver(clock.now()), false)
  clock.advance(4.9)
  t.equal(slices.isOver(clock.now()), false)
  clock.advance(0.1)
  t.equal(slices.isOver(clock.now()), true)
  t.equal(slices.isOver(clock.now()), true)
  await nextRun()
  t.equal(slices.isOver(clock.now()), false)
  await nextRun()
})

t.test('a slice begins with its first frame', async (t) => {
  const clock = new ManualClock()
  const slices = new ReadSlices(clock)
  clock.advance(1_000)
  t.equal(slices.isOver(clock.now()), false)
  await nextRun()
})

t.test('those that wait read on in the next run, in the order in which they began to wait', async (t) => {
  const desk = new Desk()
  const [one, two, three] = [desk.reader('one', 1, 0), desk.reader('two', 1, 0), desk.reader('three', 1, 0)]
  desk.spendSlice()
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
  desk.spendSlice()
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
  desk.spendSlice()
  desk.slices.wait(one)
  desk.slices.wait(two)
  await nextRun()
  t.strictSame(desk.read, ['one'])
  desk.slices.wait(three)
  await nextRun()
  t.strictSame(desk.read, ['one', 'two'])
  await nextRun()
  t.strictSame(desk.read, ['one', 'two', 'three'])
})

t.test('a reader that has nothing to handle keeps nobody waiting', async (t) => {
  const desk = new Desk()
  const [empty, full] = [desk.reader('empty', 0, 0), desk.reader('full', 1, 0)]
  desk.spendSlice()
  desk.slices.wait(empty)
  desk.slices.wait(full)
  await nextRun()
  t.strictSame(desk.read, ['full'])
})
