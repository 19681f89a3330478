import t from 'tap'

import { clientFrameSchemas } from '../../lib/protocol/client-frames.js'
import { createDecoder, type Decoded, type Refusal } from '../../lib/protocol/decode.js'
import { hostFrameShape } from '../../lib/protocol/host-frame.js'
import { CLIENT_FRAME_TYPES } from '../../lib/protocol/names.js'
import { HostNote } from '../fuzz/agents.js'
import { FrameMaker } from '../fuzz/frame-maker.js'
import { HOST_TYPE, isSameFrame, judge } from '../fuzz/oracle.js'
import { Random } from '../fuzz/random.js'

const LIMITS = { maxPayload: 1024 * 1024, maxMessageLength: 100, maxMetadataBytes: 200 }

const decodeBytes = createDecoder(LIMITS)

t.test('what the protocol does not answer', async (t) => {
  await t.test('a frame of up to maxPayload bytes is read, a larger one closes', async (t) => {
    const decode = createDecoder({ ...LIMITS, maxPayload: 40 })
    const ping = (size: number): Buffer => Buffer.from('{"type":"ping"}'.padEnd(size))
    t.strictSame(decode(ping(40)), { ok: true, frame: { type: 'ping' } })
    t.strictSame(decode(ping(41)), { ok: false, close: 'TOO_BIG' })
    t.strictSame(decode(Buffer.alloc(41, 0xff)), { ok: false, close: 'TOO_BIG' })
  })

  await t.test('bytes that are not UTF-8 close', async (t) => {
    const inside = (...bytes: number[]): Buffer => Buffer.concat([Buffer.from('{"type":"'), Buffer.from(bytes), Buffer.from('"}')])
    for (const bytes of [[0xff], [0x80], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]]) {
      t.strictSame(decodeBytes(inside(...bytes)), { ok: false, close: 'NOT_UTF8' }, Buffer.from(bytes).toString('hex'))
    }
  })
})

t.test('what is not one JSON object is INVALID_FRAME', async (t) => {
  const texts = [
    '', ' ', '{', '{}{}', '{"type":"ping",}', '\ufeff{"type":"ping"}', "{'type':'ping'}", '{"type":"ping"}\0', '// {}', 'NaN', 'undefined',
    'null', 'true', '1', '"ping"', '[]', '[{"type":"ping"}]', '['.repeat(100_000)
  ]
  for (const text of texts) t.strictSame(decode(text), { ok: false, refusal: { code: 'INVALID_FRAME' } }, text.slice(0, 30))
})

t.test('type', async (t) => {
  await t.test('has to be a string', async (t) => {
    for (const type of ['', '"type":null', '"type":1', '"type":["ping"]', '"type":{"toString":"ping"}', '"Type":"ping"']) {
      t.strictSame(refusal(`{${type}}`), { code: 'VALIDATION_FAILED', details: { path: '/type', rule: 'expected a string' } }, type)
    }
  })

  await t.test('has to be one that there is, whatever objects inherit', async (t) => {
    for (const type of ['', 'Ping', 'ping ', 'pong', 'stream', 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'size']) {
      t.strictSame(refusal({ type, id: 'i' }), {
        code: 'UNKNOWN_TYPE', details: { path: '/type', rule: 'no such type' }, id: 'i'
      }, type)
    }
  })

  await t.test('there is a schema for each name, and no other', async (t) => {
    t.strictSame(Object.keys(clientFrameSchemas(LIMITS)), [...CLIENT_FRAME_TYPES])
  })
})

const NAMES = {
  good: ['x', ' ', 'n'.repeat(128), '\u{1f642}'.repeat(64), 'a/b~c:"\\', '__proto__', '\u00a0\u2028\ufeff\ufffd\uffff', '\u{10ffff}'],
  bad: [
    '', 'n'.repeat(129), `${'\u{1f642}'.repeat(64)}n`, '\0', 'a\n', '\u001f', '\u007f', '\u0080', '\u009f', '\ud800', 'x\udfff', '\udc00\ud800',
    null, 1, true, [], ['x'], {}
  ]
}
const FLAGS = { good: [true, false], bad: [null, 0, 1, 'true', [], {}] }
const NO_OBJECT = [null, 1, true, 'x', [], [{}]]

