import t, { type Test } from 'tap'

import type { Chat, StartedOnce } from '../../lib/turns/engine.js'
import { Desk } from '../helpers/desk.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { JOURNALS, KEY, TurnBench } from '../helpers/turn-bench.js'

for (const [kind, makeJournal] of JOURNALS) {
  t.test(`with a journal ${kind}`, async (t) => {
    t.test('a chat that is sent again while it waits runs once; it used to push itself out of the queue', async (t) => {
      const { bench, desk, send, finish } = makeBench()
      t.match(await send('q1'), { accepted: true, position: 0 })
      t.match(await send('q2'), { accepted: true, position: 1 })
      t.strictSame(await send('q2'), { accepted: false, ended: undefined })
      await desk.answer('q1', 'one')
      await eventually(() => desk.called.includes('q2'))
      await desk.answer('q2', 'two')
      await finish(t)
      t.strictSame([desk.called, (await bench.said()).length], [['q1', 'q2'], 4])
    })

    t.test('of the same chat, sent twice at once, one is accepted', async (t) => {
      const { desk, send, finish } = makeBench()
      const started = await Promise.all([send('q1'), send('q2'), send('q2'), send('q2')])
      t.strictSame(started.map(({ accepted }) => accepted), [true, true, false, false])
      t.strictSame(started.map((started) => 'code' in started ? started.code : undefined), [undefined, undefined, undefined, undefined])
      await desk.answer('q1', 'one')
      await eventually(() => desk.called.includes('q2'))
      await desk.answer('q2', 'two')
      await finish(t)
      t.strictSame(desk.called, ['q1', 'q2'])
    })

    t.test('of the same chat, sent twice at once, both are refused where there is no room', async (t) => {
      const { desk, send, finish } = makeBench()
      const started = await Promise.all([send('q1'), send('q2', { onBusy: 'reject' }), send('q2', { onBusy: 'reject' })])
      t.match(started, [{ accepted: true }, { accepted: false, code: 'SESSION_BUSY' }, { accepted: false, code: 'SESSION_BUSY' }])
      await desk.answer('q1', 'one')
      await finish(t)
    })
  })

  function makeBench () {
    const desk = new Desk()
    const clock = new ManualClock()
    const bench = new TurnBench(desk.executor, { clock, journal: makeJournal({ clock, dedupWindowMs: 1 }) })
    const send = async (turnId: string, chat: Partial<Chat> = {}): Promise<StartedOnce> =>
      await bench.engine.startOnce({ key: KEY, isNamed: true, turnId, message: turnId, bodyHash: turnId, ...chat }, () => {})
    const finish = async (t: Test): Promise<void> => {
      await bench.idle()
      // What is known of the chats has a timer of its own.
      clock.advance(10_000)
      await bench.finish(t)
    }
    return { bench, desk, send, finish }
  }
}
