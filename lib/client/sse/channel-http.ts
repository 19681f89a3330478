import type { ServerFrameOf } from '../../protocol/server-frames.js'
import { afterAwake, type ClientClock } from '../client-clock.js'
import { readEvents } from './read-events.js'

/** What the channel says of itself: all of `ready` that is not of one socket. */
export type ChannelFacts = Omit<ServerFrameOf<'ready'>, 'type' | 'connectionId' | 'types'>

export interface ChannelHttpTools {
  base: URL
  token: string | undefined
  fetch: typeof fetch
  answerTimeoutMs: number
  silenceMs: number
  clock: ClientClock
}

/** An answer with another status than of success, and what its body says. */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal'
  readonly status: number
  /** Of the channel's own refusals alone. */
  readonly code: string | undefined
  readonly isRetryable: boolean
  readonly retryAfterMs: number | undefined

  constructor (status: number, { code, message, retryable, retryAfterMs }: Partial<RefusalBody>) {
    super(typeof message === 'string' ? message : `The server has answered ${status}`)
    this.status = status
    // A host's hooks, and whatever stands in front of the server, say nothing of this.
    this.code = typeof retryable === 'boolean' ? code : undefined
    this.isRetryable = retryable === true
    this.retryAfterMs = typeof retryAfterMs === 'number' ? retryAfterMs : undefined
  }
}

/** The routes of `channelRest`, for one user, under one journal. */
export class ChannelHttp {
  readonly #tools: ChannelHttpTools
  readonly #open = new Set<AbortController>()
  #isClosed = false
  #facts: ChannelFacts | undefined

  constructor (tools: ChannelHttpTools) {
    this.#tools = tools
  }

  /**
   * What the channel says of itself; from then on nothing is asked of another journal than that.
   * @throws HttpRefusal; anything else when the server cannot be reached, or is none of ours
   */
  async facts (): Promise<ChannelFacts> {
    const { channel } = await this.ask('agents') as { channel: ChannelFacts }
    if (typeof channel.journal !== 'string') throw new TypeError('No channel of ours')
    this.#facts = channel
    return channel
  }

  /** @throws as `facts` does */
  async ask (path: string, { body, headers, query }: HttpRequest = {}): Promise<unknown> {
    const controller = new AbortController()
    this.#keep(controller)
    const stop = afterAwake(this.#tools.clock, this.#tools.answerTimeoutMs, () => { controller.abort() })
    try {
      return await (await this.#fetch(path, { body, headers, query }, controller.signal)).json()
    } finally {
      stop()
      controller.abort()
    }
  }

  /**
   * Begins to follow something, until the controller ends it.
   * @returns what tells its frames, and settles when there are no more: also when nothing was heard for too long
   * @throws as `facts` does
   */
  async follow (
    path: string, headers: Record<string, string>, controller: AbortController
  ): Promise<(tools: FollowTools) => Promise<void>> {
    const { clock, answerTimeoutMs, silenceMs } = this.#tools
    const end = (): void => { controller.abort() }
    this.#keep(controller)
    let stopWatch = afterAwake(clock, answerTimeoutMs, end)
    const request = this.#fetch(path, { headers: { accept: 'text/event-stream', ...headers } }, controller.signal)
    const { body } = await request.finally(() => { stopWatch() })
    return async ({ onFrame, onSilence }) => {
      const watch = (): void => {
        stopWatch()
        stopWatch = afterAwake(clock, (this.#facts?.heartbeatMs ?? 0) + silenceMs, end)
      }
      watch()
      try {
        // An answer with such a status has one.
        await readEvents(body as ReadableStream<Uint8Array>, {
          onData: (data) => { onFrame(JSON.parse(data) as FollowedFrame) }, onComment: onSilence, onBytes: watch
        }, controller.signal)
      } finally {
        stopWatch()
        end()
      }
    }
  }

  /** Ends all that was asked. */
  close (): void {
    this.#isClosed = true
    for (const controller of this.#open) controller.abort()
  }

  async #fetch (path: string, { body, headers, query = {} }: HttpRequest, signal: AbortSignal): Promise<Response> {
    const { base, token, fetch } = this.#tools
    const url = new URL(base)
    url.protocol = url.protocol.replace('ws', 'http')
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value))
    const response = await fetch(url.href, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(this.#facts === undefined ? {} : { 'channel-journal': this.#facts.journal }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal
    })
    if (!response.ok) throw new HttpRefusal(response.status, await bodyOf(response))
    return response
  }

  /** It ends with this, and is forgotten when it has ended. */
  #keep (controller: AbortController): void {
    if (this.#isClosed) controller.abort()
    this.#open.add(controller)
    controller.signal.addEventListener('abort', () => { this.#open.delete(controller) })
  }
}

/**
 * Whatever stands in front of the server may have answered, with anything.
 * @throws when the answer breaks off
 */
async function bodyOf (response: Response): Promise<Partial<RefusalBody>> {
  const text = await response.text()
  try {
    return Object(JSON.parse(text)) as Partial<RefusalBody>
  } catch {
    return {}
  }
}

/** A frame of a session, as it is told there. */
export type FollowedFrame = ServerFrameOf<'subscribed' | 'stream' | 'message' | 'event' | 'error' | 'reconnect'>

export interface FollowTools {
  onFrame: (frame: FollowedFrame) => void
  /** There is nothing to say, and the connection lives. */
  onSilence: () => void
}

interface HttpRequest {
  body?: object | undefined
  headers?: Record<string, string> | undefined
  /** What is undefined is left out. */
  query?: Record<string, string | number | undefined> | undefined
}

interface RefusalBody {
  code: string
  message: string
  retryable: boolean
  retryAfterMs: number
}
