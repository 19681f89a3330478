import t, { type Test } from 'tap'

import { TurnPlaces } from '../../lib/chat-transport/turn-places.js'
import { MemoryStorage } from './page.js'

const place = { turnId: 't', epoch: 'e', seq: 3 }

t.test('keeps the place of a session\'s turn, until that turn is over', async (t) => {
  const places = new TurnPlaces(new MemoryStorage())
  t.equal(places.get('s'), undefined)
  places.set('s', place)
  t.strictSame(places.get('s'), place)
  places.delete('s', 'another')
  t.strictSame(places.get('s'), place)
  places.delete('s', 't')
  t.equal(places.get('s'), undefined)
})

t.test('takes the storage of a browser\'s page', async (t) => {
  const sessionStorage = new MemoryStorage()
  pretend(t, { value: sessionStorage })
  new TurnPlaces().set('s', place)
  t.strictSame([...sessionStorage.items.keys()], ['fastify-ws-channel:s'])
})

t.test('does without where there is none, or it is forbidden, or full, or has something else', async (t) => {
  const fails = () => { throw new DOMException('no', 'SecurityError') }
  for (const storage of [null, { getItem: fails, setItem: fails, removeItem: fails }]) {
    const places = new TurnPlaces(storage)
    places.set('s', place)
    t.equal(places.get('s'), undefined)
    places.delete('s', 't')
  }
  for (const text of ['{', '7', '{"turnId":"t"}', '{"turnId":"t","epoch":"e","seq":"3"}', '{"turnId":7}']) {
    const storage = new MemoryStorage()
    storage.setItem('fastify-ws-channel:s', text)
    t.equal(new TurnPlaces(storage).get('s'), undefined, text)
  }
  pretend(t, { get: fails })
  t.equal(new TurnPlaces().get('s'), undefined)
})

/** For the length of a test there is such a storage. */
function pretend (t: Test, property: PropertyDescriptor): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'sessionStorage')
  Object.defineProperty(globalThis, 'sessionStorage', { ...property, configurable: true })
  t.teardown(() => {
    if (before === undefined) Reflect.deleteProperty(globalThis, 'sessionStorage')
    else Object.defineProperty(globalThis, 'sessionStorage', before)
  })
}
