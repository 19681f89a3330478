import { describe, expect, test } from 'tstyche'
import { WebSocket as WsWebSocket } from 'ws'

import {
  createChannelClient, type ChannelClient, type ChannelClientError, type ChannelClientOptions, type ClientErrorCode, type ClientTurn,
  type ConnectionState, type ServerFrameOf, type SessionMessage, type SessionNews, type TurnEvent, type TurnResult
} from '../../lib/client/index.js'

const client = createChannelClient({ url: 'ws://localhost:9527/api/v1/ws', WebSocket: WsWebSocket })

describe('createChannelClient', () => {
  test('takes an address, and the WebSocket of Node, of ws, or none', () => {
    expect(createChannelClient).type.toBeCallableWith({ url: '/ws' })
    expect(createChannelClient).type.toBeCallableWith({ url: new URL('https://example.com/ws'), WebSocket })
    expect(createChannelClient).type.toBeCallableWith({ url: '/ws', WebSocket: WsWebSocket, token: undefined })
    expect(createChannelClient).type.not.toBeCallableWith({ url: '/ws', WebSocket: EventTarget })
    expect(createChannelClient).type.not.toBeCallableWith({})
  })

  test('takes a token, or what gives one', () => {
    expect<string>().type.toBeAssignableTo<ChannelClientOptions['token']>()
    expect<(asked: { isRejected: boolean }) => Promise<string>>().type.toBeAssignableTo<ChannelClientOptions['token']>()
    expect<() => undefined>().type.toBeAssignableTo<ChannelClientOptions['token']>()
    expect<() => number>().type.not.toBeAssignableTo<ChannelClientOptions['token']>()
  })

  test('knows no options but its own', () => {
    expect(createChannelClient).type.not.toBeCallableWith({ url: '/ws', retries: 3 })
  })
})

describe('a client', () => {
  test('chats', () => {
    expect(client.chat).type.toBeCallableWith({ message: 'Hello' })
    expect(client.chat).type.toBeCallableWith({
      message: 'Hello', id: 'q', agentId: 'a', sessionId: 's', metadata: { x: 1 }, onBusy: 'reject' as const, stream: false,
      signal: new AbortController().signal
    })
    expect(client.chat).type.not.toBeCallableWith({})
    expect(client.chat).type.not.toBeCallableWith({ message: 'Hello', onBusy: 'never' })
    expect(client.chat({ message: 'Hello' })).type.toBe<ClientTurn>()
  })

  test('asks', () => {
    expect(client.cancel()).type.toBe<Promise<string[]>>()
    expect(client.cancel).type.toBeCallableWith({ sessionId: 's', turnId: 'q' })
    expect(client.history({ sessionId: 's', limit: 3 })).type.toBe<Promise<{ messages: SessionMessage[], before?: string }>>()
    expect(client.state).type.toBe<ConnectionState>()
    expect(client).type.toBeAssignableTo<AsyncDisposable>()
  })

  test('sends what the host has defined, with the answer that it gives', () => {
    const typed = createChannelClient<{ rate: { frame: { stars: number }, reply: { thanks: boolean } } }>({ url: '/ws' })
    expect(typed.send('rate', { stars: 5 })).type.toBe<Promise<{ thanks: boolean }>>()
    expect(typed.send).type.not.toBeCallableWith('rate', { stars: '5' })
    expect(typed.send).type.not.toBeCallableWith('order', {})
    expect(client.send('whatever', { stars: 5 })).type.toBe<Promise<unknown>>()
    expect(typed).type.toBe<ChannelClient<{ rate: { frame: { stars: number }, reply: { thanks: boolean } } }>>()
  })

  test('tells', () => {
    client.on('state', (state) => { expect(state).type.toBe<ConnectionState>() })
    client.on('error', (error) => { expect(error).type.toBe<ChannelClientError>() })
    client.on('event', (event) => { expect(event).type.toBe<ServerFrameOf<'event'>>() })
    expect(client.on).type.not.toBeCallableWith('message', () => {})
    expect(client.on('state', () => {})).type.toBe<() => void>()
  })
})

describe('what it gives', () => {
  test('turns are iterated as text, their events as what they are', async () => {
    const turn = client.chat({ message: 'Hello' })
    expect(turn).type.toBeAssignableTo<AsyncIterable<string>>()
    expect(turn).type.toBeAssignableTo<AsyncDisposable>()
    expect(turn.events).type.toBe<AsyncIterable<TurnEvent>>()
    expect(turn.finished).type.toBe<Promise<TurnResult>>()
    for await (const event of turn.events) {
      if (event.type === 'text') expect(event.content).type.toBe<string>()
      if (event.type === 'event') expect(event.data).type.toBe<unknown>()
    }
  })

  test('subscriptions are iterated as news', async () => {
    for await (const news of client.subscribe({ sessionId: 's' })) {
      expect(news).type.toBe<SessionNews>()
      if (news.type === 'turn') expect(news.turn).type.toBe<ClientTurn>()
    }
    expect(client.subscribe).type.toBeCallableWith({ from: { epoch: 'e', seq: 1 } })
    expect(client.subscribe).type.not.toBeCallableWith({ from: { seq: 1 } })
    expect(client.subscribe().turns).type.toBe<readonly ClientTurn[]>()
  })

  test('errors have a code', () => {
    expect<'OUTCOME_UNKNOWN'>().type.toBeAssignableTo<ClientErrorCode>()
    expect<'AGENT_ERROR'>().type.toBeAssignableTo<ClientErrorCode>()
    expect<'NOTHING'>().type.not.toBeAssignableTo<ClientErrorCode>()
  })
})
