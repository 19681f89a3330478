import Fastify from 'fastify'
import t from 'tap'

import { boundsOf } from '../lib/bounds.js'
import { memoryJournal, memorySessionStore, wsChannel, type WsChannelOptions } from '../lib/index.js'

t.test('what is not given has its default, and what is given counts', async (t) => {
  const defaults = { maxDogs: 3, maxCats: 5 }
  t.strictSame(boundsOf('a zoo', defaults, {}, []), defaults)
  t.strictSame(boundsOf('a zoo', defaults, { maxDogs: undefined, maxCats: Infinity, keeper: {} }, ['keeper']), { maxDogs: 3, maxCats: Infinity })
  t.strictSame(defaults, { maxDogs: 3, maxCats: 5 })
})

t.test('what is no bound is refused where it is given, by its name', async (t) => {
  for (const [make, what, name] of [
    [(options: object) => memoryJournal(options), 'a memory journal', 'maxEntries'],
    [(options: object) => memorySessionStore(options), 'a memory session store', 'maxBytes']
  ] as const) {
    for (const value of [0, -1, NaN, 0.5]) t.throws(() => make({ [name]: value }), new RangeError(`${name} of ${what} must be at least 1, not ${value}`))
    t.throws(() => make({ [name]: 'many' }), new TypeError(`${name} of ${what} must be a number of at least 1, not "many"`))
    t.throws(() => make(null as never), new TypeError(`${what} takes its options as an object, not null`))
    t.throws(() => make({ maxEntry: 5 }), { name: 'TypeError', message: new RegExp(`^${what} has no option maxEntry; it takes max.*, clock$`) })
  }
})

t.test('a journal that is none is refused at start', async (t) => {
  for (const [journal, fault] of [['redis://localhost', 'it is redis://localhost'], [{ append () {} }, 'it lacks offer, claimed, take, release']] as const) {
    const app = Fastify()
    app.register(wsChannel, { journal } as unknown as WsChannelOptions)
    await t.rejects(async () => { await app.ready() }, { code: 'FST_WS_CHANNEL_INJECTED', message: new RegExp(fault) })
    await app.close()
  }
})
