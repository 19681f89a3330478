import t from 'tap'

import { newSerialId, newUuid } from '../lib/uuid.js'

t.test('serial ids look like UUIDs, and each is another', (t) => {
  const ids = Array.from({ length: 1_000 }, () => newSerialId())
  t.equal(new Set(ids).size, 1_000)
  for (const id of [ids[0], ids[999]]) t.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  t.end()
})

t.test('a UUID is random', (t) => {
  t.match(newUuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(new Set(Array.from({ length: 1_000 }, () => newUuid().slice(0, 18))).size, 1_000)
  t.end()
})
