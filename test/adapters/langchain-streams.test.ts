import { dispatchCustomEvent } from '@langchain/core/callbacks/dispatch'
import type { ChatModelStreamEvent } from '@langchain/core/language_models/event'
import { AIMessage, AIMessageChunk, HumanMessage, ToolMessage } from '@langchain/core/messages'
import { StringOutputParser } from '@langchain/core/output_parsers'
import { RunnableLambda, type Runnable, type RunnableConfig } from '@langchain/core/runnables'
import { tool } from '@langchain/core/tools'
import type { StreamEvent } from '@langchain/core/types/stream'
import { FakeListChatModel, FakeLLM } from '@langchain/core/utils/testing'
import t from 'tap'

import { fromLangChain, type LangChainItem } from '../../lib/adapters/langchain.js'
import type { Part } from '../../lib/agent/executor.js'
import { SourceModel } from './langchain-model.js'
import { Source, texts } from './source.js'
import { partsOf, said, turnOf } from './turn.js'

const agentEvent = (name: string, data: unknown) => ({ type: 'event', name, data })
const FINISH = { type: 'finish', finishReason: undefined, usage: undefined }

await t.test('the stream of a runnable', async (t) => {
  await t.test('that ends in text', async (t) => {
    const chain = new FakeListChatModel({ responses: ['Tea?'] }).pipe(new StringOutputParser())
    t.strictSame(await partsOf(fromLangChain(({ messages, ...config }) => chain.stream(messages, config))), ['T', 'e', 'a', '?', FINISH])
  })

  await t.test('gets the history and the question', async (t) => {
    let given: unknown
    const turn = turnOf({ said: said(['a', 'b'], ['c']) })
    await partsOf(fromLangChain(({ messages }) => { given = messages; return [] }, { historyLimit: 2 }), turn)
    t.strictSame(given, [{ role: 'assistant', content: 'b' }, { role: 'user', content: 'c' }, { role: 'user', content: 'hello' }])
  })

  await t.test('may have whole messages, of which only the model\'s and the tools\' are told', async (t) => {
    const call = { id: 'c1', name: 'look', args: { id: 2 } }
    t.strictSame(await read(
      new HumanMessage('hello'),
      new AIMessage({ content: 'Let me look. ', tool_calls: [call], response_metadata: { stop_reason: 'tool_use' } }),
      new ToolMessage({ content: 'sent', tool_call_id: 'c1', name: 'look' }),
      new ToolMessage({ content: 'sk-secret', tool_call_id: 'c2', status: 'error' }),
      new AIMessage({ content: [{ type: 'text', text: 'It is ' }, { type: 'text', text: 'sent.' }], additional_kwargs: { stop_reason: 'end_turn' } })
    ), [
      'Let me look. ',
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'look' }),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: { id: 2 } }),
      agentEvent('tool-output', { toolCallId: 'c1', toolName: 'look', output: 'sent' }),
      agentEvent('tool-error', { toolCallId: 'c2', toolName: '' }),
      'It is sent.',
      { ...FINISH, finishReason: 'stop' }
    ])
  })

  await t.test('may have several messages in chunks, whose calls end with them', async (t) => {
    const chunk = (id: string, args: string, more: object = {}) =>
      new AIMessageChunk({ id, content: '', tool_call_chunks: [{ type: 'tool_call_chunk', args, ...more }] })
    const parts = await read(chunk('m1', '{', { id: 'c1', name: 'look' }), chunk('m1', '}'), chunk('m2', '{}', { id: 'c2', name: 'find' }))
    t.strictSame(parts.filter(isInput), [
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: {} }),
      agentEvent('tool-input', { toolCallId: 'c2', toolName: 'find', input: {} })
    ])
  })

  await t.test('may have reasoning in blocks', async (t) => {
    const blocks = new AIMessageChunk({ content: [{ type: 'reasoning', reasoning: 'hm' }, { type: 'reasoning', reasoning: '' }] })
    t.strictSame(await read(blocks), [agentEvent('reasoning', { id: '', text: 'hm' }), FINISH])
  })

  await t.test('may be that of a graph: messages with what belongs to them, and other modes', async (t) => {
    const message = new AIMessageChunk('a')
    t.strictSame(await read(
      [message, { langgraph_node: 'model' }], ['messages', [message, {}]], ['updates', { model: 1 }], ['', 1], { type: 'event', name: 'mine' }, 'b'
    ), ['a', 'a', agentEvent('updates', { model: 1 }), { type: 'event', name: 'mine' }, 'b', FINISH])
  })

  await t.test('that yields anything else is refused', async (t) => {
    for (const item of [{ messages: [] }, [{}, {}], 5]) {
      await t.rejects(read(item as unknown as LangChainItem), { name: 'TypeError', message: /^the stream yielded no message/ })
    }
  })
})

