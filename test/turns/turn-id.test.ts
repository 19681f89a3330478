import t from 'tap'

import { NAME_PATTERN } from '../../lib/protocol/names.js'
import { newTurnId } from '../../lib/turns/turn-id.js'

t.test('ids of turns are names, and each is another', (t) => {
  const ids = Array.from({ length: 1_000 }, () => newTurnId())
  t.equal(new Set(ids).size, 1_000)
  t.match(ids[0], new RegExp(NAME_PATTERN))
  t.match(ids[999], new RegExp(NAME_PATTERN))
  t.end()
})
