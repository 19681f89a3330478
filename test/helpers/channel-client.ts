import type { IncomingMessage } from 'node:http'
import { Value } from '@sinclair/typebox/value'
import { WebSocket, type RawData } from 'ws'

import { serverFrameSchemas, type ServerFrameOf, type ServerFrameType } from '../../lib/protocol/server-frames.js'

/** How long `next` waits before it says what is missing: shorter than tap's patience, which would say nothing. */
const PATIENCE_MS = 30_000

/**
 * The other end of a channel. Frames are queued from its construction on, none is lost before someone asks for it.
 *
 * With `injectWS`, wrap the socket where it is made: `injectWS(path, {}, { onInit (ws) { client = wrap(ws) } })`.
 */
export class ChannelClient {
  readonly ws: WebSocket
  readonly closed: Promise<Closing>
  readonly #frames: Frame[] = []
  readonly #waiting: Waiting[] = []
  #closing: Closing | undefined

  constructor (ws: WebSocket) {
    this.ws = ws
    this.closed = new Promise((resolve) => {
      ws.once('close', (code, reason) => {
        resolve(this.#end({ code, reason: reason.toString() }))
      })
    })
    // A socket that fails also closes, and `closed` tells; without a listener the error would end the process.
    ws.on('error', () => {})
    ws.on('message', (data, isBinary) => { this.#take(frameOf(data, isBinary)) })
  }

  /**
   * The next frame. Of a `type` that the protocol knows it is checked against its schema.
   * Rejects when the frame is another one, and when the socket is closed and nothing is left to read.
   */
  next<T extends ServerFrameType> (type: T): Promise<ServerFrameOf<T> & Frame>
  next (type?: string): Promise<Frame>
  async next (type?: string): Promise<Frame> {
    const frame = this.#frames.shift() ?? await this.#wait(type)
    if (type === undefined) return frame
    if (frame.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(frame)}`)
    if (isServerFrameType(type)) assertValid(type, frame)
    return frame
  }

  /** The frames up to and including the first of that type. */
  async until (type: string): Promise<Frame[]> {
    const frames = [await this.next()]
    while (frames.at(-1)?.type !== type) frames.push(await this.next())
    return frames
  }

  send (frame: object): void {
    this.ws.send(JSON.stringify(frame))
  }

  /** Text as it is; bytes as a binary message. */
  sendRaw (data: string | Uint8Array, options: { binary?: boolean } = {}): void {
    this.ws.send(data, options)
  }

  /** Shows that nothing else came: sends a ping, and rejects unless its pong is the next frame. */
  async fence (id?: string): Promise<void> {
    const pong = id === undefined ? { type: 'pong' } : { type: 'pong', id }
    this.send({ ...pong, type: 'ping' })
    const others: Frame[] = []
    for (let frame = await this.next(); !Value.Equal(frame, pong); frame = await this.next()) others.push(frame)
    if (others.length > 0) throw new Error(`before the pong came ${JSON.stringify(others)}`)
  }

  /** What has come and was not asked for. It stays in the queue. */
  unread (): Frame[] {
    return [...this.#frames]
  }

  close (code?: number, reason?: string): Promise<Closing> {
    this.ws.close(code, reason)
    return this.closed
  }

  /** Ends the connection as a pulled plug does. */
  terminate (): Promise<Closing> {
    this.ws.terminate()
    return this.closed
  }

  #take (frame: Frame): void {
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#frames.push(frame)
    else waiting.resolve(frame)
  }

  #end (closing: Closing): Closing {
    this.#closing = closing
    for (const { reject, type } of this.#waiting.splice(0)) reject(closedError(closing, type))
    return closing
  }

  #wait (type?: string): Promise<Frame> {
    const closing = this.#closing
    if (closing !== undefined) return Promise.reject(closedError(closing, type))
    return new Promise((resolve, reject) => {
      const giveUp = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        reject(new Error(`no ${type ?? 'frame'} came in ${PATIENCE_MS} ms`))
      }, PATIENCE_MS)
      const waiting = {
        type,
        resolve (frame: Frame) { clearTimeout(giveUp); resolve(frame) },
        reject (error: Error) { clearTimeout(giveUp); reject(error) }
      }
      this.#waiting.push(waiting)
    })
  }
}

/** For a socket that somebody else opened, such as `injectWS`. */
export function wrap (ws: WebSocket): ChannelClient {
  return new ChannelClient(ws)
}

/** Opens a real socket. Rejects with {@link UpgradeRefused} when the server answers with an HTTP status. */
export async function connect (url: string, { headers = {}, protocols = [] }: ConnectOptions = {}): Promise<ChannelClient> {
  const ws = new WebSocket(url, protocols, { headers })
  const client = wrap(ws)
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve)
    ws.once('error', reject)
    ws.once('unexpected-response', (request, response) => {
      refusalOf(response).then(reject, reject).finally(() => { request.destroy() })
    })
  })
  return client
}

export class UpgradeRefused extends Error {
  override readonly name = 'UpgradeRefused'
  readonly statusCode: number
  readonly headers: IncomingMessage['headers']
  readonly body: string

  constructor (response: IncomingMessage, body: string) {
    super(`the upgrade was answered with ${response.statusCode ?? 0}: ${body}`)
    this.statusCode = response.statusCode ?? 0
    this.headers = response.headers
    this.body = body
  }
}

/** How an upgrade that should not succeed was refused. */
export async function refusal (connecting: Promise<ChannelClient>): Promise<UpgradeRefused> {
  const outcome: unknown = await connecting.catch((err: unknown) => err)
  if (outcome instanceof UpgradeRefused) return outcome
  if (outcome instanceof ChannelClient) await outcome.terminate()
  throw new Error('the upgrade was not refused', { cause: outcome })
}

/**
 * Fails the test at its end when the client has frames that nobody read, or a socket that nobody closed; closes it.
 * Give it each client that a test opens.
 */
export function attend (t: Attendant, client: ChannelClient): ChannelClient {
  t.teardown(async () => {
    const isOpen = client.ws.readyState === WebSocket.OPEN
    if (client.ws.readyState !== WebSocket.CLOSED) await client.terminate()
    const faults = [
      ...isOpen ? ['the socket is still open'] : [],
      ...client.unread().map((frame) => `unread: ${JSON.stringify(frame)}`)
    ]
    if (faults.length > 0) throw new Error(`a client was left behind: ${faults.join(', ')}`)
  })
  return client
}

export interface Frame {
  type: string
  [field: string]: unknown
}

export interface Closing {
  code: number
  reason: string
}

export interface ConnectOptions {
  headers?: Record<string, string>
  protocols?: string[]
}

/** The part of a tap test that `attend` needs. */
export interface Attendant {
  teardown(task: () => Promise<void>): void
}

interface Waiting {
  type: string | undefined
  resolve: (frame: Frame) => void
  reject: (error: Error) => void
}

/** What is not one JSON object in a text message becomes a frame too: of a type that no test expects. */
function frameOf (data: RawData, isBinary: boolean): Frame {
  const text = Buffer.isBuffer(data) ? data.toString() : '(fragments)'
  if (isBinary) return { type: '(binary)', text }
  try {
    const frame: unknown = JSON.parse(text)
    return isFrame(frame) ? frame : { type: '(no frame)', text }
  } catch {
    return { type: '(no JSON)', text }
  }
}

function isFrame (value: unknown): value is Frame {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

function isServerFrameType (type: string): type is ServerFrameType {
  return Object.hasOwn(serverFrameSchemas, type)
}

function assertValid (type: ServerFrameType, frame: Frame): void {
  const fault = Value.Errors(serverFrameSchemas[type], frame).First()
  if (fault !== undefined) throw new Error(`${fault.path}: ${fault.message}, in ${JSON.stringify(frame)}`)
}

function closedError ({ code, reason }: Closing, type = 'a frame'): Error {
  return new Error(`the socket was closed with ${code} '${reason}' while the test waited for ${type}`)
}

async function refusalOf (response: IncomingMessage): Promise<UpgradeRefused> {
  const chunks = await response.setEncoding('utf8').toArray()
  return new UpgradeRefused(response, chunks.join(''))
}
