import { once } from 'node:events'

import { Client, type Pool } from 'pg'
import t, { type Test } from 'tap'

import { sessionStoreSuite } from '../../lib/conformance/index.js'
import type { SessionKey } from '../../lib/protocol/session-key.js'
import type { PostgresPool } from '../../lib/sessions/postgres-link.js'
import { migratePostgresSessions, postgresSessionStore, type PostgresSessionStoreOptions } from '../../lib/sessions/postgres-session-store.js'
import { postgresSessionSql } from '../../lib/sessions/postgres-tables.js'
import type { SessionMessage, SessionStore } from '../../lib/sessions/session-store.js'
import { StoreError } from '../../lib/store-error.js'
import { PostgresServer } from '../postgres/postgres-server.js'
import { until } from '../redis/until.js'
import { checkGrown } from './grown-answer.js'

const OWNED = { owner: 'ann', agentId: 'main' }
const PATIENCE_MS = 20_000

t.setTimeout(300_000)

const server = await PostgresServer.start(t)
const shared = server.pool(t)
let tables = 0

t.test('the whole suite is passed', async (t) => {
  const suite = sessionStoreSuite(async () => {
    const table = `suite_${tables++}`
    await migratePostgresSessions(shared, { table })
    return postgresSessionStore(shared, { table })
  })
  for (const { name, run } of suite) await t.resolves(run(), name)
})

t.test('what cannot work is refused at once', async (t) => {
  const make = (pool: unknown, options?: object) => () => postgresSessionStore(pool as PostgresPool, options)
  for (const none of [undefined, null, 'postgres://localhost', {}, { query () {} }]) {
    t.throws(make(none), new TypeError('a PostgreSQL session store needs a pool: a Pool of pg'))
  }
  t.throws(make(new Client()), { name: 'TypeError' }, 'a client is no pool')
  for (const name of ['', 7, 'a\0b']) {
    t.throws(make(shared, { table: name }), new TypeError(`table of a PostgreSQL session store must be a name, not ${JSON.stringify(name)}`))
    t.throws(make(shared, { schema: name }), new TypeError(`schema of a PostgreSQL session store must be a name, not ${JSON.stringify(name)}`))
  }
  t.throws(make(shared, { table: 'é'.repeat(23) }), { name: 'RangeError', message: /table of a PostgreSQL session store must be of at most 45 bytes/ })
  t.throws(make(shared, { ttlMs: 0 }), new RangeError('ttlMs of a PostgreSQL session store must be at least 1, not 0'))
  t.throws(make(shared, { timeoutMs: 1.5 }), new RangeError('timeoutMs of a PostgreSQL session store must be a whole number, not 1.5'))
  t.throws(make(shared, { tables: 'x' }), { name: 'TypeError', message: /has no option tables; it takes ttlMs/ })
})

t.test('the tables', async (t) => {
  await t.test('are made once, by however many nodes at a time', async (t) => {
    const table = `many_${tables++}`
    await Promise.all(Array.from({ length: 4 }, async () => migratePostgresSessions(shared, { table })))
    await shared.query(postgresSessionSql({ table }))
    const store = open(t, shared, { table })
    await store.append(key('s'), [said('t1')])
    await migratePostgresSessions(shared, { table })
    t.strictSame(await contents(store, 's'), ['t1?'], 'and are left as they are')
  })

  await t.test('have the names that were given, whatever those hold', async (t) => {
    const [schema, table] = ['my "schema"; --', 'x";\nDROP TABLE victim;\n--']
    await shared.query('CREATE TABLE victim (a text); CREATE SCHEMA "my ""schema""; --"')
    await migratePostgresSessions(shared, { schema, table })
    const store = open(t, shared, { schema, table })
    await store.append(key('s'), [said('t1')])
    t.strictSame(await contents(store, 's'), ['t1?'])
    t.equal(await store.delete(key('s')), true)
    t.strictSame((await shared.query('SELECT * FROM victim')).rows, [])
    const { rows } = await shared.query('SELECT table_name FROM information_schema.tables WHERE table_schema = $1 ORDER BY 1', [schema])
    t.strictSame(rows, [{ table_name: `${table}_messages` }, { table_name: `${table}_sessions` }])
  })

  await t.test('are named by default, and missed by their name', async (t) => {
    t.match(postgresSessionSql(), /CREATE TABLE IF NOT EXISTS "channel_sessions"/)
    const store = open(t, shared, { timeoutMs: Number.MAX_SAFE_INTEGER })
    const error = await errorOf(store.turn(key('s'), 't1'))
    t.match(error, { name: 'StoreError', reason: 'refused', message: /^PostgreSQL has no such table, run its migration first: .*channel_/ })
  })
})

