import t from 'tap'

import type { Part } from '../../lib/agent/executor.js'
import { deferred } from '../helpers/deferred.js'
import { KEY, TurnBench } from '../helpers/turn-bench.js'

const kept = async (bench: TurnBench) => (await bench.store.messages(KEY, { limit: 10 })).messages.at(-1)

t.test('the last metadata of an answer is kept as it was when it was yielded', async (t) => {
  const metadata = { calls: ['a'] }
  const bench = new TurnBench(function * (): Generator<Part> {
    yield { type: 'metadata', metadata: { calls: [] } }
    yield { type: 'metadata', metadata }
    metadata.calls.push('b')
    yield 'hi'
  })
  const reader = await bench.start()
  await reader.ended.promise
  t.strictSame(reader.short, ['text hi', 'end stop'], 'no reader is told')
  t.match(await kept(bench), { content: 'hi', metadata: { calls: ['a'] }, complete: true })
  await bench.finish(t)
})

t.test('it is kept of an answer without a text, and of one that was cut off', async (t) => {
  const gate = deferred()
  const bench = new TurnBench(async function * (): AsyncGenerator<Part> {
    yield { type: 'metadata', metadata: { calls: 1 } }
    yield { type: 'event', name: 'called' }
    await gate.promise
  })
  const reader = await bench.start()
  await reader.until(2)
  await bench.engine.cancel(KEY, true)
  await reader.ended.promise
  t.match(await kept(bench), { role: 'assistant', content: '', metadata: { calls: 1 }, complete: false })
  gate.resolve()
  await bench.finish(t)
})

t.test('what is too large is not kept, which the log says, and what was kept before stays', async (t) => {
  const bench = new TurnBench(() => [
    { type: 'metadata', metadata: { small: true } }, { type: 'metadata', metadata: { large: 'x'.repeat(1_000) } }, 'hi'
  ], { limits: { maxAnswerBytes: 1_000 } })
  const reader = await bench.start()
  t.strictSame(await reader.ended.promise, { finishReason: 'stop' })
  t.match(await kept(bench), { content: 'hi', metadata: { small: true } })
  t.strictSame(bench.texts('warn'), ['the metadata of an answer is too large to be kept'])
  await bench.finish(t)
})

t.test('what is no JSON fails the turn', async (t) => {
  const metadata: Record<string, unknown> = {}
  metadata['self'] = metadata
  const bench = new TurnBench(() => [{ type: 'metadata', metadata }])
  const reader = await bench.start()
  t.match(await reader.ended.promise, { error: { code: 'AGENT_ERROR' } })
  await bench.finish(t)
})
