import { once } from 'node:events'

import t from 'tap'

import { serve } from '../helpers/app.js'
import { deferred } from '../helpers/deferred.js'
import { eventually } from '../helpers/eventually.js'
import { ManualClock } from '../helpers/manual-clock.js'
import { answer } from '../helpers/plain-answer.js'

t.test('a client of the subprotocol gets ready first', async (t) => {
  const { connect } = await serve(t, { heartbeatMs: 9_000 })
  const client = await connect({ protocols: ['agent-channel.v1'] })
  t.equal(client.ws.protocol, 'agent-channel.v1')
  const ready = await client.next('ready')
  t.match(ready, { protocol: 'agent-channel.v1', maxPayload: 1024 * 1024, heartbeatMs: 9_000, types: [] })
  const other = await connect({ protocols: ['agent-channel.v1'] })
  const { journal, connectionId } = await other.next('ready')
  t.equal(journal, ready.journal)
  t.not(connectionId, ready.connectionId)
  await client.close()
  await other.close()
})

t.test('ping is answered at once, with its id, also while a turn runs', async (t) => {
  const gate = deferred()
  const { connect } = await serve(t, { async * agentExecutor () { await gate.promise; yield 'x' } })
  const client = await connect()
  client.send({ type: 'chat', message: 'x' })
  client.send({ type: 'ping', id: 'p-1' })
  t.same(await client.next('pong'), { type: 'pong', id: 'p-1' })
  await client.fence()
  gate.resolve()
  await answer(client)
  await client.close()
})

t.test('a socket that dies at any moment leaves nothing behind', async (t) => {
  const { app, connect } = await serve(t, {
    async * agentExecutor (turn) {
      for (const piece of turn.message) {
        await new Promise((resolve) => { setImmediate(resolve) })
        turn.signal.throwIfAborted()
        yield piece
      }
    }
  })
  const clients = await Promise.all(Array.from({ length: 30 }, () => connect()))
  await Promise.all(clients.map(async (client, i) => {
    client.send({ type: 'chat', message: 'abcdefghij' })
    client.send({ type: 'chat', agentId: 'other', message: 'abcdefghij' })
    for (let read = 0; read < i % 10; read++) await client.next()
    await client.terminate()
    while (client.unread().length > 0) await client.next()
  }))
  const clear = { connections: 0, turns: 0, runningTurns: 0, followers: 0, sessions: 0, entries: 0, bytes: 0, claims: 0 }
  const isBusy = (): boolean => Object.values(app.channel.stats()).some((count) => count > 0)
  await eventually(() => !isBusy())
  t.same(app.channel.stats(), clear)
})

t.test('the server pings, hears any sign of life, and drops a peer without one: 4408', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, { clock, heartbeatMs: 10_000, pongTimeoutMs: 4_000 })
  const [alive, dead] = [await connect(), await connect()]
  let pings = 0
  alive.ws.on('ping', () => { pings++ })
  // A peer that is there but says nothing: it does not even answer a ping.
  dead.ws.pong = () => {}
  await dead.fence()
  clock.advance(10_000)
  await once(alive.ws, 'ping')
  await alive.fence()
  clock.advance(3_000)
  await alive.fence()
  clock.advance(1_500)
  t.same(await dead.closed, { code: 4408, reason: 'no sign of life' })
  t.equal(pings, 1)
  await alive.fence()
  await alive.close()
})

t.test('a connection ends with its credentials, and a client of the subprotocol hears of it before', async (t) => {
  const clock = new ManualClock()
  const { connect } = await serve(t, {
    clock, heartbeatMs: 1_000_000, identify: () => ({ owner: 'ada', expiresAt: clock.date() + 60_000 })
  })
  const [told, plain] = [await connect({ protocols: ['agent-channel.v1'] }), await connect()]
  await told.next('ready')
  clock.advance(29_000)
  await told.fence()
  clock.advance(2_000)
  t.match(await told.next('reconnect'), { reason: 'the credentials expire', afterMs: 1000 })
  clock.advance(2_000)
  await told.fence()
  await plain.fence()
  clock.advance(30_000)
  for (const client of [told, plain]) t.same(await client.closed, { code: 4401, reason: 'credentials expired' })
})

t.test('the host can disconnect an owner: 4403', async (t) => {
  const { app, connect } = await serve(t, { identify: (request) => String(request.headers['x-user']) })
  const [ada, bob] = [await connect({ headers: { 'x-user': 'ada' } }), await connect({ headers: { 'x-user': 'bob' } })]
  await ada.fence()
  t.equal(app.channel.disconnect('ada'), 1)
  t.same(await ada.closed, { code: 4403, reason: 'disconnected by the host' })
  t.equal(app.channel.disconnect('ada'), 0)
  await bob.fence()
  await bob.close()
})

t.test('a peer that does not answer a close is cut off after closeTimeoutMs', async (t) => {
  const clock = new ManualClock()
  const { app, connect } = await serve(t, { clock, identify: () => 'ada' })
  const client = await connect()
  await client.fence()
  client.ws.pause()
  app.channel.disconnect('ada')
  clock.advance(499)
  t.equal(app.channel.stats().connections, 1)
  clock.advance(1)
  client.ws.resume()
  await client.closed
  await eventually(() => app.channel.stats().connections === 0)
})
