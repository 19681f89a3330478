import { setImmediate } from 'node:timers/promises'

import type { ChatCompletionChunk } from 'openai/resources/chat/completions'
import t from 'tap'

import { fromOpenAI, type OpenAIItem } from '../../lib/adapters/openai.js'
import type { Part } from '../../lib/agent/executor.js'
import { partsOf, said, turnOf } from './turn.js'

const agentEvent = (name: string, data: unknown) => ({ type: 'event', name, data })

await t.test('chat completions', async (t) => {
  await t.test('a refusal is what the model says', async (t) => {
    t.strictSame(await read(chunk({ refusal: 'I will not.' }), chunk({}, 'stop')), ['I will not.', finish('stop')])
  })

  await t.test('several calls of tools are told apart by their places, or where those are all the same by their ids', async (t) => {
    const call = (index: number, id: string | undefined, name: string | undefined, text: string) => {
      const named = name === undefined ? { arguments: text } : { name, arguments: text }
      return chunk({ tool_calls: [id === undefined ? { index, function: named } : { index, id, function: named }] })
    }
    const apart = await read(call(0, 'c1', 'look', '{"a":'), call(1, 'c2', 'look', ''), call(0, '', undefined, '1}'), chunk({}, 'tool_calls'))
    t.strictSame(apart, [
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'look' }),
      agentEvent('tool-input-delta', { toolCallId: 'c1', text: '{"a":' }),
      agentEvent('tool-input-start', { toolCallId: 'c2', toolName: 'look' }),
      agentEvent('tool-input-delta', { toolCallId: 'c1', text: '1}' }),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: { a: 1 } }),
      agentEvent('tool-input', { toolCallId: 'c2', toolName: 'look', input: {} }),
      finish('tool-calls')
    ])
    const same = await read(call(0, 'c1', 'look', '{}'), call(0, 'c2', 'find', '{}'), chunk({}, 'tool_calls'))
    t.strictSame(same.filter((part) => typeof part !== 'string' && part.type === 'event' && part.name === 'tool-input'), [
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: {} }),
      agentEvent('tool-input', { toolCallId: 'c2', toolName: 'find', input: {} })
    ])
    const without = await read(call(0, undefined, undefined, '{"a'), chunk({}, 'tool_calls'))
    t.strictSame(without.at(-2), agentEvent('tool-input', { toolCallId: 'call-1', toolName: '', input: '{"a' }), 'what is no JSON stays text')
    t.strictSame((await read(chunk({ tool_calls: [{ index: 0, id: 'c1' }] }), chunk({}, 'stop'))).at(-2),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: '', input: {} }))
  })

  await t.test('what a completion cost is what its last chunk says, and that of several is added up', async (t) => {
    const cost = (id: string, input: number, output: number, choices: ChatCompletionChunk['choices'] = []): ChatCompletionChunk =>
      ({ ...chunk({}), id, choices, usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output } })
    const parts = await read(cost('m1', 3, 1), cost('m1', 3, 2), cost('m2', 5, 4))
    t.strictSame(parts, [finish('other', { inputTokens: 8, outputTokens: 6, totalTokens: 14 })])
  })

  await t.test('of several choices the first is the answer', async (t) => {
    const second = { ...chunk({ content: 'b' }), choices: [{ index: 1, delta: { content: 'b' }, finish_reason: null }] }
    t.strictSame(await read(chunk({ content: 'a' }), second, chunk({}, 'stop')), ['a', finish('stop')])
  })

  await t.test('a stream that stops in the middle says that it did not come to an end', async (t) => {
    t.strictSame(await read(chunk({ content: 'a' })), ['a', finish('other')])
  })

  await t.test('words for an end that nobody knows are another end', async (t) => {
    const eos = 'eos' as ChatCompletionChunk.Choice['finish_reason']
    t.strictSame(await read(chunk({}, eos)), [finish('other')])
  })

  await t.test('the host calls the model again, runs tools between, and says what it wants', async (t) => {
    const parts = await partsOf(fromOpenAI(async function * ({ messages }) {
      yield chunk({ content: 'Let me look. ' })
      await setImmediate()
      yield { type: 'event', name: 'tool-output', data: { toolCallId: 'c1', toolName: 'look', output: messages } }
      yield 'Well: '
      yield { ...chunk({ content: 'sent' }, 'stop'), id: 'm2' }
    }, { historyLimit: 2 }), turnOf({ said: said(['x', 'y'], ['a', ''], ['b']) }))
    t.strictSame(parts, [
      'Let me look. ',
      agentEvent('tool-output', {
        toolCallId: 'c1', toolName: 'look', output: [{ role: 'user', content: 'b' }, { role: 'user', content: 'hello' }]
      }),
      'Well: ',
      'sent',
      finish('stop')
    ])
  })

  await t.test('parts of the host alone have the host\'s own end', async (t) => {
    t.strictSame(await read('a', { type: 'finish', finishReason: 'length' }), ['a', { type: 'finish', finishReason: 'length' }])
  })

  await t.test('what is no stream is refused', async (t) => {
    await t.rejects(partsOf(fromOpenAI(() => 'text')), { name: 'TypeError', message: /must be a stream/ })
    await t.rejects(partsOf(fromOpenAI(async () => await Promise.reject(new Error('refused')))), { message: 'the SDK failed', cause: { message: 'refused' } })
  })
})