await t.test('streamEvents', async (t) => {
  const look = tool(async ({ id }: { id: number }, config: RunnableConfig) => {
    await dispatchCustomEvent('progress', { id }, config)
    if (id === 9) throw new Error('sk-secret')
    return 'sent'
  }, { name: 'look', description: 'looks an order up', schema: { type: 'object', properties: { id: { type: 'number' } } } as const })
  const calling = (...inputs: string[]) => new Source([
    ...inputs.flatMap((text, index) => [{ begin: { id: `c${index + 1}`, name: 'look' } }, { input: { id: `c${index + 1}`, text } }]),
    { end: 'tool-calls' }
  ])

  // The type of a tool with a JSON schema has no call that takes one.
  const run = async (call: object, config: RunnableConfig) => await (look as Runnable).invoke({ ...call, type: 'tool_call' }, config) as unknown

  /** Asks a model, runs the tools that it calls, and asks again. */
  const agentOf = (model: SourceModel) => RunnableLambda.from(async (input: object[], config) => {
    const { tool_calls: calls = [] } = await model.invoke(input as never, config)
    for (const call of calls) await run(call, config).catch(() => 'failed')
    return await model.invoke(input as never, config)
  })
  const answerOf = async (model: SourceModel) => await partsOf(fromLangChain(({ messages, ...config }) =>
    agentOf(model).streamEvents(messages, { version: 'v2', ...config })))

  await t.test('tells tools by the ids that the model has called them by, and what they send', async (t) => {
    const parts = await answerOf(new SourceModel(calling('{"id":2}'), new Source(texts('Sent.'))))
    t.strictSame(parts, [
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'look' }),
      agentEvent('tool-input-delta', { toolCallId: 'c1', text: '{"id":2}' }),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: { id: 2 } }),
      agentEvent('progress', { id: 2 }),
      agentEvent('tool-output', { toolCallId: 'c1', toolName: 'look', output: 'sent' }),
      'Sent.',
      { type: 'finish', finishReason: 'stop', usage: { inputTokens: 6, outputTokens: 10, totalTokens: 16, reasoningTokens: 2, cachedInputTokens: 4 } }
    ])
  })

  await t.test('tells that a tool has failed, and not why', async (t) => {
    const parts = await answerOf(new SourceModel(calling('{"id":9}'), new Source(texts('Hm.'))))
    t.strictSame(parts.slice(3, 5), [agentEvent('progress', { id: 9 }), agentEvent('tool-error', { toolCallId: 'c1', toolName: 'look' })])
    t.notMatch(JSON.stringify(parts), 'sk-secret')
  })

  await t.test('has the text of models that do not stream, and of those that are no chat models', async (t) => {
    const silent = new FakeListChatModel({ responses: ['Tea?'] })
    silent.disableStreaming = true
    const wrapped = RunnableLambda.from(async (input: object[], config) => await silent.invoke(input as never, config))
    const whole = await partsOf(fromLangChain(({ messages, ...config }) => wrapped.streamEvents(messages, { version: 'v2', ...config })))
    t.strictSame(whole.slice(0, -1), ['Tea?'])
    const old = new FakeLLM({ response: 'Tea!' })
    const parts = await partsOf(fromLangChain(({ messages, ...config }) => old.streamEvents(messages, { version: 'v2', ...config })))
    t.strictSame(parts.slice(0, -1), ['Tea!'])
  })

  await t.test('pairs runs of tools with calls by their inputs', async (t) => {
    const call = (id: string, input: object) => new AIMessageChunk({ content: '', tool_calls: [{ id, name: 'look', args: { ...input } }] })
    const event = (event: string, run: string, data: object, name = 'look'): StreamEvent => ({ event, name, run_id: run, metadata: {}, data })
    const parts = await read(
      event('on_chat_model_stream', 'm1', { chunk: call('c1', { id: 1 }) }), event('on_chat_model_stream', 'm1', { chunk: call('c2', { id: 2 }) }),
      event('on_tool_start', 'r2', { input: { id: 2 } }), event('on_tool_start', 'r1', { input: '{"id":1}' }),
      event('on_tool_start', 'r3', { input: { id: 3 } }),
      event('on_tool_end', 'r1', { output: 'one' }), event('on_tool_end', 'r2', { output: 'two' }), event('on_tool_end', 'r3', { output: 'three' }),
      event('on_tool_end', 'r4', { output: new ToolMessage({ content: 'x', tool_call_id: 'c9', status: 'error' }) })
    )
    t.strictSame(parts.slice(4, -1), [
      agentEvent('tool-input', { toolCallId: 'r3', toolName: 'look', input: { id: 3 } }),
      agentEvent('tool-output', { toolCallId: 'c1', toolName: 'look', output: 'one' }),
      agentEvent('tool-output', { toolCallId: 'c2', toolName: 'look', output: 'two' }),
      agentEvent('tool-output', { toolCallId: 'r3', toolName: 'look', output: 'three' }),
      agentEvent('tool-error', { toolCallId: 'r4', toolName: 'look' })
    ])
  })

  await t.test('leaves out what is nothing', async (t) => {
    const event = (event: string, data: object, name = 'x'): StreamEvent => ({ event, name, run_id: 'r', metadata: {}, data })
    t.strictSame(await read(
      event('on_chat_model_stream', {}), event('on_chat_model_end', {}), event('on_llm_stream', { chunk: { text: '' } }), event('on_llm_stream', {}), event('on_llm_end', { output: { generations: [[{ text: '' }]] } }), event('on_llm_end', {}),
      event('on_llm_end', { output: { generations: [] } }), event('on_llm_stream', { chunk: 'a' }), event('on_custom_event', {}, ''), event('on_chain_start', {})
    ), ['a', FINISH])
  })
})

