import fastify, { type FastifyInstance } from 'fastify'
import websocket from '@fastify/websocket'
import t, { type Test } from 'tap'

import { systemClock } from '../lib/clock.js'
import { attend, connect, wrap, type ChannelClient, type Frame } from './helpers/channel-client.js'
import { deferred } from './helpers/deferred.js'
import { ManualClock } from './helpers/manual-clock.js'

await t.test('the manual clock', async (t) => {
  await t.test('runs what falls due in its order, with the clock at its hour', async (t) => {
    const clock = new ManualClock({ now: 0, date: 5_000 })
    const ran: [string, number, number][] = []
    const note = (name: string) => () => { ran.push([name, clock.now(), clock.date()]) }
    clock.after(30, note('late'))
    clock.every(10, note('often'))
    clock.after(20, note('tie'))
    clock.after(15, () => { clock.after(2, note('nested')) })
    clock.advance(29)
    t.strictSame(ran, [['often', 10, 5_010], ['nested', 17, 5_017], ['often', 20, 5_020], ['tie', 20, 5_020]])
    t.strictSame([clock.now(), clock.date(), clock.pending], [29, 5_029, 2])
    clock.setDate(0)
    clock.advance(1)
    t.strictSame(ran.slice(4), [['late', 30, 1], ['often', 30, 1]])
  })

  await t.test('runs nothing that was taken back, by others or by itself', async (t) => {
    const clock = new ManualClock()
    let runs = 0
    const cancel = clock.after(5, () => { t.fail('was taken back') })
    const stop = clock.every(0, () => { if (++runs === 3) stop() })
    cancel()
    cancel()
    clock.advance(100)
    t.strictSame([runs, clock.pending], [3, 0])
  })
})

await t.test('the system clock', async (t) => {
  await t.test('tells the time, runs tasks, and stops when told', async (t) => {
    const before = Date.now()
    t.ok(systemClock.date() >= before)
    const started = systemClock.now()
    const once = deferred()
    const thrice = deferred()
    let runs = 0
    const cancel = systemClock.after(1, () => { t.fail('was taken back') })
    // A drain without end used to cut off at once whoever still read: Node runs what is to wait longer than it can after 1 ms.
    const never = systemClock.after(2 ** 40, () => { t.fail('ran too early') })
    systemClock.after(1, once.resolve)
    const stop = systemClock.every(1, () => { if (++runs === 3) thrice.resolve() })
    cancel()
    // Its timers keep no process alive: the test has to.
    const alive = setInterval(() => {}, 1_000)
    await Promise.all([once.promise, thrice.promise])
    stop()
    never()
    clearInterval(alive)
    t.ok(systemClock.now() > started)
  })
})

await t.test('a deferred settles when told', async (t) => {
  const one = deferred<number>()
  one.resolve(1)
  t.equal(await one.promise, 1)
  const other = deferred()
  other.reject(new Error('told so'))
  await t.rejects(other.promise, { message: 'told so' })
})

