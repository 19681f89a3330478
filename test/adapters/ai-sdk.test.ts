import { jsonSchema, stepCountIs, streamText, type ToolSet } from 'ai'
import { MockLanguageModelV3 } from 'ai/test'
import t from 'tap'

import { fromAiSdk, type AiSdkCall, type AiSdkOptions } from '../../lib/adapters/ai-sdk.js'
import { AgentError, type EventPart, type Part } from '../../lib/agent/executor.js'
import { eventually } from '../helpers/eventually.js'
import { KEY, LIMITS, ticks, TurnBench, type Reader } from '../helpers/turn-bench.js'
import { failingModel, modelOf, type ModelPart } from './ai-sdk-model.js'
import { adapterContract } from './contract.js'
import { Source, texts, USAGE, type Piece } from './source.js'
import { partsOf, said, turnOf } from './turn.js'

/** For the host to run: the SDK stops when it is called. */
const tools: ToolSet = { look: { inputSchema: jsonSchema({ type: 'object' }) } }

await adapterContract(t, {
  name: 'fromAiSdk',
  executor: (source, { openFailure, ...options } = {}) => fromAiSdk((call) => {
    if (openFailure !== undefined) throw openFailure
    return streamText({ model: modelOf(source), tools, stopWhen: stepCountIs(3), ...call })
  }, options)
})

await adapterContract(t, {
  name: 'a result of streamText as it is',
  // The SDK reads its model to the end, whoever reads the result.
  lacks: ['onEvent', 'backpressure'],
  executor: (source, { openFailure } = {}) => ({ message, signal }) => {
    const model = openFailure === undefined ? modelOf(source) : failingModel(openFailure)
    return streamText({ model, tools, prompt: message, abortSignal: signal, onError () {} })
  }
})

const NO_USAGE = {
  inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined }
}

const ORDER: Piece = { whole: { id: 'c1', name: 'look', text: '{"id":2}' } }

