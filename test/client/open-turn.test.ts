import t from 'tap'

import { ChannelClientError } from '../../lib/client/client-error.js'
import { OpenTurn, type TurnEvent } from '../../lib/client/open-turn.js'
import type { ServerFrameOf } from '../../lib/protocol/server-frames.js'

function open () {
  const told: string[] = []
  const turn = new OpenTurn({ id: 'q1', agentId: 'main', sessionId: 'trip', message: 'Hello', metadata: { a: 1 } }, {
    onCancel: async () => { told.push('cancel') },
    onDone: () => { told.push('done') }
  })
  return { turn, told }
}

const EVENT: ServerFrameOf<'event'> = { type: 'event', agentId: 'main', id: 'q1', sessionId: 'trip', seq: 2, name: 'progress', data: 1 }

async function textOf (turn: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const piece of turn) text += piece
  return text
}

async function eventsOf (events: AsyncIterable<TurnEvent>): Promise<TurnEvent[]> {
  const all: TurnEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

t.test('is what was asked', async (t) => {
  t.match(open().turn, { id: 'q1', agentId: 'main', sessionId: 'trip', message: 'Hello', metadata: { a: 1 }, isOpen: true })
})

t.test('gives its text as it comes, to each reader from its start', async (t) => {
  const { turn, told } = open()
  turn.takePiece('On')
  const early = turn[Symbol.asyncIterator]()
  t.strictSame(await early.next(), { value: 'On', done: false })
  const next = early.next()
  turn.takePiece('')
  turn.takePiece('ce')
  t.strictSame(await next, { value: 'ce', done: false })
  const last = early.next()
  turn.takeEnd({ type: 'stream', agentId: 'main', content: '', done: true, finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 } })
  t.match(await last, { done: true })
  t.equal(await textOf(turn), 'Once')
  t.strictSame(await turn.finished, { text: 'Once', finishReason: 'length', usage: { inputTokens: 1, outputTokens: 2 } })
  t.strictSame(told, ['done'])
  t.equal(turn.isOpen, false)
})

t.test('gives everything in its order', async (t) => {
  const { turn } = open()
  const message: ServerFrameOf<'message'> = { type: 'message', agentId: 'main', content: 'Whole', done: false }
  turn.takePiece('a')
  turn.takeEvent(EVENT)
  const events = eventsOf(turn.events)
  turn.takePiece('b')
  turn.takeEvent(message)
  turn.end()
  t.strictSame(await events, [{ type: 'text', content: 'a' }, EVENT, { type: 'text', content: 'b' }, message])
  t.equal(await textOf(turn), 'ab')
  t.strictSame(await turn.finished, { text: 'ab', finishReason: 'other' })
})

t.test('text that is told again is not given again', async (t) => {
  const { turn } = open()
  turn.takePiece('Hello')
  turn.takeText('Hello, wor')
  t.equal(turn.text, 'Hello, wor')
  turn.takeText('Hello')
  turn.takePiece(', ')
  turn.takePiece('world')
  turn.takePiece('!')
  t.equal(turn.text, 'Hello, world!')
  turn.takeEnd({ type: 'message', agentId: 'main', content: 'Hello, world! Bye.', done: true, finishReason: 'stop' })
  t.strictSame(await turn.finished, { text: 'Hello, world! Bye.', finishReason: 'stop' })
})

t.test('another text than before is an error', async (t) => {
  const replaced = open().turn
  replaced.takePiece('Hello')
  replaced.takeText('Good morning')
  await t.rejects(replaced.finished, { code: 'TEXT_CHANGED' })
  const continued = open().turn
  continued.takePiece('Hello')
  continued.takeText('He')
  continued.takePiece('xx')
  await t.rejects(continued.finished, { code: 'TEXT_CHANGED' })
  continued.takeText('Hello, and more')
  t.equal(continued.text, 'Hello', 'nothing is added to what has ended')
})

t.test('an error comes after the text, and once', async (t) => {
  const { turn, told } = open()
  turn.takePiece('Let me ')
  turn.takeEnd({ type: 'error', agentId: 'main', code: 'AGENT_ERROR', message: 'The agent failed', retryable: true, done: true })
  turn.fail(new Error('too late'))
  turn.end('stop')
  const pieces: string[] = []
  await t.rejects(async () => { for await (const piece of turn) pieces.push(piece) }, { code: 'AGENT_ERROR', retryable: true })
  t.strictSame(pieces, ['Let me '])
  await t.rejects(eventsOf(turn.events), ChannelClientError)
  await t.rejects(turn.finished, { code: 'AGENT_ERROR' })
  t.strictSame(told, ['done'])
})

t.test('cancel asks, and settles with the end', async (t) => {
  const { turn, told } = open()
  const cancelled = turn.cancel()
  t.strictSame(told, ['cancel'])
  turn.end('aborted')
  await cancelled
  await turn.cancel()
  t.strictSame(told, ['cancel', 'done'], 'what has ended is not asked for')
})

t.test('the end of its scope stops it, the end of an iteration does not', async (t) => {
  const { turn, told } = open()
  turn.takePiece('a')
  for await (const piece of turn) {
    t.equal(piece, 'a')
    break
  }
  t.strictSame(told, [])
  const disposed = turn[Symbol.asyncDispose]()
  t.strictSame(told, ['cancel'])
  turn.fail(new Error('x'))
  await disposed
})
