import t from 'tap'

import { Connection } from '../../lib/client/connection.js'
import { readOptions, type ChannelClientOptions } from '../../lib/client/options.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { FakeSockets } from '../helpers/fake-socket.js'
import { ManualClock } from '../helpers/manual-clock.js'

/** What a plain GET is answered; without a status there is no network. */
function answers (status?: number, body: object = {}): typeof fetch {
  return async () => {
    if (status === undefined) throw new Error('no network')
    return new Response(JSON.stringify(body), { status })
  }
}

function open (options: Partial<ChannelClientOptions> = {}) {
  const clock = new ManualClock()
  const sockets = new FakeSockets()
  const told: unknown[] = []
  const connection = new Connection(readOptions({
    url: 'ws://x/ws', WebSocket: sockets.WebSocket, clock, random: () => 0.5, minBackOffMs: 1_000, maxBackOffMs: 8_000, fetch: answers(), ...options
  }), {
    onState: (state) => { told.push(state) },
    onReady: ({ journal }) => { told.push({ journal }) },
    onFrame: (frame) => { told.push(frame) },
    onLost: (heard, isBlamed) => { told.push({ lost: clock.now() - heard.now, isBlamed }) },
    onTrouble: ({ code }) => { told.push({ trouble: code }) },
    onEnd: ({ code, status }) => { told.push({ ended: code, status }) }
  })
  connection.open()
  return { clock, sockets, told, connection, take: () => told.splice(0) }
}

type Bench = ReturnType<typeof open>

/** The nth socket, ready. */
async function ready ({ sockets, take }: Bench, number: number) {
  const socket = await sockets.nth(number)
  socket.isReady()
  take()
  return socket
}

/** How long the next attempt is waited for. */
async function pauseOf ({ clock, sockets }: Bench): Promise<number> {
  const { length } = sockets.made
  const start = clock.now()
  await eventually(() => clock.pending === 1)
  while (clock.pending > 0 && sockets.made.length === length) {
    clock.advance(100)
    await new Promise(setImmediate)
    if (clock.now() - start > 100_000) throw new Error('it does not come back')
  }
  return clock.now() - start
}

t.test('connects with the subprotocol, and is open when the server is ready', async (t) => {
  const { sockets, told, connection } = open({ token: 'abc' })
  t.equal(connection.state, 'connecting')
  const socket = await sockets.nth(1)
  t.match(socket, { url: 'ws://x/ws', protocols: ['agent-channel.v1', 'bearer', 'abc'] })
  t.equal(connection.ready, undefined)
  socket.isReady()
  t.match(connection.ready, { journal: 'j1' })
  socket.says({ type: 'pong' }, { type: 'cancelled', agentId: 'main', turns: [] })
  t.strictSame(told, ['open', { journal: 'j1' }, { type: 'cancelled', agentId: 'main', turns: [] }])
  connection.send('{"type":"x"}')
  t.strictSame(socket.take(), [{ type: 'x' }])
  connection.close()
  connection.send('{"type":"y"}')
  t.equal(socket.closed, 1000)
  t.equal(connection.state, 'closed')
})

t.test('comes back after', async (t) => {
  const cases: Array<[code: number, pauseMs: number]> = [
    [1006, 500], [1001, 500], [1011, 500], [4429, 500], [1007, 0], [1009, 0], [1008, 0], [4408, 0], [1012, 500]
  ]
  for (const [code, pauseMs] of cases) {
    await t.test(`${code}, with ${pauseMs} ms`, async (t) => {
      const bench = open()
      const socket = await ready(bench, 1)
      bench.clock.advance(7_000)
      socket.closes(code)
      t.strictSame(bench.take(), [{ lost: 7_000, isBlamed: code === 1007 || code === 1009 }, 'reconnecting'])
      t.equal(await pauseOf(bench), Math.max(100, pauseMs))
      const second = await bench.sockets.nth(2)
      second.isReady()
      t.strictSame(bench.take(), ['open', { journal: 'j1' }])
      bench.connection.close()
    })
  }
})