await t.test('a tool that the SDK runs', async (t) => {
  const lookUp: ToolSet = { look: { inputSchema: jsonSchema({ type: 'object' }), execute: async () => ({ state: 'sent' }) } }
  const steps = () => [
    new Source([{ text: 'Let me look. ' }, ORDER, { end: 'tool-calls' }]),
    new Source(texts('It is on its way.'))
  ]

  const agentWith = (tools: ToolSet) => fromAiSdk((call) =>
    streamText({ model: modelOf(...steps()), tools, stopWhen: stepCountIs(3), ...call }))

  await t.test('is told as its input and its output, and its messages are kept for the next turn', async (t) => {
    const models = [modelOf(...steps()), modelOf(new Source(texts('Yes.')))]
    const [first, second] = models
    const bench = new TurnBench(fromAiSdk((call) =>
      streamText({ model: models.shift() ?? '', tools: lookUp, stopWhen: stepCountIs(3), ...call })))
    const reader = await bench.start({ message: 'Where is order 2?' })
    t.strictSame(await reader.ended.promise, { finishReason: 'stop', usage: doubled(USAGE) })
    t.strictSame(reader.short, [
      'text Let me look. ', 'event tool-input', 'event tool-output', 'text It is on its way.', 'end stop'
    ])
    t.strictSame(dataOf(reader, 'tool-output'), { toolCallId: 'c1', toolName: 'look', output: { state: 'sent' } })
    const answer = 'Let me look. It is on its way.'
    t.strictSame(await bench.said(), [['user', 'Where is order 2?', true], ['assistant', answer, true]])

    await (await bench.start({ message: 'Sure?' })).ended.promise
    t.match(second?.doStreamCalls[0]?.prompt, [
      { role: 'user', content: [{ type: 'text', text: 'Where is order 2?' }] },
      {
        role: 'assistant',
        content: [{ type: 'text', text: 'Let me look. ' }, { type: 'tool-call', toolCallId: 'c1', toolName: 'look', input: { id: 2 } }]
      },
      { role: 'tool', content: [{ type: 'tool-result', toolCallId: 'c1', output: { type: 'json', value: { state: 'sent' } } }] },
      { role: 'assistant', content: [{ type: 'text', text: 'It is on its way.' }] },
      { role: 'user', content: [{ type: 'text', text: 'Sure?' }] }
    ])
    t.equal(first?.doStreamCalls.length, 2)
    await bench.finish(t)
  })

  await t.test('is known to the next turn also when its own was cut off', async (t) => {
    const [look, answer] = steps()
    answer?.holdAfter(0)
    const models = [modelOf(...[look, answer].filter((source) => source !== undefined)), modelOf(new Source(texts('Yes.')))]
    const [, second] = models
    const bench = new TurnBench(fromAiSdk((call) =>
      streamText({ model: models.shift() ?? '', tools: lookUp, stopWhen: stepCountIs(3), ...call })))
    const reader = await bench.start()
    await eventually(() => answer?.pulls === 1)
    await bench.engine.cancel(KEY, true)
    t.match(await reader.ended.promise, { finishReason: 'aborted' })
    await (await bench.start()).ended.promise
    t.strictSame(second?.doStreamCalls[0]?.prompt.map(({ role }) => role), ['user', 'assistant', 'tool', 'user'])
    await bench.finish(t)
  })

  await t.test('and that fails is told to have failed, without what was wrong', async (t) => {
    const execute = async (): Promise<never> => { throw new Error('sk-secret') }
    const turn = turnOf()
    const parts = await partsOf(agentWith({ look: { inputSchema: jsonSchema({ type: 'object' }), execute } }), turn)
    t.strictSame(eventsOf(parts)[1], { type: 'event', name: 'tool-error', data: { toolCallId: 'c1', toolName: 'look' } })
    const fields = { toolName: 'look', err: { cause: { message: 'sk-secret' } } }
    t.match(turn.log.lines, [{ level: 'warn', fields, text: 'a tool of the agent failed' }])
  })

  await t.test('may say more than once what it has', async (t) => {
    const slow: ToolSet = {
      look: { inputSchema: jsonSchema({ type: 'object' }), async * execute () { yield 'looking'; yield 'sent' } }
    }
    const parts = await partsOf(agentWith(slow))
    const of = { toolCallId: 'c1', toolName: 'look' }
    t.strictSame(eventsOf(parts).slice(1).map(({ data }) => data), [
      { ...of, output: 'looking', preliminary: true }, { ...of, output: 'sent', preliminary: true }, { ...of, output: 'sent' }
    ])
  })
})

