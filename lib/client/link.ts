import type { ServerFrame, ServerFrameOf } from '../protocol/server-frames.js'
import { momentOf, type ClientClock, type Moment } from './client-clock.js'
import type { ClientWebSocket } from './options.js'

export type ReadyFrame = ServerFrameOf<'ready'>
/** A frame of a type that the host has defined: the answer to one that this client has sent. */
export interface HostAnswer { type: string, id?: string, data?: unknown }

export interface LinkTools {
  clock: ClientClock
  connectTimeoutMs: number
  /** Without it, what the server says. */
  heartbeatMs: number | undefined
  pongTimeoutMs: number
  onReady: (ready: ReadyFrame) => void
  onFrame: (frame: ServerFrame) => void
  /** Called once, at the end, unless the link is closed from here. A code below 1000 is the HTTP status of a refusal. */
  onOver: (code: number) => void
}

/** No close frame came. */
const ABNORMAL = 1006

/** One socket, from its construction to its end: waits until it is ready, and sees whether it is still alive. */
export class Link {
  /** The upgrade was accepted. */
  hasOpened = false
  ready: ReadyFrame | undefined
  readonly #socket: ClientWebSocket
  readonly #tools: LinkTools
  #heard: Moment
  #isOver = false
  #cancelTimer: () => void
  #cancelPong: (() => void) | undefined

  constructor (socket: ClientWebSocket, tools: LinkTools) {
    this.#socket = socket
    this.#tools = tools
    this.#heard = momentOf(tools.clock)
    this.#cancelTimer = tools.clock.after(tools.connectTimeoutMs, () => { this.#drop() })
    socket.addEventListener('open', () => { this.hasOpened = true })
    socket.addEventListener('message', (event) => { this.#take((event as { data: unknown }).data) })
    socket.addEventListener('close', (event) => { this.#end((event as { code: number }).code) })
    // 'close' comes too; without a listener the error would end a process.
    socket.addEventListener('error', () => {})
  }

  /** The last sign of life. */
  get heard (): Moment { return this.#heard }

  send (text: string): void {
    this.#socket.send(text)
  }

  close (): void {
    this.#finish()
    this.#socket.close(1000)
  }

  /** Asks for a sign of life, and ends without one. */
  check (): void {
    const { clock, pongTimeoutMs } = this.#tools
    if (this.#cancelPong !== undefined || this.ready === undefined) return
    this.#cancelPong = clock.after(pongTimeoutMs, () => { this.#drop() })
    this.send('{"type":"ping"}')
  }

  #take (data: unknown): void {
    if (this.#isOver) return
    this.#heard = momentOf(this.#tools.clock)
    this.#cancelPong?.()
    this.#cancelPong = undefined
    const frame = parsed(data)
    if (frame?.type === 'ready') this.#open(frame)
    else if (frame !== undefined && frame.type !== 'pong') this.#tools.onFrame(frame)
  }

  #open (ready: ReadyFrame): void {
    this.#cancelTimer()
    this.ready = ready
    this.#watch(this.#tools.heartbeatMs ?? ready.heartbeatMs)
    this.#tools.onReady(ready)
  }

  /** Looks again when the silence would be too long. */
  #watch (heartbeatMs: number): void {
    const { clock } = this.#tools
    const silenceMs = clock.now() - this.#heard.now
    if (silenceMs >= heartbeatMs) this.check()
    this.#cancelTimer = clock.after(silenceMs >= heartbeatMs ? heartbeatMs : heartbeatMs - silenceMs, () => { this.#watch(heartbeatMs) })
  }

  /** Does not wait for a peer that may be gone. */
  #drop (): void {
    this.#end(ABNORMAL)
    if (this.#socket.terminate === undefined) this.#socket.close()
    else this.#socket.terminate()
  }

  #end (code: number): void {
    if (this.#isOver) return
    this.#finish()
    this.#tools.onOver(code)
  }

  #finish (): void {
    this.#isOver = true
    this.#cancelTimer()
    this.#cancelPong?.()
  }
}

/** What is no frame is nothing that anybody could use. */
function parsed (data: unknown): ServerFrame | undefined {
  try {
    const frame: unknown = JSON.parse(data as string)
    // The server keeps to its schemas, which are not shipped to browsers.
    return typeof frame === 'object' && frame !== null && 'type' in frame ? frame as ServerFrame : undefined
  } catch {
    return undefined
  }
}
