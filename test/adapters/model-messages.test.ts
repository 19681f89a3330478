import t from 'tap'

import { toModelMessages } from '../../lib/adapters/ai-sdk.js'
import { said } from './turn.js'

const asked = { role: 'user', content: 'a' }
const text = (text: string) => ({ type: 'text', text })
const call = (toolCallId: string, more: object = {}) => ({ type: 'tool-call', toolCallId, toolName: 'look', input: {}, ...more })
const result = (toolCallId: string) => ({ type: 'tool-result', toolCallId, toolName: 'look', output: { type: 'text', value: 'sent' } })

t.test('what was said without tools is text', async (t) => {
  t.strictSame(toModelMessages(said(['a', 'b'], ['c'], ['d', '', { complete: false }])), [
    asked, { role: 'assistant', content: 'b' }, { role: 'user', content: 'c' }, { role: 'user', content: 'd' }
  ])
})

t.test('what was kept of an answer stands in its place', async (t) => {
  const modelMessages = [
    { role: 'assistant', content: [text('Let me look. '), call('c1')] },
    { role: 'tool', content: [result('c1')] },
    { role: 'assistant', content: [text('Sent.')] }
  ]
  t.strictSame(toModelMessages(said(['a', 'Let me look. Sent.', { metadata: { modelMessages } }])), [asked, ...modelMessages])
})

t.test('of an answer that was cut off, what was said after its last step follows', async (t) => {
  const kept = [{ role: 'assistant', content: [text('Let me look. '), call('c1')] }, { role: 'tool', content: [result('c1')] }]
  const of = { complete: false, metadata: { modelMessages: kept } }
  t.strictSame(toModelMessages(said(['a', 'Let me look. Se', of])), [asked, ...kept, { role: 'assistant', content: 'Se' }])
  t.strictSame(toModelMessages(said(['a', 'Let me look. ', of])), [asked, ...kept])
  t.strictSame(toModelMessages(said(['a', 'I say something else', of])), [asked, ...kept, { role: 'assistant', content: 'I say something else' }],
    'text that is not that of the steps is not cut')
  const whole = [{ role: 'assistant', content: 'One. ' }]
  t.strictSame(toModelMessages(said(['a', 'One. Tw', { complete: false, metadata: { modelMessages: whole } }])), [
    asked, ...whole, { role: 'assistant', content: 'Tw' }
  ])
})

t.test('of a call that came to no result nothing is left, nor of what was asked about it', async (t) => {
  const request = (approvalId: string, toolCallId: string) => ({ type: 'tool-approval-request', approvalId, toolCallId })
  const reply = (approvalId: string) => ({ type: 'tool-approval-response', approvalId, approved: true })
  const modelMessages = [
    { role: 'assistant', content: [text('Hm. '), call('c1'), request('a1', 'c1'), call('c2'), request('a2', 'c2')] },
    { role: 'tool', content: [reply('a1'), reply('a2')] },
    { role: 'tool', content: [result('c2')] },
    { role: 'assistant', content: [call('c3')] },
    { role: 'user', content: [text('b')] }
  ]
  t.strictSame(toModelMessages(said(['a', 'Hm. ', { metadata: { modelMessages } }])), [
    asked,
    { role: 'assistant', content: [text('Hm. '), call('c2'), request('a2', 'c2')] },
    { role: 'tool', content: [reply('a2')] },
    { role: 'tool', content: [result('c2')] },
    { role: 'user', content: [text('b')] }
  ])
})

t.test('a call that the provider ran has its result beside it', async (t) => {
  const modelMessages = [{ role: 'assistant', content: [call('c1', { providerExecuted: true }), result('c1'), text('Sent.')] }]
  t.strictSame(toModelMessages(said(['a', 'Sent.', { metadata: { modelMessages } }])), [asked, ...modelMessages])
})

t.test('where nothing of an answer\'s messages can be used, its text is', async (t) => {
  for (const metadata of [{ modelMessages: [{ role: 'assistant', content: [call('c1')] }] }, { modelMessages: 'none' }, { more: 1 }]) {
    t.strictSame(toModelMessages(said(['a', 'b', { metadata }])), [asked, { role: 'assistant', content: 'b' }])
  }
})
