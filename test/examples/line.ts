import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import type { Test } from 'tap'

/** The line between clients and a server, which a test can cut. */
export interface Line {
  /** The channel's address at the near end. */
  url: string
  /** Where the far end is; may be exchanged. */
  port: number
  /** What the server says after this is lost, until the line is cut. */
  loseAfter: string | undefined
  /** Nobody gets through. */
  isDown: boolean
  /** Ends all connections as a pulled plug does. */
  cut: () => void
}

export async function lineTo (t: Test, port: number): Promise<Line> {
  const ends = new Set<Socket>()
  const server = createServer((near) => {
    if (line.isDown) near.destroy()
    else join(near, connect(line.port, '127.0.0.1'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const line: Line = {
    // Not a pipe's name: listening on a port makes it an AddressInfo.
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/ws`,
    port,
    loseAfter: undefined,
    isDown: false,
    cut () { for (const end of ends) end.destroy() }
  }
  t.teardown(() => {
    line.cut()
    server.close()
  })

  function join (near: Socket, far: Socket): void {
    let isMute = false
    for (const [end, other] of [[near, far], [far, near]] as const) {
      ends.add(end)
      end.on('error', () => { /* 'close' comes too */ })
      end.on('close', () => {
        ends.delete(end)
        other.destroy()
      })
    }
    near.on('data', (data) => far.write(data))
    far.on('data', (data) => {
      if (!isMute) near.write(data)
      isMute ||= line.loseAfter !== undefined && data.includes(line.loseAfter)
    })
  }

  return line
}
