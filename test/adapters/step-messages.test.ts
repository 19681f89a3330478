import type { ModelMessage } from 'ai'
import t from 'tap'

import { ApprovedRuns, StepMessages } from '../../lib/adapters/step-messages.js'
import type { Part } from '../../lib/agent/executor.js'

const says = (content: string): ModelMessage => ({ role: 'assistant', content })
const asked: ModelMessage = { role: 'user', content: 'hi' }

t.test('the messages of steps are those of all that are over, whether they are told all or one by one', async (t) => {
  for (const second of [[says('a'), says('b')], [says('b')]]) {
    const steps = new StepMessages([asked])
    t.strictSame(steps.said, [])
    steps.begin([asked])
    steps.end([says('a')])
    t.strictSame(steps.said, [says('a')])
    steps.begin([asked, says('a')])
    steps.end(second)
    t.strictSame(steps.said, [says('a'), says('b')])
  }
})

t.test('messages that were not sent are not said', async (t) => {
  const steps = new StepMessages([asked])
  steps.begin([{ role: 'user', content: 'before' }, asked, says('a')])
  steps.end([says('b')])
  t.strictSame(steps.said, [says('b')])
})

t.test('what a tool has answered that was approved is a message, and nothing else', async (t) => {
  const call = { type: 'tool-call' as const, toolCallId: 'c1', toolName: 'buy', input: {} }
  const runs = new ApprovedRuns([says('a'), { role: 'assistant', content: [{ type: 'text', text: 'b' }, call] }, { role: 'tool', content: [] }])
  const output = (data: object): Part => ({ type: 'event', name: 'tool-output', data: { toolCallId: 'c1', toolName: 'buy', ...data } })
  const others: Part[] = [
    'text', { type: 'finish' }, { type: 'event', name: 'tool-input' }, output({ toolCallId: 'c2', output: 1 }), output({ output: 1, preliminary: true })
  ]
  t.strictSame(others.map((part) => runs.take(part)), others.map(() => false))
  t.strictSame([output({ output: 'text' }), output({ output: { a: 1 } }), output({})].map((part) => runs.take(part)), [true, true, true])
  const result = (value: string) => ({ type: 'tool-result', toolCallId: 'c1', toolName: 'buy', output: { type: 'text', value } })
  t.strictSame(runs.messages, [{ role: 'tool', content: [result('text'), result('{"a":1}'), result('null')] }])
})
