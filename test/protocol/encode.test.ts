import { STATUS_CODES } from 'node:http'

import { Value } from '@sinclair/typebox/value'
import t from 'tap'

import { CLOSE_CODES, ERROR_CODES } from '../../lib/protocol/codes.js'
import {
  closeArguments, encode, encodeEvent, encodeStarted, encodeStreamEnd, encodeStreamPiece, encodeTrackedPiece, errorFrame, streamHead,
  trackedTail
} from '../../lib/protocol/encode.js'
import { FINISH_REASONS } from '../../lib/protocol/names.js'
import { serverFrameSchemas, type ServerFrame, type ServerFrameType } from '../../lib/protocol/server-frames.js'
import { sessionKeyText } from '../../lib/protocol/session-key.js'

t.test('frames for plain clients have their keys in the order of rule 1', async (t) => {
  t.equal(encode({ type: 'stream', agentId: 'main', content: '', done: true }),
    '{"type":"stream","agentId":"main","content":"","done":true}')
  t.equal(encode(errorFrame('AGENT_ERROR', { agentId: 'main', done: true })),
    '{"type":"error","agentId":"main","code":"AGENT_ERROR","message":"The agent failed","retryable":true,"done":true}')
  t.equal(encode(errorFrame('RATE_LIMITED', { retryAfterMs: 5, done: true, agentId: 'a' })),
    '{"type":"error","agentId":"a","code":"RATE_LIMITED","message":"Too much at once, slow down","retryable":true,"done":true,"retryAfterMs":5}')
  t.equal(encode(errorFrame('VALIDATION_FAILED', { id: 'i', details: { path: '/a', rule: 'r' } })),
    '{"type":"error","code":"VALIDATION_FAILED","message":"A field is wrong","retryable":false,"id":"i","details":{"path":"/a","rule":"r"}}')
})

const NAMES = ['main', '"\\', '\u{1f642}', '\u2028']

/** All three are named so. */
function namesOf (name: string) {
  const json = JSON.stringify(name)
  return { agentId: json, sessionId: json, id: json }
}

t.test('a piece is encoded as any other frame would be', async (t) => {
  for (const agentId of NAMES) {
    const head = streamHead(JSON.stringify(agentId))
    for (const content of ['x', '', '"\\\n\0', '\u{1f642}', '\ud800', '</script>', 'done":true}']) {
      t.equal(encodeStreamPiece(head, content), encode({ type: 'stream', agentId, content, done: false }), JSON.stringify(content))
    }
  }
})

t.test('a piece in a feed, too, with what is tracked behind the plain fields', async (t) => {
  for (const name of NAMES) {
    const [head, tail] = [streamHead(JSON.stringify(name)), trackedTail(namesOf(name))]
    for (const content of ['x', '', '"\\\n\0', '\ud800', 'done":true}']) {
      const frame: ServerFrame = { type: 'stream', agentId: name, content, done: false, id: name, sessionId: name, seq: 7 }
      t.equal(encodeTrackedPiece(head, content, tail, 7), encode(frame), JSON.stringify(content))
    }
  }
})

t.test('an event is encoded as any other frame would be, with its data as they were given', async (t) => {
  for (const name of NAMES) {
    for (const data of [null, 1, 'a"}', { a: [1, { b: null }] }]) {
      const event = { seq: 1, name, data }
      t.equal(encodeEvent(namesOf(name), 1, name, JSON.stringify(data)),
        encode({ type: 'event', agentId: name, id: name, sessionId: name, ...event }))
      t.equal(encodeEvent({ ...namesOf(name), id: undefined }, 1, name, JSON.stringify(data)),
        encode({ type: 'event', agentId: name, sessionId: name, ...event }), 'of no turn')
    }
  }
  t.equal(encodeEvent(namesOf('a'), 1, '"progress"', '1e1000'),
    '{"type":"event","agentId":"a","id":"a","sessionId":"a","seq":1,"name":"\\"progress\\"","data":1e1000}')
})

t.test('so are what a tracked turn begins and ends with', async (t) => {
  for (const name of NAMES) {
    t.equal(encodeStarted(namesOf(name), name, 7),
      encode({ type: 'ack', id: name, agentId: name, sessionId: name, status: 'started', epoch: name, seq: 7 }))
    for (const finishReason of FINISH_REASONS) {
      t.equal(encodeStreamEnd(namesOf(name), 7, finishReason),
        encode({ type: 'stream', agentId: name, content: '', done: true, id: name, sessionId: name, seq: 7, finishReason }))
    }
  }
})

