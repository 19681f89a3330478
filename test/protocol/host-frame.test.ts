import { Type } from '@sinclair/typebox'
import t from 'tap'

import { createDecoder, type Decoded, type DecodeLimits } from '../../lib/protocol/decode.js'
import { hostFrameShape } from '../../lib/protocol/host-frame.js'

const PROPERTIES = { text: { type: 'string', minLength: 1 }, count: { type: 'integer' } }
/** The same said to TypeBox and to Ajv. */
const SCHEMAS = {
  TypeBox: (options: object) => Type.Object({ text: Type.String({ minLength: 1 }), count: Type.Optional(Type.Integer()) }, options),
  'JSON Schema': (options: object) => ({ type: 'object', properties: PROPERTIES, required: ['text'], ...options })
}

for (const [kind, schemaWith] of Object.entries(SCHEMAS)) {
  t.test(`a frame of a host's own, by a schema of ${kind}`, async (t) => {
    await t.test('has the type, the id, and what the schema names', async (t) => {
      const { read } = hostFrameShape(schemaWith({}))
      t.strictSame(read({ type: 'note', text: 'a' }), { frame: { type: 'note', text: 'a' } })
      t.strictSame(read({ count: 1, type: 'note', id: 'i', text: 'a', more: 1 }), { frame: { type: 'note', count: 1, text: 'a', id: 'i' } })
    })

    await t.test('is checked, and its first fault told', async (t) => {
      const { read } = hostFrameShape(schemaWith({}))
      t.match(read({ type: 'note', text: '' }), { fault: { path: '/text', rule: String } })
      t.match(read({ type: 'note', text: 'a', count: 1.5 }), { fault: { path: '/count', rule: /integer/i } })
      t.match(read({ type: 'note' }), { fault: { path: /^(\/text)?$/, rule: /required/i } })
    })

    await t.test('has no more fields where it says that there are none', async (t) => {
      const { read } = hostFrameShape(schemaWith({ additionalProperties: false }))
      t.strictSame(read({ type: 'note', id: 'i', text: 'a', more: 1 }), { frame: { type: 'note', text: 'a', id: 'i' } })
    })

    await t.test('has more fields where it says that there are, checked as it says', async (t) => {
      for (const more of [{ additionalProperties: true }, { additionalProperties: kind === 'TypeBox' ? Type.Number() : { type: 'number' } }]) {
        const { read } = hostFrameShape(schemaWith(more))
        t.strictSame(read({ type: 'note', id: 'i', text: 'a', more: 1 }), { frame: { type: 'note', text: 'a', more: 1, id: 'i' } })
        if (more.additionalProperties !== true) t.match(read({ type: 'note', text: 'a', more: 'x' }), { fault: { path: '/more', rule: /number/i } })
      }
    })
  })
}

t.test('a schema', async (t) => {
  await t.test('may name the type and the id itself', async (t) => {
    const { read } = hostFrameShape(Type.Object({ type: Type.Literal('note'), id: Type.String({ minLength: 2 }) }))
    t.strictSame(read({ type: 'note', id: 'ab' }), { frame: { type: 'note', id: 'ab' } })
    t.match(read({ type: 'note', id: 'a' }), { fault: { path: '/id' } })
    t.match(read({ type: 'note' }), { fault: { path: '/id' } })
  })

  await t.test('by patterns takes what fits them', async (t) => {
    const { read } = hostFrameShape({ type: 'object', properties: {}, patternProperties: { '^x-': { type: 'number' } } })
    t.strictSame(read({ type: 'note', 'x-a': 1 }), { frame: { type: 'note', 'x-a': 1 } })
    t.match(read({ type: 'note', 'x-a': 'b' }), { fault: { path: '/x-a' } })
    t.strictSame(hostFrameShape(Type.Record(Type.String(), Type.Number())).read({ type: 'note', id: 'i', a: 1 }), { frame: { type: 'note', a: 1, id: 'i' } })
  })

  await t.test('without properties of its own takes all fields that are not the protocol\'s', async (t) => {
    for (const schema of [
      {}, { type: 'object' },
      { anyOf: [{ required: ['a'] }, { required: ['b'] }] },
      Type.Union([Type.Object({ a: Type.Number() }), Type.Object({ b: Type.Number() })]),
      Type.Intersect([Type.Object({ a: Type.Number() }), Type.Object({ more: Type.Array(Type.Unknown()) })]),
      Type.Any({ properties: null })
    ]) {
      const { read } = hostFrameShape(schema)
      t.strictSame(read({ type: 'note', id: 'i', a: 1, more: [] }), { frame: { type: 'note', a: 1, more: [], id: 'i' } })
    }
    t.match(hostFrameShape(Type.Union([Type.Object({ a: Type.Number() })])).read({ type: 'note' }), { fault: { rule: String } })
  })

  await t.test('that no object satisfies refuses all', async (t) => {
    t.match(hostFrameShape({ type: 'string' }).read({ type: 'note' }), { fault: { path: '', rule: /string/ } })
  })

  await t.test('that is none is refused at once', async (t) => {
    t.throws(() => hostFrameShape({ type: 'nonsense' }))
    t.throws(() => hostFrameShape({ $ref: '#/nowhere' }))
    t.throws(() => hostFrameShape({ $async: true, type: 'object' }), { message: /asynchronous/ })
  })

  await t.test('that cannot bear a value refuses it', async (t) => {
    // The error went out of the decoder, which never throws, and the frame had no answer but `INTERNAL`.
    const { read } = hostFrameShape({ properties: { text: { type: 'string', format: 'odd' }, deep: { $ref: '#' } } })
    t.match(read({ type: 'note', text: 'a' }), { frame: { text: 'a' } })
    let deep: object = {}
    for (let level = 0; level < 100_000; level++) deep = { deep }
    t.strictSame(read({ type: 'note', deep }), { fault: { path: '', rule: 'cannot be checked' } })
  })
})

