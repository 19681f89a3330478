import t from 'tap'

import type { Answer, Part } from '../../lib/agent/executor.js'
import { JOURNALS, KEY } from '../helpers/turn-bench.js'
import { turnScene } from './turn-scene.js'

for (const [kind, makeJournal] of JOURNALS) {
  const { bench, turn } = turnScene(makeJournal)

  await t.test(`with a journal ${kind}`, async (t) => {
    await t.test('what an executor returns', async (t) => {
      const parts: Part[] = ['a', '', { type: 'text', content: 'b' }, { type: 'message', content: 'M' }, { type: 'event', name: 'x' }, 'c']
      const streamed = ['text a', 'text b', 'message M', 'event x', 'text c', 'end stop']
      const answers: Array<[what: string, answer: () => Answer | Promise<Answer>]> = [
        ['an array', () => parts],
        ['a generator', () => (function * () { yield * parts })()],
        ['an async generator', () => (async function * () { yield * parts })()],
        ['a ReadableStream', () => ReadableStream.from(parts)],
        ['a promise of an iterable', async () => parts]
      ]
      for (const [what, answer] of answers) {
        await t.test(`${what} is streamed`, async (t) => {
          const { bench, reader } = await turn(t, answer)
          t.strictSame(reader.short, streamed)
          t.strictSame(reader.entries.map(({ seq }) => seq), reader.entries.map((_, index) => index + 1))
          t.strictSame(reader.ends, [{ finishReason: 'stop' }])
          t.strictSame(await bench.said(), [['user', 'hello', true], ['assistant', 'ab\n\nM\n\nc', true]])
        })
      }

      for (const [what, answer] of [['a string', () => 'all'], ['a promise of a string', async () => 'all']] as const) {
        await t.test(`${what} is the whole answer`, async (t) => {
          const { bench, reader } = await turn(t, answer)
          t.strictSame(reader.ends, [{ finishReason: 'stop', content: 'all' }])
          t.strictSame(await bench.said(), [['user', 'hello', true], ['assistant', 'all', true]])
        })
      }

      await t.test('an empty answer is an end, and nothing to remember', async (t) => {
        for (const answer of ['', []]) {
          const { bench, reader } = await turn(t, () => answer)
          t.match(reader.ends, [{ finishReason: 'stop' }])
          t.strictSame(await bench.said(), [['user', 'hello', true]])
        }
      })

      await t.test('an iterable of nothing is warned of', async (t) => {
        const { bench } = await turn(t, () => [])
        t.strictSame(bench.texts('warn'), ['the executor yielded nothing'])
      })

      await t.test('something else ends the turn, and is logged with what to return', async (t) => {
        for (const answer of [undefined, 5, {}]) {
          const { bench, reader } = await turn(t, () => answer as unknown as string)
          t.strictSame(reader.ends, [{ finishReason: 'error', error: { code: 'AGENT_ERROR' } }])
          t.match(bench.log.lines, [{ level: 'error', fields: { err: /return a string/, turnId: 't1', ...session() } }])
        }
      })

      await t.test('a part that is none ends the turn, closes the iterable, and keeps what came before', async (t) => {
        let isClosed = false
        const { bench, reader } = await turn(t, function * () {
          try { yield 'a'; yield 5 as unknown as string } finally { isClosed = true }
        })
        t.strictSame(reader.short, ['text a', 'end AGENT_ERROR'])
        t.strictSame((await bench.said())[1], ['assistant', 'a', false])
        t.match(bench.log.lines, [{ level: 'error', fields: { err: /yield strings/ } }])
        t.ok(isClosed)
      })
    })

    await t.test('characters that were cut in two are joined over pieces, events and messages', async (t) => {
      const { bench, reader } = await turn(t, () => [
        'a\ud83d', { type: 'event', name: 'x' }, '\ude00b\ud83d', { type: 'message', content: 'M\ud83d' }, '\ude00', 'c\ude00d\ud83d', 'e\ud83d'
      ])
      t.strictSame(reader.short, [
        'text a', 'event x', 'text 😀b', 'message M\ufffd', 'text 😀', 'text c\ufffdd', 'text \ufffde', 'text \ufffd', 'end stop'
      ])
      t.equal((await bench.said())[1]?.[1], 'a😀b\n\nM\ufffd\n\n😀c\ufffdd\ufffde\ufffd')
      const whole = await turn(t, () => 'x\ud83d')
      t.equal(whole.reader.ends[0]?.content, 'x\ufffd')
    })

    await t.test('what an executor is given', async (t) => {
      await t.test('is the chat, the history and a log', async (t) => {
        const seen: unknown[] = []
        const one = bench(async (turn) => {
          seen.push((await turn.history()).map(({ content }) => content), turn.metadata, turn.context)
          turn.log.info('said')
          return `re: ${turn.message}`
        })
        for (const message of ['one', 'two']) {
          const reader = await one.start({ message, metadata: { message }, context: [message] })
          await reader.ended.promise
          await one.idle()
        }
        t.strictSame(seen, [[], { message: 'one' }, ['one'], ['one', 're: one'], { message: 'two' }, ['two']])
        t.match(one.log.lines, [{ fields: { ...session(), turnId: 't1' } }, { fields: { turnId: 't2' } }])
        t.match((await one.store.messages(KEY, { limit: 9 })).messages[0], { metadata: { message: 'one' } })
        await one.finish(t)
      })
    })

    await t.test('events', async (t) => {
      await t.test('carry their data as JSON', async (t) => {
        const { reader } = await turn(t, () => [
          { type: 'event', name: 'a', data: { b: [1, null] } }, { type: 'event', name: 'b' }, { type: 'event', name: 'c', data: () => {} }
        ])
        t.strictSame(reader.entries.flatMap((entry) => entry.kind === 'event' ? [entry.json] : []), [
          '{"message":"hello"}', '{"b":[1,null]}', 'null', 'null'
        ])
      })

      await t.test('whose data is no JSON, or too large, are the executor\'s failure', async (t) => {
        const cyclic: Record<string, unknown> = {}
        cyclic.self = cyclic
        for (const [data, why] of [[cyclic, /circular/i], [5n, /BigInt/], ['ä'.repeat(500), /maxEventBytes/]] as const) {
          const { bench, reader } = await turn(t, () => ['a', { type: 'event', name: 'x', data }, 'b'])
          t.strictSame(reader.short, ['text a', 'end AGENT_ERROR'])
          t.match(bench.log.lines, [{ level: 'error', fields: { err: why } }])
        }
        const { reader } = await turn(t, () => [{ type: 'event', name: 'x', data: 'ä'.repeat(499) }])
        t.strictSame(reader.short, ['event x', 'end stop'])
      })
    })

    await t.test('how it says that it ended', async (t) => {
      await t.test('is the last finish, and iteration goes on', async (t) => {
        const usage = { inputTokens: 1, outputTokens: 2 }
        const { reader } = await turn(t, () => [{ type: 'finish', finishReason: 'stop' }, 'a', { type: 'finish', finishReason: 'length', usage }, 'b'])
        t.strictSame(reader.short, ['text a', 'text b', 'end length'])
        t.strictSame(reader.ends, [{ finishReason: 'length', usage }])
      })

      await t.test('is other for a reason that nobody knows', async (t) => {
        const { reader } = await turn(t, () => [{ type: 'finish', finishReason: 'bored' as 'stop' }])
        t.strictSame(reader.ends, [{ finishReason: 'other' }])
      })

      await t.test('has usage without what does not belong there, or none', async (t) => {
        const good = { inputTokens: 1, outputTokens: 2, totalTokens: 3, reasoningTokens: 0, cachedInputTokens: 0 }
        for (const [usage, expected] of [
          [{ ...good, raw: { prompt: 'secret' } }, good],
          // A method among the fields used to fail the turn.
          [{ ...good, toString () { return 'x' } }, good],
          [{ inputTokens: -1, outputTokens: 2 }, undefined],
          [{ inputTokens: 1.5, outputTokens: 2 }, undefined],
          [{ inputTokens: 1 }, undefined],
          ['much', undefined]
        ]) {
          const { reader } = await turn(t, () => [{ type: 'finish', usage: usage as typeof good }])
          t.strictSame(reader.ends, [expected === undefined ? { finishReason: 'stop' } : { finishReason: 'stop', usage: expected }])
        }
      })
    })

    await t.test('an answer that is too large', async (t) => {
      const limits = { maxAnswerBytes: 10 }

      await t.test('as text ends before the piece that has no room, and asks for no other', async (t) => {
        let asked = 0
        const parts = ['äöü', 'abcd', 'efghi\ud83d', 'j']
        const iterator = { next: () => ({ done: false as const, value: parts[asked++] ?? 'more' }) }
        const { bench, reader } = await turn(t, () => ({ [Symbol.iterator]: () => iterator as Iterator<string> }), { limits })
        t.strictSame(reader.short, ['text äöü', 'text abcd', 'end ANSWER_TOO_LARGE'])
        t.equal(asked, 3, 'one part more used to be asked for')
        t.strictSame((await bench.said())[1], ['assistant', 'äöüabcd', false])
        t.match(bench.log.lines, [{ level: 'warn', fields: { err: /maxAnswerBytes/ } }])
      })

      await t.test('as a string has nothing of it', async (t) => {
        const { bench, reader } = await turn(t, () => 'äöüabcde', { limits })
        t.strictSame(reader.short, ['end ANSWER_TOO_LARGE'])
        t.strictSame(await bench.said(), [['user', 'hello', true]])
      })

      await t.test('counts whole messages with the text', async (t) => {
        const { bench, reader } = await turn(t, () => ['abc', { type: 'message', content: 'defgh' }, { type: 'message', content: 'ijk' }], { limits })
        t.strictSame(reader.short, ['text abc', 'message defgh', 'end ANSWER_TOO_LARGE'])
        t.strictSame((await bench.said())[1], ['assistant', 'abc\n\ndefgh', false])
      })

      await t.test('may have exactly as much as allowed', async (t) => {
        const { reader } = await turn(t, () => ['äöü', 'abcd'], { limits })
        t.strictSame(reader.short, ['text äöü', 'text abcd', 'end stop'])
      })
    })
  })
}

function session (): { agentId: string, sessionId: string } {
  return { agentId: KEY.agentId, sessionId: KEY.sessionId }
}