await t.test('responses', async (t) => {
  const text = { type: 'response.output_text.delta', delta: 'a', item_id: 'm1', output_index: 0 }
  const ended = (response: object = {}) => ({ type: 'response.completed', response: { output: [], ...response } })
  const done = (item: object) => ({ type: 'response.output_item.done', output_index: 1, item })
  const added = (item: object) => ({ type: 'response.output_item.added', output_index: 1, item })

  await t.test('refusals and reasoning of both kinds', async (t) => {
    t.strictSame(await read(
      { type: 'response.reasoning_text.delta', delta: 'hm', item_id: 'r1' },
      { type: 'response.refusal.delta', delta: 'No.' }, { type: 'response.in_progress' }, ended()
    ), [agentEvent('reasoning', { id: 'r1', text: 'hm' }), 'No.', finish('stop')])
  })

  await t.test('a tool whose input is text', async (t) => {
    const item = { type: 'custom_tool_call', call_id: 'c1', name: 'sum' }
    t.strictSame(await read(
      added({ ...item, input: '' }), { type: 'response.custom_tool_call_input.delta', output_index: 1, delta: '42' }, done({ ...item, input: '42' }), ended()
    ), [
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'sum' }),
      agentEvent('tool-input-delta', { toolCallId: 'c1', text: '42' }),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'sum', input: '42' }),
      finish('tool-calls')
    ])
  })

  await t.test('tools of MCP servers, which the provider calls', async (t) => {
    const item = { type: 'mcp_call', id: 'c1', name: 'look', server_label: 's', arguments: '{"id":2}' }
    const begun = [added({ ...item, arguments: '' }), { type: 'response.mcp_call_arguments.delta', output_index: 1, delta: '{"id":2}' }]
    const call = { toolCallId: 'c1', toolName: 'look' }
    const input = [
      agentEvent('tool-input-start', call), agentEvent('tool-input-delta', { toolCallId: 'c1', text: '{"id":2}' }),
      agentEvent('tool-input', { ...call, input: { id: 2 } })
    ]
    t.strictSame(await read(...begun, done({ ...item, output: 'sent' }), ended()), [
      ...input, agentEvent('tool-output', { ...call, output: 'sent' }), finish('stop')
    ])
    t.strictSame(await read(...begun, done(item), ended()), [...input, agentEvent('tool-output', { ...call, output: null }), finish('stop')])
    t.strictSame(await read(...begun, done({ ...item, error: 'sk-secret' }), ended()), [...input, agentEvent('tool-error', call), finish('stop')])
    t.strictSame(await read(done({ ...item, type: 'mcp_approval_request', id: 'q1' }), ended()), [
      agentEvent('tool-approval-request', { approvalId: 'q1', toolCallId: 'q1', toolName: 'look', input: { id: 2 } }), finish('stop')
    ])
  })

  await t.test('the provider\'s own tools, and those of its tools that the host runs', async (t) => {
    const search = { type: 'web_search_call', id: 'w1', status: 'completed', action: { type: 'search', query: 'tea' } }
    const shell = { type: 'local_shell_call', id: 'l1', call_id: 'c1', action: {} }
    t.strictSame(await read(added(search), done(search), ended()), [
      agentEvent('tool-output', { toolCallId: 'w1', toolName: 'web_search', output: search }), finish('stop')
    ])
    t.strictSame(await read(done(shell), ended()), [
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'local_shell', input: shell }), finish('tool-calls')
    ])
    t.strictSame(await read(done({ type: 'message', id: 'm1' }), ended()), [finish('stop')])
  })

  await t.test('images are files', async (t) => {
    const image = { type: 'image_generation_call', id: 'i1', status: 'completed', result: 'AAEC' }
    t.strictSame(await read(done(image), done({ ...image, output_format: 'webp' }), done({ ...image, result: null }), ended()), [
      agentEvent('file', { mediaType: 'image/png', base64: 'AAEC' }), agentEvent('file', { mediaType: 'image/webp', base64: 'AAEC' }), finish('stop')
    ])
  })

  await t.test('citations are sources', async (t) => {
    const cited = (annotation: unknown, index: number) =>
      ({ type: 'response.output_text.annotation.added', item_id: 'm1', annotation_index: index, annotation })
    t.strictSame(await read(
      cited({ type: 'url_citation', url: 'https://tea.test', title: 'Tea' }, 0), cited({ type: 'url_citation', url: 'https://tea.test' }, 1),
      cited({ type: 'file_citation', filename: 'tea.txt' }, 2), cited({ type: 'file_path' }, 3), ended()
    ), [
      agentEvent('source', { id: 'm1:0', title: 'Tea', url: 'https://tea.test' }), agentEvent('source', { id: 'm1:1', url: 'https://tea.test' }),
      agentEvent('source', { id: 'm1:2', title: 'tea.txt' }), finish('stop')
    ])
  })

  await t.test('ends', async (t) => {
    const incomplete = (details: object | null) => ({ type: 'response.incomplete', response: { incomplete_details: details } })
    t.strictSame(await read(text, incomplete({ reason: 'max_output_tokens' })), ['a', finish('length')])
    t.strictSame(await read(text, incomplete(null)), ['a', finish('other')])
    t.strictSame(await read(text), ['a', finish('other')], 'none')
    t.strictSame(await read(text, ended({ usage: { input_tokens: 1, output_tokens: 2 } })), ['a', finish('stop', { inputTokens: 1, outputTokens: 2 })])
    await t.rejects(read(text, { type: 'error', message: 'overloaded', code: null }), { message: 'the SDK failed: overloaded' })
    await t.rejects(read(text, { type: 'response.failed', response: { error: { code: 'server_error', message: 'overloaded' } } }), {
      message: 'the SDK failed: overloaded'
    })
    await t.rejects(read({ type: 'response.failed', response: { error: null } }), { message: 'the SDK failed: it did not say why' })
  })
})

function chunk (delta: ChatCompletionChunk.Choice.Delta, word: ChatCompletionChunk.Choice['finish_reason'] = null): ChatCompletionChunk {
  return { id: 'm1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: word }] }
}

function finish (finishReason: string, usage?: object) {
  return { type: 'finish', finishReason, usage }
}

/** Events have more fields than matter here. */
async function read (...items: Array<object | string>): Promise<Part[]> {
  return await partsOf(fromOpenAI(() => items as OpenAIItem[]))
}
