// Frames are written as bytes where the socket is one of the system, and by `ws` elsewhere: clients cannot tell.
import type { AddressInfo } from 'node:net'

import websocket from '@fastify/websocket'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { WebSocket, type ClientOptions } from 'ws'

import { wsChannel } from '../../lib/index.js'
import { attend, ChannelClient, type Attendant, type Frame } from '../helpers/channel-client.js'
import { eventually } from '../helpers/eventually.js'
import { certificate, privateKey } from './certificate.js'

const PIECES = Array.from({ length: 400 }, (_, i) => {
  const script = ['word ', '你好', 'é', '😀', '"\\\n'][i % 5] ?? ''
  return `${i}:${script.repeat([1, 3, 40, 700, 9_000][i % 31 === 0 ? 4 : i % 4] ?? 1)}`
})
const TEXT = PIECES.join('')

async function * executor (): AsyncIterable<string> {
  for (const [i, piece] of PIECES.entries()) {
    if (i % 50 === 0) await new Promise((resolve) => { setImmediate(resolve) })
    yield piece
  }
}

/** Hosts by how their sockets are; each is given a channel, and says how to connect. */
const KINDS: Record<string, { make: () => Promise<FastifyInstance>, client?: ClientOptions, scheme?: 'wss', isInjected?: true }> = {
  TCP: { make: async () => Fastify() },
  TLS: {
    make: async () => Fastify({ https: { cert: certificate, key: privateKey } }),
    client: { rejectUnauthorized: false },
    scheme: 'wss'
  },
  'TCP with compression': {
    make: async () => {
      const app = Fastify()
      await app.register(websocket, { options: { maxPayload: 1024, perMessageDeflate: { threshold: 64 } } })
      return app
    },
    client: { perMessageDeflate: true }
  },
  injectWS: { make: async () => Fastify(), isInjected: true }
}

/** What has come of a socket that is closed. */
async function rest (client: ChannelClient): Promise<Frame[]> {
  return await Promise.all(client.unread().map(() => client.next()))
}

for (const [name, { make, client: clientOptions, scheme = 'ws', isInjected }] of Object.entries(KINDS)) {
  const host = async (t: Attendant): Promise<{ app: FastifyInstance, open: () => Promise<ChannelClient> }> => {
    const app = await make()
    t.teardown(async () => { await app.close() })
    app.register(wsChannel, {
      agentExecutor: executor, heartbeatMs: 1_000, pongTimeoutMs: 30_000, drainTimeoutMs: 1, maxPayload: 1024, maxFramesPerSecond: 100_000
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    const open = async (): Promise<ChannelClient> => {
      if (isInjected === true) {
        let made: ChannelClient | undefined
        await app.channel.injectWS({ onInit (ws) { made = new ChannelClient(ws) } })
        if (made === undefined) throw new Error('no socket was made')
        return attend(t, made)
      }
      const ws = new WebSocket(`${scheme}://localhost:${port}/api/v1/ws`, { perMessageDeflate: false, ...clientOptions })
      const opened = new ChannelClient(ws)
      await new Promise<void>((resolve, reject) => { ws.once('open', resolve); ws.once('error', reject) })
      return attend(t, opened)
    }
    return { app, open }
  }

  t.test(`${name}: frames of every kind come whole and in their order, pings and pongs of both sides among them`, async (t) => {
    const { open } = await host(t)
    const client = await open()
    t.equal(client.ws.extensions !== '', name === 'TCP with compression')
    for (let turn = 0; turn < 2; turn++) {
      client.send({ type: 'chat', message: 'hi' })
      client.send({ type: 'chat', id: `t${turn}`, sessionId: 's', message: 'hi' })
      const texts = { plain: '', tracked: '' }
      const ends = new Set<string>()
      let pongs = 0
      for (let asked = 0; ends.size < 2 || pongs < asked;) {
        const frame = await client.next()
        if (frame.type === 'pong') pongs++
        if (frame.type !== 'stream') continue
        const kind = 'id' in frame ? 'tracked' : 'plain'
        texts[kind] += String(frame['content'])
        if (frame['done'] === true) ends.add(kind)
        if (asked < 50) {
          client.send({ type: 'ping' })
          client.ws.ping()
          asked++
        }
      }
      t.ok(texts.plain === TEXT && texts.tracked === TEXT)
    }
    t.strictSame(await client.close(1000), { code: 1000, reason: '' })
  })

  t.test(`${name}: a reader that pauses gets all of it when it goes on`, async (t) => {
    const { app, open } = await host(t)
    const client = await open()
    for (let i = 0; i < 30; i++) client.send({ type: 'chat', message: 'hi', sessionId: `${i % 3}` })
    await client.next('stream')
    client.ws.pause()
    await eventually(() => app.channel.stats().turns < 28)
    client.ws.resume()
    let ends = 0
    while (ends < 30) if ((await client.next('stream')).done) ends++
    t.match(await client.close(1000), { code: 1000 })
  })

  t.test(`${name}: sockets that die while they are written to leave nothing behind`, async (t) => {
    const { app, open } = await host(t)
    for (let i = 0; i < 20; i++) {
      const client = await open()
      for (let turn = 0; turn < 3; turn++) client.send({ type: 'chat', message: 'hi', id: `${i} ${turn}`, sessionId: `${i}` })
      for (let frames = 0; frames < 3 + i; frames++) await client.next()
      await client.terminate()
      await rest(client)
    }
    await eventually(() => app.channel.stats().connections === 0 && app.channel.stats().turns === 0)
    t.match(app.channel.stats(), { connections: 0, turns: 0, followers: 0 })
  })

  t.test(`${name}: a close comes behind the answers that were given before it`, async (t) => {
    const { app, open } = await host(t)
    const client = await open()
    for (let i = 0; i < 20; i++) client.send({ type: 'subscribe', id: `${i}`, sessionId: `${i}` })
    await client.next('subscribed')
    await eventually(() => app.channel.stats().followers === 20)
    app.channel.disconnect('anonymous')
    const { code } = await client.closed
    t.equal(code, 4403)
    t.strictSame((await rest(client)).map(({ id }) => id), Array.from({ length: 19 }, (_, i) => `${i + 1}`))
  })
}