/** Every field of every type: what goes in, and what does not. */
const FIELDS: Record<string, { least: object, fields: Record<string, { good: unknown[], bad: unknown[], isNeeded?: boolean }> }> = {
  ping: { least: { type: 'ping' }, fields: { id: NAMES } },
  chat: {
    least: { type: 'chat', message: 'x' },
    fields: {
      id: NAMES,
      agentId: NAMES,
      sessionId: NAMES,
      message: {
        isNeeded: true,
        good: ['x', 'm'.repeat(100), '\u{1f642}'.repeat(50), '\0\n\u007f', ' '],
        bad: ['', 'm'.repeat(101), `${'\u{1f642}'.repeat(50)}m`, null, 1, true, [], ['x'], {}]
      },
      stream: FLAGS,
      onBusy: { good: ['queue', 'reject', 'interrupt'], bad: ['', 'Queue', 'toString', null, 1, []] },
      metadata: { good: [{}, { a: null, b: [1], c: { d: 'x' } }, { constructor: 1, prototype: 2, toString: 3 }, { 'a\nb': 1 }], bad: NO_OBJECT }
    }
  },
  cancel: { least: { type: 'cancel' }, fields: { id: NAMES, turnId: NAMES, agentId: NAMES, sessionId: NAMES } },
  subscribe: {
    least: { type: 'subscribe', sessionId: 's', epoch: 'e' },
    fields: {
      id: NAMES,
      agentId: NAMES,
      sessionId: { ...NAMES, isNeeded: true },
      epoch: NAMES,
      after: { good: [0, 1, 2 ** 53 - 1], bad: [-1, 0.5, '0', null, true, []] }
    }
  },
  unsubscribe: {
    least: { type: 'unsubscribe', sessionId: 's' },
    fields: { id: NAMES, agentId: NAMES, sessionId: { ...NAMES, isNeeded: true } }
  },
  history: {
    least: { type: 'history', sessionId: 's' },
    fields: {
      id: NAMES,
      agentId: NAMES,
      sessionId: { ...NAMES, isNeeded: true },
      before: { good: ['c', 'c'.repeat(1024)], bad: ['', 'c'.repeat(1025), null, 1, {}] },
      limit: { good: [1, 50, 200], bad: [0, -1, 201, 1.5, '1', null, true] }
    }
  }
}

for (const [type, { least, fields }] of Object.entries(FIELDS)) {
  t.test(`the fields of ${type}`, async (t) => {
    t.strictSame(Object.keys(fields).sort(), fieldsOf(type), 'all are here')
    t.strictSame(decode(least), { ok: true, frame: least })
    for (const [field, { good, bad, isNeeded = false }] of Object.entries(fields)) {
      for (const value of good) {
        t.strictSame(decode({ ...least, [field]: value }), { ok: true, frame: { ...least, [field]: value } }, `${field}: ${show(value)}`)
      }
      for (const value of bad) {
        const { code, details, id } = refusal({ ...least, [field]: value })
        t.strictSame([code, details?.path, id], ['VALIDATION_FAILED', `/${field}`, undefined], `${field}: ${show(value)}`)
        t.type(details?.rule, 'string')
      }
      if (isNeeded) t.match(refusal({ ...least, [field]: undefined }), { code: 'VALIDATION_FAILED', details: { path: `/${field}` } })
    }
  })
}

t.test('after needs the epoch that it belongs to', async (t) => {
  t.strictSame(refusal({ type: 'subscribe', sessionId: 's', after: 0, id: 'i' }), {
    code: 'VALIDATION_FAILED', details: { path: '/epoch', rule: '`after` needs the `epoch` that it belongs to' }, id: 'i'
  })
  t.strictSame(decode({ type: 'subscribe', sessionId: 's', epoch: 'e' }).ok, true)
})

t.test('of several faults the path is that of the first', async (t) => {
  t.equal(refusal({ type: 'chat', message: '', agentId: '', sessionId: '' }).details?.path, '/agentId')
  t.equal(refusal('{"type":"nope","b":{"__proto__":1},"c":{"__proto__":1}}').details?.path, '/b/__proto__')
  t.equal(refusal('{"b":{"__proto__":1},"__proto__":1}').details?.path, '/__proto__', 'the outermost, before what is inside another')
})

t.test('a chat reaches nobody with half a character in its message', async (t) => {
  t.match(decode('{"type":"chat","message":"a\\ud83d \\ude42 \\ud83d\\ude42"}'), { frame: { message: 'a\ufffd \ufffd \u{1f642}' } })
})

t.test('unknown fields are dropped', async (t) => {
  t.strictSame(decode({ type: 'ping', id: 'i', extra: 1, message: 'x', seq: [], done: true, toString: 'x', valueOf: {} }), {
    ok: true, frame: { type: 'ping', id: 'i' }
  })
  t.strictSame(decode({ type: 'chat', message: 'x', owner: 'eve', epoch: 'e' }), { ok: true, frame: { type: 'chat', message: 'x' } })
})