t.test('pauses double with each failure up to a bound, and are short again after a connection that was good', async (t) => {
  const bench = open()
  const pauses: number[] = []
  for (let number = 1; number <= 6; number++) {
    const socket = await bench.sockets.nth(number)
    socket.closes(1006)
    pauses.push(await pauseOf(bench))
  }
  t.strictSame(pauses, [500, 1_000, 2_000, 4_000, 4_000, 4_000])
  const brief = await ready(bench, 7)
  brief.closes(1006)
  t.equal(await pauseOf(bench), 4_000, 'one that ends at once is another failure')
  const good = await ready(bench, 8)
  bench.clock.advance(5_000)
  good.closes(1006)
  t.equal(await pauseOf(bench), 500)
  const stuck = await ready(bench, 9)
  stuck.closes(1008)
  t.equal(await pauseOf(bench), 1_000, 'what may come back at once does so once')
  bench.connection.close()
})

t.test('a server that goes down says when to come back', async (t) => {
  const bench = open()
  const socket = await ready(bench, 1)
  socket.says({ type: 'reconnect', reason: 'x', afterMs: 3_000 })
  t.strictSame(bench.take(), [])
  socket.closes(1012)
  t.equal(await pauseOf(bench), 3_500)
  const next = await ready(bench, 2)
  next.closes(1012)
  t.equal(await pauseOf(bench), 1_000, 'the hint was for one time')
  bench.connection.close()
})

t.test('stays away after', async (t) => {
  for (const code of [1000, 4400, 4403]) {
    await t.test(String(code), async (t) => {
      const bench = open()
      const socket = await ready(bench, 1)
      socket.closes(code)
      t.strictSame(bench.take().slice(1), ['reconnecting', 'closed', { ended: 'CONNECTION_REFUSED', status: code }])
      t.equal(bench.clock.pending, 0)
    })
  }
})

t.test('credentials', async (t) => {
  await t.test('are asked for before each connection, and anew where they have expired', async (t) => {
    const asked: unknown[] = []
    const bench = open({ token: (about) => { asked.push(about); return `t${asked.length}` } })
    const socket = await ready(bench, 1)
    t.strictSame(socket.protocols, ['agent-channel.v1', 'bearer', 't1'])
    socket.closes(4401)
    t.equal(await pauseOf(bench), 100, 'at once')
    const second = await ready(bench, 2)
    t.strictSame(second.protocols, ['agent-channel.v1', 'bearer', 't2'])
    second.closes(1006)
    await pauseOf(bench)
    t.strictSame(asked, [{ isRejected: false }, { isRejected: true }, { isRejected: false }])
    bench.connection.close()
  })

  await t.test('that are refused again are the end', async (t) => {
    const bench = open({ token: async () => 'old', fetch: answers(401) })
    const first = await bench.sockets.nth(1)
    first.closes(1006)
    t.equal(await pauseOf(bench), 100)
    const second = await bench.sockets.nth(2)
    second.closes(1006)
    await eventually(() => bench.connection.state === 'closed')
    t.strictSame(bench.take(), ['reconnecting', 'closed', { ended: 'UNAUTHORIZED', status: 401 }])
  })

  await t.test('that nobody can renew are the end', async (t) => {
    const bench = open({ token: 'old' })
    const socket = await ready(bench, 1)
    socket.closes(4401)
    t.strictSame(bench.take().slice(1), ['reconnecting', 'closed', { ended: 'UNAUTHORIZED', status: 4401 }])
  })

  await t.test('that expire again and again are renewed with pauses', async (t) => {
    const bench = open({ token: () => undefined })
    for (const [number, pauseMs] of [[1, 100], [2, 1_000], [3, 2_000]] as const) {
      const socket = await ready(bench, number)
      socket.closes(4401)
      t.equal(await pauseOf(bench), pauseMs)
    }
    bench.connection.close()
  })

  await t.test('that could not be had are asked for again', async (t) => {
    let asked = 0
    const bench = open({ token: async () => { if (asked++ === 0) throw new Error('offline'); return 't' } })
    t.equal(await pauseOf(bench), 500)
    await ready(bench, 1)
    t.equal(asked, 2)
    bench.connection.close()
  })

  await t.test('that come when nobody wants them any more open nothing', async (t) => {
    for (const settle of ['resolve', 'reject'] as const) {
      const token = deferred<string>()
      const bench = open({ token: () => token.promise })
      await Promise.resolve()
      bench.connection.close()
      if (settle === 'resolve') token.resolve('late')
      else token.reject(new Error('late'))
      await new Promise(setImmediate)
      t.strictSame([bench.sockets.made, bench.take(), bench.clock.pending], [[], ['closed'], 0])
    }
  })
})

