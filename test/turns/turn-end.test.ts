import t from 'tap'

import { AgentError } from '../../lib/agent/executor.js'
import { thrownEnd } from '../../lib/turns/turn-end.js'

t.test('the text of an agent\'s error goes out up to 1,000 characters, and never half a character', (t) => {
  const { end } = thrownEnd(new AgentError(`${'x'.repeat(999)}😀`))
  t.strictSame(end, { finishReason: 'error', error: { code: 'AGENT_ERROR', text: `${'x'.repeat(999)}\ufffd` } })
  t.end()
})
