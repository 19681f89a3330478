import { setImmediate as nextRun } from 'node:timers/promises'

import t from 'tap'

import { Inbox } from '../../lib/transports/inbox.js'
import { ReadSlices } from '../../lib/transports/read-slices.js'
import { Random } from '../fuzz/random.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** An inbox between a socket and a handler that write down what is asked of them. */
class Scene {
  readonly clock: ManualClock
  readonly slices: ReadSlices
  readonly inbox: Inbox
  /** How long a frame takes. */
  frameMs = 0
  readonly handled: string[] = []
  readonly binary: string[] = []
  readonly times: number[] = []
  /** What was asked of the socket, and told beside frames. */
  readonly calls: string[] = []
  isSocketPaused = false
  onHandle: (frame: string) => void = () => {}

  /** @param other shares its clock and slices */
  constructor (other?: Scene) {
    this.clock = other?.clock ?? new ManualClock()
    this.slices = other?.slices ?? new ReadSlices(this.clock)
    const socket = {
      pause: () => { this.calls.push('pause'); this.isSocketPaused = true },
      resume: () => { this.calls.push('resume'); this.isSocketPaused = false }
    }
    this.inbox = new Inbox(socket, {
      handle: (data, isBinary, now) => {
        const frame = data instanceof Buffer ? data.toString() : ''
        this.handled.push(frame)
        if (isBinary) this.binary.push(frame)
        this.times.push(now)
        this.clock.advance(this.frameMs)
        this.onHandle(frame)
      },
      onCaughtUp: () => { this.calls.push('caught up') }
    }, this)
  }

  reads (...frames: string[]): void {
    for (const frame of frames) this.inbox.take(Buffer.from(frame), false)
  }

  /** The slice in which they would be handled is over before it is their turn. */
  async readsLate (...frames: string[]): Promise<void> {
    this.spendSlice()
    this.reads(...frames)
    await nextRun()
  }

  spendSlice (): void {
    this.slices.wait({ readOn: () => { this.clock.advance(5) }, hold () {} })
  }
}

t.test('frames are handled when the loop has read all that there is', async (t) => {
  const scene = new Scene()
  scene.reads('a', 'b')
  t.strictSame(scene.handled, [])
  t.strictSame([scene.inbox.isBehind, scene.inbox.isStill, scene.inbox.isPaused], [true, true, false])
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  t.strictSame([scene.inbox.isBehind, scene.inbox.isStill, scene.inbox.isPaused], [false, false, false])
  t.strictSame(scene.calls, ['caught up'], 'the socket is left alone')
})

t.test('a socket that has more at once is read no further until that is handled', async (t) => {
  const scene = new Scene()
  const frames = Array.from({ length: 20 }, (_, index) => `${index}`)
  scene.reads(...frames.slice(0, 15))
  t.strictSame(scene.calls, [])
  scene.reads(...frames.slice(15))
  t.strictSame(scene.calls, ['pause'])
  await nextRun()
  t.strictSame(scene.handled, frames)
  t.strictSame(scene.calls, ['pause', 'resume', 'caught up'])
})

t.test('nor is one that has much at once', async (t) => {
  const scene = new Scene()
  const half = 'x'.repeat(32 * 1024)
  scene.reads(half.slice(1), half)
  t.strictSame(scene.calls, [])
  scene.inbox.take([Buffer.from('y')], true)
  t.strictSame(scene.calls, ['pause'])
  await nextRun()
  t.equal(scene.handled.length, 3)
  t.equal(scene.isSocketPaused, false)
})

t.test('what comes after the slice waits for the next run, and its socket with it', async (t) => {
  const scene = new Scene()
  await scene.readsLate('a', 'b')
  t.strictSame(scene.handled, [])
  t.strictSame([scene.inbox.isBehind, scene.inbox.isStill, scene.inbox.isPaused], [true, true, false])
  t.strictSame(scene.calls, ['pause'])
  scene.clock.advance(3)
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  t.strictSame(scene.times, [1_008, 1_008], 'the time is that of their turn')
  t.strictSame(scene.calls, ['pause', 'resume', 'caught up'])
  t.strictSame([scene.inbox.isBehind, scene.inbox.isStill], [false, false])
})

