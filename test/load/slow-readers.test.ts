// Readers that stop reading, against an executor that has a million pieces ready. Takes some seconds.
import { once } from 'node:events'
import { env } from 'node:process'

import t from 'tap'
import { WebSocket } from 'ws'

import { startServer, type ServerProcess } from './servers.js'

const MIB = 1024 * 1024
const PIECES = 1_000_000
/** More of them show the same and take longer: 200 are `SLOW_READERS=200`. */
const READERS = Number(env['SLOW_READERS'] ?? 40)
// A reader that reads nothing answers no ping either.
const OPTIONS = {
  heartbeatMs: 600_000,
  slowConsumerTimeoutMs: 600_000,
  idleTimeoutMs: 600_000,
  maxAnswerBytes: 256 * MIB,
  maxConnections: 1_000
}

/** Opens a connection, asks for the burst, and never reads a byte of it. */
async function openSlowReader (server: ServerProcess): Promise<WebSocket> {
  const socket = new WebSocket(server.url)
  await once(socket, 'open')
  socket.pause()
  socket.send(JSON.stringify({ type: 'chat', agentId: 'burst', message: 'x' }))
  return socket
}

/** The number of pieces that were taken from the executors, once it stops growing. */
async function standstill (server: ServerProcess): Promise<number> {
  let last = -1
  // Each question is a round trip between processes: whoever can go on has done so in between.
  for (let same = 0; same < 200;) {
    const { yielded = 0 } = await server.ask('yielded')
    same = yielded === last && yielded > 0 ? same + 1 : 0
    last = yielded
  }
  return last
}

t.test('a reader that stops reading costs no memory, however much there is to tell', async (t) => {
  const server = await startServer({ pieces: PIECES, options: OPTIONS })
  t.teardown(() => { server.kill() })
  // Once for the code to be compiled, and for the heap to have its size.
  const warm = await openSlowReader(server)
  await standstill(server)
  warm.terminate()
  const { yielded: before = 0 } = await server.ask('yielded')
  const start = await server.memory()
  const reader = await openSlowReader(server)
  const taken = await standstill(server) - before
  const end = await server.memory()
  const kept = taken * 100
  t.comment(`taken ${taken} of ${PIECES} pieces; RSS +${mib(end.rss - start.rss)}, heap and external ` +
    `+${mib(end.heap - start.heap)} of which ${mib(kept)} is the kept answer`)
  t.ok(taken < PIECES / 2, 'the executor waits for its reader')
  t.ok(end.rss - start.rss < 16 * MIB, 'RSS grows by less than 16 MiB')
  t.ok(end.heap - start.heap - kept < 2 * MIB, 'heap and external memory grow by less than 2 MiB')
  reader.terminate()
  await server.close()
})

t.test('many such readers cost less than 2 MiB each', async (t) => {
  const server = await startServer({ pieces: PIECES, options: OPTIONS })
  t.teardown(() => { server.kill() })
  const warm = await openSlowReader(server)
  await standstill(server)
  warm.terminate()
  const start = await server.memory()
  const { yielded: before = 0 } = await server.ask('yielded')
  const readers = await Promise.all(Array.from({ length: READERS }, () => openSlowReader(server)))
  const kept = (await standstill(server) - before) * 100
  const end = await server.memory()
  t.comment(`${READERS} readers, each: RSS +${mib((end.rss - start.rss) / READERS)}, heap and external ` +
    `+${mib((end.heap - start.heap) / READERS)}, of which the kept answer ${mib(kept / READERS)}`)
  t.ok(end.heap - start.heap - kept < READERS * 2 * MIB, 'heap and external memory, the kept answers apart')
  t.ok(end.rss - start.rss - kept < READERS * 2 * MIB, 'RSS, the kept answers apart')
  for (const reader of readers) reader.terminate()
  await server.close()
})

function mib (bytes: number): string {
  return `${(bytes / MIB).toFixed(2)} MiB`
}
