import type { UIMessageChunk } from 'ai'
import t from 'tap'

import { TurnChunks } from '../../lib/chat-transport/turn-chunks.js'
import type { ServerFrameOf } from '../../lib/client/index.js'

function event (name: string, data: unknown): ServerFrameOf<'event'> {
  return { type: 'event', agentId: 'main', sessionId: 's', id: 't', seq: 1, name, data }
}

type Options = ConstructorParameters<typeof TurnChunks>[1]

function chunksOf (events: Array<[name: string, data: unknown] | string>, options: Options = {}): UIMessageChunk[] {
  const chunks = new TurnChunks('t', options)
  return events.flatMap((one) => chunks.take(typeof one === 'string' ? { type: 'text', content: one } : event(...one)))
}

const call = { toolCallId: 'c', toolName: 'look' }

t.test('tells what a tool does also to who comes late', async (t) => {
  const called = { type: 'tool-input-available', ...call, input: undefined }
  t.strictSame(chunksOf([['tool-output', { ...call, output: 1 }]]), [called, { type: 'tool-output-available', toolCallId: 'c', output: 1 }])
  t.strictSame(chunksOf([['tool-error', call]]), [called, { type: 'tool-output-error', toolCallId: 'c', errorText: 'The tool failed' }])
  t.strictSame(chunksOf([['tool-denied', call]]), [called, { type: 'tool-output-denied', toolCallId: 'c' }])
  t.strictSame(chunksOf([['tool-approval-request', { ...call, approvalId: 'a', input: 2 }]]), [
    { ...called, input: 2 }, { type: 'tool-approval-request', toolCallId: 'c', approvalId: 'a' }
  ])
  t.strictSame(chunksOf([['tool-input-delta', { toolCallId: 'c', text: '{' }]]), [], 'the rest of an input is nothing without its beginning')
})

t.test('tells outputs that are not the last, and tools without types', async (t) => {
  t.strictSame(chunksOf([
    ['tool-input-start', call], ['tool-input', { ...call, input: 1 }],
    ['tool-output', { ...call, output: 1, preliminary: true }], ['tool-error', call]
  ], { isDynamicTool: (name) => name === 'look' }), [
    { type: 'tool-input-start', ...call, dynamic: true },
    { type: 'tool-input-available', ...call, input: 1, dynamic: true },
    { type: 'tool-output-available', toolCallId: 'c', output: 1, dynamic: true, preliminary: true },
    { type: 'tool-output-error', toolCallId: 'c', errorText: 'The tool failed', dynamic: true }
  ])
})

t.test('begins a step behind results, but not between tools that are called together', async (t) => {
  const other = { toolCallId: 'd', toolName: 'look' }
  t.strictSame(chunksOf([
    ['tool-input-start', call], ['tool-input-start', other], ['tool-input', { ...call, input: 1 }], ['tool-output', { ...call, output: 1 }],
    'meanwhile', ['tool-input-delta', { toolCallId: 'd', text: '2' }], ['tool-input', { ...other, input: 2 }], ['tool-output', { ...other, output: 2 }],
    'so'
  ]).map(({ type }) => type), [
    'tool-input-start', 'tool-input-start', 'tool-input-available', 'tool-output-available',
    'text-start', 'text-delta', 'text-end', 'tool-input-delta', 'tool-input-available', 'tool-output-available',
    'finish-step', 'start-step', 'text-start', 'text-delta'
  ])
})

t.test('keeps apart what is thought under several ids, and what is said between', async (t) => {
  t.strictSame(chunksOf([['reasoning', { id: 'a', text: '1' }], ['reasoning', { id: 'b', text: '2' }], 'x', ['reasoning', 'plain']]), [
    { type: 'reasoning-start', id: 'reasoning-1' }, { type: 'reasoning-delta', id: 'reasoning-1', delta: '1' }, { type: 'reasoning-end', id: 'reasoning-1' },
    { type: 'reasoning-start', id: 'reasoning-2' }, { type: 'reasoning-delta', id: 'reasoning-2', delta: '2' }, { type: 'reasoning-end', id: 'reasoning-2' },
    { type: 'text-start', id: 'text-3' }, { type: 'text-delta', id: 'text-3', delta: 'x' }, { type: 'text-end', id: 'text-3' },
    { type: 'reasoning-start', id: 'reasoning-4' }, { type: 'reasoning-delta', id: 'reasoning-4', delta: 'plain' }
  ])
})

t.test('tells sources that are documents, and files that are elsewhere', async (t) => {
  t.strictSame(chunksOf([
    ['source', { id: 's', mediaType: 'application/pdf', title: 'Tea' }], ['source', { id: 's' }], ['source', { id: 's', url: 'https://tea.example/' }],
    ['file', { mediaType: 'image/png', url: 'https://tea.example/cup.png' }]
  ]), [
    { type: 'source-document', sourceId: 's', mediaType: 'application/pdf', title: 'Tea' },
    { type: 'source-document', sourceId: 's', mediaType: '', title: '' },
    { type: 'source-url', sourceId: 's', url: 'https://tea.example/' },
    { type: 'file', mediaType: 'image/png', url: 'https://tea.example/cup.png' }
  ])
})

t.test('passes on what it does not know, as data', async (t) => {
  t.strictSame(chunksOf([['mood', 7], ['toString', null], ['tool-input', { toolName: 'look' }], ['reasoning', { text: 1 }], ['turn-started', {}]]), [
    { type: 'data-mood', data: 7 }, { type: 'data-toString', data: null },
    { type: 'data-tool-input', data: { toolName: 'look' } }, { type: 'data-reasoning', data: { text: 1 } }
  ])
  t.strictSame(chunksOf([['mood', 7], ['noise', 8]], {
    dataPart: ({ name, data }) => name === 'mood' ? { type: 'data-mood', data, transient: true } : undefined
  }), [{ type: 'data-mood', data: 7, transient: true }])
})

t.test('ends what was begun', async (t) => {
  const chunks = new TurnChunks('t', {})
  chunks.take({ type: 'text', content: 'so' })
  t.strictSame(chunks.end({ text: 'so', finishReason: 'aborted' }), [
    { type: 'text-end', id: 'text-1' },
    { type: 'message-metadata', messageMetadata: { turnId: 't', isComplete: false, finishReason: 'aborted' } },
    { type: 'abort' }
  ])
  chunks.take({ type: 'text', content: 'so' })
  t.strictSame(chunks.fail('Sorry'), [{ type: 'text-end', id: 'text-2' }, { type: 'error', errorText: 'Sorry' }])
  t.strictSame(chunks.end({ text: '', finishReason: 'stop' }), [
    { type: 'finish-step' },
    { type: 'finish', finishReason: 'stop', messageMetadata: { turnId: 't', isComplete: true, finishReason: 'stop' } }
  ])
  t.strictSame(chunks.take({ type: 'ack', id: 't', status: 'started', agentId: 'main', sessionId: 's', epoch: 'e', seq: 0 }), [])
})
