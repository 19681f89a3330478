import { setImmediate } from 'node:timers/promises'

import * as sdk from 'ai'
import type { UIMessage, UIMessageChunk } from 'ai'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'

import { channelChatTransport, type ChannelChatTransport, type ChannelChatTransportOptions, type OpenApproval } from '../../lib/chat-transport/index.js'
import { createChannelClient } from '../../lib/client/index.js'
import { memoryJournal } from '../../lib/index.js'
import { serve, type ServeOptions } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'
import { Script } from './host.js'
import { lifetimeOf, MemoryStorage, Page, partsOf, settled, showing, textOf } from './page.js'

async function host (t: Test, options: ServeOptions = {}) {
  const script = new Script()
  const { url, app } = await serve(t, { agentExecutor: script.executor, after: (scope) => { script.define(scope.channel) }, ...options })
  return { script, url, app }
}

function transportTo (t: Test, url: string, options: Partial<ChannelChatTransportOptions> = {}): ChannelChatTransport {
  return channelChatTransport({
    url, WebSocket, minBackOffMs: 5, storage: null, signal: lifetimeOf(t), ...options
  } as ChannelChatTransportOptions)
}

function asked (text: string, about: { chatId?: string, abortSignal?: AbortSignal, messages?: UIMessage[] } = {}) {
  const { chatId = 'tea', abortSignal, messages = [{ id: text, role: 'user', parts: [{ type: 'text', text }] }] } = about
  return { trigger: 'submit-message' as const, chatId, messageId: undefined, messages, abortSignal }
}

async function textIn (stream: ReadableStream<UIMessageChunk> | null, until = '\0'): Promise<string> {
  let text = ''
  let failure = ''
  const reader = stream?.getReader()
  for (;;) {
    const { done, value } = await reader?.read() ?? { done: true, value: undefined }
    if (value?.type === 'text-delta') text += value.delta
    if (value?.type === 'error') failure = value.errorText
    if (done || text.includes(until)) break
  }
  reader?.releaseLock()
  if (failure !== '') throw new Error(failure)
  return text
}

t.test('an abort is no stop', async (t) => {
  await t.test('of a chat that is resumed twice', async (t) => {
    const { url, script } = await host(t)
    const storage = new MemoryStorage()
    const before = await new Page(t, sdk, url, { storage }).open('tea')
    void before.chat.sendMessage({ text: 'buy tea' })
    await showing(before.chat, 'One moment.')
    // As React does it under `StrictMode`.
    const { chat } = await new Page(t, sdk, url, { storage }).open('tea', { isResumed: false })
    const resumed = [chat.resumeStream(), chat.resumeStream()]
    await eventually(() => partsOf(chat).length === 4)
    t.match(partsOf(chat), [{ type: 'step-start' }, { type: 'reasoning' }, { type: 'text' }, { state: 'approval-requested' }])
    // And once more while it is being told.
    const again = chat.resumeStream()
    await eventually(() => chat.status === 'streaming')
    await Promise.all(resumed)
    t.strictSame(script.stopped, [])
    await chat.stop()
    await again
    await eventually(() => script.stopped.length === 1)
  })

  await t.test('where the page is being left', async (t) => {
    const listeners = new Map<string, () => void>()
    t.capture(globalThis as unknown as { addEventListener: (type: string, listener: () => void) => void }, 'addEventListener', (type: string, listener: () => void) => {
      const last = listeners.get(type)
      listeners.set(type, () => { last?.(); listener() })
    })
    const { url, script } = await host(t)
    const transport = transportTo(t, url)
    const [leaving, staying] = [new AbortController(), new AbortController()]
    const read = textIn(await transport.sendMessages(asked('count slowly', { abortSignal: leaving.signal })))
    await eventually(() => script.turns.length === 1)
    listeners.get('pagehide')?.()
    leaving.abort()
    script.gate('slowly').resolve(undefined)
    t.equal(await read, 'count slowly: one, two')
    listeners.get('pageshow')?.()
    const stopped = textIn(await transport.sendMessages(asked('count never', { abortSignal: staying.signal })))
    await eventually(() => script.turns.length === 2)
    staying.abort()
    t.match(await stopped, /^(count never: one)?$/)
    await eventually(() => script.stopped.length === 1)
    t.strictSame(script.stopped, ['count never'])
  })

  await t.test('where the host says so, or nobody reads on', async (t) => {
    const { url, script } = await host(t)
    const seen: object[] = []
    const transport = transportTo(t, url, { isStop: (about) => { seen.push(about); return false } })
    const unmounting = new AbortController()
    const read = textIn(await transport.sendMessages(asked('count slowly', { abortSignal: unmounting.signal })))
    await (await transport.sendMessages(asked('count too', { chatId: 'coffee' }))).cancel()
    await eventually(() => script.turns.length === 2)
    unmounting.abort()
    await eventually(() => seen.length === 1)
    t.strictSame(seen, [{ chatId: 'tea', turnId: 'count slowly' }])
    script.gate('slowly').resolve(undefined)
    script.gate('too').resolve(undefined)
    t.equal(await read, 'count slowly: one, two')
    await eventually(() => script.turns.length === 2)
    t.match((await transport.messages('coffee')).messages.map(({ role }) => role)[0], 'user')
    t.strictSame(script.stopped, [])
  })

  await t.test('before anything was said', async (t) => {
    const { url, script } = await host(t)
    await t.rejects(transportTo(t, url).sendMessages(asked('hello', { abortSignal: AbortSignal.abort() })), { name: 'AbortError' })
    t.strictSame(script.turns, [])
  })
})

