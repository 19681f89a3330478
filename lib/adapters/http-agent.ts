import type { ReaderPace } from './reader-pace.js'

/** What an `HttpAgent` has beside other agents: its requests go by this function. */
export interface Fetching {
  fetch: (url: string, init: RequestInit) => Promise<Response>
}

/**
 * Has the requests of an agent wait for the turn's reader, and fail where somebody notices: when a connection breaks in
 * the midst of an answer, the package's own reader leaves a rejection that nobody can catch, which would end the process.
 * @returns gives the error that a request has ended with, if one has
 */
export function guardRequests (agent: Fetching, pace: ReaderPace): () => { err: unknown } | undefined {
  const request = agent.fetch
  let failure: { err: unknown } | undefined
  agent.fetch = async (url, init) => {
    const response = await request.call(agent, url, init)
    // Bytes, which its type does not say.
    const body = response.body as ReadableStream<Uint8Array> | null
    if (body === null) return response
    return new Response(withoutError(pace.held(body), (err) => { failure ??= { err } }), response)
  }
  return () => failure
}

function withoutError (body: ReadableStream<Uint8Array>, onError: (err: unknown) => void): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>({
    async pull (controller) {
      try {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (err) {
        onError(err)
        controller.close()
      }
    },
    cancel: (reason) => reader.cancel(reason)
  }, { highWaterMark: 0 })
}
