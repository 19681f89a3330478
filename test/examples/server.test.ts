import t, { type Test } from 'tap'

import { orders, type Order } from '../../examples/orders.js'
import { attend, connect, type Frame } from '../helpers/channel-client.js'
import { ask, askForText } from './conversation.js'
import { run, start, startExample } from './processes.js'
import { listen, server } from './server.js'

// Starting a process through a compiler takes its time on a busy machine.
t.setTimeout(120_000)

await t.test('the REST API beside the channel', async (t) => {
  const app = await server(t)

  await t.test('lists orders, all or by status', async (t) => {
    const all = await app.inject('/api/v1/orders')
    t.equal(all.statusCode, 200)
    t.strictSame(all.json<Order[]>().map(({ id }) => id), [1, 2, 3])
    const shipped = await app.inject('/api/v1/orders?status=shipped')
    t.strictSame(shipped.json(), [{ id: 2, item: 'green tea', quantity: 3, status: 'shipped' }])
  })

  await t.test('gets one order, or says that there is none', async (t) => {
    t.strictSame((await app.inject('/api/v1/orders/1')).json(), { id: 1, item: 'teapot', quantity: 1, status: 'delivered' })
    const missing = await app.inject('/api/v1/orders/9')
    t.equal(missing.statusCode, 404)
    t.strictSame(missing.json(), { statusCode: 404, code: 'ORDER_NOT_FOUND', error: 'Not Found', message: 'There is no order 9' })
  })

  await t.test('refuses what its schemas do not allow', async (t) => {
    t.equal((await app.inject('/api/v1/orders/first')).statusCode, 400)
    t.equal((await app.inject('/api/v1/orders?status=lost')).statusCode, 400)
  })

  await t.test('shows its documentation to who comes to its root', async (t) => {
    const root = await app.inject('/')
    t.equal(root.statusCode, 302)
    t.equal(root.headers.location, '/docs')
    t.equal((await app.inject('/docs')).statusCode, 200)
  })

  await t.test('has a page to try the channel in, which knows where that is', async (t) => {
    const page = await app.inject('/api/v1/ws/playground')
    t.equal(page.statusCode, 200)
    t.match(page.body, '<script type="application/json" id="config">{"channel":"../ws","agents":[]}</script>')
  })

  await t.test('describes orders and the socket in one OpenAPI document', async (t) => {
    t.match((await app.inject('/docs/json')).json(), {
      paths: {
        '/api/v1/orders': { get: { operationId: 'listOrders' } },
        '/api/v1/orders/{orderId}': { get: { operationId: 'getOrder' } },
        '/api/v1/ws': { get: { responses: { 101: {}, 426: {} } } }
      }
    })
  })
})

