import t from 'tap'

import { FewIds } from '../lib/few-ids.js'

t.test('it is a set, however few or many there are', async (t) => {
  const few = new FewIds()
  const model = new Set<string>()
  const ids = ['a', 'b', 'c', 'd']
  let seed = 1
  const below = (limit: number): number => (seed = seed * 48271 % 2147483647) % limit
  for (let step = 0; step < 2_000; step++) {
    const id = ids[below(ids.length)] ?? ''
    if (below(2) === 0) {
      few.add(id)
      model.add(id)
    } else {
      t.equal(few.delete(id), model.delete(id))
    }
    t.equal(few.size, model.size)
    t.strictSame([...few].sort(), [...model].sort())
    t.strictSame(ids.filter((each) => few.has(each)), ids.filter((each) => model.has(each)))
  }
})

t.test('what is deleted while all are given is not given any more', async (t) => {
  const few = new FewIds()
  for (const id of ['a', 'b', 'c']) few.add(id)
  const given: string[] = []
  for (const id of few) {
    given.push(id)
    for (const other of ['a', 'b']) few.delete(other)
  }
  t.strictSame(given, ['a', 'c'])
})
