import { once } from 'node:events'
import { createServer } from 'node:net'

// Below the ports that systems give to outgoing connections (from 32768 on): there a client that looks for a server which is down can
// take the server's port, and even connect to itself. The bus of a cluster's node lies 10,000 above its port, and has to stay below too.
const FIRST = 10_000
const COUNT = 12_000
export const BUS_OFFSET = 10_000

/** A port of 127.0.0.1 that nobody listens on right now, and the one of a cluster's bus beside it. By chance: other tests look too. */
export async function freePort (): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (await isFree(port) && await isFree(port + BUS_OFFSET)) return port
  }
}

async function isFree (port: number): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}