t.test('a stop that does not get to the server', async (t) => {
  await t.test('is told of', async (t) => {
    const failed: unknown[] = []
    await stopUnheard(t, { onStopFailed: (error) => { failed.push(error) } })
    await eventually(() => failed.length === 1)
    t.match(failed, [{ message: 'TIMEOUT' }])
  })

  await t.test('is no unhandled rejection where nobody asks for it', async (t) => {
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown): void => { unhandled.push(error) }
    process.on('unhandledRejection', onUnhandled)
    t.teardown(() => { process.off('unhandledRejection', onUnhandled) })
    await stopUnheard(t, {})
    t.strictSame(unhandled, [])
  })
})

/** Aborts an answer whose `cancel` gets nowhere, and returns when that is known. */
async function stopUnheard (t: Test, options: Partial<ChannelChatTransportOptions>): Promise<void> {
  const client = createChannelClient({ url: (await host(t)).url, WebSocket })
  t.teardown(() => { client.close() })
  let cancels = 0
  const transport = transportTo(t, '', {
    ...options,
    url: undefined,
    client: {
      ...clientOf(client),
      chat: (request) => {
        const turn = client.chat(request)
        turn.cancel = async () => {
          cancels++
          throw new Error('TIMEOUT')
        }
        return turn
      }
    }
  })
  const stop = new AbortController()
  await transport.sendMessages(asked('count slowly', { abortSignal: stop.signal }))
  stop.abort()
  await eventually(() => cancels === 1)
  // What nobody handles is told of behind the microtasks.
  await setImmediate()
}

function clientOf (client: ReturnType<typeof createChannelClient>) {
  return {
    chat: client.chat.bind(client),
    subscribe: client.subscribe.bind(client),
    cancel: client.cancel.bind(client),
    history: client.history.bind(client),
    send: client.send.bind(client),
    close: client.close.bind(client)
  }
}

t.test('a turn that is joined in its midst', async (t) => {
  await t.test('is told by its text, and by what it is waiting for', async (t) => {
    const { url } = await host(t)
    const { chat: first } = await new Page(t, sdk, url).open('tea')
    void first.sendMessage({ text: 'buy tea' })
    await eventually(() => partsOf(first).length === 4)
    const other = new Page(t, sdk, url, {
      openApprovals: async ({ sessionId }, client) => await client.send('approvals', { sessionId }) as OpenApproval[]
    })
    const { chat } = await other.open('tea')
    await eventually(() => partsOf(chat).length === 3)
    t.match(partsOf(chat), [
      { type: 'step-start' }, { type: 'text', text: 'One moment. ', state: 'done' },
      { type: 'tool-buy', state: 'approval-requested', input: { what: 'tea' } }
    ])
    const [part] = partsOf(chat).slice(-1) as Array<{ approval: { id: string } }>
    await other.transport.approve({ id: String(part?.approval.id), approved: true })
    await settled(chat)
    t.match(partsOf(chat).slice(2), [{ state: 'output-available' }, { type: 'step-start' }, { text: 'You have tea.' }])
  })

  await t.test('is so too where the server has forgotten its beginning', async (t) => {
    const { url, script, app } = await host(t, { journal: memoryJournal({ maxEntries: 8 }) })
    const storage = new MemoryStorage()
    const before = await new Page(t, sdk, url, { storage }).open('tea')
    void before.chat.sendMessage({ text: 'buy tea' })
    await eventually(() => partsOf(before.chat).length === 4)
    for (let count = 0; count < 8; count++) await app.channel.publish({ owner: 'anonymous', sessionId: 'tea' }, 'noise', count)
    const { chat } = await new Page(t, sdk, url, { storage }).open('tea')
    await showing(chat, 'One moment. ')
    t.equal(textOf(chat), 'One moment. ')
    await chat.stop()
    await eventually(() => script.stopped.length === 1)
  })
})

