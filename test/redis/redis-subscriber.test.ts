import { EventEmitter, once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import { createClient } from 'redis'
import t, { type Test } from 'tap'

import { ioredisSubscriber } from '../../lib/redis/ioredis-subscriber.js'
import { destroyForGood, type NodeRedisDuplicate } from '../../lib/redis/node-redis-duplicate.js'
import type { IoredisClient, RedisClient, RedisSubscriber } from '../../lib/redis/redis-client.js'
import { redisSubscriber } from '../../lib/redis/redis-subscriber.js'
import { ioredisClient, nodeRedisClient, nodeRedisCluster } from './redis-clients.js'
import { startRedisCluster } from './redis-cluster.js'
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

t.test('what is to be heard of a cluster waits for it outside of the queue of ioredis, which may throw what nobody can catch', async (t) => {
  const own = Object.assign(new EventEmitter(), {
    status: 'connecting',
    asked: new Array<string>(),
    async ssubscribe (channel: string) { own.ask(channel) },
    async sunsubscribe (channel: string) { own.ask(`no more ${channel}`) },
    disconnect () {},
    ask (what: string) {
      if (own.status !== 'ready') own.asked.push('too early')
      own.asked.push(what)
      if (what === 'unknown') throw new TypeError('no such slot')
    }
  })
  const client = { isCluster: true, duplicate: () => own } as unknown as IoredisClient
  let connected = 0
  const options = { isSharded: true, connectTimeoutMs: 1, onMessage: () => {}, onConnected: () => { connected++ } }
  const subscriber = ioredisSubscriber(client, options)
  const become = async (status: string): Promise<void> => {
    own.status = status
    own.emit(status)
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const first = [subscriber.subscribe('a'), subscriber.subscribe('b'), subscriber.unsubscribe('b')]
  own.emit('+subscriber')
  await become('connect')
  t.strictSame([own.asked, connected], [[], 0])
  await become('ready')
  await Promise.all(first)
  t.strictSame([[...new Set(own.asked)].sort(), connected > 0, subscriber.isReady()], [['a', 'b', 'no more b'], true, true])
  await t.rejects(subscriber.subscribe('unknown'), { message: 'no such slot' })
  await become('reconnecting')
  const late = [subscriber.subscribe('c'), subscriber.unsubscribe('a')]
  for (const each of late) each.catch(() => {})
  await become('end')
  for (const each of [...late, subscriber.subscribe('d')]) await t.rejects(each, { message: 'the subscriber was closed' })
})

t.test('a subscriber that is closed while its cluster is asked for its nodes connects to none of them', async (t) => {
  const cluster = await startRedisCluster(t)
  const node = await silentServer(t)
  let answered = (): void => {}
  const nodesKnown = new Promise<void>((resolve) => { answered = resolve })
  const subscribers: RedisSubscriber[] = []
  const client = await nodeRedisCluster(t, cluster, {
    nodeAddressMap () {
      const [subscriber] = subscribers
      // Asked by the host's own client.
      if (subscriber === undefined) return undefined
      subscriber.close()
      answered()
      return { host: '127.0.0.1', port: node.port }
    }
  })
  subscribers.push(listen(t, client))
  await nodesKnown
  await new Promise((resolve) => { setImmediate(resolve) })
  await node.fence()
  t.equal(node.others(), 0)
})

t.test('a subscriber that is closed while it connects stays connected to nothing', async (t) => {
  const node = await silentServer(t)
  const client = createClient({ socket: { host: '127.0.0.1', port: node.port } })
  listen(t, client).close()
  await node.fence()
  await t.resolves(until('no connection to be left', 20_000, async () => node.others() === 0))
})

t.test('what a cluster is connecting to when it is closed is destroyed as soon as it is connected', async (t) => {
  const made = (): Connection => Object.assign(new EventEmitter(), { destroyed: 0, destroy () { this.destroyed++ } })
  const [own, first, second, sharded, channels] = [made(), made(), made(), made(), made()]
  const masters = [{ client: first, pubSub: { client: sharded } }, { client: second }, {}]
  destroyForGood(Object.assign(own, { masters, pubSubNode: { client: channels } }) as unknown as NodeRedisDuplicate)
  t.equal(own.destroyed, 1)
  for (const connection of [first, second, sharded, channels]) {
    connection.emit('connect')
    t.equal(connection.destroyed, 1)
  }
})

type Connection = EventEmitter & { destroyed: number, destroy: () => void }

function listen (t: Test, client: RedisClient): RedisSubscriber {
  return redisSubscriber(client, { isSharded: true, connectTimeoutMs: 5_000, onMessage () {}, onConnected () { t.fail('it is closed') } })
}

/** A server that takes connections and says nothing. */
async function silentServer (t: Test) {
  const taken: Socket[] = []
  const server = createServer((socket) => { taken.push(socket.resume().on('error', () => {})) })
  t.teardown(() => {
    for (const socket of taken) socket.destroy()
    server.close()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  // A server that listens on a port has one.
  const { port } = server.address() as AddressInfo
  let own: Socket | undefined
  return {
    port,
    /** Connections are taken in the order in which they were made: what was made before has been taken then. */
    async fence (): Promise<void> {
      const socket = own = connect(port, '127.0.0.1')
      t.teardown(() => { socket.destroy() })
      await until('it to be taken', 20_000, async () => taken.some(({ remotePort }) => remotePort === socket.localPort))
    },
    /** How many others there are that have not closed. */
    others: (): number => taken.filter((socket) => !socket.closed && socket.remotePort !== own?.localPort).length
  }
}
