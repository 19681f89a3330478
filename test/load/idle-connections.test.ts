// Connections that have nothing to do, beside those of `ws` alone in the same run.
import { env } from 'node:process'

import t from 'tap'
import { WebSocket } from 'ws'

import { startServer, type ServerProcess } from './servers.js'

/** Ten thousand are `IDLE_CONNECTIONS=10000`; they need as many file descriptors (`ulimit -n`). */
const COUNT = Number(env['IDLE_CONNECTIONS'] ?? 2_000)
const AT_ONCE = 100
const HEARTBEAT_MS = 2_000

interface Costs {
  rss: number
  heap: number
}

async function openMany (url: string, count: number): Promise<WebSocket[]> {
  const sockets: WebSocket[] = []
  while (sockets.length < count) {
    const batch = Math.min(AT_ONCE, count - sockets.length)
    sockets.push(...await Promise.all(Array.from({ length: batch }, () => open(url))))
  }
  return sockets
}

function open (url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false })
    socket.once('open', () => { resolve(socket) })
    socket.once('error', reject)
  })
}

async function costs (server: ServerProcess, check: (sockets: WebSocket[]) => Promise<void>): Promise<Costs> {
  // The first ones make the code warm.
  for (const socket of await openMany(server.url, AT_ONCE)) socket.terminate()
  const start = await server.memory()
  const sockets = await openMany(server.url, COUNT)
  await check(sockets)
  const end = await server.memory()
  for (const socket of sockets) socket.terminate()
  return { rss: (end.rss - start.rss) / COUNT, heap: (end.heap - start.heap) / COUNT }
}

t.test('idle connections are held through heartbeats, at about the cost of bare ones', async (t) => {
  const channel = await startServer({ options: { maxConnections: COUNT + AT_ONCE, heartbeatMs: HEARTBEAT_MS } })
  t.teardown(() => { channel.kill() })
  const bare = await startServer({ kind: 'bare' })
  t.teardown(() => { bare.kill() })
  const ours = await costs(channel, async (sockets) => {
    await Promise.all(sockets.map((socket) => new Promise((resolve) => { socket.once('ping', resolve) })))
    const { stats } = await channel.ask('stats')
    t.equal(stats?.['connections'], COUNT)
    t.ok(sockets.every(({ readyState }) => readyState === WebSocket.OPEN), 'all are open after a heartbeat')
  })
  const theirs = await costs(bare, async () => {})
  t.comment(`${COUNT} connections, each: RSS ${kib(ours.rss)} against ${kib(theirs.rss)} of ws alone, heap and external ` +
    `${kib(ours.heap)} against ${kib(theirs.heap)}`)
  t.ok(ours.heap < theirs.heap + 8 * 1024, 'less than 8 KiB more than ws alone')
  await channel.close()
  await bare.close()
})

t.test('close with running turns and dead peers is done in the drain\'s time and a second', async (t) => {
  const drainTimeoutMs = 1_500
  const server = await startServer({ options: { drainTimeoutMs } })
  t.teardown(() => { server.kill() })
  const sockets = await openMany(server.url, 100)
  const frames: string[][] = sockets.map(() => [])
  const closings = sockets.map((socket, i) => new Promise<number>((resolve) => {
    socket.on('message', (data) => { if (Buffer.isBuffer(data)) frames[i]?.push(data.toString()) })
    socket.once('close', resolve)
  }))
  // Ten turns run, ten peers will never answer: half of those have a turn that runs.
  const [busy, dead] = [sockets.slice(0, 10), sockets.slice(5, 15)]
  await Promise.all(busy.map(async (socket) => {
    const begun = new Promise((resolve) => { socket.once('message', resolve) })
    socket.send(JSON.stringify({ type: 'chat', agentId: 'held', message: 'x' }))
    await begun
  }))
  for (const socket of dead) socket.pause()
  const closedMs = await server.close()
  t.comment(`closed in ${Math.round(closedMs)} ms`)
  t.ok(closedMs < drainTimeoutMs + 1_000, 'in time')
  for (const socket of dead) socket.resume()
  const codes = await Promise.all(closings)
  t.same(codes.filter((code, i) => i < 5 || i >= 15), Array.from({ length: 90 }, () => 1012), 'who answers sees 1012')
  for (const told of frames.slice(0, 5)) t.match(told.at(-1), /"code":"SHUTTING_DOWN".*"done":true/)
})

t.test('close lets turns end that can', async (t) => {
  const server = await startServer({ options: { drainTimeoutMs: 30_000 } })
  t.teardown(() => { server.kill() })
  const sockets = await openMany(server.url, 10)
  const ends = sockets.map((socket) => new Promise<[string, number]>((resolve) => {
    let last = ''
    socket.on('message', (data) => { if (Buffer.isBuffer(data)) last = data.toString() })
    socket.once('close', (code) => { resolve([last, code]) })
    socket.send(JSON.stringify({ type: 'chat', agentId: 'held', message: 'x' }))
  }))
  await Promise.all(sockets.map((socket) => new Promise((resolve) => { socket.once('message', resolve) })))
  await server.close(true)
  for (const [last, code] of await Promise.all(ends)) {
    t.equal(last, '{"type":"stream","agentId":"held","content":"","done":true}')
    t.equal(code, 1012)
  }
})

function kib (bytes: number): string {
  return `${(bytes / 1024).toFixed(2)} KiB`
}