await t.test('the channel client', async (t) => {
  const { app, url } = await serve()
  t.teardown(() => app.close())

  await t.test('has every frame from the first on, in order', async (t) => {
    const client = attend(t, await connect(url, { headers: { 'x-name': 'ann' }, protocols: ['one'] }))
    t.strictSame(await client.next(), { type: 'hello', name: 'ann', protocol: 'one' })
    client.send({ type: 'echo', of: [{ type: 'stream', agentId: 'main', content: 'a', done: false }, { type: 'pong' }] })
    t.strictSame(await client.next('stream'), { type: 'stream', agentId: 'main', content: 'a', done: false })
    t.strictSame(await client.next('pong'), { type: 'pong' })
    t.strictSame(await client.close(1000, 'bye'), { code: 1000, reason: 'bye' })
    t.strictSame(await client.closed, { code: 1000, reason: 'bye' })
  })

  await t.test('refuses a frame of another type, and one that its schema refuses', async (t) => {
    const client = await greeted(t, url)
    client.send({ type: 'echo', of: [{ type: 'a' }, { type: 'stream' }, { type: 'own' }] })
    await t.rejects(client.next('b'), { message: 'expected b, got {"type":"a"}' })
    await t.rejects(client.next('stream'), { message: '/agentId: Expected required property, in {"type":"stream"}' })
    t.strictSame(await client.next('own'), { type: 'own' })
    await client.terminate()
  })

  await t.test('shows what is no frame as one that nobody expects', async (t) => {
    const client = await greeted(t, url)
    client.sendRaw('raw {')
    client.sendRaw('raw []')
    client.sendRaw(Buffer.from('bytes'))
    t.strictSame([await client.next(), await client.next(), await client.next()], [
      { type: '(no JSON)', text: '{' }, { type: '(no frame)', text: '[]' }, { type: '(binary)', text: 'bytes' }
    ])
    await client.terminate()
  })

  await t.test('reads up to a type', async (t) => {
    const client = await greeted(t, url)
    client.send({ type: 'echo', of: [{ type: 'a' }, { type: 'a' }, { type: 'b' }] })
    t.strictSame(await client.until('b'), [{ type: 'a' }, { type: 'a' }, { type: 'b' }])
    await client.terminate()
  })

  await t.test('rejects waits when the socket closes, after what was already there', async (t) => {
    const client = await greeted(t, url)
    client.send({ type: 'echo', of: [{ type: 'last' }] })
    client.send({ type: 'close', code: 4400, reason: 'too many bad frames' })
    await client.closed
    t.strictSame(await client.next(), { type: 'last' })
    const closed = /was closed with 4400 'too many bad frames' while the test waited for stream$/
    await t.rejects(client.next('stream'), { message: closed })

    const other = await greeted(t, url)
    const waits = [other.next('stream'), other.next()]
    other.send({ type: 'close', code: 1000, reason: '' })
    const message = /^the socket was closed with 1000 ''/
    await Promise.all(waits.map((wait) => t.rejects(wait, { message })))
  })

  await t.test('fences: nothing came, or says what', async (t) => {
    const client = await greeted(t, url)
    await client.fence()
    await client.fence('f1')
    client.send({ type: 'echo', of: [{ type: 'stray' }, { type: 'pong', id: 'other' }] })
    await t.rejects(client.fence(), { message: 'before the pong came [{"type":"stray"},{"type":"pong","id":"other"}]' })
    t.strictSame(client.unread(), [])
    await client.terminate()
  })

  await t.test('wraps the socket of injectWS from its first frame on', async (t) => {
    let client: ChannelClient | undefined
    await app.injectWS('/ws', {}, { onInit (ws) { client = attend(t, wrap(ws)) } })
    t.match(await client?.next(), { type: 'hello' })
    await client?.fence()
    await client?.terminate()
  })

  await t.test('says with which status an upgrade was refused', async (t) => {
    await t.rejects(connect(url, { headers: { 'x-name': 'nobody' } }), {
      name: 'UpgradeRefused', statusCode: 401, headers: { 'x-why': 'unknown' }, body: '{"error":"who?"}'
    })
    await t.rejects(connect('ws://127.0.0.1:1/ws'), { code: 'ECONNREFUSED' })
  })

  await t.test('fails the test that leaves it open, or with frames that nobody read', async (t) => {
    const open = await leftBehind(url, async () => {})
    t.match(open.failure, { message: 'a client was left behind: the socket is still open' })
    t.equal(open.client.ws.readyState, 3)

    const unread = await leftBehind(url, async (client) => {
      client.send({ type: 'echo', of: [{ type: 'a' }] })
      await client.close()
    })
    t.match(unread.failure, { message: 'a client was left behind: unread: {"type":"a"}' })

    const closing = await leftBehind(url, async (client) => { client.ws.close() })
    t.equal(closing.failure, undefined)
  })
})

async function greeted (t: Test, url: string): Promise<ChannelClient> {
  const client = attend(t, await connect(url))
  await client.next('hello')
  return client
}

/** What `attend` does at the end of a test: this one's own end cannot show it. */
async function leftBehind (url: string, use: (client: ChannelClient) => Promise<void>) {
  let end = async () => {}
  const client = attend({ teardown (task) { end = task } }, await connect(url))
  await client.next('hello')
  await use(client)
  const failure = await end().then(() => undefined, (error: unknown) => error)
  return { client, failure }
}

async function serve (): Promise<{ app: FastifyInstance, url: string }> {
  const app = fastify()
  await app.register(websocket, { options: { handleProtocols: (protocols) => [...protocols][0] ?? false } })
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers['x-name'] === 'nobody') await reply.code(401).header('x-why', 'unknown').send({ error: 'who?' })
  })
  app.get('/ws', { websocket: true }, (socket, request) => {
    socket.send(JSON.stringify({ type: 'hello', name: request.headers['x-name'], protocol: socket.protocol }))
    socket.on('message', (data: Buffer, isBinary) => {
      const text = data.toString()
      if (isBinary) socket.send(data)
      else if (text.startsWith('raw ')) socket.send(text.slice(4))
      else act(JSON.parse(text) as Order)
    })

    function act (order: Order): void {
      if (order.type === 'ping') socket.send(JSON.stringify({ ...order, type: 'pong' }))
      if (order.type === 'close') socket.close(order.code, order.reason)
      for (const frame of order.of ?? []) socket.send(JSON.stringify(frame))
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const address = app.server.address()
  const port = typeof address === 'object' ? address?.port ?? 0 : 0
  return { app, url: `ws://127.0.0.1:${port}/ws` }
}

/** What a test tells the server to do. */
interface Order extends Frame {
  id?: string
  code?: number
  reason?: string
  of?: Frame[]
}
