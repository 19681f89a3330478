import type { ClientWebSocket, WebSocketConstructor } from '../../lib/client/index.js'
import { eventually } from './eventually.js'

type Listener = (event: object) => void

/** A frame, as a test writes and reads it. */
export interface AnyFrame {
  type: string
  [field: string]: unknown
}

/** The server's end of one socket of a client under test: what the client does to it is recorded, and nothing happens by itself. */
export class FakeSocket implements ClientWebSocket {
  readonly url: string
  readonly protocols: string[]
  /** Frames that the client has sent, and nobody has looked at. */
  readonly sent: AnyFrame[] = []
  /** The code with which the client has closed it; `terminated` if it did so without a handshake. */
  closed: number | 'terminated' | undefined
  readonly #listeners = new Map<string, Listener[]>()

  constructor (url: string, protocols: string[]) {
    this.url = url
    this.protocols = protocols
  }

  addEventListener (type: string, listener: Listener): void {
    this.#listeners.set(type, [...this.#listeners.get(type) ?? [], listener])
  }

  send (data: string): void {
    this.sent.push(JSON.parse(data) as AnyFrame)
  }

  close (code?: number): void {
    this.closed = code ?? 1005
  }

  terminate (): void {
    this.closed = 'terminated'
  }

  /** What the client has sent since this was asked last. */
  take (): AnyFrame[] {
    return this.sent.splice(0)
  }

  opens (): void {
    this.#tell('open', {})
  }

  says (...frames: object[]): void {
    for (const frame of frames) this.saysText(JSON.stringify(frame))
  }

  saysText (data: unknown): void {
    this.#tell('message', { data })
  }

  /** The upgrade is accepted, and the connection ready. */
  isReady (ready: object = {}): void {
    this.opens()
    this.says({ ...READY, ...ready })
  }

  closes (code: number): void {
    this.#tell('close', { code })
  }

  fails (): void {
    this.#tell('error', {})
  }

  #tell (type: string, event: object): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event)
  }
}

export const READY = {
  type: 'ready', protocol: 'agent-channel.v1', connectionId: 'c', journal: 'j1', maxPayload: 1_000_000, maxFrameBytes: 1_000_000,
  heartbeatMs: 25_000, types: []
}

/** Sockets as a client under test makes them. */
export class FakeSockets {
  readonly made: FakeSocket[] = []
  readonly WebSocket: WebSocketConstructor

  constructor () {
    const { made } = this
    this.WebSocket = class extends FakeSocket {
      constructor (url: string, protocols: string[]) {
        super(url, protocols)
        made.push(this)
      }
    }
  }

  /** The client's nth socket, from 1; waits for it to be made. */
  async nth (number: number): Promise<FakeSocket> {
    await eventually(() => this.made.length >= number)
    const socket = this.made[number - 1]
    if (socket === undefined) throw new Error('no socket was made')
    return socket
  }
}
