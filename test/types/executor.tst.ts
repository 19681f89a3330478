import type { FastifyBaseLogger } from 'fastify'
import { describe, expect, test } from 'tstyche'
import { HttpAgent } from '@ag-ui/client'
import { generateText, streamText } from 'ai'
import type OpenAI from 'openai'

import { fromAgUi, type AgUiCall } from '../../lib/adapters/ag-ui.js'
import { fromAiSdk, type AiSdkCall } from '../../lib/adapters/ai-sdk.js'
import { fromOpenAI, type SdkCall } from '../../lib/adapters/openai.js'
import {
  AgentError, AgentNotFoundError,
  type AgentDefinition, type AgentExecutor, type Executor, type Part, type Turn
} from '../../lib/agent/executor.js'
import type { SessionMessage } from '../../lib/protocol/server-frames.js'

declare const turn: Turn
declare const openai: OpenAI

describe('an executor', () => {
  test('may answer with text, at once or later', () => {
    expect<Executor>().type.toBeAssignableFrom((turn: Turn) => turn.message)
    expect<Executor>().type.toBeAssignableFrom(async (turn: Turn) => turn.message)
    expect<Executor>().type.toBeAssignableFrom(() => 'the same to everyone')
  })

  test('may answer with anything that can be iterated', () => {
    expect<Executor>().type.toBeAssignableFrom(async function * () { yield 'a' })
    expect<Executor>().type.toBeAssignableFrom(function * () { yield 'a' })
    expect<Executor>().type.toBeAssignableFrom(() => ['a', 'b'])
    expect<Executor>().type.toBeAssignableFrom(() => new ReadableStream<string>())
    expect<Executor>().type.toBeAssignableFrom(async () => new ReadableStream<string>())
    expect<Executor>().type.toBeAssignableFrom((turn: Turn) => tokens(turn.signal))
  })

  test('may yield every kind of part', () => {
    expect<Executor>().type.toBeAssignableFrom(async function * (): AsyncGenerator<Part> {
      yield 'a'
      yield { type: 'text', content: 'a' }
      yield { type: 'message', content: 'a' }
      yield { type: 'event', name: 'progress' }
      yield { type: 'event', name: 'tool-input', data: { of: ['a', 1, null] } }
      yield { type: 'metadata', metadata: { seen: ['a', 1, null] } }
      yield { type: 'finish', finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 } }
    })
  })

  test('may answer with what streamText returns, and with streams of other SDKs through their adapters', () => {
    expect<Executor>().type.toBeAssignableFrom(() => streamText({ model: 'm', prompt: 'a' }))
    expect<Executor>().type.toBeAssignableFrom(async () => streamText({ model: 'm', prompt: 'a', tools: {} }))
    expect<Executor>().type.not.toBeAssignableFrom(() => generateText({ model: 'm', prompt: 'a' }))
    expect(fromAiSdk).type.toBeCallableWith((call: AiSdkCall) => streamText({ model: 'm', tools: {}, ...call }))
    expect(fromAiSdk).type.not.toBeCallableWith((call: AiSdkCall) => generateText({ model: 'm', ...call }))
    expect(fromOpenAI).type.toBeCallableWith(({ messages }: SdkCall) => openai.chat.completions.create({ model: 'm', messages, stream: true }))
    expect(fromOpenAI).type.toBeCallableWith(({ messages }: SdkCall) => openai.responses.create({ model: 'm', input: messages, stream: true }))
    expect(fromOpenAI).type.not.toBeCallableWith(({ messages }: SdkCall) => openai.chat.completions.create({ model: 'm', messages }))
    expect(fromAgUi).type.toBeCallableWith(() => new HttpAgent({ url: 'http://localhost' }))
    expect(fromAgUi).type.toBeCallableWith(({ input }: AgUiCall) => new HttpAgent({ url: 'http://localhost' }).run(input))
  })

  test('must answer, and with text', () => {
    expect<Executor>().type.not.toBeAssignableFrom(() => {})
    expect<Executor>().type.not.toBeAssignableFrom(async () => {})
    expect<Executor>().type.not.toBeAssignableFrom(() => 1)
    expect<Executor>().type.not.toBeAssignableFrom(() => ({ text: 'a' }))
    expect<Executor>().type.not.toBeAssignableFrom(() => [1, 2])
    expect<Executor>().type.not.toBeAssignableFrom(async function * () { yield 1 })
    expect<Executor>().type.not.toBeAssignableFrom(() => new ReadableStream<Uint8Array>())
  })

  test('must not ask for more than a turn', () => {
    expect<Executor>().type.not.toBeAssignableFrom((turn: Turn, reply: object) => `${turn.id} ${typeof reply}`)
    expect<Executor>().type.not.toBeAssignableFrom((turn: Turn & { request: object }) => turn.id)
  })
})

