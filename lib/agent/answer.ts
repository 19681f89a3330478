import { MAX_NAME_LENGTH, TURN_STARTED } from '../protocol/names.js'
import type { Part } from './executor.js'

/** An executor's answer in the one form that the runner reads. */
export type OpenAnswer =
  | { kind: 'whole', content: string }
  | { kind: 'parts', iterator: PartIterator }

/** What sync and async iterators have in common. */
export interface PartIterator {
  next(): IteratorResult<unknown> | PromiseLike<IteratorResult<unknown>>
  return?: ((value?: undefined) => unknown) | undefined
}

/** @throws TypeError when it is nothing that can be streamed; the message says what to return instead */
export function openAnswer (answer: unknown): OpenAnswer {
  if (typeof answer === 'string') return { kind: 'whole', content: answer }
  if (typeof answer === 'object' && answer !== null) {
    // Not by its own iterator, whose `return` waits for a pending read: a cancel would wait for the next part.
    if (isReadableStream(answer)) return { kind: 'parts', iterator: readerIterator(answer) }
    if (isAsyncIterable(answer)) return { kind: 'parts', iterator: answer[Symbol.asyncIterator]() }
    if (isIterable(answer)) return { kind: 'parts', iterator: answer[Symbol.iterator]() }
  }
  throw new TypeError(`the executor returned ${describe(answer)}: return a string, an iterable, an async iterable or ` +
    'a ReadableStream')
}

/**
 * Checks what an iterator yielded.
 * @throws TypeError when it is no part; the message says what to yield instead
 */
export function toPart (value: unknown): Part {
  if (typeof value === 'string') return value
  if (typeof value === 'object' && value !== null && 'type' in value && isPart(value)) return value
  throw new TypeError(`the executor yielded ${describe(value)}: yield strings, or parts like { type: 'text', content }`)
}

function isPart (part: PartShape): part is Exclude<Part, string> {
  switch (part.type) {
    case 'text':
    case 'message': return typeof part.content === 'string'
    case 'event': return isEventName(part.name)
    case 'metadata': return typeof part.metadata === 'object' && part.metadata !== null && !Array.isArray(part.metadata)
    case 'finish': return true
    default: return false
  }
}

/** A client must be able to trust what begins a turn: that name is the channel's own. */
export function isEventName (name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.length <= MAX_NAME_LENGTH && name !== TURN_STARTED
}

/** Its lock is released at the end, whichever end that is. */
function readerIterator (stream: ReadableStream<unknown>): PartIterator {
  const reader = stream.getReader()
  let isOver = false
  const end = (): void => {
    isOver = true
    reader.releaseLock()
  }
  return {
    async next () {
      if (isOver) return { done: true, value: undefined }
      const step = await reader.read().catch((err: unknown) => { end(); throw err })
      if (!step.done) return step
      end()
      return { done: true, value: undefined }
    },
    return: () => reader.cancel().finally(end)
  }
}

function isAsyncIterable (value: object): value is AsyncIterable<unknown> {
  return Symbol.asyncIterator in value && typeof value[Symbol.asyncIterator] === 'function'
}

function isIterable (value: object): value is Iterable<unknown> {
  return Symbol.iterator in value && typeof value[Symbol.iterator] === 'function'
}

function isReadableStream (value: object): value is ReadableStream<unknown> {
  return 'getReader' in value && typeof value.getReader === 'function'
}

function describe (value: unknown): string {
  if (value === null) return 'null'
  if (typeof value !== 'object') return typeof value
  return `an object with keys ${Object.keys(value).slice(0, 5).join(', ') || '(none)'}`
}

interface PartShape {
  type: unknown
  content?: unknown
  name?: unknown
  metadata?: unknown
}
