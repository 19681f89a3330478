import t from 'tap'

import { sessionStoreSuite } from '../../lib/conformance/index.js'
import { migratePostgresSessions, postgresSessionStore } from '../../lib/sessions/postgres-session-store.js'
import { PostgresServer } from '../postgres/postgres-server.js'

const server = await PostgresServer.start(t)

t.test('the whole suite is passed', async (t) => {
  const pool = server.pool(t)
  let stores = 0
  const suite = sessionStoreSuite(async () => {
    const table = `suite_${stores++}`
    await migratePostgresSessions(pool, { table })
    return postgresSessionStore(pool, { table })
  })
  for (const { name, run } of suite) await t.resolves(run(), name)
})
