import t from 'tap'

import { ChannelHttp, HttpRefusal } from '../../../lib/client/sse/channel-http.js'
import { SseSession } from '../../../lib/client/sse/sse-session.js'
import { eventually } from '../../helpers/eventually.js'
import { FakeHttp, type FakeRequest } from '../../helpers/fake-http.js'
import { ManualClock } from '../../helpers/manual-clock.js'

const PLACE = { agentId: 'main', sessionId: 's' }

/** One session, and what is told of it: frames, and what becomes of it. */
function open () {
  const clock = new ManualClock()
  const server = new FakeHttp()
  const told: unknown[] = []
  const http = new ChannelHttp({ base: new URL('ws://x/'), token: undefined, fetch: server.fetch, answerTimeoutMs: 30_000, silenceMs: 10_000, clock })
  const session = new SseSession({
    http,
    path: 'p',
    say: (frame) => { told.push(frame) },
    onFailed: ({ type }, err) => { told.push({ failed: type, by: err instanceof HttpRefusal ? err.status : (err as Error).message }) },
    onLeaving: () => { told.push('leaving') },
    onStreamLost: () => { told.push('lost') },
    onIdle: () => { told.push('idle') }
  })
  const take = async (count: number): Promise<unknown[]> => {
    await eventually(() => told.length >= count)
    await new Promise(setImmediate)
    return told.splice(0)
  }
  const asks = async (type: string, fields: object = {}): Promise<FakeRequest> => {
    session.take({ type, id: type, ...PLACE, ...fields })
    return await server.next()
  }
  return {
    clock, server, told, session, take, asks,
    chats: async (id: string, fields: object = {}) => await asks('chat', { id, message: '?', ...fields }),
    close: () => { http.close() }
  }
}

type Bench = ReturnType<typeof open>

const ack = (id: string, fields: object = {}) => ({ type: 'ack', id, ...PLACE, status: 'started', epoch: 'e', seq: 5, ...fields })
const subscribed = (fields: object = {}) => ({ type: 'subscribed', ...PLACE, epoch: 'e', seq: 5, recovered: false, turns: [], ...fields })
const running = (id: string, content?: string) => ({ id, status: 'running', message: '?', ...(content === undefined ? {} : { content }) })
const starts = (id: string, seq: number) => ({ type: 'event', name: 'turn-started', data: { message: '?' }, id, ...PLACE, seq })
const piece = (id: string, seq: number, content: string) => ({ type: 'stream', id, ...PLACE, seq, content, done: false })
const end = (id: string, seq: number) => ({ type: 'stream', id, ...PLACE, seq, content: '', done: true, finishReason: 'stop' })

/** It is subscribed to. */
async function follow (bench: Bench, fields: object = {}): Promise<FakeRequest> {
  const stream = await bench.asks('subscribe')
  stream.begins(subscribed(fields))
  await bench.take(1)
  return stream
}

t.test('a chat is a request, and its turn is told from where the answer says', async (t) => {
  const { chats, server, take, clock } = open()
  const chat = await chats('a', { stream: true, agentId: 'ma/in' })
  t.match(chat, { method: 'POST', url: 'http://x/agents/ma%2Fin/chat', headers: { prefer: 'respond-async' } })
  t.strictSame(chat.body, { id: 'a', sessionId: 's', message: '?', stream: true })
  chat.answers(ack('a'))
  const stream = await server.next()
  t.match(stream, { url: 'http://x/p/events', headers: { 'last-event-id': 'e:5' } })
  stream.begins(subscribed({ recovered: true }), starts('a', 6), piece('other', 7, 'no'), piece('a', 8, 'yes'))
  t.strictSame(await take(3), [ack('a'), starts('a', 6), piece('a', 8, 'yes')])
  stream.tells(end('a', 9), subscribed({ seq: 10 }))
  t.strictSame(await take(2), [end('a', 9), 'idle'])
  t.equal(stream.isAborted, true, 'nothing is to be told any more')
  t.equal(clock.pending, 0)
})

