import { deferred } from './deferred.js'
import { eventually } from './eventually.js'

/** One request of a client under test: the test answers it, and nothing happens by itself. */
export class FakeRequest {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: unknown
  readonly #signal: AbortSignal
  readonly #response = deferred<Response>()
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined

  constructor (url: string, { method = 'GET', headers, body, signal }: RequestInit) {
    this.method = method
    this.url = url
    this.headers = Object.fromEntries(new Headers(headers))
    this.body = typeof body === 'string' ? JSON.parse(body) as unknown : undefined
    this.#signal = signal ?? new AbortController().signal
    const onAbort = (): void => {
      this.#response.reject(new Error('aborted'))
      this.#stream?.error(new Error('aborted'))
    }
    if (this.isAborted) onAbort()
    else this.#signal.addEventListener('abort', onAbort)
  }

  get isAborted (): boolean { return this.#signal.aborted }

  get response (): Promise<Response> { return this.#response.promise }

  /** With this as JSON, or with text as it is. */
  answers (body: object | string, status = 200): void {
    this.#response.resolve(new Response(typeof body === 'string' ? body : JSON.stringify(body), { status }))
  }

  /** There is no network. */
  fails (): void {
    this.#response.reject(new TypeError('fetch failed'))
  }

  /** Begins an answer of server-sent events. */
  begins (...frames: object[]): void {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => { this.#stream = controller } })
    this.#response.resolve(new Response(body))
    this.tells(...frames)
  }

  /** Each an event, all of them in one piece. */
  tells (...frames: object[]): void {
    if (frames.length > 0) this.says(frames.map((frame) => `id:x\ndata:${JSON.stringify(frame)}\n\n`).join(''))
  }

  says (text: string): void {
    this.#stream?.enqueue(new TextEncoder().encode(text))
  }

  ends (): void {
    this.#stream?.close()
  }
}

/** What a client under test asks over HTTP. */
export class FakeHttp {
  /** Requests that nobody has looked at. */
  readonly asked: FakeRequest[] = []
  readonly fetch: typeof fetch = (input, init = {}) => {
    // The client gives an address as text.
    const request = new FakeRequest(input as string, init)
    this.asked.push(request)
    return request.response
  }

  /** Waits for the next request. */
  async next (): Promise<FakeRequest> {
    await eventually(() => this.asked.length > 0)
    const request = this.asked.shift()
    if (request === undefined) throw new Error('nothing was asked')
    return request
  }
}
