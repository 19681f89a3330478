import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const [TEXT, CLOSE, PING, PONG] = [1, 8, 9, 10] as const
const HEADER_END = '\r\n\r\n'

/** Called with where the payload of a text frame lies. */
export type OnFrame = (bytes: Buffer, start: number, end: number) => void

/**
 * A WebSocket client that does as little as a client can: at many frames per millisecond `ws` itself, as a client, would
 * be what is measured. It reads unfragmented frames and nothing else.
 */
export class WireClient {
  onFrame: OnFrame = () => {}
  readonly #socket: Socket
  #rest: Buffer | undefined

  static async connect (port: number, path = '/api/v1/ws'): Promise<WireClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    socket.write(`GET ${path} HTTP/1.1\r\n` + 'Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
    let head = ''
    while (!head.includes(HEADER_END)) head += String((await once(socket, 'data'))[0])
    if (!head.startsWith('HTTP/1.1 101')) throw new Error(`not upgraded: ${head.slice(0, 100)}`)
    return new WireClient(socket)
  }

  private constructor (socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => { this.#read(chunk) })
    socket.on('error', () => {})
  }

  /** @param frame made by {@link textFrame} */
  send (frame: Buffer): void {
    this.#socket.write(frame)
  }

  pause (): void {
    this.#socket.pause()
  }

  end (): void {
    this.#socket.destroy()
  }

  #read (chunk: Buffer): void {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = undefined
    let at = 0
    while (at + 2 <= bytes.length) {
      let length = (bytes[at + 1] ?? 0) & 127
      let start = at + 2
      if (length === 126 && bytes.length >= at + 4) {
        length = bytes.readUInt16BE(at + 2)
        start = at + 4
      } else if (length === 127 && bytes.length >= at + 10) {
        length = bytes.readUIntBE(at + 4, 6)
        start = at + 10
      } else if (length > 125) {
        break
      }
      if (start + length > bytes.length) break
      this.#take((bytes[at] ?? 0) & 15, bytes, start, start + length)
      at = start + length
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at)
  }

  #take (opcode: number, bytes: Buffer, start: number, end: number): void {
    if (opcode === TEXT) this.onFrame(bytes, start, end)
    else if (opcode === PING) this.#socket.write(frameOf(PONG, Buffer.alloc(0)))
    else if (opcode === CLOSE) this.end()
    else throw new Error(`a frame of kind ${opcode}`)
  }
}

/** A client's frame, its mask all zeros. */
export function textFrame (frame: object): Buffer {
  return rawFrame(JSON.stringify(frame))
}

export function rawFrame (text: string): Buffer {
  return frameOf(TEXT, Buffer.from(text))
}

function frameOf (opcode: number, payload: Buffer): Buffer {
  if (payload.length > 125) throw new RangeError('the load has short frames only')
  return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload])
}
