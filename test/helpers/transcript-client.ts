import { WebSocket, type RawData } from 'ws'

import type { StageEnd } from './transcript-player.js'

/** How long a frame is waited for before it is said what is missing: shorter than tap's patience, which would say nothing. */
const PATIENCE_MS = 10_000
/** Pongs to pings of ours are no part of a transcript. */
const FENCE = 'fence-of-the-player'

/** A client's end of a connection: frames as they are on the wire. */
export class RawClient implements StageEnd {
  readonly #ws: WebSocket
  readonly #inbox: Array<string | Closing> = []
  readonly #fences: Array<() => void> = []
  #onNews: (() => void) | undefined
  #isClosed = false

  /** @param ws not open yet: what it is sent first is not to be missed */
  constructor (ws: WebSocket) {
    this.#ws = ws
    ws.on('message', (data, isBinary) => { this.#take(data, isBinary) })
    // It also closes, and `closed` tells.
    ws.on('error', () => {})
    ws.on('close', (code, reason) => {
      this.#isClosed = true
      for (const passed of this.#fences.splice(0)) passed()
      this.#add({ code, reason: reason.toString() })
    })
  }

  get isOpen (): boolean { return !this.#isClosed }

  send (message: string | Uint8Array): void {
    this.#ws.send(message)
  }

  async next (): Promise<string> {
    const news = await this.#news('a frame')
    if (typeof news === 'string') return news
    throw new Error(`the connection was closed with ${JSON.stringify(news)}`)
  }

  async closed (): Promise<Closing> {
    const news = await this.#news('a close')
    if (typeof news !== 'string') return news
    throw new Error(`expected a close, and got\n  ${news}`)
  }

  async settled (): Promise<void> {
    if (this.#isClosed) return
    await new Promise<void>((resolve, reject) => {
      const giveUp = setTimeout(() => { reject(new Error('the server does not answer a ping')) }, PATIENCE_MS)
      this.#fences.push(() => { clearTimeout(giveUp); resolve() })
      this.send(JSON.stringify({ type: 'ping', id: FENCE }))
    })
  }

  /** Shows that nothing else came. */
  async fence (): Promise<void> {
    await this.settled()
    this.assertNothingUnread()
  }

  assertNothingUnread (): void {
    const [first] = this.#inbox
    if (first !== undefined) throw new Error(`nobody expected\n  ${typeof first === 'string' ? first : JSON.stringify(first)}`)
  }

  async close (code = 1000, reason = ''): Promise<void> {
    if (this.#isClosed) return
    const closed = new Promise((resolve) => { this.#ws.once('close', resolve) })
    this.#ws.close(code, reason)
    await closed
  }

  /** As a pulled plug does. */
  terminate (): void {
    this.#ws.terminate()
  }

  #take (data: RawData, isBinary: boolean): void {
    const text = Buffer.isBuffer(data) && !isBinary ? data.toString() : '(no text)'
    if (text === JSON.stringify({ type: 'pong', id: FENCE })) this.#fences.shift()?.()
    else this.#add(text)
  }

  #add (news: string | Closing): void {
    this.#inbox.push(news)
    this.#onNews?.()
  }

  async #news (what: string): Promise<string | Closing> {
    if (this.#inbox.length === 0) {
      await new Promise<void>((resolve, reject) => {
        const giveUp = setTimeout(() => { reject(new Error(`${what} did not come in ${PATIENCE_MS} ms`)) }, PATIENCE_MS)
        this.#onNews = () => { clearTimeout(giveUp); resolve() }
      })
      this.#onNews = undefined
    }
    const news = this.#inbox.shift()
    if (news === undefined) throw new Error('two wait for one frame')
    return news
  }
}

/** Opens a connection, or says with which status it was refused. */
export async function dial (
  url: string, { headers, protocols }: { headers: Record<string, string>, protocols: string[] }
): Promise<{ client: RawClient } | { status: number }> {
  const ws = new WebSocket(url, protocols, { headers })
  const client = new RawClient(ws)
  return await new Promise((resolve, reject) => {
    ws.once('open', () => { resolve({ client }) })
    ws.once('error', reject)
    ws.once('unexpected-response', (request, response) => {
      resolve({ status: response.statusCode ?? 0 })
      request.destroy()
    })
  })
}

interface Closing {
  code: number
  reason: string
}