t.test('what it is waiting for may not be known', async (t) => {
  const { url, app } = await host(t)
  const { chat } = await new Page(t, sdk, url).open('tea')
  void chat.sendMessage({ text: 'buy tea' })
  await eventually(() => partsOf(chat).length === 4)
  const transport = transportTo(t, url, { openApprovals: async () => { throw new Error('no such frame') } })
  await t.rejects(transport.reconnectToStream({ chatId: 'tea' }), { message: 'no such frame' })
  transport.close()
  await eventually(() => app.channel.stats().connections === 1)
})

t.test('an answer of its own that ends leaves it to stop what is resumed beside it', async (t) => {
  const { url, script, app } = await host(t)
  void app.channel.startTurn({ owner: 'anonymous', sessionId: 'tea', message: 'count never' })
  await eventually(() => script.turns.length === 1)
  const transport = transportTo(t, url)
  const stop = new AbortController()
  const resumed = await transport.reconnectToStream({ chatId: 'tea', abortSignal: stop.signal })
  const own = await transport.sendMessages(asked('count slowly'))
  await own.cancel()
  stop.abort()
  t.match(await textIn(resumed), 'count never')
  await eventually(() => script.stopped.length === 1)
  t.strictSame(script.stopped, ['count never'])
})

t.test('a turn that ended while the page was loaded is told whole', async (t) => {
  const { url, script } = await host(t)
  const storage = new MemoryStorage()
  const page = new Page(t, sdk, url, { storage })
  void (await page.open('tea')).chat.sendMessage({ text: 'count slowly' })
  await eventually(() => storage.items.size === 1)
  const kept = [...storage.items]
  script.gate('slowly').resolve(undefined)
  await eventually(() => storage.items.size === 0)
  for (const [key, value] of kept) storage.setItem(key, value)
  const { chat } = await new Page(t, sdk, url, { storage }).open('tea')
  await eventually(() => storage.items.size === 0)
  await settled(chat)
  t.equal(textOf(chat), 'count slowly: one, two')
  t.match(chat.lastMessage, { metadata: { finishReason: 'stop' } })
})

t.test('what is kept of another life of the server is of no use', async (t) => {
  const { url } = await host(t)
  const storage = new MemoryStorage()
  storage.setItem('fastify-ws-channel:[null,"tea"]', JSON.stringify({ turnId: 'gone', epoch: 'another', seq: 3 }))
  const transport = transportTo(t, url, { storage })
  t.equal(await transport.reconnectToStream({ chatId: 'tea' }), null)
})

t.test('a search for a turn that never comes ends', async (t) => {
  const { url } = await host(t)
  const storage = new MemoryStorage()
  const first = transportTo(t, url, { storage })
  await textIn(await first.sendMessages(asked('hello')))
  const client = createChannelClient({ url, WebSocket, sessionId: 'tea' })
  t.teardown(() => { client.close() })
  const turn = client.chat({ message: 'hi' })
  for await (const event of turn.events) {
    if (event.type === 'ack') storage.setItem('fastify-ws-channel:[null,"tea"]', JSON.stringify({ turnId: 'never', epoch: event.epoch, seq: event.seq }))
  }

  await t.test('when it is aborted', async (t) => {
    const transport = transportTo(t, url, { storage })
    const stop = new AbortController()
    const found = transport.reconnectToStream({ chatId: 'tea', abortSignal: stop.signal })
    await transport.messages('tea')
    stop.abort()
    t.equal(await found, null)
    t.equal(await transport.reconnectToStream({ chatId: 'coffee', abortSignal: AbortSignal.abort() }), null)
  })

  await t.test('when something else is said', async (t) => {
    const transport = transportTo(t, url, { storage })
    const found = transport.reconnectToStream({ chatId: 'tea' })
    await transport.messages('tea')
    t.equal(await textIn(await transport.sendMessages(asked('anew'))), 'anew: one, two')
    t.equal(await found, null)
  })
})

