import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import t, { type Test } from 'tap'

import { redisSubscriber } from '../../lib/redis/redis-subscriber.js'
import { ioredisClient, nodeRedisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

/** A way to Redis on which nothing that subscribes gets through, so many times. */
async function breakingWay (t: Test, { port }: RedisServer) {
  const way = { port: 0, breaks: 0, breakAll: () => { for (const socket of sockets) socket.destroy() } }
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const [one, other] of [[near, far], [far, near]] as const) {
      sockets.add(one)
      one.on('error', () => {}).on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    near.on('data', (data: Buffer) => {
      if (way.breaks > 0 && /subscribe/i.test(data.toString())) {
        way.breaks--
        near.destroy()
      } else far.write(data)
    })
    far.pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on a port has one.
  way.port = (server.address() as AddressInfo).port
  t.teardown(() => {
    way.breakAll()
    server.close()
  })
  return way
}

t.test('a way that breaks again while channels are subscribed to again harms nobody, and is found in the end', async (t) => {
  const server = await RedisServer.start(t)
  const speaker = await ioredisClient(t, server)
  const made = {
    ioredis: (port: number) => ioredisClient(t, server, { port }),
    redis: (port: number) => nodeRedisClient(t, { url: `redis://127.0.0.1:${port}` })
  }
  for (const [name, make] of Object.entries(made)) {
    const way = await breakingWay(t, server)
    const client = await make(way.port)
    const heard = new Set<string>()
    let onConnected = (): void => {}
    const connected = new Promise<void>((resolve) => { onConnected = resolve })
    const onMessage = (_channel: string, text: string): void => { heard.add(text) }
    const subscriber = redisSubscriber(client, { isSharded: false, connectTimeoutMs: 5_000, onMessage, onConnected: () => { onConnected() } })
    t.teardown(() => { subscriber.close() })
    await connected
    await subscriber.subscribe('a')
    way.breaks = 3
    way.breakAll()
    await until(`${name} to hear again`, 20_000, async () => {
      await speaker.publish('a', 'back')
      return heard.has('back') && way.breaks === 0
    })
    t.pass(name)
  }
})
