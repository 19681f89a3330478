import t from 'tap'

import { failedEnd } from '../../lib/turns/turn-end.js'
import { transition, type TurnEvent, type TurnState } from '../../lib/turns/turn.js'

await t.test('the life of a turn', async (t) => {
  await t.test('goes one way, and the first to stop it wins', async (t) => {
    const states: TurnState[] = ['starting', 'streaming', 'ending', 'ended']
    const events: TurnEvent[] = ['part', 'stop', 'end-written']
    const table = states.map((state) => [state, ...events.map((event) => transition(state, event))])
    t.strictSame(table, [
      ['starting', 'streaming', 'ending', undefined],
      ['streaming', 'streaming', 'ending', undefined],
      ['ending', undefined, undefined, 'ended'],
      ['ended', undefined, undefined, undefined]
    ])
  })

  await t.test('that failed has a code, and a text only where there is one', async (t) => {
    t.strictSame(failedEnd('INTERNAL'), { finishReason: 'error', error: { code: 'INTERNAL' } })
    t.strictSame(failedEnd('AGENT_ERROR', ''), { finishReason: 'error', error: { code: 'AGENT_ERROR', text: '' } })
  })
})
