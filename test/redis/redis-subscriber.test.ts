import t from 'tap'

import { redisSubscriber } from '../../lib/redis/redis-subscriber.js'
import { ioredisClient, nodeRedisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { SubscriberLine } from './subscriber-line.js'
import { until } from './until.js'

t.test('a way that breaks again while channels are subscribed to again harms nobody, and is found in the end', async (t) => {
  const server = await RedisServer.start(t)
  const speaker = await ioredisClient(t, server)
  const made = {
    ioredis: (port: number) => ioredisClient(t, server, { port }),
    redis: (port: number) => nodeRedisClient(t, { url: `redis://127.0.0.1:${port}` })
  }
  for (const [name, make] of Object.entries(made)) {
    const line = await SubscriberLine.to(t, server.port)
    const client = await make(line.port)
    const heard = new Set<string>()
    let onConnected = (): void => {}
    const connected = new Promise<void>((resolve) => { onConnected = resolve })
    const onMessage = (_channel: string, text: string): void => { heard.add(text) }
    const subscriber = redisSubscriber(client, { isSharded: false, connectTimeoutMs: 5_000, onMessage, onConnected })
    t.teardown(() => { subscriber.close() })
    await connected
    await subscriber.subscribe('a')
    line.cut(3)
    await until(`${name} to hear again`, 20_000, async () => {
      await speaker.publish('a', 'back')
      return heard.has('back') && line.breaks === 0
    })
    t.pass(name)
  }
})
