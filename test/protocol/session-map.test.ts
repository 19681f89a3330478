import t from 'tap'

import { sessionKey, sessionKeyText } from '../../lib/protocol/session-key.js'
import { SessionMap } from '../../lib/protocol/session-map.js'
import { Random } from '../fuzz/random.js'
import { heldBytes } from '../helpers/garbage.js'

t.test('what is asked for is what was set last, whatever was asked for before', (t) => {
  const random = new Random(7)
  const [map, model] = [new SessionMap<{ n: number }>(), new Map<string, { n: number }>()]
  const keys = Array.from({ length: 5 }, (_, i) => sessionKey('o', 'a', `s${i}`))
  for (let step = 0; step < 20_000; step++) {
    // The same object, and another of the same session, as a host may name it; now and then one that comes once.
    const sessionId = random.perMille(100) ? `once ${step}` : `s${random.below(5)}`
    const asked = keys.find((key) => key.sessionId === sessionId && random.perMille(500)) ?? { owner: 'o', agentId: 'a', sessionId }
    const text = sessionKeyText(asked)
    switch (random.below(8)) {
      case 0:
        model.set(text, { n: step })
        map.set(text, model.get(text) ?? { n: -1 })
        break
      case 1:
        map.delete(text)
        model.delete(text)
        break
      case 2:
        if (random.perMille(20)) { map.clear(); model.clear() }
        break
      default:
        if (map.get(asked) !== model.get(text) || map.find(text) !== model.get(text)) t.fail(`step ${step}`)
    }
    if (map.size !== model.size) t.fail(`${map.size} instead of ${model.size}`)
    if (random.perMille(50) && !isSame(map.all(), model.values())) t.fail(`step ${step}`)
    // What is sent once is gone soon.
    if (step % 7 === 0) for (const gone of [...model.keys()].filter((each) => each.includes('once')).slice(0, 2)) {
      map.delete(gone)
      model.delete(gone)
    }
  }
  t.ok(isSame(map.all(), model.values()))
  t.end()
})

t.test('what was deleted is not kept, however often that is', (t) => {
  const map = new SessionMap<object>()
  const before = heldBytes()
  for (let i = 0; i < 2_000; i++) {
    // So that each has come among the others before it goes.
    const texts = [`${i} a`, `${i} b`].map((name) => Buffer.alloc(10_000, name).toString())
    for (const text of texts) map.set(text, {})
    for (const text of texts) map.delete(text)
  }
  t.equal(map.size, 0)
  t.ok(heldBytes() - before < 2_000_000, 'of 40 MB')
  t.end()
})

t.test('a key that its host changes is another session', (t) => {
  const map = new SessionMap<object>()
  const key = { owner: 'o', agentId: 'a', sessionId: 'one' }
  const value = {}
  map.set(sessionKeyText(key), value)
  t.equal(map.get(key), value)
  key.sessionId = 'two'
  t.equal(map.get(key), undefined)
  t.end()
})

function isSame (some: readonly object[], others: Iterable<object>): boolean {
  const all = new Set(others)
  return some.length === all.size && some.every((each) => all.delete(each))
}
