import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import type { Test } from 'tap'

/** A way to a server of this machine that can be cut. */
export class Line {
  readonly port: number
  readonly #sockets = new Set<Socket>()
  #isMuted = false
  #isCut = false

  private constructor (port: number) {
    this.port = port
  }

  static async to (t: Pick<Test, 'teardown'>, target: number): Promise<Line> {
    const server = createServer((near) => {
      if (line.#isCut) return near.destroy()
      const far = connect(target, '127.0.0.1')
      for (const [one, other] of [[near, far], [far, near]] as const) {
        line.#sockets.add(one)
        // As Redis and its clients do: what is published would come 40 ms after what was answered.
        one.setNoDelay()
        one.on('error', () => { other.destroy() })
        one.on('close', () => {
          line.#sockets.delete(one)
          other.destroy()
        })
      }
      near.pipe(far)
      far.on('data', (data) => { if (!line.#isMuted) near.write(data) })
      return undefined
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    // A server that listens on a port has one.
    const line = new Line((server.address() as AddressInfo).port)
    t.teardown(() => {
      line.cut()
      server.close()
    })
    return line
  }

  /** Whoever is connected is so no longer, and nobody gets through. */
  cut (): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.destroy()
  }

  /** What is said gets through, and no answer comes back. */
  mute (): void {
    this.#isMuted = true
  }

  mend (): void {
    this.#isCut = this.#isMuted = false
  }
}
