import { EventType, type AGUIEvent, type RunAgentInput } from '@ag-ui/core'
import { HttpAgent } from '@ag-ui/client'
import t from 'tap'

import { fromAgUi, type AgUiItem, type AgUiOptions, type Subscribable } from '../../lib/adapters/ag-ui.js'
import { guardRequests, type Fetching } from '../../lib/adapters/http-agent.js'
import { ReaderPace } from '../../lib/adapters/reader-pace.js'
import type { Part } from '../../lib/agent/executor.js'
import { KEY, ticks, TurnBench } from '../helpers/turn-bench.js'
import { partsOf, said, turnOf } from './turn.js'

const agentEvent = (name: string, data: unknown) => ({ type: 'event', name, data })
const finish = (finishReason: string, usage?: object) => ({ type: 'finish', finishReason, usage })
const RUN = { threadId: 's1', runId: 't9' }
const FINISHED: AGUIEvent = { type: EventType.RUN_FINISHED, ...RUN }

await t.test('the input of a run is the turn', async (t) => {
  let given: RunAgentInput | undefined
  const turn = turnOf({ said: said(['a', 'b'], ['c', 'd']), metadata: { lang: 'en' } })
  await partsOf(fromAgUi(({ input }) => { given = input; return [] }, { historyLimit: 2 }), turn)
  t.strictSame(given, {
    ...RUN,
    messages: [
      { id: 't2-user', role: 'user', content: 'c' }, { id: 't2-assistant', role: 'assistant', content: 'd' },
      { id: 't9-user', role: 'user', content: 'hello' }
    ],
    state: {}, tools: [], context: [], forwardedProps: { lang: 'en' }
  })
  await partsOf(fromAgUi(({ input }) => { given = input; return [] }))
  t.match(given, { forwardedProps: {}, messages: [{ content: 'hello' }] })
})