t.test('who wants it whole gets the text as one message', async (t) => {
  const { chats, server, take, session, told } = open()
  const chat = await chats('a', { stream: false })
  chat.answers(ack('a'))
  const stream = await server.next()
  stream.begins(subscribed({ recovered: true }), starts('a', 6), piece('a', 7, 'one'), piece('a', 8, ', two'))
  await take(2)
  session.take({ type: 'unsubscribe', id: 'u', ...PLACE })
  await new Promise(setImmediate)
  t.strictSame(told, [], 'its turn runs')
  stream.tells(end('a', 9))
  t.strictSame(await take(2), [{ ...end('a', 9), type: 'message', content: 'one, two' }, 'idle'])
})

t.test('a chat that was sent before', async (t) => {
  await t.test('and runs goes on behind the text that it has', async (t) => {
    const { chats, server, take } = open()
    const chat = await chats('a', { stream: false })
    chat.answers(ack('a', { status: 'duplicate', content: 'one' }))
    const stream = await server.next()
    stream.begins(subscribed({ recovered: true }), piece('a', 6, ', two'), end('a', 7))
    t.strictSame(await take(3), [
      ack('a', { status: 'duplicate', content: 'one' }), { ...end('a', 7), type: 'message', content: 'one, two' }, 'idle'
    ])
  })

  await t.test('and of whose text nothing is known ends as it does', async (t) => {
    const { chats, server, take } = open()
    const chat = await chats('a', { stream: false })
    chat.answers(ack('a', { status: 'duplicate' }))
    const stream = await server.next()
    stream.begins(subscribed({ recovered: true }), end('a', 7))
    t.strictSame(await take(3), [ack('a', { status: 'duplicate' }), end('a', 7), 'idle'])
  })

  await t.test('and has ended is told its end', async (t) => {
    const { chats, server, take } = open()
    const chat = await chats('a')
    chat.answers({ ...ack('a', { status: 'duplicate', content: 'all' }), end: end('a', 5) })
    t.strictSame(await take(3), [ack('a', { status: 'duplicate', content: 'all' }), end('a', 5), 'idle'])
    t.strictSame(server.asked, [])
  })

  await t.test('and has ended is told its end once, where the session is told too', async (t) => {
    const bench = open()
    const stream = await follow(bench, { turns: [running('a', 'al')] })
    const chat = await bench.chats('a')
    stream.tells(piece('b', 6, 'x'))
    await bench.take(1)
    chat.answers({ ...ack('a', { status: 'duplicate', content: 'all', seq: 8 }), end: end('a', 8) })
    t.strictSame(await bench.take(2), [ack('a', { status: 'duplicate', content: 'all', seq: 6 }), end('a', 6)], 'in the place that it has come to')
    stream.tells(piece('a', 7, 'l'), end('a', 8), piece('b', 9, 'y'))
    t.strictSame(await bench.take(1), [piece('b', 9, 'y')])
    bench.close()
  })

  await t.test('and is told already has the text that was told', async (t) => {
    const bench = open()
    const stream = await follow(bench, { turns: [running('a', 'one')] })
    const chat = await bench.chats('a')
    stream.tells(piece('b', 6, 'x'))
    await bench.take(1)
    chat.answers(ack('a', { status: 'duplicate', content: 'one and more', seq: 9 }))
    t.strictSame(await bench.take(1), [ack('a', { status: 'duplicate', content: 'one', seq: 6 })])
    bench.close()
  })

  await t.test('and ran before the session was told is told anew', async (t) => {
    const { chats, server, take, close } = open()
    const first = await chats('a')
    first.answers(ack('a'))
    const stream = await server.next()
    stream.begins(subscribed({ recovered: true }))
    await take(1)
    const chat = await chats('b')
    chat.answers(ack('b', { status: 'duplicate', content: 'on' }))
    const anew = await server.next()
    t.equal(stream.isAborted, true)
    t.notOk('last-event-id' in anew.headers)
    anew.begins(subscribed({ seq: 9, turns: [running('a', 'x'), running('b', 'one'), running('c', 'y')] }))
    t.strictSame(await take(2), [
      subscribed({ seq: 9, turns: [running('a', 'x'), running('b', 'one')] }), ack('b', { status: 'duplicate', content: 'one', seq: 9 })
    ], 'with what this socket has asked for')
    close()
  })

  await t.test('and has ended meanwhile is to be sent again', async (t) => {
    const bench = open()
    await follow(bench, { turns: [running('a')] })
    const chat = await bench.chats('a')
    chat.answers(ack('a', { status: 'duplicate', content: 'on' }))
    const anew = await bench.server.next()
    anew.begins(subscribed({ seq: 9 }))
    t.match(await bench.take(2), [subscribed({ seq: 9 }), { type: 'error', id: 'a', retryable: true, retryAfterMs: 0 }])
    bench.close()
  })
})