await t.test('content blocks', async (t) => {
  const delta = (index: number, delta: object) => ({ event: 'content-block-delta', index, delta }) as ChatModelStreamEvent

  await t.test('are told as they are known', async (t) => {
    t.strictSame(await read(
      { event: 'message-start' },
      { event: 'content-block-start', index: 0, content: { type: 'text', text: '' } },
      delta(0, { type: 'tool-call-delta', args: '{' }),
      delta(0, { type: 'data-delta', data: 'AAEC' }),
      delta(0, { type: 'reasoning-delta', reasoning: 'hm' }),
      { event: 'content-block-finish', index: 0, content: { type: 'text', text: '' } },
      { event: 'content-block-start', index: 1, content: { type: 'tool_call', id: 'c1', name: 'look', args: {} } },
      { event: 'content-block-finish', index: 1, content: { type: 'text', text: '' } },
      { event: 'content-block-start', index: 2, content: { type: 'tool_call_chunk', id: 'c2', args: '{"a":1}' } },
      { event: 'usage', usage: { input_tokens: 9 } },
      { event: 'message-finish' }
    ), [
      agentEvent('reasoning', { id: '', text: 'hm' }),
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'look' }),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: {} }),
      agentEvent('tool-input-start', { toolCallId: 'c2', toolName: '' }),
      agentEvent('tool-input-delta', { toolCallId: 'c2', text: '{"a":1}' }),
      agentEvent('tool-input', { toolCallId: 'c2', toolName: '', input: { a: 1 } }),
      FINISH
    ])
  })

  await t.test('and an error among them ends the turn', async (t) => {
    await t.rejects(read({ event: 'error', message: 'overloaded' }), { message: 'the SDK failed: overloaded' })
  })
})

function isInput (part: Part): boolean {
  return typeof part !== 'string' && part.type === 'event' && part.name === 'tool-input'
}

async function read (...items: LangChainItem[]): Promise<Part[]> {
  return await partsOf(fromLangChain(() => items))
}
