import { randomUUID } from 'node:crypto'

import { WebSocket } from 'ws'
import t from 'tap'

import { startServer, type ServerProcess } from './servers.js'

const PIECES = 1_000
const TURNS = 60
const ROUNDS = 7
const MOST_ROUNDS = 40
const ENOUGH = 0.7

/** A reader that does as little as a reader can: the other processor is the server's. */
async function connect (t: { teardown: (task: () => void) => void }, url: string): Promise<WebSocket> {
  const socket = new WebSocket(url)
  t.teardown(() => { socket.terminate() })
  await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject) })
  return socket
}

/** Has turns answered one after another; answers how many frames came. */
async function readTurns (socket: WebSocket, turns: number, makeChat: () => object): Promise<number> {
  let frames = 0
  let left = turns
  await new Promise<void>((resolve) => {
    const ask = (): void => { socket.send(JSON.stringify(makeChat())) }
    socket.on('message', (data: Buffer) => {
      frames++
      if (!data.includes('"done":true')) return
      if (--left === 0) resolve()
      else ask()
    })
    ask()
  })
  socket.removeAllListeners('message')
  return frames
}

await t.test('a tracked turn costs the server little more than a plain one', async (t) => {
  const server = await startServer({ pieces: PIECES, options: { maxFramesPerSecond: 100_000 } })
  t.teardown(() => { server.kill() })
  const socket = await connect(t, server.url)
  const plain = (): object => ({ type: 'chat', agentId: 'burst', sessionId: 'plain', message: '.' })
  const tracked = (): object => ({ type: 'chat', agentId: 'burst', sessionId: 'tracked', id: randomUUID(), message: '.' })
  const costOf = async (makeChat: () => object): Promise<number> => await measured(server, socket, makeChat)

  // Whatever else runs here makes a turn dearer, never cheaper: the least of several is what it costs. On a busy machine it
  // takes more rounds to see it.
  const least = { plain: Infinity, tracked: Infinity }
  for (let round = -1; round < ROUNDS || (least.plain / least.tracked < ENOUGH && round < MOST_ROUNDS); round++) {
    const [plainMs, trackedMs] = [await costOf(plain), await costOf(tracked)]
    // The first one warms up.
    if (round < 0) continue
    least.plain = Math.min(least.plain, plainMs)
    least.tracked = Math.min(least.tracked, trackedMs)
  }
  const speed = least.plain / least.tracked
  t.comment(`speed of tracked in units of plain: ${speed.toFixed(2)}`)
  t.ok(speed >= ENOUGH)
})

/** What a frame costs the server, in milliseconds of a processor. */
async function measured (server: ServerProcess, socket: WebSocket, makeChat: () => object): Promise<number> {
  const before = await server.cpuMs()
  const frames = await readTurns(socket, TURNS, makeChat)
  return (await server.cpuMs() - before) / frames
}

await t.test('what a session holds is told to whoever joins in one pass and few writes', async (t) => {
  const server = await startServer({ pieces: PIECES - 2 })
  t.teardown(() => { server.kill() })
  const first = await connect(t, server.url)
  await readTurns(first, 1, () => ({ type: 'chat', agentId: 'burst', sessionId: 's', id: 'q', message: '.' }))
  const second = await connect(t, server.url)
  const epoch = await new Promise<string>((resolve) => {
    second.once('message', (data: Buffer) => { resolve((JSON.parse(data.toString()) as { epoch: string }).epoch) })
    second.send(JSON.stringify({ type: 'subscribe', agentId: 'burst', sessionId: 's' }))
  })

  const third = await connect(t, server.url)
  let frames = 0
  let reads = 0
  let units = 0
  let seq = 0
  // The stream under the socket: what was written at once comes in few reads.
  const stream = Reflect.get(third, '_socket') as NodeJS.ReadableStream
  stream.on('data', () => { reads++ })
  await new Promise<void>((resolve) => {
    third.on('message', (data: Buffer) => {
      frames++
      const frame = JSON.parse(data.toString()) as { content?: string, seq: number }
      units += frame.content?.length ?? 0
      seq = frame.seq
      if (data.includes('"done":true')) resolve()
    })
    third.send(JSON.stringify({ type: 'subscribe', agentId: 'burst', sessionId: 's', epoch, after: 0 }))
  })
  t.comment(`${frames} frames in ${reads} reads`)
  // On a busy machine the reader may fall behind, and pieces come as one.
  t.ok(frames <= 1 + PIECES)
  t.equal(units, (PIECES - 2) * 100, 'the whole text')
  t.equal(seq, PIECES, 'and every entry')
  t.ok(reads <= 40, 'and few reads')
})
