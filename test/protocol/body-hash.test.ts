import t from 'tap'

import { bodyHash } from '../../lib/protocol/body-hash.js'

t.test('the same said twice has one hash, whatever the order of keys', (t) => {
  t.equal(bodyHash({ message: 'a' }), bodyHash({ message: 'a' }))
  t.equal(
    bodyHash({ message: 'a', metadata: { a: 1, b: { c: [1, { d: null, e: 2 }], f: 'x' } } }),
    bodyHash({ message: 'a', metadata: { b: { f: 'x', c: [1, { e: 2, d: null }] }, a: 1 } })
  )
  t.match(bodyHash({ message: 'a' }), /^[\w-]{43}$/)
  t.end()
})

t.test('what is not the same has another', (t) => {
  // An object had that of an array of its pairs.
  const said = [
    { message: 'a' },
    { message: 'b' },
    { message: 'a{}' },
    { message: 'a', metadata: {} },
    { message: 'a', metadata: { a: [] } },
    { message: 'a', metadata: { a: {} } },
    { message: 'a', metadata: { a: null } },
    { message: 'a', metadata: { a: 'null' } },
    { message: 'a', metadata: { a: 1, b: 2 } },
    { message: 'a', metadata: { a: 2, b: 1 } },
    { message: 'a', metadata: { b: 2, c: 1 } },
    { message: 'a', metadata: { a: [1, 2] } },
    { message: 'a', metadata: { a: [2, 1] } },
    { message: 'a', metadata: { a: [['b', 1]] } },
    { message: 'a', metadata: { a: { b: 1 } } }
  ]
  const sameBySaid = new Map(said.map((one) => [JSON.stringify(one), bodyHash(one)]))
  t.equal(new Set(sameBySaid.values()).size, said.length, JSON.stringify([...sameBySaid]))
  t.end()
})

t.test('a message is hashed as it is, with half a character and without metadata', (t) => {
  t.not(bodyHash({ message: '\ud83d' }), bodyHash({ message: '\ufffd' }))
  t.equal(bodyHash({ message: 'a', metadata: undefined } as { message: string }), bodyHash({ message: 'a' }))
  t.end()
})
