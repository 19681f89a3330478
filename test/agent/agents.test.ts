import { Type } from '@sinclair/typebox'
import t from 'tap'

import { agentsOf } from '../../lib/agent/agents.js'
import { openAnswer, toPart, type OpenAnswer } from '../../lib/agent/answer.js'
import { echo } from '../../lib/agent/echo.js'
import { AgentError, AgentNotFoundError, type Executor, type Turn } from '../../lib/agent/executor.js'

const TURN = { message: 'hello' } as Turn

await t.test('agents', async (t) => {
  await t.test('one function answers for every id, and takes any metadata', async (t) => {
    const agents = agentsOf(echo)
    for (const id of ['main', 'other', 'toString']) t.equal(agents.find(id), echo)
    t.equal(agents.metadataFault('main', { any: 'thing' }), undefined)
  })

  await t.test('a record answers for its own keys and for nothing that objects inherit', async (t) => {
    const agents = agentsOf({ main: echo })
    t.equal(agents.find('main'), echo)
    for (const id of ['other', 'toString', '__proto__', 'constructor']) t.equal(agents.find(id), undefined, id)
    t.equal(agents.metadataFault('other', {}), undefined)
    t.equal(agents.metadataFault('main', {}), undefined)
  })

  await t.test('a definition keeps its `this`', async (t) => {
    const agent = {
      greeting: 'hi',
      execute (turn: Turn) { return `${this.greeting}, you said ${turn.message}` }
    }
    t.equal(await agentsOf({ main: agent }).find('main')?.(TURN), 'hi, you said hello')
  })

  await t.test('metadata is checked by a TypeBox schema or by a JSON schema, and none counts as an empty object', async (t) => {
    const properties = { lang: Type.String() }
    const schemas = [Type.Object(properties), { type: 'object', properties: { lang: { type: 'string' } }, required: ['lang'] }]
    for (const metadata of schemas) {
      const agents = agentsOf({ main: { execute: echo, metadata }, free: { execute: echo } })
      t.equal(agents.metadataFault('main', { lang: 'en', more: 1 }), undefined)
      t.match(agents.metadataFault('main', { lang: 5 }), { path: '/metadata/lang', rule: /string/ })
      t.match(agents.metadataFault('main', undefined), { path: /^\/metadata/, rule: /required/i })
      t.equal(agents.metadataFault('free', { lang: 5 }), undefined)
    }
  })

  await t.test('a schema that is none is refused at once', async (t) => {
    t.throws(() => agentsOf({ main: { execute: echo, metadata: { type: 'nonsense' } } }))
  })
})

