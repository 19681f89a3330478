// `fastify-ws-channel/postgres`: what keeps sessions in PostgreSQL, with the host's own pool.
export type { PostgresClient, PostgresPool } from './sessions/postgres-link.js'
export { migratePostgresSessions, postgresSessionStore, type PostgresSessionStoreOptions } from './sessions/postgres-session-store.js'
export { postgresSessionSql, type PostgresTables } from './sessions/postgres-tables.js'
export { StoreError, type StoreErrorReason } from './store-error.js'
