import type { PoolClient } from 'pg'
import t from 'tap'

import { PostgresLink, type PostgresPool } from '../../lib/sessions/postgres-link.js'
import { PostgresServer } from './postgres-server.js'

t.setTimeout(300_000)

t.test('a node that stands still in a transaction holds its locks no longer than a transaction may take', async (t) => {
  const pool = (await PostgresServer.start(t)).pool(t)
  await pool.query('CREATE TABLE held (a integer); INSERT INTO held VALUES (1)')
  const lent: PoolClient[] = []
  // A node that stands still gives nothing back.
  const still: PostgresPool = {
    totalCount: 0,
    on () {},
    off () {},
    async connect () {
      const client = await pool.connect()
      client.on('error', () => {})
      lent.push(client)
      return { query: async (text, values) => client.query<object>(text, values), release () {}, on () {}, off () {} }
    }
  }
  const link = new PostgresLink('a test', still, 500)
  await t.rejects(link.transaction('', async (statement) => {
    await statement('UPDATE held SET a = 2')
    await new Promise(() => {})
  }), { name: 'StoreError', reason: 'late' })
  await pool.query("SET lock_timeout = '20s'; UPDATE held SET a = 3")
  t.strictSame((await pool.query('SELECT a FROM held')).rows, [{ a: 3 }], 'what was begun is undone')
  for (const client of lent) client.release(true)
  link.close()
})