await t.test('an answer', async (t) => {
  await t.test('that is a string is whole', async (t) => {
    t.strictSame(openAnswer('text'), { kind: 'whole', content: 'text' })
    t.strictSame(openAnswer(''), { kind: 'whole', content: '' })
  })

  await t.test('can be whatever can be iterated', async (t) => {
    const parts = ['a', 'b']
    t.strictSame(await all(openAnswer(parts)), parts)
    t.strictSame(await all(openAnswer(new Set(parts))), parts)
    t.strictSame(await all(openAnswer((function * () { yield * parts })())), parts)
    t.strictSame(await all(openAnswer((async function * () { yield * parts })())), parts)
    t.strictSame(await all(openAnswer(ReadableStream.from(parts))), parts)
  })

  await t.test('that can be iterated both ways is awaited', async (t) => {
    const both = { [Symbol.iterator]: () => ['sync'].values(), async * [Symbol.asyncIterator] () { yield 'async' } }
    t.strictSame(await all(openAnswer(both)), ['async'])
  })

  await t.test('can be a ReadableStream that cannot be iterated, and is cancelled when nobody wants the rest', async (t) => {
    let isCancelled = false
    const source = new ReadableStream<string>({
      start (controller) { for (const part of ['a', 'b']) controller.enqueue(part) },
      cancel () { isCancelled = true }
    })
    const opened = openAnswer({ getReader: () => source.getReader() })
    if (opened.kind === 'whole') throw new Error('not whole')
    t.strictSame(await opened.iterator.next(), { done: false, value: 'a' })
    await opened.iterator.return?.()
    t.ok(isCancelled)
    t.strictSame(await opened.iterator.next(), { done: true, value: undefined })
  })

  await t.test('that is a ReadableStream is cancelled at once, also while a read is pending', async (t) => {
    // Its own iterator's `return` waited for the read: an agent that had stopped talking was not told to stop working.
    let isCancelled = false
    const source = new ReadableStream<string>({ cancel () { isCancelled = true } })
    const opened = openAnswer(source)
    if (opened.kind === 'whole') throw new Error('not whole')
    const pending = opened.iterator.next()
    t.ok(source.locked)
    const closing = opened.iterator.return?.()
    t.ok(isCancelled)
    t.strictSame(await pending, { done: true, value: undefined })
    await closing
    t.notOk(source.locked)
  })

  await t.test('that is a ReadableStream is unlocked at its end, and when it fails', async (t) => {
    const ended = ReadableStream.from(['a'])
    t.strictSame(await all(openAnswer(ended)), ['a'])
    t.notOk(ended.locked)
    const failing = new ReadableStream<string>({ pull () { throw new Error('no more') } })
    await t.rejects(all(openAnswer(failing)), { message: 'no more' })
    t.notOk(failing.locked)
  })

  await t.test('of another kind is refused in words that say what to return', async (t) => {
    for (const [answer, what] of [
      [undefined, 'undefined'], [null, 'null'], [5, 'number'], [echo, 'function'], [{}, 'an object with keys (none)'],
      [{ a: 1, b: 2, c: 3, d: 4, e: 5, f: 6 }, 'an object with keys a, b, c, d, e:'],
      [{ [Symbol.iterator]: 1, [Symbol.asyncIterator]: 1, getReader: 1 }, 'an object with keys getReader']
    ] as const) {
      t.throws(() => openAnswer(answer), { name: 'TypeError', message: `the executor returned ${what}` })
    }
    t.throws(() => openAnswer(5), /return a string, an iterable, an async iterable or a ReadableStream/)
  })
})

await t.test('a part', async (t) => {
  await t.test('is a string or an object of a known type', async (t) => {
    for (const part of [
      '', 'text', { type: 'text', content: '' }, { type: 'message', content: 'm' }, { type: 'event', name: 'x' },
      { type: 'event', name: 'x', data: null }, { type: 'metadata', metadata: {} }, { type: 'finish' }, { type: 'finish', finishReason: 'length' }
    ]) t.equal(toPart(part), part)
  })

  await t.test('is nothing else', async (t) => {
    for (const value of [
      undefined, null, 5, {}, [], { type: 'text' }, { type: 'text', content: 5 }, { type: 'message' }, { type: 'event' },
      { type: 'event', name: '' }, { type: 'event', name: 5 }, { type: 'event', name: 'turn-started' }, { type: 'other' }, { type: undefined },
      { type: 'metadata' }, { type: 'metadata', metadata: null }, { type: 'metadata', metadata: [] }
    ]) t.throws(() => toPart(value), { name: 'TypeError', message: /^the executor yielded .*: yield strings, or parts/ })
  })
})

await t.test('the echo agent says the message again, in more than one piece', async (t) => {
  const message = 'Grüße, 世界! 👩‍👩‍👧 two  words\n'
  const pieces = [...(echo as (turn: Turn) => Iterable<string>)({ ...TURN, message })]
  t.equal(pieces.join(''), message)
  t.ok(pieces.length > 5)
  t.ok(pieces.every((piece) => piece.isWellFormed()))
})

await t.test('errors for the client have names of their own', async (t) => {
  t.match(new AgentError('too bad'), { name: 'AgentError', message: 'too bad' })
  t.match(new AgentNotFoundError('a"b'), { name: 'AgentNotFoundError', message: 'no agent named "a\\"b"' })
  const executor: Executor = () => { throw new AgentError('x') }
  t.throws(() => executor(TURN), AgentError)
})

async function all (opened: OpenAnswer): Promise<unknown[]> {
  if (opened.kind === 'whole') throw new Error('not in parts')
  const values: unknown[] = []
  for (let step = await opened.iterator.next(); step.done !== true; step = await opened.iterator.next()) values.push(step.value)
  return values
}

t.test('an event\'s name has at most 128 characters, as every name', (t) => {
  t.strictSame(toPart({ type: 'event', name: 'n'.repeat(128) }), { type: 'event', name: 'n'.repeat(128) })
  t.throws(() => toPart({ type: 'event', name: 'n'.repeat(129) }), TypeError)
  t.end()
})