await t.test('without AUTH_TOKEN nobody is asked for one', async (t) => {
  const app = await server(t)
  t.equal((await app.inject('/api/v1/orders')).statusCode, 200)
  t.notMatch((await app.inject('/docs/json')).body, /"security/)
})

await t.test('with AUTH_TOKEN one hook guards REST and socket', async (t) => {
  const app = await server(t, { AUTH_TOKEN: 's3cret' })
  const url = await listen(app)

  await t.test('REST', async (t) => {
    for (const authorization of [undefined, '', 'Bearer', 'Bearer s3cre', 'Bearer s3crets', 's3cret', 'Basic s3cret', 'Bearer café']) {
      const refused = await app.inject({ url: '/api/v1/orders', headers: authorization === undefined ? {} : { authorization } })
      t.equal(refused.statusCode, 401, String(authorization))
      t.equal(refused.headers['www-authenticate'], 'Bearer')
      t.notMatch(refused.body, /s3cret/)
    }
    for (const authorization of ['Bearer s3cret', 'bearer s3cret']) {
      t.equal((await app.inject({ url: '/api/v1/orders', headers: { authorization } })).statusCode, 200)
    }
    t.match((await app.inject('/docs/json')).json(), { security: [{ bearer: [] }] })
    t.equal((await app.inject('/api/v1/ws/playground')).statusCode, 200, 'but the page, which has a field for it')
  })

  await t.test('socket', async (t) => {
    await t.rejects(connect(url), { name: 'UpgradeRefused', statusCode: 401 })
    await t.rejects(connect(url, { headers: { authorization: 'Bearer wrong' } }), { name: 'UpgradeRefused', statusCode: 401 })
    const client = attend(t, await connect(url, { headers: { authorization: 'Bearer s3cret' } }))
    await client.fence()
    await client.close()
  })

  await t.test('socket of a browser, which cannot send the header', async (t) => {
    const client = attend(t, await connect(url, { protocols: ['agent-channel.v1', 'bearer', 's3cret'] }))
    t.equal(client.ws.protocol, 'agent-channel.v1')
    t.match(await client.next('ready'), { protocol: 'agent-channel.v1' })
    await client.close()
    await t.rejects(connect(url, { protocols: ['agent-channel.v1', 'bearer', 'wrong'] }), { name: 'UpgradeRefused', statusCode: 401 })
  })
})

await t.test('a conversation over one socket', async (t) => {
  const client = attend(t, await connect(await listen(await server(t))))

  await t.test('is streamed in the frames of the guide, key for key', async (t) => {
    const answer = await ask(client, '你好')
    t.strictSame(answer.map((frame) => Object.keys(frame)), answer.map(() => ['type', 'agentId', 'content', 'done']))
    t.strictSame(answer.at(-1), { type: 'stream', agentId: 'main', content: '', done: true })
    t.equal(answer.map(({ content }) => content).join(''), '你好!有什么可以帮你的吗?')
    t.ok(answer.length > 3)
  })

  await t.test('is remembered', async (t) => {
    t.match(await askForText(client, 'My name is Ada.'), /Nice to meet you, Ada!/)
    t.equal(await askForText(client, 'where is order 3?'), 'Order 3 (6 × tea cup) is being packed.')
    t.equal(await askForText(client, 'What is my name?'), 'Your name is Ada.')
  })

  await t.test('is remembered apart from that of another session', async (t) => {
    t.equal(await askForText(client, '我叫什么名字?', { sessionId: 'session-001' }), '你还没有告诉我你的名字。')
  })

  await client.close()
})

await t.test('a conversation that a phone and a laptop share', async (t) => {
  const url = await listen(await server(t))
  const [phone, laptop] = [attend(t, await connect(url)), attend(t, await connect(url))]
  laptop.send({ type: 'subscribe', sessionId: 'tea' })
  t.match(await laptop.next('subscribed'), { seq: 0, turns: [] })
  phone.send({ type: 'chat', id: 'q1', sessionId: 'tea', message: 'where is order 2?' })
  t.match(await phone.next('ack'), { id: 'q1', status: 'started' })

  const seen: Frame[][] = []
  for (const client of [phone, laptop]) {
    const frames = [await client.next()]
    while (frames.at(-1)?.done !== true) frames.push(await client.next())
    seen.push(frames)
  }
  t.strictSame(seen[0], seen[1])
  t.match(seen[0]?.slice(0, 2), [
    { type: 'event', name: 'turn-started', data: { message: 'where is order 2?' } },
    { type: 'event', name: 'tool-output', data: { tool: 'look-up', found: 'Order 2 (3 × green tea) is on its way.' } }
  ])
  t.equal(seen[0]?.map(({ content = '' }) => content).join(''), 'Order 2 (3 × green tea) is on its way.')

  await t.test('and an order, as REST has it', async (t) => {
    phone.send({ type: 'order', id: 'o', orderId: 2 })
    t.strictSame(await phone.next(), { type: 'order', id: 'o', data: orders[1] })
    phone.send({ type: 'order', id: 'o', orderId: 9 })
    t.strictSame(await phone.next(), { type: 'order', id: 'o', data: null })
    phone.send({ type: 'order', id: 'o', orderId: 'two' })
    t.match(await phone.next('error'), { id: 'o', code: 'VALIDATION_FAILED', details: { path: '/orderId' } })
  })

  await phone.close()
  await laptop.close()
})

await t.test('as a process', async (t) => {
  const runServer = (t: Test, env: Record<string, string>) => run(t, process.execPath, ['--import', 'tsx', 'examples/server.ts'], { env })

  await t.test('ends at SIGTERM, after the answer that it is giving', async (t) => {
    const example = await startExample(t, 'server.ts')
    const client = start(t, process.execPath, ['examples/client.mjs', 'count to 30'], { env: { CHANNEL_URL: example.url } })
    await client.printed(/1 2 /)
    example.child.kill('SIGTERM')
    t.match((await client.ended).stdout, /^1 2 3 .* 29 30\n$/)
    t.equal((await example.ended).code, 0)
  })

  await t.test('says which port is taken', async (t) => {
    const { port } = await startExample(t, 'server.ts')
    const { code, stderr } = await runServer(t, { PORT: String(port) })
    t.strictSame({ code, stderr }, { code: 1, stderr: `Port ${port} is taken: choose another with PORT=…\n` })
  })

  await t.test('says what is wrong with PORT', async (t) => {
    await Promise.all(['http', '70000'].map(async (PORT) => {
      const { code, stderr } = await runServer(t, { PORT })
      t.strictSame({ code, stderr }, { code: 1, stderr: `PORT must be a whole number up to 65535, not "${PORT}"\n` })
    }))
  })
})
