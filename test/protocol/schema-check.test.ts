import { Type } from '@sinclair/typebox'
import t from 'tap'

import { NAME_PATTERN } from '../../lib/protocol/names.js'
import { compileCheck } from '../../lib/protocol/schema-check.js'

const JSON_SCHEMA = {
  type: 'object',
  properties: { a: { type: 'string', minLength: 2 }, b: { type: 'array', items: { type: 'integer' } } },
  required: ['a']
}

/** How TypeBox 1 writes a schema: no symbols, its notes under keys that JSON Schema does not know. */
const TYPEBOX_1_SCHEMA = {
  '~kind': 'Object',
  ...JSON_SCHEMA,
  properties: {
    a: { '~kind': 'String', ...JSON_SCHEMA.properties.a },
    b: { '~kind': 'Array', '~optional': true, ...JSON_SCHEMA.properties.b }
  }
}

const SCHEMAS = {
  'a schema of @sinclair/typebox': Type.Object({ a: Type.String({ minLength: 2 }), b: Type.Optional(Type.Array(Type.Integer())) }),
  'a JSON Schema': JSON_SCHEMA,
  'a schema of TypeBox 1': TYPEBOX_1_SCHEMA
}

for (const [kind, schema] of Object.entries(SCHEMAS)) {
  t.test(`${kind} is compiled once, and tells the first fault`, async (t) => {
    const check = compileCheck(schema)
    t.equal(check({ a: 'xx' }), undefined)
    t.equal(check({ a: 'xx', b: [1, 2], c: 'not mentioned' }), undefined)
    t.equal(check({ a: 'x' })?.path, '/a')
    t.equal(check({ a: 'xx', b: [1, 2, 'x'] })?.path, '/b/2')
    for (const value of [{}, null, undefined, 'x', { a: 1, b: 1 }]) {
      const fault = check(value)
      t.match(fault, { path: String, rule: /./ })
      t.strictSame(Object.keys(fault ?? {}), ['path', 'rule'])
    }
  })
}

t.test('what is no schema is found out when it is compiled', async (t) => {
  t.throws(() => compileCheck({ type: 'no such type' }))
  t.throws(() => compileCheck({ $ref: '#/nowhere' }))
  // Every value used to pass, and a bad one to end the process by an unhandled rejection.
  t.throws(() => compileCheck({ $async: true, type: 'string' }), { message: 'the schema is asynchronous (`$async`)' })
})

t.test('a JSON Schema may say which draft it is', async (t) => {
  for (const draft of ['http://json-schema.org/draft-07/schema#', 'https://json-schema.org/draft/2020-12/schema']) {
    const check = compileCheck({ $schema: draft, ...JSON_SCHEMA })
    t.equal(check({ a: 'xx' }), undefined, draft)
    t.equal(check({ a: 'x' })?.path, '/a', draft)
  }
  const check = compileCheck({ $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'array', prefixItems: [{ type: 'string' }] })
  t.equal(check([1])?.path, '/0', 'what only that draft knows is checked')
  t.throws(() => compileCheck({ $schema: 'https://example.com/of-my-own', ...JSON_SCHEMA }))
})

t.test('two schemas may have the same $id', async (t) => {
  t.equal(compileCheck({ $id: 'same', type: 'string' })('x'), undefined)
  t.not(compileCheck({ $id: 'same', type: 'number' })('x'), undefined)
})

t.test('the pattern of names says the same with and without the u flag', async (t) => {
  const [plain, unicode] = [new RegExp(NAME_PATTERN), new RegExp(NAME_PATTERN, 'u')]
  const check = { typeBox: compileCheck(Type.String({ pattern: NAME_PATTERN })), ajv: compileCheck({ type: 'string', pattern: NAME_PATTERN }) }
  const differing: string[] = []
  for (let unit = 0; unit <= 0xffff; unit++) {
    const isControl = unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)
    const isSurrogate = unit >= 0xd800 && unit <= 0xdfff
    const character = String.fromCharCode(unit)
    for (const text of [character, `a${character}`, `${character}a`]) {
      const answers = [plain.test(text), unicode.test(text), check.typeBox(text) === undefined, check.ajv(text) === undefined]
      if (answers.some((answer) => answer !== !(isControl || isSurrogate))) differing.push(`${unit.toString(16)}: ${answers.join()}`)
    }
  }
  t.strictSame(differing, [])
  for (const [text, isGood] of [
    ['\ud83d\ude42', true], ['\ud800\udc00\udbff\udfff', true], ['\ude42\ud83d', false], ['\ud83d\ud83d\ude42', false], ['a\ud83d', false],
    ['\ud83d\ude42\ude42', false], ['', false], ['a\n', false]
  ] as const) t.strictSame([plain.test(text), unicode.test(text)], [isGood, isGood], JSON.stringify(text))
})

t.test('a schema of a modern draft, as zod and TypeBox 1 write them, is checked too', (t) => {
  const check = compileCheck({
    $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object', properties: { plan: { type: 'string' } }
  })
  t.same([check({ plan: 'pro' }), check({ plan: 7 })], [undefined, { path: '/plan', rule: 'must be string' }])
  t.end()
})