t.test('a session that may not be followed is an error', async (t) => {
  const { url } = await host(t, { authorize: ({ type }) => type !== 'subscribe' })
  await t.rejects(transportTo(t, url).reconnectToStream({ chatId: 'tea' }), { code: 'FORBIDDEN' })
})

t.test('a page that comes back to a chat finds its answer, whole', async (t) => {
  const { url, script } = await host(t)
  const transport = transportTo(t, url)
  const unmounted = await transport.sendMessages(asked('count slowly'))
  t.equal(await textIn(unmounted, 'one'), 'count slowly: one')
  await unmounted.cancel()
  const stream = await transport.reconnectToStream({ chatId: 'tea' })
  script.gate('slowly').resolve(undefined)
  t.equal(await textIn(stream), 'count slowly: one, two')
})

t.test('stops by a word of its own', async (t) => {
  const { url, script } = await host(t)
  const transport = transportTo(t, url)
  const read = textIn(await transport.sendMessages(asked('count slowly')), 'one')
  t.equal(await read, 'count slowly: one')
  t.strictSame(await transport.stop('tea'), ['count slowly'])
  t.strictSame(script.stopped, ['count slowly'])
})

t.test('a connection', async (t) => {
  await t.test('is closed when nothing is read any more, and made again when needed', async (t) => {
    const { url, app, script } = await host(t)
    const transport = transportTo(t, url)
    const stream = await transport.sendMessages(asked('count slowly'))
    transport.close()
    script.gate('slowly').resolve(undefined)
    t.equal(await textIn(stream), 'count slowly: one, two')
    await eventually(() => app.channel.stats().connections === 0)
    t.equal(await textIn(await transport.sendMessages(asked('hello'))), 'hello: one, two')
    transport.close()
    transport.close()
    await eventually(() => app.channel.stats().connections === 0)
  })

  await t.test('of the host is left open', async (t) => {
    const { url, app } = await host(t)
    const client = createChannelClient({ url, WebSocket })
    t.teardown(() => { client.close() })
    const transport = channelChatTransport({ client, session: (id) => ({ sessionId: `chat-${id}`, agentId: 'main' }) })
    t.equal(await textIn(await transport.sendMessages(asked('hello'))), 'hello: one, two')
    transport.close()
    t.equal(client.state, 'open')
    t.equal(app.channel.stats().connections, 1)
    t.match((await client.history({ sessionId: 'chat-tea' })).messages, [{ content: 'hello' }, { content: 'hello: one, two' }])
  })
})

t.test('what is sent', async (t) => {
  const { url, script } = await host(t)
  const file = { type: 'file' as const, mediaType: 'image/png', url: 'https://tea.example/cup.png' }

  await t.test('is a text of the user', async (t) => {
    const transport = transportTo(t, url)
    const messages: UIMessage[] = [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: 'see' }, file] }]
    await t.rejects(transport.sendMessages(asked('', { messages })), { message: /give `prepareChat`/ })
    await t.rejects(transport.sendMessages(asked('', { messages: [] })), { message: /Only what a user says/ })
    await t.rejects(transport.sendMessages(asked('', { messages: [{ ...messages[0] as UIMessage, role: 'assistant' }] })), { message: /`approve`/ })
  })

  await t.test('is what the host makes of it', async (t) => {
    const transport = transportTo(t, url, {
      prepareChat: async ({ messages }) => ({ message: 'see', metadata: { files: messages[0]?.parts.filter(({ type }) => type === 'file') } }),
      approvalFrame: ({ id: approvalId, approved: ok }) => ({ type: 'approve', approvalId, ok })
    })
    const messages: UIMessage[] = [{ id: 'm1', role: 'user', parts: [file] }]
    t.equal(await textIn(await transport.sendMessages(asked('', { messages }))), 'see: one, two')
    t.strictSame(script.turns.at(-1)?.metadata, { files: [file] })
    await t.rejects(transport.approve({ id: 'none', approved: true }), { code: 'VALIDATION_FAILED' })
  })

  await t.test('fails in the words of the host', async (t) => {
    const transport = transportTo(t, url, { errorText: ({ code }) => `Sorry: ${code}` })
    await t.rejects(textIn(await transport.sendMessages(asked('fail'))), { message: 'Sorry: AGENT_ERROR' })
    await t.rejects(textIn(await transport.sendMessages(asked('x'.repeat(200_000)))), { message: 'Sorry: VALIDATION_FAILED' })
  })
})
