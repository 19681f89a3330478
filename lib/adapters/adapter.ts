import type { EventPart, Executor, Part, Turn } from '../agent/executor.js'
import { readStream, type Stream } from '../agent/read-stream.js'
import { sdkFailure } from '../agent/sdk-failure.js'
import { isPromiseLike, type Awaitable } from '../awaitable.js'

/** What all adapters take. */
export interface AdapterOptions {
  /** So many of the session's messages, at most, are put before the question. @default 50 */
  historyLimit?: number | undefined
  /**
   * Changes an event before it goes out; with `undefined` it does not. For what tools answer that is not meant for
   * clients, and for files, which are larger than `maxEventBytes` easily: keep them elsewhere, and send their address.
   * @default they go out as they are
   */
  onEvent?: ((event: EventPart, turn: Turn) => Awaitable<EventPart | undefined>) | undefined
}

/** What the host gives to its SDK. */
export interface SdkCall {
  /** What was said in this session, and the question as the last. */
  messages: Array<{ role: 'user' | 'assistant', content: string }>
  /** Fires when nobody wants the rest. */
  signal: AbortSignal
}

/** Makes parts of an SDK's items, one after another. */
export interface Translator<Item> {
  /** @throws what `sdkFailure` makes of an error that the item tells of */
  take(item: Item): Iterable<Part>
  /** What is left to say when the stream is over. */
  end(): Iterable<Part>
}

/** An executor that asks an SDK for a stream, and translates that. */
export function streamExecutor<Item> (
  open: (turn: Turn) => Promise<Opened<Item>>, translator: () => Translator<Item>, options: AdapterOptions
): Executor {
  return withEvents(options, async function * (turn) {
    const translation = translator()
    const { stream } = await opened(() => open(turn))
    for await (const item of readStream(stream, turn)) yield * translation.take(item)
    yield * translation.end()
  })
}

/** Not the stream alone: one that is a promise too would be waited for. */
export interface Opened<Item> {
  stream: Stream<Item>
}

/** What the host's function has returned; some streams are also promises of their whole answers. */
export async function streamOf<Item> (returned: Awaitable<Stream<Item>>): Promise<Opened<Item>> {
  return isPromiseLike(returned) && !(Symbol.asyncIterator in returned) ? { stream: await returned } : { stream: returned as Stream<Item> }
}

/** @throws what `sdkFailure` makes of an error of the SDK */
export async function opened<T> (open: () => Awaitable<T>): Promise<T> {
  try {
    const result = open()
    return isPromiseLike(result) ? await result : result
  } catch (err) {
    throw sdkFailure(err)
  }
}

export function withEvents ({ onEvent }: AdapterOptions, parts: (turn: Turn) => AsyncIterable<Part>): Executor {
  if (onEvent === undefined) return parts
  return async function * (turn) {
    for await (const part of parts(turn)) {
      const passed = typeof part !== 'string' && part.type === 'event' ? await onEvent(part, turn) : part
      if (passed !== undefined) yield passed
    }
  }
}

/** The session's history and the question, as most SDKs take them. */
export async function callOf (turn: Turn, { historyLimit }: AdapterOptions): Promise<SdkCall> {
  const said = await turn.history({ limit: historyLimit })
  const messages = said.filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content }))
  return { messages: [...messages, { role: 'user', content: turn.message }], signal: turn.signal }
}
