import t, { type Test } from 'tap'

import { eventually } from '../helpers/eventually.js'
import { end, piece, refused } from '../transports/expected.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { chat, startNodes, untilEnd, type Node, type NodesOptions } from './nodes.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'
import { until } from './until.js'

/** A node with a turn that runs. */
async function withTurn (t: Test, options: NodesOptions = {}) {
  const { server, nodes } = await startNodes(t, 1, options)
  const [node] = nodes as [Node]
  const client = await node.connect()
  node.stage.act('a').say('one ')
  chat(client, 'a')
  for (const type of ['ack', 'event', 'stream']) await client.next(type)
  return { server, node, client, act: node.stage.act('a') }
}

t.test('a turn outlives a break that is short enough, and nothing of it is lost or doubled', async (t) => {
  const { node: { line }, client, act } = await withTurn(t, { journal: { leaseMs: 10_000 } })
  line.cut()
  act.say('two ')
  line.mend()
  act.say('three').end()
  t.match(await untilEnd(client, 'a'), { text: 'two three', end: { finishReason: 'stop' } })
  await client.close()
})

t.test('a turn ends with STORE_UNAVAILABLE when Redis is away for too long, chats are refused meanwhile, and service comes back', async (t) => {
  const { node, client, act } = await withTurn(t, { journal: { journalGraceMs: 200 } })
  const { line, stage, app } = node
  const { signal } = await act.started.promise
  line.cut()
  act.say('two')
  t.match(await untilEnd(client, 'a'), { end: { type: 'error', code: 'STORE_UNAVAILABLE', retryable: true, finishReason: 'error' } })
  t.ok(signal.aborted)
  chat(client, 'b')
  t.match(await client.next(), { ...refused('STORE_UNAVAILABLE', { id: 'b' }) })
  line.mend()
  await answering(node)
  // What the journal has of the turn ends when its lease has run out; then the next one runs.
  stage.act('c').say('again').end()
  chat(client, 'c')
  t.match(await untilEnd(client, 'c'), { text: 'again', end: { finishReason: 'stop' } })
  await eventually(() => app.channel.stats().turns === 0)
  await client.close()
})

t.test('a turn that says nothing is stopped too when Redis is away for too long', async (t) => {
  const { node: { line }, client, act } = await withTurn(t, { journal: { journalGraceMs: 200 } })
  const { signal } = await act.started.promise
  line.cut()
  await eventually(() => signal.aborted)
  t.match(await untilEnd(client, 'a'), { end: { code: 'STORE_UNAVAILABLE' } })
  await client.close()
})

t.test('a restart of Redis that keeps what it has confirmed ends no turn', async (t) => {
  const redis = { settings: { appendonly: 'yes', appendfsync: 'always' } }
  const { server, node: { journal }, client, act } = await withTurn(t, { redis, journal: { leaseMs: 10_000 } })
  const { id } = journal
  await server.kill()
  act.say('two ')
  await server.launch()
  act.say('three').end()
  t.match(await untilEnd(client, 'a'), { text: 'two three', end: { finishReason: 'stop' } })
  t.equal(journal.id, id)
  await client.close()
})

t.test('a Redis that has lost all is another journal', async (t) => {
  const { server, node, client, act } = await withTurn(t)
  const { id } = node.journal
  await server.kill()
  await server.launch()
  act.say('two')
  const { signal } = await act.started.promise
  // Nobody can tell the turn any more: what there is of it is in the history.
  const lost = await client.next('subscribed')
  t.match(lost, { recovered: false, seq: 0, turns: [] })
  await eventually(() => signal.aborted)
  await answering(node)
  await eventually(() => node.journal.id !== id)
  node.stage.act('b').say('again').end()
  chat(client, 'b')
  t.match(await untilEnd(client, 'b'), { text: 'again', end: { finishReason: 'stop' } })
  const other = await node.connect({ protocols: ['agent-channel.v1'] })
  t.equal((await other.next('ready')).journal, node.journal.id)
  for (const reader of [client, other]) await reader.close()
})

t.test('scripts that Redis has forgotten are told again', async (t) => {
  const { server, client, act } = await withTurn(t)
  await (await ioredisClient(t, server)).script('FLUSH')
  act.say('two').end()
  for (const frame of [piece('two', 3), end(4)]) t.strictSame(await client.next(), frame)
  await client.close()
})

t.test('a Redis that is full refuses chats, and takes what a turn says once it has room', async (t) => {
  const { server, node, client, act } = await withTurn(t, { journal: { leaseMs: 10_000 } })
  const admin = await ioredisClient(t, server)
  await admin.config('SET', 'maxmemory', '1')
  chat(client, 'b')
  t.match(await client.next(), refused('STORE_UNAVAILABLE', { id: 'b' }))
  act.say('two').end()
  await admin.config('SET', 'maxmemory', '0')
  for (const frame of [piece('two', 3), end(4)]) t.strictSame(await client.next(), frame)
  node.stage.act('b').end()
  chat(client, 'b')
  t.match(await untilEnd(client, 'b'), { end: { finishReason: 'stop' } })
  await client.close()
})

t.test('a Redis that has become a replica refuses chats, and takes what a turn says once it is a master', async (t) => {
  const { server, client, act } = await withTurn(t, { journal: { leaseMs: 10_000 } })
  const admin = await ioredisClient(t, server)
  await admin.call('REPLICAOF', '127.0.0.1', '1')
  chat(client, 'b')
  t.match(await client.next(), refused('STORE_UNAVAILABLE', { id: 'b' }))
  act.say('two').end()
  await admin.call('REPLICAOF', 'NO', 'ONE')
  t.match(await untilEnd(client, 'a'), { text: 'two', end: { finishReason: 'stop' } })
  await client.close()
})

t.test('who has Redis drop what it is to keep is warned, once', async (t) => {
  for (const [policy, count] of [['allkeys-lru', 1], ['noeviction', 0]] as const) {
    const server = await RedisServer.start(t, { settings: { 'maxmemory-policy': policy } })
    const warnings: string[] = []
    const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', onWarning: (message) => { warnings.push(message) } })
    t.teardown(async () => { await journal.close() })
    await journal.ready()
    t.equal(warnings.length, count)
    for (const warning of warnings) t.match(warning, /maxmemory-policy allkeys-lru/)
  }
})

async function answering ({ journal }: Node): Promise<void> {
  const key = { owner: 'anonymous', agentId: 'main', sessionId: 'other' }
  await until('Redis to answer', 10_000, async () => {
    try {
      await journal.publish(key, 'news', '{}')
      return true
    } catch {
      return false
    }
  })
}