t.test('what it keeps', async (t) => {
  await t.test('is any text', async (t) => {
    const store = await fresh(t)
    const odd = 'a\0b \ud800 \u{1f375} \\ " \' $1'
    await store.append({ owner: odd, agentId: odd, sessionId: odd }, [said(odd, odd)])
    t.strictSame(await store.messages({ owner: odd, agentId: odd, sessionId: odd }, { limit: 9 }), { messages: [said(odd, odd)] })
    t.strictSame(await store.list({ owner: odd, agentId: odd }, { limit: 9 }), { sessions: [{ sessionId: odd, updatedAt: 5 }] })
  })

  await t.test('is at most so many messages, so many bytes, so many sessions; the oldest go', async (t) => {
    const few = await fresh(t, { maxMessagesPerSession: 3 })
    for (let turn = 0; turn < 5; turn++) await few.append(key('s'), [said(`t${turn}`)])
    t.strictSame(await contents(few, 's'), ['t2?', 't3?', 't4?'])
    const page = await few.messages(key('s'), { limit: 2 })
    t.match(await few.messages(key('s'), { limit: 2, before: page.before }), { messages: [{ content: 't2?' }], before: undefined })

    const small = await fresh(t, { maxBytesPerSession: 1_000 })
    await small.append(key('s'), [said('t1', 'x'.repeat(500)), said('t2', 'y'.repeat(500))])
    t.match((await small.messages(key('s'), { limit: 9 })).messages.map(({ turnId }) => turnId), ['t2'])
    await small.append(key('s'), [said('t3', 'z'.repeat(5_000))])
    t.match((await small.messages(key('s'), { limit: 9 })).messages.map(({ turnId }) => turnId), ['t3'], 'the newest stays, whatever its size')

    await checkGrown(t, small)

    const narrow = await fresh(t, { maxSessionsPerOwner: 2 })
    for (const name of ['a', 'b', 'c']) await narrow.append(key(name), [said('t1')])
    t.strictSame(await listed(narrow), ['c', 'b'])
    t.strictSame(await contents(narrow, 'a'), [])
  })

  await t.test('is not shown when its time is over, begins anew when it is written to, and goes', async (t) => {
    const table = `old_${tables++}`
    const store = await fresh(t, { ttlMs: 60_000, table })
    for (const name of ['a', 'b', 'c']) await store.append(key(name), [said('t1')])
    const { before } = await store.messages(key('c'), { limit: 1 })
    await shared.query(`UPDATE ${table}_sessions SET touched = now() - interval '61 seconds'`)
    t.strictSame([await listed(store), await contents(store, 'a'), await store.turn(key('a'), 't1')], [[], [], []])
    t.equal(await store.delete(key('a')), false, 'there was nothing to forget any more')
    await store.append(key('b'), [said('t2')])
    t.strictSame([await listed(store), await contents(store, 'b')], [['b'], ['t2?']])
    t.strictSame(await store.messages(key('b'), { limit: 9, before }), { messages: [said('t2')] }, 'there was no older page')

    const other = open(t, shared, { ttlMs: 60_000, table })
    await other.append(key('d'), [said('t1')])
    const { rows } = await shared.query(`SELECT count(*)::int AS count FROM ${table}_sessions`)
    t.strictSame(rows, [{ count: 2 }], 'b and d are left')
  })
})

