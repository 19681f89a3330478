import type { ClientWebSocket, WebSocketConstructor } from '../../client/index.js'

/** What goes over a wire, and what becomes of it. Times are milliseconds, as `performance.now()` has them. */
export type WireNews = { at: number } & (
  | { kind: 'sent' | 'received', text: string, frame: Frame }
  | { kind: 'opening' | 'open' | 'cut' }
  | { kind: 'closed', code: number, reason: string }
)

/** As far as this page looks into it. */
export interface Frame {
  type?: unknown
  id?: unknown
  name?: unknown
  done?: unknown
}

/** Free for programs to use; means to the server that its peer has gone. */
const CUT_CODE = 4000
/** What a client is told of a connection that was simply lost. */
const LOST_CODE = 1006

/** All sockets of one client, one after another: tells what goes over them, and can cut the present one. */
export class Wire {
  /** For the client to make its sockets with. */
  readonly WebSocket: WebSocketConstructor
  #socket: WatchedSocket | undefined

  constructor (onNews: (news: WireNews) => void) {
    const keep = (socket: WatchedSocket): void => { this.#socket = socket }
    this.WebSocket = class extends WatchedSocket {
      constructor (url: string, protocols: string[]) {
        super(url, protocols, onNews)
        keep(this)
      }
    }
  }

  /** As a network does that fails: what is on its way is lost. */
  cut (): void {
    this.#socket?.cut()
  }
}

class WatchedSocket implements ClientWebSocket {
  readonly #socket: WebSocket
  readonly #onNews: (news: WireNews) => void
  readonly #closeListeners: Array<(event: object) => void> = []
  #isOver = false

  constructor (url: string, protocols: string[], onNews: (news: WireNews) => void) {
    this.#onNews = onNews
    this.#socket = new WebSocket(url, protocols)
    this.#tell({ kind: 'opening' })
    this.addEventListener('open', () => { this.#tell({ kind: 'open' }) })
    this.addEventListener('message', (event) => {
      const text = String((event as MessageEvent).data)
      this.#tell({ kind: 'received', text, frame: parsed(text) })
    })
    this.#socket.addEventListener('close', (event) => {
      if (this.#isOver) return
      this.#tell({ kind: 'closed', code: event.code, reason: event.reason })
      this.#end(event)
    })
  }

  send (text: string): void {
    this.#tell({ kind: 'sent', text, frame: parsed(text) })
    this.#socket.send(text)
  }

  close (code?: number, reason?: string): void {
    this.#socket.close(code, reason)
  }

  addEventListener (type: 'open' | 'message' | 'close' | 'error', listener: (event: object) => void): void {
    if (type === 'close') this.#closeListeners.push(listener)
    else this.#socket.addEventListener(type, (event) => { if (!this.#isOver) listener(event) })
  }

  cut (): void {
    if (this.#isOver) return
    this.#tell({ kind: 'cut' })
    this.#end({ code: LOST_CODE, reason: '' })
    this.#socket.close(CUT_CODE, 'cut')
  }

  #end (event: object): void {
    this.#isOver = true
    for (const listener of this.#closeListeners) listener(event)
  }

  #tell (news: WithoutTime<WireNews>): void {
    this.#onNews({ at: performance.now(), ...news })
  }
}

function parsed (text: string): Frame {
  try {
    return Object(JSON.parse(text)) as Frame
  } catch {
    return {}
  }
}

type WithoutTime<News> = News extends WireNews ? Omit<News, 'at'> : never