t.test('an error says what the table says, unless an agent has words of its own', async (t) => {
  for (const [code, { message, retryable }] of entries(ERROR_CODES)) {
    t.strictSame(errorFrame(code), { type: 'error', code, message, retryable })
    t.equal(Value.Check(serverFrameSchemas.error, errorFrame(code, { agentId: 'a', done: true })), true)
  }
  t.strictSame(errorFrame('AGENT_ERROR', { text: 'out of tea' }), { type: 'error', code: 'AGENT_ERROR', message: 'out of tea', retryable: true })
  t.strictSame(errorFrame('AGENT_ERROR', { text: undefined }).message, ERROR_CODES.AGENT_ERROR.message)
})

t.test('the table of errors', async (t) => {
  for (const [code, { message, httpStatus }] of entries(ERROR_CODES)) {
    t.ok(httpStatus >= 400 && httpStatus in STATUS_CODES, `${code} has a status that HTTP knows`)
    t.match(message, /^[A-Z][ -~]{3,121}$/, `${code} has a text`)
  }
  // Section 6 of the protocol.
  const retryable = entries(ERROR_CODES).filter(([, row]) => row.retryable).map(([code]) => code)
  t.strictSame(retryable, [
    'SESSION_BUSY', 'QUEUE_FULL', 'RATE_LIMITED', 'AGENT_ERROR', 'AGENT_TIMEOUT', 'TURN_LOST', 'SHUTTING_DOWN', 'STORE_UNAVAILABLE', 'INTERNAL'
  ])
})

t.test('the table of closes', async (t) => {
  for (const [name, { code, reason }] of entries(CLOSE_CODES)) {
    t.ok(Buffer.byteLength(reason) <= 123, `${name} has a reason that fits a close frame`)
    t.ok((code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 4000 && code <= 4999), `${name} may be sent`)
    t.strictSame(closeArguments(name), [code, reason])
  }
  const codes = Object.values(CLOSE_CODES).map(({ code }) => code)
  t.strictSame([...new Set(codes)].sort((one, other) => one - other), codes, 'each once, in their order')
  // Section 7 of the protocol.
  t.strictSame(Object.fromEntries(Object.values(CLOSE_CODES).map(({ code, reconnect }) => [code, reconnect])), {
    1000: 'no',
    1007: 'without-that-frame',
    1008: 'yes',
    1009: 'without-that-frame',
    1011: 'back-off',
    1012: 'after-hint',
    4400: 'no',
    4401: 'after-renewal',
    4403: 'no',
    4408: 'yes',
    4429: 'back-off'
  })
})

const TRACKED = { id: 'i', sessionId: 's', seq: 1 }
const END = { finishReason: 'stop', usage: { inputTokens: 1, outputTokens: 2, totalTokens: 3, reasoningTokens: 0, cachedInputTokens: 0 } } as const
const ASKED = { role: 'user', content: 'x', turnId: 't', at: 1, complete: true, metadata: { a: 1 } } as const

