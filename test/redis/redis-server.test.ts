import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'

import t from 'tap'

import { start } from '../examples/processes.js'
import { ioredisClient, ioredisCluster, nodeRedisClient, nodeRedisCluster } from './redis-clients.js'
import { startRedisCluster } from './redis-cluster.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

t.test('a server of a test', async (t) => {
  await t.test('is reached by either client, and keeps nothing when it is killed', async (t) => {
    const server = await RedisServer.start(t)
    const [one, other] = [await ioredisClient(t, server), await nodeRedisClient(t, server)]
    await one.set('a', 'b')
    t.equal(await other.get('a'), 'b')
    await server.kill()
    t.equal(server.pid, undefined)
    await server.launch()
    const again = await ioredisClient(t, server)
    t.equal(await again.get('a'), null)
  })

  await t.test('keeps what its settings say, over a stop and a kill', async (t) => {
    const server = await RedisServer.start(t, { settings: { appendonly: 'yes', appendfsync: 'always' } })
    for (const end of ['stop', 'kill'] as const) {
      await (await ioredisClient(t, server)).append('ends', end)
      await server[end]()
      await server.launch()
    }
    t.equal(await (await ioredisClient(t, server)).get('ends'), 'stopkill')
    await t.rejects(server.launch(), { message: 'this server runs already' })
  })

  await t.test('answers nothing while it is paused, and goes on where it was', async (t) => {
    const server = await RedisServer.start(t)
    const client = await ioredisClient(t, server)
    server.pause()
    await until('the pause', 5_000, async () => isStopped(server.pid))
    const answer = client.ping()
    server.resume()
    t.equal(await answer, 'PONG')
  })

  await t.test('says why it does not start', async (t) => {
    await t.rejects(RedisServer.start(t, { settings: { maxmemory: 'much' } }), { message: /maxmemory/ })
  })

  await t.test('does not start on a port that is taken', async (t) => {
    const server = await RedisServer.start(t)
    await server.stop()
    const other = createServer().listen(server.port, '127.0.0.1')
    t.teardown(() => { other.close() })
    await once(other, 'listening')
    await t.rejects(server.launch(), { message: /already in use/ })
  })

  await t.test('ends with its test, and so does its folder', async (t) => {
    let server: RedisServer | undefined
    await t.test('one', async (t) => { server = await RedisServer.start(t) })
    t.equal(server?.pid, undefined)
    t.notOk(existsSync(server?.folder ?? '.'))
  })

  await t.test('ends when the process of its test is killed', async (t) => {
    const program = `
      import t from 'tap'
      import { RedisServer } from './test/redis/redis-server.ts'
      console.log('PID', (await RedisServer.start(t)).pid)
      setInterval(() => {}, 1000)`
    const { child, printed } = start(t, process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program])
    const [, pid] = await printed(/PID (\d+)/)
    child.kill('SIGKILL')
    await until('the end of the server', 10_000, async () => !existsSync(`/proc/${pid}`))
  })
})

t.test('a cluster of a test is whole, and reached by either client', async (t) => {
  const cluster = await startRedisCluster(t)
  const [one, other] = [await ioredisCluster(t, cluster), await nodeRedisCluster(t, cluster)]
  const keys = Array.from({ length: 30 }, (_, index) => `k${index}`)
  for (const key of keys) await one.set(key, key)
  t.strictSame(await Promise.all(keys.map((key) => other.get(key))), keys)
  const sizes = await Promise.all(cluster.nodes.map(async (node) => (await ioredisClient(t, node)).dbsize()))
  t.ok(sizes.every((size) => size > 0), `each node has a part: ${sizes.join()}`)
})

function isStopped (pid = 0): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}