await t.test('a tool that asks for approval', async (t) => {
  const approved: unknown[] = []
  const execute = async (input: unknown): Promise<string> => {
    approved.push(input)
    return 'sent'
  }
  const careful: ToolSet = { look: { inputSchema: jsonSchema({ type: 'object' }), needsApproval: true, execute } }
  const agent = (models: Model[], approve?: AiSdkOptions['approve']) => fromAiSdk((call) =>
    streamText({ model: models.shift() ?? '', tools: careful, stopWhen: stepCountIs(3), ...call }), { approve })
  const question = () => new Source([{ text: 'May I? ' }, ORDER, { end: 'tool-calls' }])
  const asks = () => modelOf(question())

  await t.test('runs when somebody says so, in the same turn', async (t) => {
    approved.length = 0
    const answers = modelOf(new Source(texts('It is sent.')))
    const asked: unknown[] = []
    const bench = new TurnBench(agent([asks(), answers], async (request, turn) => {
      asked.push(request, turn.id)
      return { approved: true }
    }))
    const reader = await bench.start()
    t.strictSame(await reader.ended.promise, { finishReason: 'stop', usage: doubled(USAGE) })
    t.strictSame(reader.short, [
      'text May I? ', 'event tool-input', 'event tool-approval-request', 'event tool-output', 'text It is sent.', 'end stop'
    ])
    const request = dataOf(reader, 'tool-approval-request')
    t.match(request, { approvalId: String, toolCallId: 'c1', toolName: 'look', input: { id: 2 } })
    t.strictSame(asked, [request, 't1'])
    t.strictSame(approved, [{ id: 2 }])
    t.strictSame(answers.doStreamCalls[0]?.prompt.map(({ role }) => role), ['user', 'assistant', 'tool'])
    await bench.finish(t)
  })

  await t.test('that has run is known to the next turn, also when the turn was cut off after that', async (t) => {
    approved.length = 0
    const cut = new Source(texts('It is sent.'))
    cut.holdAfter(0)
    const next = modelOf(new Source(texts('Yes.')))
    const bench = new TurnBench(agent([asks(), modelOf(cut), next], async () => ({ approved: true })))
    const reader = await bench.start()
    await eventually(() => cut.pulls === 1)
    await bench.engine.cancel(KEY, true)
    t.match(await reader.ended.promise, { finishReason: 'aborted' })
    t.strictSame(approved, [{ id: 2 }])
    await (await bench.start()).ended.promise
    t.match(next.doStreamCalls[0]?.prompt, [
      { role: 'user' }, { role: 'assistant' }, { role: 'tool', content: [{ type: 'tool-result', output: { value: 'sent' } }] }, { role: 'user' }
    ])
    await bench.finish(t)
  })

  await t.test('does not run when somebody says no, and the model is told why', async (t) => {
    approved.length = 0
    const answers = modelOf(new Source(texts('Then not.')), new Source(texts('Yes.')))
    const bench = new TurnBench(agent([asks(), answers, answers], async () => ({ approved: false, reason: 'too dear' })))
    const reader = await bench.start()
    await reader.ended.promise
    t.strictSame(reader.short, [
      'text May I? ', 'event tool-input', 'event tool-approval-request', 'event tool-denied', 'text Then not.', 'end stop'
    ])
    t.strictSame(approved, [])
    t.match(JSON.stringify(answers.doStreamCalls[0]?.prompt), 'too dear')
    // What was asked and said stays in the session, in a form that the SDK takes.
    t.match(await (await bench.start()).ended.promise, { finishReason: 'stop' })
    await bench.finish(t)
  })

  await t.test('does not run where nobody is asked, and the session goes on', async (t) => {
    approved.length = 0
    const answers = modelOf(new Source(texts('Hello.')))
    const bench = new TurnBench(agent([asks(), answers]))
    const reader = await bench.start()
    t.match(await reader.ended.promise, { finishReason: 'tool-calls' })
    t.match(await (await bench.start()).ended.promise, { finishReason: 'stop' })
    t.strictSame(approved, [])
    t.match(answers.doStreamCalls[0]?.prompt, [{ role: 'user' }, { role: 'assistant', content: [{ text: 'May I? ' }] }, { role: 'user' }])
    await bench.finish(t)
  })

  await t.test('is told of before a client can answer, and its turn may fail while it waits', async (t) => {
    const seen: string[] = []
    const executor = agent([asks()], async ({ approvalId }) => {
      seen.push('asked')
      return await Promise.reject(new AgentError(`nobody knows ${typeof approvalId}`))
    })
    const turn = turnOf()
    await t.rejects((async () => {
      for await (const part of executor(turn) as AsyncIterable<Part>) {
        if (typeof part !== 'string' && part.type === 'event') seen.push(part.name)
        await ticks()
      }
    })(), { name: 'AgentError', message: 'nobody knows string' })
    t.strictSame(seen, ['tool-input', 'asked', 'tool-approval-request'])
  })

  await t.test('waits for as long as the turn may last, and for no longer', async (t) => {
    const source = question()
    const bench = new TurnBench(agent([modelOf(source)], async () => await new Promise(() => {})))
    const reader = await bench.start()
    // The three pieces, and that there is no more.
    await eventually(() => source.pulls === 4)
    await ticks(50)
    bench.clock.advance(LIMITS.idleTimeoutMs * 3)
    await ticks()
    t.equal(reader.ends.length, 0)
    bench.clock.advance(LIMITS.turnTimeoutMs)
    t.match(await reader.ended.promise, { error: { code: 'AGENT_TIMEOUT' } })
    await bench.finish(t)
  })
})