t.test('an upgrade that is refused', async (t) => {
  await t.test('for good is the end', async (t) => {
    for (const status of [400, 403, 404]) {
      const bench = open({ fetch: answers(status) })
      const socket = await bench.sockets.nth(1)
      socket.fails()
      socket.closes(1006)
      await eventually(() => bench.connection.state === 'closed')
      t.strictSame(bench.take(), ['reconnecting', 'closed', { ended: 'CONNECTION_REFUSED', status }])
    }
  })

  await t.test('for now is tried again, not before the server says', async (t) => {
    const bench = open({ fetch: answers(503, { retryAfterMs: 2_500 }) })
    const socket = await bench.sockets.nth(1)
    socket.closes(1006)
    t.equal(await pauseOf(bench), 2_500)
    bench.connection.close()
    const other = open({ fetch: answers(426) })
    const closed = await other.sockets.nth(1)
    closed.closes(1006)
    t.equal(await pauseOf(other), 500)
    other.connection.close()
  })

  await t.test('is no matter for who has closed the client meanwhile', async (t) => {
    const answer = deferred<Response>()
    const bench = open({ fetch: () => answer.promise })
    const socket = await bench.sockets.nth(1)
    socket.closes(1006)
    bench.connection.close()
    answer.resolve(new Response('{}', { status: 403 }))
    await new Promise(setImmediate)
    t.strictSame(bench.take(), ['reconnecting', 'closed'])
    t.equal(bench.clock.pending, 0)
  })
})

t.test('closed before it has begun, it never does', async (t) => {
  const bench = open({ token: () => { throw new Error('nobody is to ask') } })
  bench.connection.close()
  await new Promise(setImmediate)
  t.strictSame([bench.sockets.made, bench.take()], [[], ['closed']])
})

t.test('a socket that cannot be made is the end', async (t) => {
  const { WebSocket } = new FakeSockets()
  const bench = open({ WebSocket: class extends WebSocket { constructor () { super('', []); throw new SyntaxError('insecure') } } })
  await eventually(() => bench.connection.state === 'closed')
  t.strictSame(bench.take(), ['closed', { ended: 'CONNECTION_REFUSED', status: undefined }])
})

t.test('who is told of a loss may close', async (t) => {
  const clock = new ManualClock()
  const sockets = new FakeSockets()
  const connection: Connection = new Connection(readOptions({ url: 'ws://x', WebSocket: sockets.WebSocket, clock, fetch: answers() }), {
    onState: (state) => { if (state === 'reconnecting') connection.close() },
    onReady () {}, onFrame () {}, onLost () {}, onTrouble () {}, onEnd () {}
  })
  connection.open()
  const socket = await sockets.nth(1)
  socket.isReady()
  socket.closes(1006)
  await new Promise(setImmediate)
  t.equal(connection.state, 'closed')
  t.equal(clock.pending, 0)
})

t.test('woken', async (t) => {
  await t.test('it does not wait any longer', async (t) => {
    const bench = open()
    const socket = await bench.sockets.nth(1)
    socket.closes(1006)
    await eventually(() => bench.clock.pending === 1)
    bench.connection.wake()
    await ready(bench, 2)
    t.equal(bench.clock.pending, 1, 'the heartbeat')
    bench.connection.close()
  })

  await t.test('it looks whether the link is alive', async (t) => {
    const bench = open()
    const socket = await ready(bench, 1)
    bench.connection.wake()
    t.strictSame(socket.take(), [{ type: 'ping' }])
    bench.clock.advance(10_000)
    t.match(bench.take(), [{ lost: 10_000 }, 'reconnecting'])
    bench.connection.close()
  })
})

