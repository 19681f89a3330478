import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import { describe, expect, test } from 'tstyche'

import type {
  Authorize, ChannelError, ClientFrame, ErrorCode, FollowOptions, FrameOf, FrameSender, HostChat, HostFrame, Position, ServerFrame,
  SessionRef, StartedTurn, WsChannelOptions
} from '../../lib/index.js'

const { channel } = Fastify()
const Approve = Type.Object({ callId: Type.String(), isApproved: Type.Boolean(), note: Type.Optional(Type.String()) })

describe('define', () => {
  test('types the frame of the handler from a TypeBox schema', () => {
    channel.define('approve', {
      schema: Approve,
      handler (frame, sender) {
        expect(frame.callId).type.toBe<string>()
        expect(frame.isApproved).type.toBe<boolean>()
        expect(frame.note).type.toBe<string | undefined>()
        expect(frame.type).type.toBe<string>()
        expect(frame.id).type.toBe<string | undefined>()
        expect(frame).type.not.toHaveProperty('callID')
        expect(sender).type.toBe<FrameSender>()
        return { isTaken: true }
      }
    })
  })

  test('gives a record for any other JSON Schema', () => {
    channel.define('approve', {
      schema: { type: 'object', properties: { callId: { type: 'string' } } },
      handler (frame) {
        expect(frame['callId']).type.toBe<unknown>()
        expect(frame.type).type.toBe<string>()
        expect(frame.id).type.toBe<string | undefined>()
      }
    })
    expect<FrameOf<{ type: 'object' }>>().type.toBeAssignableTo<HostFrame>()
  })

  test('takes what a handler returns, at once or later, or nothing', () => {
    for (const handler of [() => {}, () => 'text', async () => ({ a: 1 }), async () => {}, () => null]) {
      expect(channel.define).type.toBeCallableWith('a', { schema: Approve, handler })
    }
    expect(channel.define).type.toBeCallableWith('a', { schema: Approve, handler: (frame: { callId: string }) => frame.callId })
  })

  test('refuses what is no schema, no handler, or a handler of another frame', () => {
    expect(channel.define).type.not.toBeCallableWith('a', { handler: () => {} })
    expect(channel.define).type.not.toBeCallableWith('a', { schema: 'object', handler: () => {} })
    expect(channel.define).type.not.toBeCallableWith('a', { schema: Approve })
    expect(channel.define).type.not.toBeCallableWith('a', { schema: Approve, handler: 'approve' })
    expect(channel.define).type.not.toBeCallableWith('a', { schema: Approve, handler: (frame: { callId: number }) => frame.callId })
    expect(channel.define).type.not.toBeCallableWith('a', { schema: Approve, handler: (frame: { more: string }) => frame.more })
    expect(channel.define).type.not.toBeCallableWith(7, { schema: Approve, handler: () => {} })
  })

  test('says who has sent a frame, and lets nobody change it', () => {
    expect<FrameSender>().type.toBe<Readonly<FrameSender>>()
    expect<FrameSender['owner']>().type.toBe<string>()
    expect<FrameSender['sessionId']>().type.toBe<string | undefined>()
    expect<FrameSender['context']>().type.toBe<unknown>()
    expect<FrameSender['signal']>().type.toBe<AbortSignal>()
  })
})

describe('the host\'s own code', () => {
  const session: SessionRef = { owner: 'ada', sessionId: 's' }

  test('starts a turn, and is told what became of it', () => {
    expect(channel.startTurn({ ...session, message: 'hello' })).type.toBe<Promise<StartedTurn>>()
    expect(channel.startTurn).type.toBeCallableWith({
      ...session, agentId: 'main', message: 'hello', id: 'i', metadata: { a: 1 }, context: [1], onBusy: 'interrupt'
    })
    expect(channel.startTurn).type.toBeCallableWith({ ...session, message: 'hello', id: undefined, onBusy: undefined })
    expect(channel.startTurn).type.not.toBeCallableWith({ message: 'hello', sessionId: 's' })
    expect(channel.startTurn).type.not.toBeCallableWith({ message: 'hello', owner: 'ada' })
    expect(channel.startTurn).type.not.toBeCallableWith(session)
    expect<HostChat>().type.not.toBeAssignableFrom({ ...session, message: 'hello', onBusy: 'wait' as const })
    expect<HostChat>().type.not.toBeAssignableFrom({ ...session, message: 'hello', metadata: 'x' })
  })

  test('must look whether it was a duplicate before it has a position', () => {
    expect<StartedTurn['status']>().type.toBe<'started' | 'queued' | 'duplicate'>()
    expect<Extract<StartedTurn, { status: 'duplicate' }>>().type.not.toHaveProperty('seq')
    expect<Exclude<StartedTurn, { status: 'duplicate' }>['seq']>().type.toBe<number>()
  })

  test('follows a session as its frames', () => {
    expect(channel.follow(session)).type.toBe<AsyncGenerator<ServerFrame, void, undefined>>()
    expect(channel.follow).type.toBeCallableWith(session, { epoch: 'e', after: 7, signal: new AbortController().signal })
    expect<FollowOptions>().type.toBeAssignableFrom({ epoch: undefined, after: undefined, signal: undefined })
    expect(channel.follow).type.not.toBeCallableWith(session, { after: '7' })
    expect(channel.follow).type.not.toBeCallableWith('s')
  })

  test('cancels a turn or a session, and publishes what JSON can say', () => {
    expect(channel.cancel(session)).type.toBe<Promise<string[]>>()
    expect(channel.cancel).type.toBeCallableWith({ ...session, turnId: 't1' })
    expect(channel.cancel).type.not.toBeCallableWith({ turnId: 't1' })
    expect(channel.publish(session, 'note', { a: 1 })).type.toBe<Promise<Position>>()
    expect(channel.publish).type.toBeCallableWith(session, 'note')
    expect(channel.publish).type.not.toBeCallableWith(session)
    expect(channel.publish).type.not.toBeCallableWith(session, 7, {})
  })

  test('is told by code why it was refused', () => {
    expect<ChannelError>().type.toBeAssignableTo<Error>()
    expect<ChannelError['code']>().type.toBe<ErrorCode>()
    expect<ChannelError['retryable']>().type.toBe<boolean>()
  })
})

describe('authorize', () => {
  test('gets every frame, the host\'s own too, and answers at once or later', () => {
    expect<Parameters<Authorize>>().type.toBe<[frame: ClientFrame | HostFrame, owner: string]>()
    expect<Authorize>().type.toBeAssignableFrom(() => true)
    expect<Authorize>().type.toBeAssignableFrom(async (frame: ClientFrame | HostFrame, owner: string) => frame.type !== 'chat' || owner === 'ada')
    expect<WsChannelOptions['authorize']>().type.toBe<Authorize | undefined>()
  })

  test('must not count on the protocol\'s own frames, nor answer anything but yes or no', () => {
    expect<Authorize>().type.not.toBeAssignableFrom((frame: ClientFrame) => frame.type === 'chat')
    expect<Authorize>().type.not.toBeAssignableFrom(() => 'yes')
    expect<Authorize>().type.not.toBeAssignableFrom(() => {})
  })
})