t.test('keys that could reach a prototype', async (t) => {
  await t.test('are refused wherever they are, and however they are spelled', async (t) => {
    const places = {
      '{KEY,"type":"ping"}': '',
      '{"type":"ping","x":{KEY}}': '/x',
      '{"type":"ping","x":[0,[{},{KEY}]]}': '/x/1/1',
      '{"type":"chat","message":"x","metadata":{"a":{KEY}}}': '/metadata/a',
      '{"type":"ping","a/b":{"c~d":{KEY}}}': '/a~1b/c~0d',
      '{"type":"nope","":{KEY}}': '/'
    }
    const keys = {
      '"__proto__":null': '/__proto__',
      '"__proto__":{"type":"ping"}': '/__proto__',
      '"\\u005f_proto__":1': '/__proto__',
      '"\\u005F\\u005f\\u0070roto_\\u005f":1': '/__proto__',
      '"constructor":{"prototype":null}': '/constructor',
      '"constructor":{"a":1,"prototype":{"b":1}}': '/constructor',
      '"c\\u006fnstructor":{"\\u0070rototype":1}': '/constructor'
    }
    for (const [frame, place] of Object.entries(places)) {
      for (const [key, path] of Object.entries(keys)) {
        const { code, details } = refusal(frame.replace('KEY', key))
        t.strictSame([code, details], ['VALIDATION_FAILED', { path: place + path, rule: 'a key that is not allowed' }], `${key} in ${frame}`)
      }
    }
  })

  await t.test('are not mistaken for harmless ones', async (t) => {
    const harmless = ['"constructor":{}', '"constructor":["prototype"]', '"constructor":"prototype"', '"prototype":{}', '"proto":1', '"__proto":1']
    for (const key of harmless) {
      t.equal(decode(`{"type":"ping",${key},"x":{${key}}}`).ok, true, key)
      t.equal(decode(`{"type":"chat","message":"x","metadata":{${key}}}`).ok, true, key)
    }
    t.strictSame(decode('{"type":"ping","__proto__":1,"id":"i"}'), {
      ok: false,
      refusal: { code: 'VALIDATION_FAILED', details: { path: '/__proto__', rule: 'a key that is not allowed' }, id: 'i' }
    })
  })

  await t.test('have a path that is cut where it gets long, in no character\'s middle', async (t) => {
    const { details } = refusal(`{"type":"ping","x${'\u{1f642}'.repeat(200)}":{"__proto__":1}}`)
    t.equal(details?.path, `/x${'\u{1f642}'.repeat(127)}`)
    const odd = refusal(`{"type":"ping","${'\u{1f642}'.repeat(200)}":{"__proto__":1}}`)
    t.equal(odd.details?.path, `/${'\u{1f642}'.repeat(127)}\ufffd`)
  })
})

t.test('metadata', async (t) => {
  const chat = (metadata: string): string => `{"type":"chat","message":"x","metadata":${metadata}}`

  await t.test('has at most 32 levels, itself included', async (t) => {
    const nested = (levels: number): string => chat(`{"a":${'['.repeat(levels - 1)}1${']'.repeat(levels - 1)}}`)
    t.equal(decode(nested(32)).ok, true)
    t.strictSame(refusal(nested(33)), {
      code: 'VALIDATION_FAILED', details: { path: '/metadata', rule: 'at most 32 levels' }, plainChat: {}
    })
    t.equal(decode(chat(`${'{"a":'.repeat(31)}{}${'}'.repeat(31)}`)).ok, true)
    t.equal(decode(chat(`${'{"a":'.repeat(32)}{}${'}'.repeat(32)}`)).ok, false)
  })

  await t.test('has at most so many bytes, as the JSON of the least length', async (t) => {
    const sized = (letter: string, bytes: number): string => chat(` { "a" : "${letter.repeat((bytes - '{"a":""}'.length) / Buffer.byteLength(letter))}" } `)
    for (const letter of ['x', '\u00e9', '\u{1f642}']) {
      t.equal(decode(sized(letter, 200)).ok, true, letter)
      t.strictSame(refusal(sized(letter, 204)), {
        code: 'VALIDATION_FAILED', details: { path: '/metadata', rule: 'at most 200 bytes' }, plainChat: {}
      }, letter)
    }
    t.equal(decode(sized('x', 201)).ok, false)
  })
})