describe('a part', () => {
  test('must be one of the kinds, whole', () => {
    expect<Part>().type.not.toBeAssignableFrom({ type: 'text' as const })
    expect<Part>().type.not.toBeAssignableFrom({ type: 'text' as const, content: 1 })
    expect<Part>().type.not.toBeAssignableFrom({ type: 'event' as const, data: {} })
    expect<Part>().type.not.toBeAssignableFrom({ type: 'error' as const, content: 'a' })
    expect<Part>().type.not.toBeAssignableFrom({ type: 'finish' as const, finishReason: 'bored' as const })
    expect<Part>().type.not.toBeAssignableFrom({ type: 'finish' as const, usage: { inputTokens: 1 } })
    expect<Part>().type.not.toBeAssignableFrom(undefined)
  })
})

describe('agents', () => {
  test('may be one executor, or one per agent id', () => {
    const echo: Executor = (turn) => turn.message
    expect<AgentExecutor>().type.toBeAssignableFrom(echo)
    expect<AgentExecutor>().type.toBeAssignableFrom({ main: echo, other: { execute: echo, description: 'says it back' } })
    expect<AgentDefinition>().type.toBeAssignableFrom({ execute: echo })
  })

  test('must be functions', () => {
    expect<AgentExecutor>().type.not.toBeAssignableFrom('echo')
    expect<AgentExecutor>().type.not.toBeAssignableFrom({ main: 'echo' })
    expect<AgentExecutor>().type.not.toBeAssignableFrom({ main: { description: 'does nothing' } })
  })
})

describe('a turn', () => {
  test('says what was asked, by whom and where', () => {
    expect(turn.message).type.toBe<string>()
    expect(turn.owner).type.toBe<string>()
    expect(turn.context).type.toBe<unknown>()
    expect(turn.metadata).type.toBe<Record<string, unknown> | undefined>()
    expect(turn.signal).type.toBe<AbortSignal>()
    expect(turn.log).type.toBe<FastifyBaseLogger>()
  })

  test('gives the history, and what was waited for', () => {
    expect(turn.history()).type.toBe<Promise<SessionMessage[]>>()
    expect(turn.history).type.toBeCallableWith({ limit: 10 })
    expect(turn.history).type.not.toBeCallableWith(10)
    expect(turn.waitFor(Promise.resolve(true))).type.toBe<Promise<boolean>>()
    expect(turn.waitFor).type.not.toBeCallableWith(true)
  })

  test('cannot be written, and has no request', () => {
    expect<Said>().type.toBe<Readonly<Said>>()
    expect(turn).type.not.toHaveProperty('request')
  })
})

describe('what an executor throws', () => {
  test('is told apart by name', () => {
    expect(new AgentError('out of stock').name).type.toBe<'AgentError'>()
    expect(new AgentNotFoundError('sales').name).type.toBe<'AgentNotFoundError'>()
    expect(AgentError).type.not.toBeConstructableWith(402)
    expect(AgentNotFoundError).type.not.toBeConstructableWith()
  })
})

type Said = Omit<Turn, 'history' | 'waitFor'>

/** Stands for what the common SDKs give: an async iterable of strings. */
declare function tokens (signal: AbortSignal): AsyncIterable<string>
