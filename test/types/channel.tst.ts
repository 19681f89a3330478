import Fastify from 'fastify'
import { describe, expect, test } from 'tstyche'

import wsChannelDefault, {
  CLOSE_CODES, ERROR_CODES, memoryJournal, memorySessionStore, wsChannel,
  type AgentExecutor, type Channel, type ChannelStats, type ChatFrame, type ClientFrame, type ErrorCode, type Identity,
  type ServerFrame, type ServerFrameOf, type SessionStore, type WsChannelOptions
} from '../../lib/index.js'

const app = Fastify()

describe('registering', () => {
  test('takes no options, some, and ones that may be undefined', () => {
    expect(app.register).type.toBeCallableWith(wsChannel)
    expect(app.register).type.toBeCallableWith(wsChannelDefault, { path: '/live', prefix: '/v2' })
    const sessionStore: SessionStore | undefined = undefined
    expect(app.register).type.toBeCallableWith(wsChannel, { sessionStore, heartbeatMs: undefined })
  })

  test('refuses what is no option, or no value of one', () => {
    expect<WsChannelOptions>().type.not.toBeAssignableFrom({ maxPaylod: 1 })
    expect<WsChannelOptions>().type.not.toBeAssignableFrom({ maxPayload: '1 MiB' })
    expect<WsChannelOptions>().type.not.toBeAssignableFrom({ onBusy: 'wait' as const })
    expect<WsChannelOptions>().type.not.toBeAssignableFrom({ routeOptions: { method: 'POST' } })
  })

  test('identify answers an owner, or an identity', () => {
    expect<WsChannelOptions>().type.toBeAssignableFrom({ identify: () => 'ada' })
    expect<WsChannelOptions>().type.toBeAssignableFrom({ identify: async (): Promise<Identity> => ({ owner: 'ada', context: { a: 1 } }) })
    expect<WsChannelOptions>().type.not.toBeAssignableFrom({ identify: () => ({ name: 'ada' }) })
  })

  test('the stores and journals of the package fit', () => {
    expect<WsChannelOptions>().type.toBeAssignableFrom({ sessionStore: memorySessionStore(), journal: memoryJournal() })
    expect<WsChannelOptions>().type.not.toBeAssignableFrom({ sessionStore: {} })
  })
})

describe('decorators', () => {
  test('are typed on the app', () => {
    expect(app.channel).type.toBe<Channel>()
    expect(app.agentExecutor).type.toBe<AgentExecutor>()
    expect(app.sessionStore).type.toBe<SessionStore>()
    expect(app.channel.stats()).type.toBe<ChannelStats>()
    expect(app.channel.drain({ timeoutMs: 1 })).type.toBe<Promise<void>>()
    expect(app.channel.disconnect('ada')).type.toBe<number>()
  })

  test('refuse what is no agent', () => {
    expect(app.channel.disconnect).type.not.toBeCallableWith(7)
    expect<AgentExecutor>().type.not.toBeAssignableFrom({ main: 'hello' })
  })
})

describe('frames', () => {
  test('are unions told apart by type', () => {
    expect<ChatFrame>().type.toBeAssignableTo<ClientFrame>()
    expect<Extract<ServerFrame, { type: 'stream' }>>().type.toBe<ServerFrameOf<'stream'>>()
    expect<ServerFrameOf<'error'>['code']>().type.toBe<ErrorCode>()
  })

  test('codes are literal', () => {
    expect(CLOSE_CODES.DRAIN.code).type.toBe<1012>()
    expect(ERROR_CODES.AGENT_ERROR.retryable).type.toBe<true>()
  })
})
