import { isPromiseLike } from '../awaitable.js'
import { openAnswer, type PartIterator } from './answer.js'
import type { Turn } from './executor.js'
import { sdkFailure } from './sdk-failure.js'

export type Stream<Item> = AsyncIterable<Item> | Iterable<Item> | ReadableStream<Item>

/**
 * The items of an SDK's stream, each asked for when the last was taken. Once the turn is stopped nothing more is asked
 * for: the stream is closed at once, also while the next item is on its way.
 * @throws what `sdkFailure` makes of the stream's error
 */
export async function * readStream<Item> (
  stream: Stream<Item>, { signal, log }: Pick<Turn, 'signal' | 'log'>
): AsyncGenerator<Item, void> {
  const iterator = iteratorOf(stream)
  let isOver = false
  const close = (): void => {
    if (isOver) return
    isOver = true
    // A generator whose `next` is pending takes its `return` only then: what comes of it is nobody's concern any more.
    const failed = (err: unknown): void => { log.debug({ err }, 'the stream of an SDK failed while it was closed') }
    try {
      const closed = iterator.return?.()
      if (isPromiseLike(closed)) closed.then(undefined, failed)
    } catch (err) {
      failed(err)
    }
  }
  signal.addEventListener('abort', close, { once: true })
  try {
    while (!signal.aborted) {
      const step = await iterator.next()
      if (step.done === true) {
        isOver = true
        return
      }
      // What was opened is a stream of these.
      yield step.value as Item
    }
  } catch (err) {
    isOver = true
    throw sdkFailure(err)
  } finally {
    signal.removeEventListener('abort', close)
    close()
  }
}

/** @throws TypeError when it is no stream */
export function iteratorOf (stream: Stream<unknown>): PartIterator {
  const opened = openAnswer(stream)
  if (opened.kind === 'whole') throw new TypeError('what an SDK answers must be a stream, and was a string')
  return opened.iterator
}