await t.test('sources and files are events', async (t) => {
  const result = { fullStream: streamOf<ModelPart>([
    { type: 'source', sourceType: 'url', id: 's1', url: 'https://tea.test', title: 'Tea' },
    { type: 'source', sourceType: 'url', id: 's2', url: 'https://tea.test/2' },
    { type: 'source', sourceType: 'document', id: 's3', mediaType: 'text/plain', title: 'Notes' },
    { type: 'file', mediaType: 'image/png', data: 'AAEC' },
    { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage: NO_USAGE }
  ]) }
  const model = new MockLanguageModelV3({ doStream: async () => ({ stream: result.fullStream }) })
  const parts = await partsOf(fromAiSdk((call) => streamText({ model, ...call })))
  t.strictSame(eventsOf(parts).map(({ name, data }) => [name, data]), [
    ['source', { id: 's1', title: 'Tea', url: 'https://tea.test' }],
    ['source', { id: 's2', url: 'https://tea.test/2' }],
    ['source', { id: 's3', title: 'Notes', mediaType: 'text/plain' }],
    ['file', { mediaType: 'image/png', base64: 'AAEC' }]
  ])
  t.strictSame(parts.at(-1), { type: 'finish', finishReason: 'stop', usage: undefined }, 'a model may not say what it cost')
})

await t.test('a result', async (t) => {
  const read = async (parts: object[], more: object = {}) =>
    await partsOf(() => ({ fullStream: streamOf(parts as Array<{ type: string }>), ...more }))

  await t.test('of version 5 has its details of usage beside the sums', async (t) => {
    const totalUsage = { inputTokens: 3, outputTokens: 5, totalTokens: 8, reasoningTokens: 1, cachedInputTokens: 2 }
    t.strictSame(await read([{ type: 'finish', finishReason: 'stop', totalUsage }]), [{ type: 'finish', finishReason: 'stop', usage: USAGE }])
  })

  await t.test('that the SDK has aborted by itself says so, and is asked for no messages', async (t) => {
    const response = { then () { throw new Error('nobody asks') } }
    t.strictSame(await read([{ type: 'text-delta', id: '1', text: 'a' }, { type: 'abort' }], { response }), [
      'a', { type: 'finish', finishReason: 'aborted', usage: undefined }
    ])
  })

  await t.test('that tells an error fails with it, whatever kind of thing that is', async (t) => {
    const failures: Array<[part: object, message: string]> = [
      [{ type: 'error', error: new Error('x') }, 'the SDK failed'],
      [{ type: 'error', error: 'overloaded' }, 'the SDK failed: overloaded'],
      [{ type: 'error', error: { message: 'overloaded', headers: {} } }, 'the SDK failed: overloaded'],
      [{ type: 'error', error: { code: 5 } }, 'the SDK failed: it did not say why'],
      [{ type: 'error', error: null }, 'the SDK failed: it did not say why'],
      [{ type: 'finish', finishReason: 'error', totalUsage: {} }, 'the SDK failed: the model ended with an error']
    ]
    for (const [part, message] of failures) await t.rejects(read([part]), { message })
    await t.rejects(read([{ type: 'error', error: new AgentError('for you') }]), { name: 'AgentError', message: 'for you' })
  })

  await t.test('may ask for approval, of which only clients are told', async (t) => {
    const toolCall = { toolCallId: 'c1', toolName: 'look', input: { id: 2 } }
    t.strictSame(await read([{ type: 'tool-approval-request', approvalId: 'a1', toolCall }]), [
      { type: 'event', name: 'tool-approval-request', data: { ...toolCall, approvalId: 'a1' } },
      { type: 'finish', finishReason: undefined, usage: undefined }
    ])
  })

  await t.test('keeps its messages, where it has any', async (t) => {
    const finish = { type: 'finish', finishReason: 'stop', totalUsage: {} }
    const messages = [{ role: 'assistant', content: 'a' }]
    const [kept] = await read([finish], { response: Promise.resolve({ messages }) })
    t.strictSame(kept, { type: 'metadata', metadata: { modelMessages: messages } })
    t.equal((await read([finish], { response: Promise.resolve({ messages: [] }) })).length, 1)
    const ofLastStep = { response: Promise.resolve({ messages: [] }), responseMessages: Promise.resolve(messages) }
    t.strictSame((await read([finish], ofLastStep))[0], kept, 'of version 7, too')
  })
})

