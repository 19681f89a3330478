import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setImmediate as tick } from 'node:timers/promises'

import type { Random } from '../fuzz/random.js'

/** What a link does to what goes over it. */
export interface LinkPlan {
  /** Both sides are destroyed after so many bytes: to the server, or to the client. */
  cutUpAfter: number
  cutDownAfter: number
  /** Bytes go on in pieces of at most so many. */
  maxChunk: number
  /** How often, in a thousand, a piece is followed by a pause. */
  pausePerMille: number
  /** So many bytes may be on their way to the client; the server's system takes no more, as if its buffers were small. */
  window: number
}

export const CLEAN: LinkPlan = { cutUpAfter: Infinity, cutDownAfter: Infinity, maxChunk: 65_536, pausePerMille: 0, window: 1 << 20 }

/** Stands between one client and the server, and breaks what goes through as it is told. */
export class FaultProxy {
  plan: LinkPlan = CLEAN
  /** The newest connection, */
  link: Link | undefined
  /** and all of them. */
  readonly links = new Set<Link>()
  readonly #random: Random
  readonly #server: Server
  readonly #targetPort: number
  readonly #linkByPort: Map<number, Link>
  readonly #onCut: () => void

  constructor (targetPort: number, linkByPort: Map<number, Link>, random: Random, onCut: () => void) {
    this.#targetPort = targetPort
    this.#linkByPort = linkByPort
    this.#random = random
    this.#onCut = onCut
    this.#server = createServer((client) => { this.#join(client) })
  }

  async listen (): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  close (): void {
    for (const link of this.links) link.destroy()
    this.#server.close()
  }