t.test('a chat to a session that is told', async (t) => {
  await t.test('has its answer before the first word of it', async (t) => {
    const bench = open()
    const stream = await follow(bench)
    const chat = await bench.chats('a')
    stream.tells(piece('b', 6, 'x'), starts('a', 7), piece('b', 8, 'y'))
    t.strictSame(await bench.take(1), [piece('b', 6, 'x')])
    chat.answers(ack('a', { seq: 6 }))
    t.strictSame(await bench.take(3), [ack('a', { seq: 6 }), starts('a', 7), piece('b', 8, 'y')])
    bench.close()
  })

  await t.test('that was begun anew is not told yet, whatever its number', async (t) => {
    const bench = open()
    await follow(bench)
    const chat = await bench.chats('a')
    chat.answers(ack('a', { epoch: 'f', seq: 1 }))
    t.strictSame(await bench.take(1), [ack('a')])
    bench.close()
  })

  await t.test('and is refused is told no more than it was', async (t) => {
    const bench = open()
    const stream = await follow(bench)
    const chat = await bench.chats('a')
    chat.answers('no', 409)
    t.strictSame(await bench.take(1), [{ failed: 'chat', by: 409 }])
    bench.session.take({ type: 'unsubscribe', id: 'u', ...PLACE })
    t.strictSame(await bench.take(1), ['idle'])
    t.equal(stream.isAborted, true)
  })
})

t.test('a chat that is refused when it is sent again is one of this socket still', async (t) => {
  const { chats, server, take, close } = open()
  const first = await chats('a')
  first.answers(ack('a'))
  const stream = await server.next()
  stream.begins(subscribed({ recovered: true }))
  await take(1)
  const again = await chats('a')
  again.answers('no', 429)
  t.strictSame(await take(1), [{ failed: 'chat', by: 429 }])
  stream.tells(piece('a', 6, 'x'))
  t.strictSame(await take(1), [piece('a', 6, 'x')])
  close()
})

t.test('a turn that cannot be told must not be lost for it', async (t) => {
  const { chats, server, take } = open()
  const chat = await chats('a')
  chat.answers(ack('a'))
  const stream = await server.next()
  stream.answers('no', 403)
  t.strictSame((await take(2)).slice(0, 2), [ack('a'), { failed: 'chat', by: 'The session is not told any more' }])
})

t.test('where it cannot be told from there, what is open is told', async (t) => {
  const { chats, server, take, close } = open()
  const chat = await chats('a')
  chat.answers(ack('a'))
  const stream = await server.next()
  stream.begins(subscribed({ epoch: 'f', seq: 2, turns: [running('b', 'x')] }))
  t.strictSame(await take(2), [ack('a'), subscribed({ epoch: 'f', seq: 2 })])
  const again = await chats('a')
  again.answers({ ...ack('a', { status: 'duplicate', epoch: 'f', seq: 2, content: '' }), end: end('a', 2) })
  t.match(await take(3), [{ type: 'ack' }, { done: true }, 'idle'])
  close()
})