await t.test('events', async (t) => {
  await t.test('text and reasoning in chunks', async (t) => {
    t.strictSame(await read(
      { type: EventType.TEXT_MESSAGE_CHUNK, messageId: 'm1', delta: 'a' }, { type: EventType.TEXT_MESSAGE_CHUNK, delta: 'b' },
      { type: EventType.TEXT_MESSAGE_CHUNK }, { type: EventType.REASONING_MESSAGE_CHUNK, messageId: 'r1', delta: 'c' },
      { type: EventType.REASONING_MESSAGE_CHUNK, delta: 'd' }, { type: EventType.REASONING_MESSAGE_CHUNK }, FINISHED
    ), ['a', 'b', agentEvent('reasoning', { id: 'r1', text: 'c' }), agentEvent('reasoning', { id: 'r1', text: 'd' }), finish('stop')])
  })

  await t.test('text that is not the agent\'s is left out', async (t) => {
    const content = (messageId: string, delta: string): AGUIEvent => ({ type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta })
    t.strictSame(await read(
      { type: EventType.TEXT_MESSAGE_START, messageId: 'm1', role: 'user' }, content('m1', 'a'), { type: EventType.TEXT_MESSAGE_END, messageId: 'm1' },
      { type: EventType.TEXT_MESSAGE_START, messageId: 'm2', role: 'assistant' }, content('m2', 'b'), FINISHED
    ), ['b', finish('stop')])
  })

  await t.test('tools in chunks, and what they answered', async (t) => {
    const result = (toolCallId: string, content: string): AGUIEvent => ({ type: EventType.TOOL_CALL_RESULT, messageId: 'm', toolCallId, content })
    t.strictSame(await read(
      { type: EventType.TOOL_CALL_CHUNK, toolCallId: 'c1', toolCallName: 'look', delta: '{' }, { type: EventType.TOOL_CALL_CHUNK, delta: '}' },
      { type: EventType.TOOL_CALL_CHUNK, toolCallId: 'c2', toolCallName: 'find' }, result('c1', 'one'), result('c2', 'two'), result('c9', 'nine'), FINISHED
    ), [
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'look' }),
      agentEvent('tool-input-delta', { toolCallId: 'c1', text: '{' }),
      agentEvent('tool-input-delta', { toolCallId: 'c1', text: '}' }),
      agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: {} }),
      agentEvent('tool-input-start', { toolCallId: 'c2', toolName: 'find' }),
      agentEvent('tool-output', { toolCallId: 'c1', toolName: 'look', output: 'one' }),
      agentEvent('tool-input', { toolCallId: 'c2', toolName: 'find', input: {} }),
      agentEvent('tool-output', { toolCallId: 'c2', toolName: 'find', output: 'two' }),
      agentEvent('tool-output', { toolCallId: 'c9', toolName: '', output: 'nine' }),
      finish('stop')
    ])
    const unnamed = await read({ type: EventType.TOOL_CALL_CHUNK, delta: '{}' })
    t.strictSame(unnamed.at(-2), agentEvent('tool-input', { toolCallId: 'call-1', toolName: '', input: {} }))
  })

  await t.test('state, steps and what the agent calls its own go on as they are', async (t) => {
    t.strictSame(await read(
      { type: EventType.RUN_STARTED, ...RUN },
      { type: EventType.STATE_SNAPSHOT, snapshot: { tea: 1 }, timestamp: 5, rawEvent: { secret: true } },
      { type: EventType.STATE_DELTA, delta: [{ op: 'replace', path: '/tea', value: 2 }] },
      { type: EventType.STEP_STARTED, stepName: 'look' },
      { type: EventType.CUSTOM, name: 'progress', value: 0.5 }, { type: EventType.CUSTOM, name: '', value: 1 },
      { type: EventType.MESSAGES_SNAPSHOT, messages: [] }, { type: EventType.RAW, event: { secret: true } },
      { type: 'event', name: 'mine' }, FINISHED
    ), [
      agentEvent('state-snapshot', { snapshot: { tea: 1 } }),
      agentEvent('state-delta', { delta: [{ op: 'replace', path: '/tea', value: 2 }] }),
      agentEvent('step-started', { stepName: 'look' }),
      agentEvent('progress', 0.5),
      { type: 'event', name: 'mine' },
      finish('stop')
    ])
  })

  await t.test('what a subagent says is no part of the answer, nor what was wrong with it', async (t) => {
    t.strictSame(await read(
      { type: EventType.TEXT_MESSAGE_CONTENT, messageId: 'm1', delta: 'a', subagentRunId: 'sub' },
      { type: EventType.SUBAGENT_ERROR, subagentRunId: 'sub', message: 'sk-secret' }, FINISHED
    ), [
      agentEvent('text-message-content', { messageId: 'm1', delta: 'a', subagentRunId: 'sub' }),
      agentEvent('subagent-error', { subagentRunId: 'sub' }),
      finish('stop')
    ])
  })

  await t.test('ends', async (t) => {
    const interrupts = [{ id: 'i1', reason: 'approval' }]
    t.strictSame(await read({ ...FINISHED, outcome: { type: 'interrupt', interrupts }, result: null }), [agentEvent('interrupt', interrupts), finish('tool-calls')])
    t.strictSame(await read({ ...FINISHED, outcome: { type: 'cancelled' } }), [finish('aborted')])
    t.strictSame(await read({ ...FINISHED, outcome: { type: 'success' }, result: { ok: true } }), [agentEvent('result', { ok: true }), finish('stop')])
    const usage = [{ inputTokens: 1, outputTokens: 2 }, { inputTokens: 3, outputTokens: 4 }]
    t.strictSame(await read({ ...FINISHED, usage }), [finish('stop', { inputTokens: 4, outputTokens: 6 })])
    t.strictSame(await read({ type: EventType.TOOL_CALL_START, toolCallId: 'c1', toolCallName: 'look' }), [
      agentEvent('tool-input-start', { toolCallId: 'c1', toolName: 'look' }), agentEvent('tool-input', { toolCallId: 'c1', toolName: 'look', input: {} }),
      finish('other')
    ], 'a run that does not say that it is over was cut off')
    t.strictSame(await read(), [])
    await t.rejects(read({ type: EventType.RUN_ERROR, message: 'overloaded' }), { message: 'the SDK failed: overloaded' })
  })
})

