import t from 'tap'

import { newSerialId, newUuid } from '../lib/uuid.js'

t.test('ids of turns look like UUIDs, and each is another', (t) => {
  const ids = Array.from({ length: 1_000 }, () => newSerialId())
  t.equal(new Set(ids).size, 1_000)
  for (const id of [ids[0], ids[999]]) t.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  t.end()
})

t.test('a UUID is random, and may have a prefix', (t) => {
  t.match(newUuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.match(newSerialId('connection-'), /^connection-[0-9a-f]{8}-/)
  t.not(newUuid(), newUuid())
  t.end()
})