t.test('when PostgreSQL', async (t) => {
  await t.test('makes a statement wait, it is late, and nothing of it is done', async (t) => {
    const table = `locked_${tables++}`
    const store = await fresh(t, { table, timeoutMs: 1_000 })
    await store.append(key('s'), [said('t1')])
    const holder = await shared.connect()
    await holder.query(`BEGIN; LOCK TABLE ${table}_sessions`)
    t.equal(await reasonOf(store.append(key('s'), [said('t2')])), 'late')
    await holder.query('COMMIT')
    holder.release()
    t.strictSame(await contents(store, 's'), ['t1?'])
    await store.append(key('s'), [said('t2')])
    t.strictSame(await contents(store, 's'), ['t1?', 't2?'])
  })

  await t.test('cancels a statement itself, it is late too', async (t) => {
    const table = `cancelled_${tables++}`
    const store = await fresh(t, { table })
    const holder = await shared.connect()
    await holder.query(`BEGIN; LOCK TABLE ${table}_sessions`)
    const error = errorOf(store.append(key('s'), [said('t1', 'a secret')]))
    await until('the statement to wait', PATIENCE_MS, async () => {
      const waiting = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%${table}%' AND pid <> pg_backend_pid()`
      return (await shared.query(waiting)).rows.length > 0
    })
    t.match(await error, { reason: 'late', message: /canceling statement/ })
    t.notMatch(JSON.stringify(await error, Object.getOwnPropertyNames(await error)), /secret/)
    await holder.query('COMMIT')
    holder.release()
  })

  await t.test('has no connection free in time, it is late, and the one that comes later goes back', async (t) => {
    const table = `busy_${tables++}`
    await migratePostgresSessions(shared, { table })
    const pool = server.pool(t, { max: 1 })
    const store = open(t, pool, { table, timeoutMs: 1_000 })
    const holder = await pool.connect()
    t.equal(await reasonOf(store.turn(key('s'), 't1')), 'late')
    holder.release()
    await until('the connection to be free', PATIENCE_MS, async () => pool.idleCount === 1 && pool.waitingCount === 0)
    t.equal(await reasonOf(store.turn(key('s'), 't1')), undefined)
    t.equal(pool.totalCount, 1)
  })

  await t.test('does not answer at all, it is late, and that connection is not used again', async (t) => {
    const table = `stopped_${tables++}`
    await migratePostgresSessions(shared, { table })
    const pool = server.pool(t, { max: 1 })
    const store = open(t, pool, { table, timeoutMs: 1_000 })
    const { rows: [row] } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    process.kill(row?.pid ?? 0, 'SIGSTOP')
    t.teardown(() => { process.kill(row?.pid ?? 0, 'SIGCONT') })
    t.equal(await reasonOf(store.turn(key('s'), 't1')), 'late')
    t.equal(await reasonOf(store.turn(key('s'), 't1')), undefined)
  })

  await t.test('takes no writes, it is read-only, and still read', async (t) => {
    const table = `standby_${tables++}`
    await migratePostgresSessions(shared, { table })
    const store = open(t, server.pool(t, { options: '-c default_transaction_read_only=on' }), { table })
    t.equal(await reasonOf(store.append(key('s'), [said('t1')])), 'read-only')
    t.strictSame(await contents(store, 's'), [])
  })

  await t.test('refuses for a reason of its own, that is told', async (t) => {
    const table = `refusing_${tables++}`
    const store = await fresh(t, { table })
    await shared.query(`ALTER TABLE ${table}_messages ADD CHECK (body NOT LIKE '%bad%')`)
    const error = await errorOf(store.append(key('s'), [said('t1'), said('t2', 'a bad secret')]))
    t.match(error, { reason: 'refused', message: /violates check constraint/ })
    t.notMatch(JSON.stringify(error, Object.getOwnPropertyNames(error)), /secret/)
    t.strictSame([await contents(store, 's'), await listed(store)], [[], []], 'all of a call or nothing')
  })

  await t.test('goes away, it says so, and is back with it; a host without a listener lives on', async (t) => {
    const own = await PostgresServer.start(t)
    const pool = own.pool(t)
    await migratePostgresSessions(pool)
    const store = open(t, pool, {})
    await store.append(key('s'), [said('t1')])
    const broken = once(pool, 'error')
    await own.stop('SIGQUIT')
    await broken
    t.equal(await reasonOf(store.append(key('s'), [said('t2')])), 'away')
    await own.launch()
    await store.append(key('s'), [said('t2')])
    t.strictSame(await contents(store, 's'), ['t1?', 't2?'])
  })

  await t.test('loses a connection in the middle of a statement, it is away, and the host lives on', async (t) => {
    const own = await PostgresServer.start(t)
    const pool = own.pool(t)
    await migratePostgresSessions(pool)
    const store = open(t, pool, { timeoutMs: 60_000 })
    const [holder, admin] = [await own.pool(t).connect(), await own.pool(t).connect()]
    for (const client of [holder, admin]) client.on('error', () => {})
    await holder.query('BEGIN; LOCK TABLE channel_sessions')
    const reason = reasonOf(store.append(key('s'), [said('t1')]))
    let waiting = 0
    await until('the statement to wait', PATIENCE_MS, async () => {
      const { rows: [row] } = await admin.query<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
      waiting = row?.pid ?? 0
      return waiting > 0
    })
    process.kill(waiting, 'SIGKILL')
    t.equal(await reason, 'away')
    for (const client of [holder, admin]) client.release(true)
  })

  await t.test('is well, and the store is closed, the pool is not', async (t) => {
    const pool = server.pool(t)
    const store = postgresSessionStore(pool)
    const listeners = pool.listenerCount('error')
    await store.close?.()
    await store.close?.()
    t.equal(await reasonOf(store.append(key('s'), [said('t2')])), 'closed')
    t.strictSame((await pool.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    t.equal(pool.listenerCount('error'), listeners - 1)
  })
})

async function fresh (t: Test, options: PostgresSessionStoreOptions = {}): Promise<SessionStore> {
  const table = options.table ?? `fresh_${tables++}`
  await migratePostgresSessions(shared, { table })
  return open(t, shared, { ...options, table })
}

function open (t: Test, pool: Pool, options: PostgresSessionStoreOptions): SessionStore {
  const store = postgresSessionStore(pool, options)
  t.teardown(() => store.close?.())
  return store
}

async function errorOf (work: unknown): Promise<StoreError> {
  try {
    await work
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error('it works')
}

async function reasonOf (work: unknown): Promise<string | undefined> {
  return Promise.resolve(work).then(() => undefined, (error: unknown) => error instanceof StoreError ? error.reason : String(error))
}

async function contents (store: SessionStore, name: string): Promise<string[]> {
  return (await store.messages(key(name), { limit: 9 })).messages.map(({ content }) => content)
}

async function listed (store: SessionStore): Promise<string[]> {
  return (await store.list(OWNED, { limit: 9 })).sessions.map(({ sessionId }) => sessionId)
}

function key (sessionId: string): SessionKey {
  return { ...OWNED, sessionId }
}

function said (turnId: string, content = `${turnId}?`): SessionMessage {
  return { role: 'user', content, turnId, at: 5, complete: true }
}