  #join (client: Socket): void {
    const server = connect(this.#targetPort, '127.0.0.1')
    const link = new Link(client, server, this.plan, this.#random, this.#onCut)
    this.link = link
    this.links.add(link)
    client.once('close', () => { this.links.delete(link) })
    server.once('connect', () => {
      const { localPort = 0 } = server
      this.#linkByPort.set(localPort, link)
      server.once('close', () => { this.#linkByPort.delete(localPort) })
    })
  }
}

/** One connection through the proxy. */
export class Link {
  readonly #client: Socket
  readonly #server: Socket
  readonly #down: Pipe
  readonly #window: number
  readonly #plan: LinkPlan
  readonly #waiting: Array<() => void> = []
  #taken = 0
  #isGone = false

  constructor (client: Socket, server: Socket, plan: LinkPlan, random: Random, onCut: () => void) {
    this.#plan = { ...plan }
    this.#client = client
    this.#server = server
    this.#window = plan.window
    const cut = (): void => { onCut(); this.destroy() }
    const shared = { plan: this.#plan, random, cut }
    new Pipe(client, server, { ...shared, cutAfter: plan.cutUpAfter }, () => {})
    this.#down = new Pipe(server, client, { ...shared, cutAfter: plan.cutDownAfter }, () => { this.#letGo() })
    for (const side of [client, server]) {
      side.setNoDelay(true)
      side.on('error', () => {})
    }
    client.on('close', () => { this.destroy() })
    // What it has sent before still goes on.
    server.on('close', () => { this.#isGone = true; this.#letGo() })
  }

  get isDestroyed (): boolean { return this.#client.destroyed }

  /** Stops giving the client anything, as one that does not read. */
  set isFrozen (isFrozen: boolean) { this.#down.isFrozen = isFrozen }

  /** From now on it is as fast as it can be. */
  hurry (): void {
    this.isFrozen = false
    this.#plan.maxChunk = CLEAN.maxChunk
    this.#plan.pausePerMille = 0
  }

  /** Where its bytes are, for people. */
  describe (): string {
    const { forwarded, isClosed, queued } = this.#down
    return JSON.stringify({ taken: this.#taken, forwarded, queued, waiting: this.#waiting.length, isClosed })
  }

  /** The server's system has taken bytes; `done` when there is room for more. */
  take (bytes: number, done: () => void): void {
    this.#taken += bytes
    this.#waiting.push(done)
    this.#letGo()
  }

  destroy (): void {
    this.#down.close()
    this.#client.destroy()
    this.#server.destroy()
    this.#letGo()
  }

  #letGo (): void {
    if (!this.#isGone && !this.#down.isClosed && this.#taken - this.#down.forwarded > this.#window) return
    for (const done of this.#waiting.splice(0)) done()
  }
}

/** Gives the server's sockets the small buffers that their links have. */
export function narrow (socket: Socket, linkByPort: ReadonlyMap<number, Link>): void {
  const write = socket._write.bind(socket)
  const writev = socket._writev?.bind(socket)
  const { remotePort = 0 } = socket
  const room = (bytes: number, done: (err?: Error | null) => void) => (err?: Error | null): void => {
    const link = linkByPort.get(remotePort)
    if (link === undefined || (err !== undefined && err !== null)) done(err)
    else link.take(bytes, done)
  }
  socket._write = (chunk: Buffer | string, encoding, done) => { write(chunk, encoding, room(Buffer.byteLength(chunk), done)) }
  if (writev === undefined) return
  socket._writev = (chunks, done) => {
    const bytes = chunks.reduce((sum, { chunk }) => sum + Buffer.byteLength(chunk as Buffer | string), 0)
    writev(chunks, room(bytes, done))
  }
}

interface PipeOptions {
  cutAfter: number
  plan: LinkPlan
  random: Random
  cut: () => void
}

class Pipe {
  forwarded = 0
  isClosed = false
  readonly #from: Socket
  readonly #to: Socket
  readonly #options: PipeOptions
  readonly #onForwarded: () => void
  readonly #queue: Buffer[] = []
  #isFrozen = false
  #hasEnded = false
  #isPumping = false
  #thaw: () => void = () => {}

  constructor (from: Socket, to: Socket, options: PipeOptions, onForwarded: () => void) {
    this.#from = from
    this.#to = to
    this.#options = options
    this.#onForwarded = onForwarded
    from.on('data', (chunk: Buffer) => { this.#queue.push(chunk); void this.#pump() })
    from.on('end', () => { this.#hasEnded = true; void this.#pump() })
    from.on('error', () => { to.destroy() })
    from.on('close', (hasFailed) => { if (hasFailed) to.destroy() })
  }

  get queued (): number { return this.#queue.reduce((sum, { length }) => sum + length, 0) }

  set isFrozen (isFrozen: boolean) {
    this.#isFrozen = isFrozen
    if (!isFrozen) this.#thaw()
  }

  close (): void {
    this.isClosed = true
    this.#thaw()
  }

  async #pump (): Promise<void> {
    if (this.#isPumping) return
    this.#isPumping = true
    this.#from.pause()
    while (this.#queue.length > 0 && !this.isClosed) await this.#forward(this.#queue.shift() ?? Buffer.alloc(0))
    this.#isPumping = false
    if (this.isClosed) return
    if (this.#hasEnded) this.#to.end()
    else this.#from.resume()
  }

  /** `false`: it was closed first. */
  async #thawed (): Promise<boolean> {
    await new Promise<void>((resolve) => { this.#thaw = resolve })
    return !this.isClosed
  }

  async #forward (chunk: Buffer): Promise<void> {
    const { cutAfter, plan, random, cut } = this.#options
    for (let at = 0; at < chunk.length && !this.isClosed;) {
      if (this.#isFrozen && !await this.#thawed()) return
      const size = Math.min(1 + random.below(plan.maxChunk), chunk.length - at)
      if (this.forwarded + size >= cutAfter) {
        this.#to.write(chunk.subarray(at, at + cutAfter - this.forwarded), cut)
        this.isClosed = true
        return
      }
      if (!this.#to.write(chunk.subarray(at, at + size))) await drained(this.#to)
      at += size
      this.forwarded += size
      this.#onForwarded()
      if (random.perMille(plan.pausePerMille)) for (let left = 1 + random.below(3); left > 0; left--) await tick()
    }
  }
}

function drained (socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      socket.off('drain', settle)
      socket.off('close', settle)
      resolve()
    }
    if (socket.destroyed) return resolve()
    socket.on('drain', settle)
    socket.on('close', settle)
  })
}
