import type { Test } from 'tap'

import type { AdapterOptions } from '../../lib/adapters/adapter.js'
import type { EventPart, Executor, Part, Turn } from '../../lib/agent/executor.js'
import { memoryJournal } from '../../lib/journal/memory-journal.js'
import { eventually } from '../helpers/eventually.js'
import { KEY, Reader, ticks, TurnBench } from '../helpers/turn-bench.js'
import { endless, Source, texts, USAGE, type Piece } from './source.js'
import { partsOf, turnOf } from './turn.js'

/** An adapter over the real SDK, which gets what it says from a source instead of a network. */
export interface Subject {
  name: string
  /** `openFailure` is what the SDK throws when it is called. */
  executor: (source: Source, options?: AdapterOptions & { openFailure?: Error }) => Executor
  /** Ends that its provider has no word for, or what cannot be given to it. */
  lacks?: ReadonlyArray<Extract<Piece, { end: unknown }>['end'] | 'onEvent' | 'backpressure'>
}

const SECRET = 'sk-secret'

/** So much an SDK may have read ahead of its reader. */
const READ_AHEAD = 40

/** What every adapter must do. */
export async function adapterContract (t: Test, { name, executor, lacks = [] }: Subject): Promise<void> {
  await t.test(`${name}: the text is exactly what the model said, and so is the history`, async (t) => {
    for (const said of [['Hello', ', ', 'world!'], ['你', '好\n\n', '  👩‍🚀', '\ud83d', '\ude00 "\\u0000" \t', '</s>'], ['x'.repeat(70_000), 'y']]) {
      const bench = new TurnBench(executor(new Source(texts(...said))))
      const reader = await bench.start()
      t.match(await reader.ended.promise, { finishReason: 'stop' })
      t.equal(reader.text, said.join(''))
      t.strictSame(await bench.said(), [['user', 'hello', true], ['assistant', said.join(''), true]])
      await bench.finish(t)
    }
  })

  await t.test(`${name}: reasoning, text and tools come in the order in which the model said them`, async (t) => {
    const pieces: Piece[] = [
      { reasoning: 'They ask ' }, { reasoning: 'for order 2.' },
      { text: 'Let me ' }, { text: 'look.' },
      { begin: { id: 'c1', name: 'look' } }, { input: { id: 'c1', text: '{"id":' } }, { input: { id: 'c1', text: '2}' } },
      { whole: { id: 'c1', name: 'look', text: '{"id":2}' } },
      { end: 'tool-calls' }
    ]
    t.strictSame(withoutMetadata(await partsOf(executor(new Source(pieces)))), [
      { type: 'event', name: 'reasoning', data: { id: 'm1', text: 'They ask ' } },
      { type: 'event', name: 'reasoning', data: { id: 'm1', text: 'for order 2.' } },
      'Let me ', 'look.',
      { type: 'event', name: 'tool-input-start', data: { toolCallId: 'c1', toolName: 'look' } },
      { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: '{"id":' } },
      { type: 'event', name: 'tool-input-delta', data: { toolCallId: 'c1', text: '2}' } },
      { type: 'event', name: 'tool-input', data: { toolCallId: 'c1', toolName: 'look', input: { id: 2 } } },
      { type: 'finish', finishReason: 'tool-calls', usage: USAGE }
    ])
  })

  await t.test(`${name}: the end has the usage and the reason`, async (t) => {
    for (const end of ['stop', 'length', 'content-filter', 'tool-calls'] as const) {
      if (lacks.includes(end)) continue
      const bench = new TurnBench(executor(new Source([{ text: 'a' }, { end }])))
      const reader = await bench.start()
      t.strictSame(await reader.ended.promise, { finishReason: end, usage: USAGE })
      await bench.finish(t)
    }
  })

  await t.test(`${name}: an abort reaches the SDK before it is asked for its next piece`, async (t) => {
    const source = new Source(endless())
    const bench = new TurnBench(executor(source))
    const reader = await bench.start({}, new Reader({ isLazy: true }))
    await eventually(() => { reader.read(); return reader.entries.length >= 5 })
    await bench.engine.cancel(KEY, true)
    await bench.idle()
    reader.read()
    t.match(await reader.ended.promise, { finishReason: 'aborted' })
    t.strictSame(source.seen.slice(source.seen.indexOf('abort')), ['abort'])
    t.match(source.seen, ['pull', 'pull'])
    await bench.finish(t)
  })

  await t.test(`${name}: an abort reaches an SDK that waits for its next piece`, async (t) => {
    const source = new Source(endless())
    source.holdAfter(5)
    const bench = new TurnBench(executor(source))
    const reader = await bench.start()
    await eventually(() => source.pulls === 6)
    await bench.engine.cancel(KEY, true)
    t.match(await reader.ended.promise, { finishReason: 'aborted' })
    t.strictSame(source.seen.slice(6), ['abort'])
    source.release()
    await ticks()
    t.strictSame(source.seen.slice(6), ['abort'], 'and it is asked for nothing any more')
    await bench.finish(t)
  })

  await t.test(`${name}: an error of the SDK ends the turn without a word of it for the client`, async (t) => {
    const failure = Object.assign(new Error(`no such key: ${SECRET}`), { headers: { authorization: SECRET } })
    const failures: Array<[Executor, string]> = [
      [executor(new Source([{ text: 'a' }, { text: 'b' }], failure)), 'ab'],
      [executor(new Source(texts('a')), { openFailure: failure }), '']
    ]
    for (const [failing, text] of failures) {
      const bench = new TurnBench(failing)
      const reader = await bench.start()
      t.strictSame(await reader.ended.promise, { finishReason: 'error', error: { code: 'AGENT_ERROR' } })
      t.equal(reader.text, text, 'what was said before is kept')
      t.notMatch(JSON.stringify(reader.entries), SECRET)
      const [line, ...others] = bench.log.lines.filter(({ level }) => level === 'error')
      t.strictSame(others, [])
      const err = line?.fields['err'] as Error
      t.match(err, { message: 'the SDK failed' })
      t.match(causesOf(err).join('\n'), failure.message, 'the operator is told what it was')
      t.strictSame(Object.keys(err), [], 'and not what hangs on it')
      await bench.finish(t)
    }
  })

  if (!lacks.includes('onEvent')) await t.test(`${name}: events can be changed and held back by the host`, async (t) => {
    const call = { id: 'c1', name: 'look' }
    const pieces: Piece[] = [{ reasoning: 'hm' }, { text: 'a' }, { begin: call }, { whole: { ...call, text: '{}' } }, { end: 'tool-calls' }]
    const onEvent = async ({ name, data }: EventPart, { id }: Turn): Promise<EventPart | undefined> =>
      name === 'tool-input' ? { type: 'event', name: `${id}: ${name}`, data } : undefined
    const parts = await partsOf(executor(new Source(pieces), { onEvent }))
    t.strictSame(withoutMetadata(parts), [
      'a',
      { type: 'event', name: 't9: tool-input', data: { toolCallId: 'c1', toolName: 'look', input: {} } },
      { type: 'finish', finishReason: 'tool-calls', usage: USAGE }
    ])
  })

  if (!lacks.includes('backpressure')) await backpressure(t, name, executor)
}

