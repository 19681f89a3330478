import t from 'tap'

import { sessionStoreSuite } from '../../lib/conformance/index.js'
import { memorySessionStore } from '../../lib/sessions/memory-session-store.js'
import type { SessionStore } from '../../lib/sessions/session-store.js'
import { BROKEN_SESSION_STORES } from './broken-session-stores.js'
import { failuresOf } from './subjects.js'

const failed = new Set<string>()

for (const { must, how, breaks } of BROKEN_SESSION_STORES) {
  t.test(`a session store that breaks sentence ${must} fails a test of it: ${how}`, async (t) => {
    const suite = sessionStoreSuite(() => {
      const inner = memorySessionStore()
      return double(inner, breaks(inner))
    })
    const failures = await failuresOf(suite)
    for (const name of failures.keys()) failed.add(name)
    const ofSentence = suite.filter((test) => test.must.includes(must) && failures.has(test.name))
    t.ok(ofSentence.length > 0, `of ${failures.size} tests that failed`)
    const saysWhich = new RegExp(`session store contract, sentence (\\d+, )*${must}[,:]`)
    t.strictSame(ofSentence.filter(({ name }) => !saysWhich.test(String(failures.get(name)))), [])
  })
}

t.test('two session stores that are one fail', async (t) => {
  const shared = memorySessionStore()
  for (const { name, run } of sessionStoreSuite(() => shared).filter(({ must }) => must.length === 0)) {
    failed.add(name)
    await t.rejects(run(), { message: /^session store contract: two stores are apart: / })
  }
})

t.test('a session store that has nothing to close passes', async (t) => {
  const { close, ...store } = double(memorySessionStore(), {})
  t.type(close, 'function')
  for (const { run, name } of sessionStoreSuite(() => store).filter(({ must }) => must.includes(12))) await t.resolves(run(), name)
})

t.test('each sentence is broken by one of them', async (t) => {
  const sentences = new Set(sessionStoreSuite(memorySessionStore).flatMap(({ must }) => must))
  t.strictSame(new Set(BROKEN_SESSION_STORES.map(({ must }) => must)), sentences)
})

t.test('each test fails one of them', async (t) => {
  t.strictSame(sessionStoreSuite(memorySessionStore).map(({ name }) => name).filter((name) => !failed.has(name)), [])
})

function double (inner: SessionStore, changes: Partial<SessionStore>): SessionStore {
  return {
    append: (...given) => inner.append(...given),
    messages: (...given) => inner.messages(...given),
    turn: (...given) => inner.turn(...given),
    list: (...given) => inner.list(...given),
    delete: (...given) => inner.delete(...given),
    close: () => inner.close?.(),
    ...changes
  }
}