t.test('a subscription', async (t) => {
  await t.test('goes on where it was', async (t) => {
    const { asks, take, close } = open()
    const stream = await asks('subscribe', { epoch: 'e', after: 3 })
    t.equal(stream.headers['last-event-id'], 'e:3')
    stream.begins(subscribed({ recovered: true, seq: 3 }), piece('b', 4, 'x'))
    t.strictSame(await take(2), [subscribed({ id: 'subscribe', recovered: true, seq: 3 }), piece('b', 4, 'x')])
    close()
  })

  await t.test('of what is told already is told anew', async (t) => {
    const bench = open()
    const first = await follow(bench)
    const stream = await bench.asks('subscribe', { epoch: 'e', after: 3 })
    t.equal(first.isAborted, true)
    t.notOk('last-event-id' in stream.headers)
    stream.begins(subscribed({ seq: 8 }))
    t.strictSame(await bench.take(1), [subscribed({ id: 'subscribe', seq: 8 })])
    bench.close()
  })

  await t.test('that is refused changes nothing, but that what is told is told anew', async (t) => {
    const bench = open()
    const fresh = await bench.asks('subscribe')
    fresh.answers('no', 403)
    t.strictSame(await bench.take(2), [{ failed: 'subscribe', by: 403 }, 'idle'])
    await follow(bench)
    const refused = await bench.asks('subscribe')
    refused.answers('no', 403)
    const anew = await bench.server.next()
    anew.begins(subscribed({ seq: 8 }))
    t.strictSame(await bench.take(2), [subscribed({ seq: 8 }), { failed: 'subscribe', by: 403 }])
    bench.close()
  })

  await t.test('whose answer ends before it has begun has failed', async (t) => {
    const { asks, take } = open()
    const stream = await asks('subscribe')
    stream.begins()
    stream.ends()
    t.strictSame(await take(3), ['lost', { failed: 'subscribe', by: 'The answer has ended' }, 'idle'])
  })

  await t.test('goes back to the turns of this socket, and to nothing', async (t) => {
    const bench = open()
    const stream = await follow(bench)
    const chat = await bench.chats('a')
    chat.answers(ack('a'))
    await bench.take(1)
    bench.session.take({ type: 'unsubscribe', id: 'u', ...PLACE })
    await new Promise(setImmediate)
    stream.tells(starts('a', 6), piece('b', 7, 'no'), { type: 'event', name: 'shipped', data: 1, ...PLACE, seq: 8 }, end('a', 9))
    t.strictSame(await bench.take(3), [starts('a', 6), end('a', 9), 'idle'])
  })
})

t.test('what the server says of the session unasked', async (t) => {
  const bench = open()
  const stream = await follow(bench)
  const reconnect = { type: 'reconnect', reason: 'x', afterMs: 1 }
  stream.tells(
    subscribed({ seq: 20, turns: [running('b', 'x')] }), reconnect,
    { type: 'error', code: 'SHUTTING_DOWN', message: 'x', retryable: true }
  )
  t.strictSame(await bench.take(3), [subscribed({ seq: 20, turns: [running('b', 'x')] }), 'leaving', reconnect], 'why it ends is not asked')
  stream.ends()
  t.strictSame(await bench.take(1), ['lost'])
  t.equal(bench.session.isOpen, false)
})

t.test('a server that leaves may say so first of all', async (t) => {
  const { asks, take, close } = open()
  const stream = await asks('subscribe')
  const reconnect = { type: 'reconnect', reason: 'x', afterMs: 1 }
  stream.begins(reconnect, subscribed())
  t.strictSame(await take(3), ['leaving', reconnect, subscribed({ id: 'subscribe' })])
  close()
})

t.test('turns that have gone unseen are none of this socket\'s any more', async (t) => {
  const bench = open()
  const stream = await follow(bench)
  for (const id of ['a', 'b']) {
    const chat = await bench.chats(id)
    chat.answers(ack(id))
    await bench.take(1)
  }
  stream.tells(subscribed({ seq: 20, turns: [running('b', 'x')] }), end('b', 21))
  await bench.take(2)
  bench.session.take({ type: 'unsubscribe', id: 'u', ...PLACE })
  t.strictSame(await bench.take(1), ['idle'])
})

t.test('a cancel is a request', async (t) => {
  const { asks, take } = open()
  const cancel = await asks('cancel', { turnId: 'a' })
  t.match(cancel, { method: 'POST', url: 'http://x/p/cancel', body: { turnId: 'a' } })
  cancel.answers({ turns: ['a'] })
  t.strictSame(await take(2), [{ type: 'cancelled', id: 'cancel', ...PLACE, turns: ['a'] }, 'idle'])
})

t.test('one thing is asked after another', async (t) => {
  const { asks, server, session, take } = open()
  const first = await asks('cancel')
  session.take({ type: 'cancel', id: 'second', ...PLACE })
  await new Promise(setImmediate)
  t.strictSame(server.asked, [])
  first.answers('no', 404)
  const second = await server.next()
  second.answers({ turns: [] })
  t.strictSame(await take(3), [{ failed: 'cancel', by: 404 }, { type: 'cancelled', id: 'second', ...PLACE, turns: [] }, 'idle'])
})