t.test('a frame is handled as it came, text or bytes', async (t) => {
  const scene = new Scene()
  scene.inbox.take(Buffer.from('bytes'), true)
  scene.inbox.take(Buffer.from('text'), false)
  await nextRun()
  t.strictSame(scene.binary, ['bytes'])
  t.strictSame(scene.handled, ['bytes', 'text'])
})

t.test('more than a slice takes goes on in the run after, before what comes then', async (t) => {
  const scene = new Scene()
  scene.frameMs = 3
  await scene.readsLate('a', 'b', 'c')
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  t.strictSame(scene.calls, ['pause'], 'it is not read as long as something waits')
  scene.reads('d')
  t.strictSame(scene.handled, ['a', 'b'])
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c', 'd'])
  t.strictSame(scene.calls, ['pause', 'resume', 'caught up'])
  await nextRun()
})

t.test('a frame that comes while others wait comes after them, also in a new slice', async (t) => {
  const scene = new Scene()
  await scene.readsLate('a', 'b')
  scene.onHandle = (frame) => { if (frame === 'a') scene.reads('c') }
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c'])
})

t.test('inboxes share the slices of their channel', async (t) => {
  const one = new Scene()
  const two = new Scene(one)
  one.frameMs = two.frameMs = 5
  one.reads('a', 'b', 'c')
  two.reads('x')
  await nextRun()
  t.strictSame([one.handled, two.handled], [['a'], []])
  t.strictSame([one.isSocketPaused, two.isSocketPaused], [true, true])
  await nextRun()
  t.strictSame([one.handled, two.handled], [['a'], ['x']])
  t.strictSame([one.isSocketPaused, two.isSocketPaused], [true, false])
  await nextRun()
  await nextRun()
  t.strictSame(one.handled, ['a', 'b', 'c'])
  t.equal(one.isSocketPaused, false)
})

t.test('a paused connection handles nothing, and then what was read before first', async (t) => {
  const scene = new Scene()
  scene.inbox.pause()
  scene.reads('a', 'b')
  await nextRun()
  t.strictSame([scene.inbox.isPaused, scene.inbox.isStill, scene.inbox.isBehind], [true, true, true])
  t.strictSame([scene.handled, scene.calls], [[], ['pause']])
  scene.inbox.resume()
  scene.reads('c')
  t.strictSame(scene.handled, [], 'whoever resumes it is in the middle of something')
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c'])
  t.strictSame(scene.calls, ['pause', 'resume', 'caught up'])
  await nextRun()
})

t.test('a connection that was paused for nothing is read again', async (t) => {
  const scene = new Scene()
  scene.inbox.pause()
  scene.inbox.resume()
  await nextRun()
  t.strictSame(scene.calls, ['pause', 'resume', 'caught up'])
  scene.reads('a')
  await nextRun()
  t.strictSame(scene.handled, ['a'])
})

t.test('a pause in the middle of what waits keeps the rest', async (t) => {
  const scene = new Scene()
  scene.onHandle = (frame) => { if (frame === 'b') scene.inbox.pause() }
  await scene.readsLate('a', 'b', 'c')
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  scene.inbox.resume()
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c'])
  await nextRun()
})

t.test('a pause after the last of what waits keeps the socket paused', async (t) => {
  const scene = new Scene()
  scene.onHandle = (frame) => { if (frame === 'a') scene.inbox.pause() }
  await scene.readsLate('a')
  await nextRun()
  t.strictSame(scene.calls, ['pause', 'pause'])
  scene.inbox.resume()
  scene.reads('b')
  t.strictSame(scene.handled, ['a'])
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  await nextRun()
})

t.test('paused and resumed again and again, each frame is handled once', async (t) => {
  const scene = new Scene()
  await scene.readsLate('a', 'b')
  for (let i = 0; i < 3; i++) {
    scene.inbox.pause()
    scene.inbox.resume()
  }
  t.strictSame(scene.handled, [], 'whoever does so is in the middle of something')
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
  t.equal(scene.calls.at(-1), 'caught up')
  scene.inbox.pause()
  scene.reads('c')
  scene.inbox.resume()
  scene.inbox.pause()
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'], 'it was paused again before it read on')
  scene.inbox.resume()
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c'])
})

