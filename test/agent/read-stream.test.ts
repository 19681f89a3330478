import t from 'tap'

import { AgentError, AgentNotFoundError } from '../../lib/agent/executor.js'
import { readStream } from '../../lib/agent/read-stream.js'
import { sdkFailure } from '../../lib/agent/sdk-failure.js'
import { StoreFailure } from '../../lib/agent/store-failure.js'
import { UsageSum } from '../../lib/agent/usage-sum.js'
import { turnOf } from '../adapters/turn.js'
import { ticks } from '../helpers/turn-bench.js'

await t.test('a stream', async (t) => {
  await t.test('is read to its end, and then left alone', async (t) => {
    const source = sourceOf(['a', 'b'])
    t.strictSame(await all(readStream(source, turnOf())), ['a', 'b'])
    t.strictSame(source.asked, ['next', 'next', 'next'])
  })

  await t.test('is closed when its reader has enough', async (t) => {
    const source = sourceOf(['a', 'b'])
    for await (const item of readStream(source, turnOf())) {
      t.equal(item, 'a')
      break
    }
    t.strictSame(source.asked, ['next', 'return'])
  })

  await t.test('of a turn that is stopped is closed at once, and once, and asked for no more', async (t) => {
    const source = sourceOf(['a', 'b'])
    const turn = turnOf()
    const reading = readStream(source, turn)
    await reading.next()
    turn.abort()
    t.strictSame(source.asked, ['next', 'return'])
    t.match(await reading.next(), { done: true })
    t.strictSame(source.asked, ['next', 'return'])
    const late = sourceOf(['a'])
    t.strictSame(await all(readStream(late, turn)), [])
    t.strictSame(late.asked, ['return'])
  })

  await t.test('that fails is not closed as well', async (t) => {
    const source = sourceOf(['a'], new Error('broken'))
    await t.rejects(all(readStream(source, turnOf())), { message: 'the SDK failed', cause: { message: 'broken' } })
    t.strictSame(source.asked, ['next', 'next'])
  })

  await t.test('may fail to close, which only the log says', async (t) => {
    const failures = [
      () => { throw new Error('stuck') },
      async () => await Promise.reject(new Error('stuck')),
      undefined
    ]
    for (const close of failures) {
      const turn = turnOf()
      const source = { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: 'a' }), ...close === undefined ? {} : { return: close } }) }
      const reading = readStream(source, turn)
      await reading.next()
      turn.abort()
      await ticks()
      t.match(turn.log.lines, close === undefined ? [] : [{ level: 'debug', text: 'the stream of an SDK failed while it was closed' }])
      await reading.next()
    }
  })
})

await t.test('an error of this package stays what it is', async (t) => {
  for (const err of [new AgentError('x'), new AgentNotFoundError('x'), new StoreFailure('x')]) t.equal(sdkFailure(err), err)
})

await t.test('usage is added up, as far as it is reported', async (t) => {
  const sum = new UsageSum()
  t.equal(sum.usage, undefined)
  sum.add({ inputTokens: 1, outputTokens: null, totalTokens: undefined })
  t.equal(sum.usage, undefined)
  sum.add({ inputTokens: 2, outputTokens: 3 })
  t.strictSame(sum.usage, { inputTokens: 3, outputTokens: 3 })
})

/** Items one by one, and what it was asked for. */
function sourceOf (items: string[], failure?: Error) {
  const asked: string[] = []
  const source = {
    asked,
    [Symbol.asyncIterator]: () => ({
      async next (): Promise<IteratorResult<string, undefined>> {
        asked.push('next')
        const value = items.shift()
        if (value !== undefined) return { done: false, value }
        if (failure !== undefined) throw failure
        return { done: true, value: undefined }
      },
      async return (): Promise<IteratorResult<string, undefined>> {
        asked.push('return')
        return { done: true, value: undefined }
      }
    })
  }
  return source
}

async function all<Item> (items: AsyncIterable<Item>): Promise<Item[]> {
  const got: Item[] = []
  for await (const item of items) got.push(item)
  return got
}
