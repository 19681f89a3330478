// Sessions that had turns, some of them followed, once their entries have been trimmed by age.
import { env } from 'node:process'

import t from 'tap'

import { startServer } from './servers.js'

/** A hundred thousand are `IDLE_SESSIONS=100000`: they show the same, and take longer. */
const COUNT = Number(env['IDLE_SESSIONS'] ?? 10_000)
/** Of which so many are followed. */
const FOLLOWED = COUNT / 10

t.test('idle sessions cost less than 1 KiB each once they are trimmed, though some are followed', async (t) => {
  const server = await startServer({ kind: 'sessions', sessions: COUNT })
  t.teardown(() => { server.kill() })
  await server.ask('run')
  await server.ask('trim')
  // Once for the code to be compiled and the tables to have a size; then the same again under other names.
  const start = await server.memory()
  await server.ask('run')
  const { stats: full } = await server.ask('stats')
  const busy = await server.memory()
  await server.ask('trim')
  const { stats: trimmed } = await server.ask('stats')
  const end = await server.memory()
  const each = { full: (busy.heap - start.heap) / COUNT, trimmed: (end.heap - start.heap) / COUNT, rss: (end.rss - start.rss) / COUNT }
  t.comment(`${COUNT} sessions, each: heap and external ${kib(each.full)} after its turn, ${kib(each.trimmed)} once trimmed, ` +
    `RSS ${kib(each.rss)}; ${FOLLOWED} are followed`)
  t.equal(full?.['sessions'], COUNT + FOLLOWED, 'all are held, and those of the first round that are followed')
  t.match(trimmed, { sessions: 2 * FOLLOWED, followers: 2 * FOLLOWED, entries: 0, bytes: 0, claims: 0, turns: 0 })
  t.ok(each.trimmed < 1024, 'less than 1 KiB, over all')
  t.ok((end.heap - start.heap) / FOLLOWED < 8 * 1024, 'less than 8 KiB for one that is followed, its reader and its iteration included')
  await server.close()
})

function kib (bytes: number): string {
  return `${(bytes / 1024).toFixed(2)} KiB`
}
