import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect, type AddressInfo } from 'node:net'

import t, { type Test } from 'tap'
import { WebSocket } from 'ws'

import { createChannelClient, type ChannelClient, type ChannelClientOptions } from '../../lib/client/index.js'
import { sseTransport } from '../../lib/client/sse/index.js'
import { channelRest, type Executor } from '../../lib/index.js'
import { serve } from '../helpers/app.js'
import { eventually } from '../helpers/eventually.js'

/** What a proxy does with who asks for a WebSocket: answers that, lets nobody in, or lets it through. */
type Upgrades = number | 'dropped' | 'let through'

interface Proxy {
  url: string
  upgrades: Upgrades
  /** How often somebody has asked for a WebSocket. */
  asked: number
  /** Ends all connections. */
  cut: () => void
}

/** A proxy that knows HTTP, and of WebSockets what it is told. */
async function proxyTo (t: Test, port: number, upgrades: Upgrades): Promise<Proxy> {
  const server = createServer((asked, answer) => {
    const { method, url, headers } = asked
    const passed = request({ port, host: '127.0.0.1', method, path: url, headers, agent: false }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers)
      answer.flushHeaders()
      response.pipe(answer)
      response.on('error', () => { answer.destroy() })
    })
    passed.on('error', () => { answer.destroy() })
    answer.on('close', () => { passed.destroy() })
    asked.pipe(passed)
  })
  server.on('upgrade', ({ url, headers }, socket) => {
    proxy.asked++
    socket.on('error', () => { /* 'close' comes too */ })
    if (proxy.upgrades === 'dropped') {
      socket.destroy()
      return
    }
    if (proxy.upgrades !== 'let through') {
      socket.end(`HTTP/1.1 ${proxy.upgrades} No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const far = connect(port, '127.0.0.1', () => {
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value)}\r\n`)
      far.write(`GET ${url ?? ''} HTTP/1.1\r\n${lines.join('')}\r\n`)
    })
    far.on('error', () => { /* 'close' comes too */ })
    // Also in the middle of a closing handshake, the rest of which its ends would wait for.
    far.on('close', () => { socket.destroy() })
    socket.on('close', () => { far.destroy() })
    far.pipe(socket).pipe(far)
    t.teardown(() => { far.destroy() })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: Proxy = {
    // Not a pipe's name: listening on a port makes it an AddressInfo.
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/ws`,
    upgrades,
    asked: 0,
    cut () { server.closeAllConnections() }
  }
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return proxy
}

/** A pool of connections may have made one for nothing, which a server would wait for. */
const ENDS_ALL = { fastify: { forceCloseConnections: true } }

async function open (
  t: Test, upgrades: Upgrades, options: Partial<ChannelClientOptions> = {}, hasRest = true
): Promise<{ client: ChannelClient, proxy: Proxy }> {
  const agentExecutor: Executor = ({ message }) => ['You said: ', message]
  const { port } = await serve(t, { ...ENDS_ALL, agentExecutor, after (app) { if (hasRest) app.register(channelRest) } })
  const proxy = await proxyTo(t, port, upgrades)
  const client = createChannelClient({ url: proxy.url, WebSocket, fallback: sseTransport(), minBackOffMs: 5, maxBackOffMs: 20, ...options })
  t.teardown(() => { client.close() })
  return { client, proxy }
}

const said = async (client: ChannelClient): Promise<string> => (await client.chat({ message: 'tea' }).finished).text

t.test('where no WebSocket gets through, events do', async (t) => {
  for (const upgrades of [400, 501, 'dropped'] as const) {
    await t.test(String(upgrades), async (t) => {
      const { client, proxy } = await open(t, upgrades)
      t.equal(await said(client), 'You said: tea')
      t.equal(proxy.asked, 2)
      const states: string[] = []
      client.on('state', (state) => states.push(state))
      proxy.cut()
      client.wake()
      await eventually(() => states.includes('open'))
      t.equal(await said(client), 'You said: tea')
      t.equal(proxy.asked, 2, 'it stays with what works')
    })
  }
})

t.test('a WebSocket that gets through needs no fallback', async (t) => {
  const { client, proxy } = await open(t, 'let through')
  t.equal(await said(client), 'You said: tea')
  t.equal(proxy.asked, 1)
})

t.test('it is left where it comes to nothing in its turn, as when the network is another', async (t) => {
  let isDown = false
  const transport = sseTransport({ fetch: async (input, init) => { if (isDown) throw new Error('no network'); return await fetch(input, init) } })
  const { client, proxy } = await open(t, 400, { fallback: transport, fallbackAfter: 1 })
  t.equal(await said(client), 'You said: tea')
  t.equal(proxy.asked, 1)
  proxy.upgrades = 'let through'
  isDown = true
  client.wake()
  await eventually(() => proxy.asked === 2)
  t.equal(await said(client), 'You said: tea')
})

t.test('a channel that is nowhere is the end, with either', async (t) => {
  const { client } = await open(t, 404, {}, false)
  await t.rejects(client.chat({ message: 'x' }).finished, { code: 'CONNECTION_REFUSED', status: 404 })
})

t.test('where there is no WebSocket at all, it is all there is', async (t) => {
  const { port } = await serve(t, { ...ENDS_ALL, agentExecutor: () => 'hi', after (app) { app.register(channelRest) } })
  t.intercept(globalThis, 'WebSocket', { value: undefined, configurable: true })
  const client = createChannelClient({ url: `http://127.0.0.1:${port}/api/v1/ws`, fallback: sseTransport() })
  t.teardown(() => { client.close() })
  t.equal(await said(client), 'hi')
})