t.test('what only waits for its turn is handled when nobody will say more', async (t) => {
  const scene = new Scene()
  scene.frameMs = 10
  await scene.readsLate('a', 'b', 'c')
  scene.inbox.finish()
  t.strictSame(scene.handled, ['a', 'b', 'c'], 'however long it takes')
  t.equal(scene.calls.at(-1), 'resume')
  t.equal(scene.inbox.isStill, false)
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c'])
})

t.test('what waits for the answers of others is not handled then', async (t) => {
  const scene = new Scene()
  scene.onHandle = (frame) => { if (frame === 'b') scene.inbox.pause() }
  await scene.readsLate('a', 'b', 'c')
  scene.inbox.finish()
  t.strictSame(scene.handled, ['a', 'b'])
  t.strictSame([scene.inbox.isPaused, scene.inbox.isStill], [false, false])
  t.equal(scene.calls.at(-1), 'resume')
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b'])
})

t.test('a finish in the middle of what waits handles each frame once, in order', async (t) => {
  const scene = new Scene()
  scene.onHandle = (frame) => { if (frame === 'a') scene.inbox.finish() }
  await scene.readsLate('a', 'b', 'c')
  await nextRun()
  t.strictSame(scene.handled, ['a', 'b', 'c'])
  await nextRun()
})

for (const [when, close] of [
  ['before its turn', (scene: Scene) => { scene.inbox.close() }],
  ['when it is paused', (scene: Scene) => { scene.inbox.pause(); scene.inbox.close() }],
  ['when it is about to read on', (scene: Scene) => { scene.inbox.pause(); scene.inbox.resume(); scene.inbox.close() }]
] as const) {
  t.test(`nothing that waits is handled after a close ${when}, and the socket is read`, async (t) => {
    const scene = new Scene()
    await scene.readsLate('a', 'b')
    close(scene)
    t.equal(scene.calls.at(-1), 'resume')
    t.strictSame([scene.inbox.isPaused, scene.inbox.isBehind, scene.inbox.isStill], [false, false, false])
    // Others have their turn before it, and it is about to be told so.
    scene.spendSlice()
    scene.inbox.hold()
    scene.reads('c')
    await nextRun()
    await nextRun()
    t.strictSame(scene.handled, [])
    t.equal(scene.calls.at(-1), 'resume')
  })
}

for (const how of ['its turn', 'a finish'] as const) {
  t.test(`a handler may close in the middle of what waits, in ${how}`, async (t) => {
    const scene = new Scene()
    scene.onHandle = (frame) => { if (frame === 'b') scene.inbox.close() }
    await scene.readsLate('a', 'b', 'c')
    if (how === 'a finish') scene.inbox.finish()
    await nextRun()
    t.strictSame(scene.handled, ['a', 'b'])
    t.equal(scene.isSocketPaused, false)
  })
}

t.test('whatever happens, frames are handled once and in order, and a socket is paused while they have to wait', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed)
    const scene = new Scene()
    let read = 0
    scene.frameMs = random.pick([0, 1, 2, 6])
    scene.onHandle = () => {
      if (random.perMille(150)) scene.inbox.pause()
      else if (scene.inbox.isPaused || random.perMille(50)) scene.inbox.resume()
    }
    for (let step = 0; step < 100; step++) {
      const kind = random.below(6)
      if (kind < 2) scene.reads(...Array.from({ length: 1 + random.below(8) }, () => `${++read}`))
      else if (kind === 2) scene.inbox.pause()
      else if (kind === 3 && scene.inbox.isPaused) scene.inbox.resume()
      else await nextRun()
      // Within a run of the loop it is read on: sixteen frames at most, and nothing that was there before the run may be left.
      const mayBeRead = kind < 4 && !scene.inbox.isPaused && read - scene.handled.length < 16
      if (scene.inbox.isStill && !mayBeRead) {
        t.equal(scene.isSocketPaused, true, `seed ${seed}, step ${step}: paused while something waits`)
      }
      t.equal(scene.inbox.isBehind, read > scene.handled.length, `seed ${seed}, step ${step}: behind with what was read`)
    }
    while (scene.inbox.isStill) {
      if (scene.inbox.isPaused) scene.inbox.resume()
      await nextRun()
    }
    t.strictSame(scene.handled, Array.from({ length: read }, (_, index) => `${index + 1}`), `seed ${seed}`)
    t.equal(scene.isSocketPaused, false, `seed ${seed}: read again`)
  }
})