t.test('the decoder of a channel with types of its own', async (t) => {
  await t.test('tells their frames from those of the protocol', async (t) => {
    t.strictSame(decode({ type: 'note', id: 'i', text: 'a', more: 1 }), { ok: true, hostFrame: { type: 'note', text: 'a', id: 'i' } })
    t.strictSame(decode({ type: 'ping' }), { ok: true, frame: { type: 'ping' } })
    t.strictSame(decode({ type: 'other' }), { ok: false, refusal: { code: 'UNKNOWN_TYPE', details: { path: '/type', rule: 'no such type' } } })
    t.match(decode({ type: ['note'] }), { refusal: { code: 'VALIDATION_FAILED', details: { path: '/type' } } })
    t.strictSame(createDecoder(LIMITS)(bytesOf({ type: 'note' })), { ok: false, refusal: { code: 'UNKNOWN_TYPE', details: { path: '/type', rule: 'no such type' } } })
  })

  await t.test('refuses one with its id and its first fault', async (t) => {
    t.match(decode({ type: 'note', id: 'i', text: 1 }), { ok: false, refusal: { code: 'VALIDATION_FAILED', id: 'i', details: { path: '/text' } } })
    t.notOk('plainChat' in refusal({ type: 'note', text: 1 }))
    const long = 'x'.repeat(300)
    t.equal(refusal({ type: 'free', [long]: 'no number' }).details?.path, `/${long}`.slice(0, 256))
  })

  await t.test('refuses an id that is no name, and gives it back to nobody', async (t) => {
    for (const id of ['', 7, null, {}, 'x'.repeat(129), 'a\n', '\ud83d']) {
      t.strictSame(decode({ type: 'note', id, text: 'a' }), {
        ok: false, refusal: { code: 'VALIDATION_FAILED', details: { path: '/id', rule: 'expected a name' } }
      })
    }
  })

  await t.test('takes 32 levels, the frame itself included, and no more', async (t) => {
    const nested = (levels: number): string => `{"type":"any","a":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`
    t.match(decode(nested(32)), { ok: true, hostFrame: { type: 'any' } })
    t.strictSame(decode(nested(33)), { ok: false, refusal: { code: 'VALIDATION_FAILED', details: { path: '', rule: 'at most 32 levels' } } })
    t.match(refusal(`{"type":"any","id":"i","a":${'['.repeat(9_000)}${']'.repeat(9_000)}}`), { id: 'i', details: { rule: 'at most 32 levels' } })
  })

  await t.test('refuses a key that is not allowed, wherever it is', async (t) => {
    t.match(refusal('{"type":"any","id":"i","a":[{"__proto__":1}]}'), { id: 'i', code: 'VALIDATION_FAILED', details: { path: '/a/0/__proto__' } })
    t.match(refusal('{"type":"any","constructor":{"prototype":1}}').details, { path: '/constructor' })
    t.match(decode('{"type":"any","constructor":{"a":1}}'), { ok: true, hostFrame: { constructor: { a: 1 } } })
  })

  await t.test('gives an object that inherits nothing odd', async (t) => {
    const decoded = decode({ type: 'any', a: 1 })
    t.equal(Object.getPrototypeOf('hostFrame' in decoded ? decoded.hostFrame : {}), Object.prototype)
  })
})

const LIMITS: DecodeLimits = { maxPayload: 20_000, maxMessageLength: 100, maxMetadataBytes: 200 }
const decodeBytes = createDecoder(LIMITS, new Map([
  ['note', hostFrameShape(SCHEMAS.TypeBox({}))],
  ['any', hostFrameShape({})],
  ['free', hostFrameShape({ additionalProperties: { type: 'number' } })]
]))

function bytesOf (frame: string | object): Buffer {
  return Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame))
}

function decode (frame: string | object): Decoded {
  return decodeBytes(bytesOf(frame))
}

function refusal (frame: string | object) {
  const decoded = decode(frame)
  if (!('refusal' in decoded)) throw new Error(`was not refused: ${JSON.stringify(decoded)}`)
  return decoded.refusal
}
