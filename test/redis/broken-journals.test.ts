import t from 'tap'

import { BROKEN_SHARED, WINDOW_MS, type BrokenShared } from '../conformance/broken-shared.js'
import { sharedDouble } from '../conformance/subjects.js'
import { FIRST_SHARED, redisJournalSuite, wayOver } from './journal-suites.js'
import { Line } from './line.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

/** Those that are to wait in vain wait for so long, in milliseconds: what they wait for takes a third of it. */
const IN_VAIN_MS = 3_000
const IN_VAIN = /ms still waiting for the news of /

const server = await RedisServer.start(t)
const other = await ioredisClient(t, server)
const failed = new Set<string>()

/** The tests of the sentence that it breaks, and what they rejected with; one after another, since they cut the way. */
async function failuresOf ({ must, breaks, sleeps = false }: BrokenShared): Promise<Map<string, string>> {
  const line = await Line.to(t, server.port)
  const way = wayOver(await ioredisClient(t, server, { port: line.port }), line)
  const around = () => {
    const changes = breaks()
    return (node: Parameters<typeof changes>[0]) => sharedDouble(node, changes(node))
  }
  const suite = redisJournalSuite(way, other, { windowMs: WINDOW_MS, around, ...sleeps ? { patienceMs: IN_VAIN_MS } : {} })
  const failures = new Map<string, string>()
  for (const test of suite.filter((each) => each.must.includes(must))) {
    await test.run().catch((error: unknown) => { failures.set(test.name, String(error)) })
  }
  return failures
}

const results = await Promise.all(BROKEN_SHARED.map(async (broken) => ({ broken, failures: await failuresOf(broken) })))
for (const { broken: { must, how, sleeps = false }, failures } of results) {
  t.test(`a shared journal that breaks sentence ${must} fails a test of it: ${how}`, async (t) => {
    for (const name of failures.keys()) failed.add(name)
    const messages = [...failures.values()]
    t.ok(messages.some((message) => IN_VAIN.test(message) === sleeps), messages.join('\n') || 'no test failed')
    const saysWhich = new RegExp(`journal contract, sentence (\\d+, )*${must}[,:]`)
    t.strictSame(messages.filter((message) => !saysWhich.test(message)), [])
  })
}

const shared = redisJournalSuite(wayOver(other), other).filter(({ must }) => must.some((sentence) => sentence >= FIRST_SHARED))

t.test('each sentence about nodes is broken by one of them', async (t) => {
  const sentences = new Set(shared.flatMap(({ must }) => must))
  t.strictSame([...new Set(BROKEN_SHARED.map(({ must }) => must))], [...sentences].sort((one, other) => one - other))
})

t.test('each test of nodes fails one of them', async (t) => {
  t.strictSame(shared.map(({ name }) => name).filter((name) => !failed.has(name)), [])
})