await t.test('a host may have its own ways', async (t) => {
  await t.test('with messages of its own, which are not kept as the answer', async (t) => {
    const model = modelOf(new Source([ORDER, { end: 'tool-calls' }]), new Source(texts('Sent.')))
    const tools: ToolSet = { look: { inputSchema: jsonSchema({ type: 'object' }), execute: async () => 'sent' } }
    const parts = await partsOf(fromAiSdk((call) => streamText({
      model, tools, stopWhen: stepCountIs(3), ...call, messages: [{ role: 'user', content: 'before' }, ...call.messages]
    })))
    const kept = parts.filter((part) => typeof part !== 'string' && part.type === 'metadata')
    t.match(kept.at(-1), { metadata: { modelMessages: [{ role: 'assistant' }, { role: 'tool' }, { role: 'assistant' }] } })
    t.notMatch(JSON.stringify(kept), 'before')
  })

  await t.test('with a model that is only named', async (t) => {
    const call = await callOf()
    t.strictSame(call.prepareStep({ model: 'openai/gpt-5', messages: [] }), {})
  })

  await t.test('with the model\'s other methods, which are its own', async (t) => {
    class Model extends MockLanguageModelV3 {
      readonly #name = 'private'
      name () { return this.#name }
    }
    const call = await callOf()
    const { model } = call.prepareStep({ model: new Model(), messages: [] })
    t.equal((model as Model).name(), 'private')
    t.equal((model as Model).specificationVersion, 'v3')
  })

  await t.test('with a history that is longer or shorter', async (t) => {
    const call = await callOf({ historyLimit: 1 })
    t.strictSame(call.messages, [{ role: 'assistant', content: 'b' }, { role: 'user', content: 'hello' }])
  })

  async function callOf (options?: AiSdkOptions): Promise<AiSdkCall> {
    let given: AiSdkCall | undefined
    await partsOf(fromAiSdk((call) => {
      given = call
      call.onError()
      return { fullStream: streamOf([{ type: 'finish', finishReason: 'stop', totalUsage: {} } as { type: string }]) }
    }, options), turnOf({ said: said(['a', 'b']) }))
    if (given === undefined) throw new Error('the agent was not asked')
    return given
  }
})

type Model = MockLanguageModelV3

function streamOf<Item> (items: Item[]): ReadableStream<Item> & AsyncIterable<Item> {
  return ReadableStream.from(items) as ReadableStream<Item> & AsyncIterable<Item>
}

function eventsOf (parts: Part[]): EventPart[] {
  return parts.filter((part): part is EventPart => typeof part !== 'string' && part.type === 'event')
}

function dataOf (reader: Reader, name: string): unknown {
  const [json, ...others] = reader.entries.flatMap((entry) => entry.kind === 'event' && entry.name === name ? [entry.json] : [])
  if (json === undefined || others.length > 0) throw new Error(`not one ${name}`)
  return JSON.parse(json) as unknown
}

function doubled (usage: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(usage).map(([name, count]) => [name, count * 2]))
}
