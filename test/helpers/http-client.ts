import { request, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'

import { eventually } from './eventually.js'
import type { Attendant, Frame } from './channel-client.js'

/** An answer as JSON; `undefined` where it has no body. */
export interface JsonAnswer {
  status: number
  headers: Headers
  body: Record<string, unknown> | undefined
}

/** Asks for JSON, or what else the headers say. */
export async function ask (url: string, { method, body, headers = {} }: AskOptions = {}): Promise<JsonAnswer> {
  const response = await fetch(url, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { ...body === undefined ? {} : JSON_BODY, ...headers },
    ...body === undefined ? {} : { body: textOf(body) }
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) as Record<string, unknown> }
}

export interface AskOptions {
  method?: string
  /** A string goes as it is. */
  body?: unknown
  headers?: Record<string, string>
}

/** One event. What it says is a frame. */
export interface SseEvent {
  id?: string
  retry?: string
  frame: Frame
}

/** Reads server-sent events, as the answer to one request. Rejects where the answer is something else. */
export class EventReader {
  readonly headers: IncomingHttpHeaders
  readonly ended: Promise<void>
  /** How many comments have come. */
  comments = 0
  readonly #request: ClientRequest
  readonly #response: IncomingMessage
  readonly #events: SseEvent[] = []
  #text = ''
  #isEnded = false

  private constructor (request: ClientRequest, response: IncomingMessage) {
    this.#request = request
    this.#response = response
    this.headers = response.headers
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => { this.#take(chunk) })
    response.on('error', () => {})
    this.ended = new Promise((resolve) => {
      response.once('close', () => {
        this.#isEnded = true
        resolve()
      })
    })
  }

  static async open (t: Attendant, url: string, { method, body, headers = {} }: AskOptions = {}): Promise<EventReader> {
    const reader = await new Promise<EventReader>((resolve, reject) => {
      const asked = request(url, {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: { accept: 'text/event-stream', ...body === undefined ? {} : JSON_BODY, ...headers },
        agent: false
      })
      asked.once('error', reject)
      asked.once('response', (response) => {
        asked.on('error', () => {})
        if (response.statusCode === 200) return resolve(new EventReader(asked, response))
        response.setEncoding('utf8').toArray().then((chunks) => { reject(new Refused(response, chunks.join(''))) }, reject)
      })
      asked.end(body === undefined ? undefined : textOf(body))
    })
    t.teardown(async () => { await reader.destroy() })
    return reader
  }

  /** The next event; `undefined` when the answer has ended. */
  async next (): Promise<SseEvent | undefined> {
    await eventually(() => this.#events.length > 0 || this.#isEnded)
    return this.#events.shift()
  }

  /** The frame of the next event. */
  async frame (): Promise<Frame> {
    const event = await this.next()
    if (event === undefined) throw new Error('the answer has ended')
    return event.frame
  }

  /** So many frames. */
  async frames (count: number): Promise<Frame[]> {
    const frames: Frame[] = []
    while (frames.length < count) frames.push(await this.frame())
    return frames
  }

  /** All that is left, once the answer has ended. */
  async rest (): Promise<SseEvent[]> {
    await this.ended
    return this.#events.splice(0)
  }

  /** What has come and was not asked for. */
  unread (): SseEvent[] {
    return [...this.#events]
  }

  /** Takes no more until `resume`. */
  pause (): void {
    this.#response.pause()
  }

  resume (): void {
    this.#response.resume()
  }

  /** Ends the connection as a pulled plug does. */
  async destroy (): Promise<void> {
    this.#request.destroy()
    this.#response.destroy()
    await this.ended
  }

  #take (chunk: string): void {
    const blocks = (this.#text + chunk).split('\n\n')
    this.#text = blocks.pop() ?? ''
    for (const block of blocks) {
      if (block.startsWith(':')) this.comments++
      else this.#events.push(eventOf(block))
    }
  }
}

/** How a request for events was refused. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Record<string, unknown>

  constructor ({ statusCode = 0, headers }: IncomingMessage, text: string) {
    super(`refused with ${statusCode}: ${text}`)
    this.status = statusCode
    this.headers = headers
    this.body = JSON.parse(text) as Record<string, unknown>
  }
}

/** How a request for events was refused that should not be answered by any. */
export async function refusalTo (opening: Promise<EventReader>): Promise<Refused> {
  const outcome: unknown = await opening.catch((err: unknown) => err)
  if (outcome instanceof Refused) return outcome
  throw new Error('the request was not refused', { cause: outcome })
}

const JSON_BODY = { 'content-type': 'application/json' }

function textOf (body: unknown): string {
  return typeof body === 'string' ? body : JSON.stringify(body)
}

/** Fields as the protocol has them: each line a name, a colon and a space, and a value. */
export function eventOf (block: string): SseEvent {
  const fields = Object.fromEntries(block.split('\n').map((line) => {
    const colon = line.indexOf(': ')
    return [line.slice(0, colon), line.slice(colon + 2)]
  }))
  const { data = '', ...rest } = fields
  return { ...rest, frame: JSON.parse(data) as Frame }
}