t.test('what nests 100,000 deep takes no stack and little time', async (t) => {
  const arrays = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  const objects = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`
  const unsafe = `${'['.repeat(100_000)}{"__proto__":1}${']'.repeat(100_000)}`
  const startedAt = performance.now()
  t.strictSame(decode(arrays), { ok: false, refusal: { code: 'INVALID_FRAME' } })
  t.equal(refusal(objects).details?.path, '/type')
  for (const deep of [arrays, objects]) {
    t.strictSame(decode(`{"type":"ping","x":${deep}}`), { ok: true, frame: { type: 'ping' } })
    t.equal(refusal(`{"type":"chat","message":"x","metadata":{"a":${deep}}}`).details?.rule, 'at most 32 levels')
    t.equal(refusal(`{"type":"ping","id":${deep}}`).details?.path, '/id')
  }
  t.match(refusal(`{"type":"ping","x":${unsafe}}`).details?.path, /^\/x(\/0){127}$/)
  t.ok(performance.now() - startedAt < 5_000, 'all eight of them in a second, with room for a busy machine')
})

t.test('who sent a bad frame', async (t) => {
  await t.test('gets its id back, if it is one', async (t) => {
    t.equal(refusal({ type: 'chat', id: 'i' }).id, 'i')
    t.equal(refusal({ type: 'nope', id: 'i' }).id, 'i')
    t.equal(refusal({ id: 'i' }).id, 'i')
    t.equal(refusal('{"__proto__":{"id":"j"},"id":"i"}').id, 'i')
    for (const id of NAMES.bad) t.notOk('id' in refusal({ type: 'nope', id }), show(id))
    t.notOk('id' in refusal('{"type":"nope","__proto__":{"id":"i"}}'))
  })

  await t.test('is told as a plain chat if it was one, with the agent that it named', async (t) => {
    t.strictSame(refusal({ type: 'chat' }).plainChat, {})
    t.strictSame(refusal({ type: 'chat', agentId: 'a' }).plainChat, { agentId: 'a' })
    t.strictSame(refusal({ type: 'chat', agentId: '' }).plainChat, {})
    t.strictSame(refusal('{"type":"chat","message":"x","agentId":"a","__proto__":{"id":"i"}}').plainChat, { agentId: 'a' })
    t.notOk('plainChat' in refusal({ type: 'chat', id: 'i' }))
    t.notOk('plainChat' in refusal({ type: 'chat', id: '' }), 'it wanted to be tracked')
    t.notOk('plainChat' in refusal({ type: 'cancel', agentId: 1 }))
    t.notOk('plainChat' in refusal({ type: ['chat'] }))
  })
})

t.test('whatever the bytes are, it answers, and as the protocol says', async (t) => {
  const limits = { maxPayload: 20_000, maxMessageLength: 100, maxMetadataBytes: 200 }
  const random = new Random(1)
  const maker = new FrameMaker(random, limits, { closingPerTenThousand: 500 })
  const decode = createDecoder(limits, new Map([[HOST_TYPE, hostFrameShape(HostNote)]]))
  const wrong: string[] = []
  const seen = new Map<string, number>()
  for (let times = 0; times < 20_000; times++) {
    const data = random.perMille(50) ? random.bytes(random.below(80)) : maker.make().data
    const decoded = decode(data)
    const verdict = judge(data, false, limits)
    seen.set(verdict.kind, (seen.get(verdict.kind) ?? 0) + 1)
    if (!agrees(decoded, verdict)) wrong.push(`${data.toString().slice(0, 300)} was ${show(decoded)}`)
  }
  t.strictSame(wrong, [])
  for (const kind of ['good', 'bad', 'close']) t.ok((seen.get(kind) ?? 0) > 500, kind)

  function agrees (decoded: Decoded, verdict: ReturnType<typeof judge>): boolean {
    if ('close' in decoded) return verdict.kind === 'close' && verdict.code === (decoded.close === 'TOO_BIG' ? 1009 : 1007)
    if (decoded.ok) return verdict.kind === 'good' && isSameFrame('frame' in decoded ? decoded.frame : decoded.hostFrame, verdict.frame, limits)
    const { code, id, plainChat } = decoded.refusal
    return verdict.kind === 'bad' && verdict.codes.includes(code) && verdict.id === id &&
      JSON.stringify(verdict.plainChat) === JSON.stringify(plainChat)
  }
})

function decode (frame: string | object): Decoded {
  return decodeBytes(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)))
}

function refusal (frame: string | object): Refusal {
  const decoded = decode(frame)
  if (decoded.ok || 'close' in decoded) throw new Error(`was not refused: ${show(decoded)}`)
  return decoded.refusal
}

function fieldsOf (type: string): string[] {
  const schema = new Map(Object.entries(clientFrameSchemas(LIMITS))).get(type)
  return Object.keys(schema?.properties ?? {}).filter((field) => field !== 'type').sort()
}

/** In ASCII: a line separator in the name of an assertion would end it. */
function show (value: unknown): string {
  return JSON.stringify(value).slice(0, 60).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