async function backpressure (t: Test, name: string, executor: Subject['executor']): Promise<void> {
  await t.test(`${name}: nothing is read ahead of who reads the turn, but for a few pieces`, async (t) => {
    const source = new Source(endless())
    const turn = turnOf()
    const answer = executor(source)(turn) as AsyncGenerator<Part>
    for (let count = 0; count < 3; count++) await answer.next()
    await ticks(20)
    const { pulls } = source
    t.ok(pulls < READ_AHEAD, `${pulls} pieces`)
    await ticks(20)
    t.equal(source.pulls, pulls)
    turn.abort()
    await answer.return(undefined)
  })

  await t.test(`${name}: a reader that does not read holds the SDK up`, async (t) => {
    const source = new Source(endless())
    const maxEntries = 512
    const bench = new TurnBench(executor(source), { journal: memoryJournal({ maxEntries }) })
    const reader = await bench.start({}, new Reader({ isLazy: true }))
    await eventually(() => source.pulls >= maxEntries / 2)
    await ticks(200)
    const { pulls } = source
    t.ok(pulls < maxEntries + READ_AHEAD, `${pulls} pieces`)
    await ticks(50)
    t.equal(source.pulls, pulls)
    await bench.engine.cancel(KEY, true)
    await bench.idle()
    reader.read()
    await bench.finish(t)
  })
}

function withoutMetadata (parts: Part[]): Part[] {
  return parts.filter((part) => typeof part === 'string' || part.type !== 'metadata')
}

function causesOf (err: unknown): string[] {
  return err instanceof Error ? [err.message, ...causesOf(err.cause)] : []
}
