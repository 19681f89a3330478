import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

import type { Test } from 'tap'

/** A way to Redis on which whoever subscribes can be cut off, and nobody else. */
export class SubscriberLine {
  readonly port: number
  /** So many attempts to subscribe are to be cut off. */
  breaks = 0
  readonly #subscribed = new Set<Socket>()

  private constructor (port: number) {
    this.port = port
  }

  static async to (t: Pick<Test, 'teardown'>, target: number): Promise<SubscriberLine> {
    const all = new Set<Socket>()
    const server = createServer((near) => {
      const far = connect(target, '127.0.0.1')
      for (const [one, other] of [[near, far], [far, near]] as const) {
        all.add(one)
        one.on('error', () => {}).on('close', () => {
          all.delete(one)
          line.#subscribed.delete(one)
          other.destroy()
        })
      }
      near.on('data', (data: Buffer) => { if (line.#mayPass(near, data)) far.write(data) })
      far.pipe(near)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    // A server that listens on a port has one.
    const line = new SubscriberLine((server.address() as AddressInfo).port)
    t.teardown(() => {
      for (const socket of all) socket.destroy()
      server.close()
    })
    return line
  }

  /** All who have subscribed are cut off, and so many of their next attempts. */
  cut (breaks: number): void {
    this.breaks = breaks
    for (const socket of this.#subscribed) socket.destroy()
  }

  #mayPass (socket: Socket, data: Buffer): boolean {
    if (!/\nsubscribe\r/i.test(data.toString('latin1'))) return true
    this.#subscribed.add(socket)
    if (this.breaks === 0) return true
    this.breaks--
    socket.destroy()
    return false
  }
}