t.test('a fallback', async (t) => {
  /** A client that has one: attempts with either are told apart by what they were made of. */
  function openWithFallback (options: Partial<ChannelClientOptions> = {}) {
    const fallbacks = new FakeSockets()
    return { ...open({ fallback: fallbacks.WebSocket, ...options }), fallbacks }
  }

  await t.test('takes the place of a WebSocket that comes to nothing again and again', async (t) => {
    const bench = openWithFallback()
    for (const number of [1, 2]) {
      const socket = await bench.sockets.nth(number)
      socket.closes(1006)
      await eventually(() => bench.clock.pending === 1)
      t.equal(bench.fallbacks.made.length, 0)
      bench.clock.advance(2_000)
    }
    const fallback = await bench.fallbacks.nth(1)
    bench.take()
    fallback.isReady()
    t.strictSame(bench.take(), ['open', { journal: 'j1' }])

    fallback.closes(1008)
    bench.clock.advance(8_000)
    const next = await bench.fallbacks.nth(2)
    next.isReady()
    next.closes(1008)
    await eventually(() => bench.clock.pending === 1)
    bench.clock.advance(8_000)
    const failing = await bench.fallbacks.nth(3)
    failing.closes(1006)
    await eventually(() => bench.clock.pending === 1)
    bench.clock.advance(8_000)
    await bench.sockets.nth(3)
    t.equal(bench.fallbacks.made.length, 3, 'that comes to nothing in its turn is left')
    bench.connection.close()
  })

  await t.test('is not asked for as long as a WebSocket gets through now and then', async (t) => {
    const bench = openWithFallback()
    for (const [number, isReady] of [[1, false], [2, true], [3, false]] as const) {
      const socket = await bench.sockets.nth(number)
      if (isReady) socket.isReady()
      socket.closes(1006)
      await eventually(() => bench.clock.pending === 1)
      bench.clock.advance(8_000)
    }
    await bench.sockets.nth(4)
    t.equal(bench.fallbacks.made.length, 0)
    bench.connection.close()
  })

  await t.test('is taken at once where there is no WebSocket, and is the end where there is nothing else either', async (t) => {
    const bench = openWithFallback({ fetch: answers(404), fallbackAfter: 5 })
    const socket = await bench.sockets.nth(1)
    socket.closes(1006)
    t.equal(await pauseOf({ ...bench, sockets: bench.fallbacks }), 100, 'at once')
    const fallback = await bench.fallbacks.nth(1)
    bench.take()
    fallback.closes(404)
    await eventually(() => bench.connection.state === 'closed')
    t.strictSame(bench.take(), ['closed', { ended: 'CONNECTION_REFUSED', status: 404 }])
  })

  await t.test('says itself with which status it was refused', async (t) => {
    const asked: string[] = []
    const bench = openWithFallback({
      fallbackAfter: 0, token: ({ isRejected }) => isRejected ? 'new' : 'old', fetch: async (input) => { asked.push(input as string); return new Response() }
    })
    const first = await bench.fallbacks.nth(1)
    first.closes(401)
    await eventually(() => bench.clock.pending === 1)
    bench.clock.advance(100)
    // With so few attempts as that no WebSocket is tried in between.
    const second = await bench.fallbacks.nth(2)
    t.strictSame(second.protocols, ['agent-channel.v1', 'bearer', 'new'])
    second.says({ type: 'reconnect', reason: 'x', afterMs: 6_000 })
    second.closes(503)
    t.equal(await pauseOf({ ...bench, sockets: bench.fallbacks }), 6_000)
    t.strictSame(asked, [])
    bench.connection.close()
  })
})
