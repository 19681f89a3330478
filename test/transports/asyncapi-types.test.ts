import { Type } from '@sinclair/typebox'
import t from 'tap'
import { z } from 'zod'

import { hostFrameShape } from '../../lib/protocol/host-frame.js'
import { check, host, isValid, messageOf } from './asyncapi-document.js'

// The parser compiles its schemas, which takes a while.
t.setTimeout(120_000)

t.test('types of the host\'s own', async (t) => {
  const app = await host(t, {}, (channel) => {
    const rating = Type.Object({ turnId: Type.String(), stars: Type.Integer({ minimum: 1, maximum: 5 }) }, {
      description: 'Rates an answer', additionalProperties: false, examples: [{ turnId: 'q1', stars: 5 }, { turnId: 'q1', stars: 9 }, 'no frame']
    })
    channel.define('rate', { schema: rating, handler: () => true })
    channel.define('order/ship', { schema: Type.Object({ type: Type.String(), id: Type.String({ maxLength: 3 }), orderId: Type.Integer() }), handler: () => true })
    channel.define('order ship', { schema: {}, handler: () => true })
    channel.define('batch', { schema: z.toJSONSchema(z.object({ pair: z.tuple([z.string(), z.number()]) })), handler: () => true })
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  const rate = messageOf(document, 'client.rate')
  t.strictSame(rate.payload, {
    additionalProperties: false,
    type: 'object',
    description: 'Rates an answer',
    properties: {
      turnId: { type: 'string' },
      stars: { type: 'integer', minimum: 1, maximum: 5 },
      type: { type: 'string', const: 'rate' },
      id: { type: 'string', minLength: 1, maxLength: 128, description: 'Given back in the answer' }
    },
    required: ['type', 'turnId', 'stars']
  })
  t.equal(rate.summary, 'Rates an answer')
  t.strictSame(rate.examples, [{ name: 'rate-1', summary: 'A frame rate', payload: { turnId: 'q1', stars: 5, type: 'rate' } }])
  t.strictSame(messageOf(document, 'client.order_ship').payload, {
    type: 'object',
    properties: { id: { type: 'string', maxLength: 3 }, orderId: { type: 'integer' }, type: { type: 'string', const: 'order/ship' } },
    required: ['type', 'id', 'orderId']
  })
  t.match(messageOf(document, 'client.order_ship_2').payload, { properties: { type: { const: 'order ship' } }, required: ['type'] })
  t.match(document.operations['receive.rate'], {
    action: 'receive',
    messages: [{ $ref: '#/channels/agent/messages/client.rate' }],
    reply: { messages: [{ $ref: '#/channels/agent/messages/server.rate' }, { $ref: '#/channels/agent/messages/server.error' }] }
  })
  t.match(messageOf(document, 'server.rate').payload, { properties: { type: { const: 'rate' }, data: {} }, required: ['type'] })
})

t.test('what a type\'s schema lets through, its payload does too, with the type', async (t) => {
  const tree = Type.Recursive((self) => Type.Object({ name: Type.String(), children: Type.Optional(Type.Array(self)) }), { $id: 'Tree' })
  const schemas: Record<string, { schema: object, good: object, bad: object }> = {
    union: {
      schema: Type.Union([
        Type.Object({ kind: Type.Literal('a'), n: Type.Integer() }, { additionalProperties: false }),
        Type.Object({ kind: Type.Literal('b') }, { additionalProperties: false })
      ], { title: 'a or b' }),
      good: { kind: 'a', n: 1 },
      bad: { kind: 'b', n: 1 }
    },
    both: {
      schema: Type.Intersect([Type.Object({ a: Type.String() }), Type.Object({ b: Type.String() })]),
      good: { a: '', b: '' },
      bad: { a: '' }
    },
    tree: { schema: tree, good: { name: 'root', children: [{ name: 'leaf' }] }, bad: { name: 'root', children: [{}] } },
    defined: {
      schema: {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        properties: { 'a/b': { $ref: '#/$defs/word' } },
        required: ['a/b'],
        $defs: { word: { type: 'string', minLength: 2 } }
      },
      good: { 'a/b': 'ab' },
      bad: { 'a/b': 'a' }
    }
  }
  const app = await host(t, {}, (channel) => {
    for (const [type, { schema }] of Object.entries(schemas)) channel.define(type, { schema, handler: () => true })
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  for (const [type, { schema, good, bad }] of Object.entries(schemas)) {
    const shape = hostFrameShape(schema)
    t.ok('frame' in shape.read({ type, ...good }), `${type}: the channel takes it`)
    t.ok('fault' in shape.read({ type, ...bad }), `${type}: the channel refuses it`)
    const { payload } = messageOf(document, `client.${type}`)
    t.equal(check(document, payload, { type, id: 'x1', ...good }), undefined, type)
    t.ok(check(document, payload, { type, ...bad }), `${type}: the document does too`)
    t.ok(check(document, payload, { type: 'other', ...good }), `${type} has no other type`)
  }
})

t.test('a schema that no type could be added to stands beside it', async (t) => {
  const schemas = {
    record: Type.Record(Type.String(), Type.Integer()),
    rest: { type: 'object', properties: {}, additionalProperties: { type: 'integer' } },
    counted: { type: 'object', properties: { a: {} }, maxProperties: 1 },
    mixed: { properties: { a: {} }, anyOf: [{ required: ['a'] }] },
    nested: { anyOf: [{ type: 'object', maxProperties: 1 }, true] }
  }
  const app = await host(t, {}, (channel) => {
    for (const [type, schema] of Object.entries(schemas)) {
      channel.define(type, { schema, handler: () => true })
    }
  })
  const document = app.channel.asyncapi()
  await isValid(t, document)
  for (const [type, schema] of Object.entries(schemas)) {
    t.match(messageOf(document, `client.${type}`).payload, {
      properties: { type: { const: type }, id: { type: 'string' } }, required: ['type'], 'x-fields': JSON.parse(JSON.stringify(schema)) as unknown
    }, type)
  }
})

t.test('a field may be called as something that objects inherit', async (t) => {
  // There was no document at all for such a host.
  const app = await host(t, {}, (channel) => {
    channel.define('build', { schema: Type.Object({ constructor: Type.String(), toString: Type.Boolean() }), handler: () => true })
  })
  const document = app.channel.asyncapi()
  t.match(messageOf(document, 'client.build').payload, { properties: { constructor: { type: 'string' }, toString: { type: 'boolean' } } })
  await isValid(t, document)
})