await t.test('an observable', async (t) => {
  const text = (delta: string): AGUIEvent => ({ type: EventType.TEXT_MESSAGE_CONTENT, messageId: 'm1', delta })

  await t.test('is read to its end, also where that comes while it is subscribed to', async (t) => {
    const source = observable((observer) => {
      observer.next(text('a'))
      observer.complete()
      observer.next(text('b'))
      observer.error(new Error('late'))
    })
    t.strictSame(await partsOf(fromAgUi(() => source)), ['a', finish('other')])
    t.equal(source.unsubscribed, 1)
  })

  await t.test('that fails ends the turn', async (t) => {
    await t.rejects(partsOf(fromAgUi(() => observable((observer) => { observer.error(new Error('broken')) }))), { cause: { message: 'broken' } })
  })

  await t.test('that says more than may lie unread fails, and is left', async (t) => {
    const options: AgUiOptions = { maxUnreadEvents: 2 }
    const source = observable((observer) => { for (const delta of 'abc') observer.next(text(delta)) })
    await t.rejects(partsOf(fromAgUi(() => source, options)), { cause: { message: 'more than 2 events lay unread (maxUnreadEvents)' } })
    t.equal(source.unsubscribed, 1)
  })

  await t.test('is left when the turn is stopped', async (t) => {
    const source = observable((observer) => { observer.next(text('a')) })
    const bench = new TurnBench(fromAgUi(() => source))
    const reader = await bench.start()
    await reader.until(2)
    await bench.engine.cancel(KEY, true)
    t.match(await reader.ended.promise, { finishReason: 'aborted' })
    t.equal(source.unsubscribed, 1)
    await bench.finish(t)
  })
})

await t.test('an agent', async (t) => {
  await t.test('of the host\'s own is run, and told when it is to stop', async (t) => {
    let aborted = 0
    const source = observable(() => {})
    const turn = turnOf()
    for (const agent of [{ run: () => source }, { run: () => source, abortRun () { aborted++ } }]) {
      const parts = partsOf(fromAgUi(() => agent), turn)
      await ticks()
      turn.abort()
      t.strictSame(await parts, [])
    }
    t.equal(aborted, 1, 'one of a turn that was stopped before, too')
    const running = turnOf()
    const parts = partsOf(fromAgUi(() => ({ run: () => source, abortRun () { aborted++ } })), running)
    await ticks()
    running.abort()
    t.strictSame(await parts, [])
    t.equal(aborted, 2)
    t.equal(source.unsubscribed, 3)
  })

  await t.test('of the host\'s own comes to its end', async (t) => {
    const source = observable((observer) => { observer.next(FINISHED); observer.complete() })
    t.strictSame(await partsOf(fromAgUi(() => ({ run: () => source }))), [finish('stop')])
  })

  await t.test('over HTTP is read no further than its reader wants', async (t) => {
    let reason: unknown
    const body = new ReadableStream<Uint8Array>({ cancel (why) { reason = why } })
    const agent: Fetching = { fetch: async () => new Response(body) }
    const failureOf = guardRequests(agent, new ReaderPace())
    const response = await agent.fetch('http://agent.test/', {})
    await response.body?.cancel('enough')
    t.equal(reason, 'enough')
    t.equal(failureOf(), undefined)
  })

  await t.test('over HTTP that answers without a body, or is not there, fails', async (t) => {
    const answering = (response: Response) => fromAgUi(() => new HttpAgent({ url: 'http://agent.test/', fetch: async () => response }))
    await t.rejects(partsOf(answering(new Response(null))), { message: 'the SDK failed' })
    await t.rejects(partsOf(answering(new Response('sk-secret', { status: 500 }))), { cause: { message: 'HTTP 500: sk-secret' } })
  })
})

async function read (...items: AgUiItem[]): Promise<Part[]> {
  return await partsOf(fromAgUi(() => items))
}

function observable (onSubscribe: (observer: Parameters<Subscribable<AGUIEvent>['subscribe']>[0]) => void) {
  const source = {
    unsubscribed: 0,
    subscribe (observer: Parameters<Subscribable<AGUIEvent>['subscribe']>[0]) {
      onSubscribe(observer)
      return { unsubscribe () { source.unsubscribed++ } }
    }
  }
  return source
}