/** Of each frame the smallest, and one with everything. */
const EXAMPLES: { [T in ServerFrameType]: Array<Extract<ServerFrame, { type: T }>> } = {
  stream: [
    { type: 'stream', agentId: 'main', content: '', done: true },
    { type: 'stream', agentId: 'main', content: 'x', done: false, ...TRACKED, ...END }
  ],
  message: [
    { type: 'message', agentId: 'main', content: '', done: true },
    { type: 'message', agentId: 'main', content: 'x', done: false, ...TRACKED, ...END }
  ],
  error: [
    { type: 'error', code: 'INTERNAL', message: 'x', retryable: true },
    {
      type: 'error', agentId: 'main', code: 'RATE_LIMITED', message: 'x', retryable: true, done: true,
      retryAfterMs: 0, details: { path: '', rule: 'x' }, ...TRACKED, ...END
    }
  ],
  pong: [{ type: 'pong' }, { type: 'pong', id: 'i' }],
  ack: [
    { type: 'ack', id: 'i', agentId: 'main', sessionId: 's', status: 'started', epoch: 'e', seq: 0 },
    { type: 'ack', id: 'i', agentId: 'main', sessionId: 's', status: 'queued', position: 1, epoch: 'e', seq: 1, content: '' }
  ],
  event: [
    { type: 'event', agentId: 'main', sessionId: 's', seq: 1, name: 'progress', data: null },
    { type: 'event', agentId: 'main', sessionId: 's', id: 'i', seq: 1, name: 'reasoning', data: { a: [1] } }
  ],
  subscribed: [
    { type: 'subscribed', agentId: 'main', sessionId: 's', epoch: 'e', seq: 0, recovered: false, turns: [] },
    {
      type: 'subscribed', id: 'i', agentId: 'main', sessionId: 's', epoch: 'e', seq: 1, recovered: true,
      turns: [{ id: 't', status: 'running', message: 'x', metadata: {}, content: '' }, { id: 'u', status: 'queued', message: 'y' }]
    }
  ],
  unsubscribed: [
    { type: 'unsubscribed', agentId: 'main', sessionId: 's' },
    { type: 'unsubscribed', id: 'i', agentId: 'main', sessionId: 's' }
  ],
  cancelled: [
    { type: 'cancelled', agentId: 'main', turns: [] },
    { type: 'cancelled', id: 'i', agentId: 'main', sessionId: 's', turns: ['t'] }
  ],
  history: [
    { type: 'history', agentId: 'main', sessionId: 's', messages: [] },
    { type: 'history', id: 'i', agentId: 'main', sessionId: 's', messages: [ASKED, { ...ASKED, role: 'assistant', complete: false }], before: 'c' }
  ],
  ready: [{
    type: 'ready', protocol: 'agent-channel.v1', connectionId: 'c', journal: 'j', maxPayload: 1, maxFrameBytes: 1, heartbeatMs: 1, types: ['x']
  }],
  reconnect: [{ type: 'reconnect', reason: 'x', afterMs: 0 }]
}

for (const [type, examples] of entries(EXAMPLES)) {
  t.test(`the schema of ${type} takes its frames, and none with a wrong field`, async (t) => {
    const schema = serverFrameSchemas[type]
    const whole: Record<string, unknown> = { ...examples.at(-1) }
    t.strictSame(Object.keys(whole).sort(), Object.keys(schema.properties).sort(), 'the last example has every field')
    for (const example of examples) t.equal(Value.Errors(schema, example).First(), undefined, JSON.stringify(example))
    for (const field of Object.keys(whole)) {
      // `data` of an event may be anything.
      if (field === 'data') continue
      const fault = Value.Errors(schema, { ...whole, [field]: Symbol('wrong') }).First()
      t.equal(fault?.path, `/${field}`)
    }
    for (const field of schema.required) {
      const { [field]: _, ...rest } = whole
      t.equal(Value.Check(schema, rest), false, `without ${field}`)
    }
  })
}

t.test('the fields with a closed list of values take those only', async (t) => {
  const end = { type: 'stream', agentId: 'main', content: '', done: true }
  for (const finishReason of FINISH_REASONS) t.equal(Value.Check(serverFrameSchemas.stream, { ...end, finishReason }), true, finishReason)
  t.equal(Value.Check(serverFrameSchemas.stream, { ...end, finishReason: 'tired' }), false)
  t.equal(Value.Check(serverFrameSchemas.error, { type: 'error', code: 'NO_SUCH_CODE', message: 'x', retryable: true }), false)
  t.equal(Value.Check(serverFrameSchemas.ack, { ...EXAMPLES.ack[0], status: 'lost' }), false)
})

t.test('the text of a session\'s key tells keys apart that would be the same when joined', async (t) => {
  const keys = [
    ['a:b', 'c', 'd'], ['a', 'b:c', 'd'], ['a', 'b', 'c:d'], ['a","b', 'c', 'd'], ['a', 'b","c', 'd'], ['', 'abc', 'd'], ['abc', '', 'd']
  ] as const
  const texts = keys.map(([owner, agentId, sessionId]) => sessionKeyText({ owner, agentId, sessionId }))
  t.equal(new Set(texts).size, keys.length)
  t.equal(texts[0], '["a:b","c","d"]')
})

function entries<K extends string, V> (table: Record<K, V>): Array<[K, V]> {
  return Object.entries(table) as Array<[K, V]>
}
