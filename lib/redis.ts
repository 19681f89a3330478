// `fastify-ws-channel/redis`: what keeps sessions in Redis, with the host's own client.
export type { RedisClient } from './redis/redis-client.js'
export { redisJournal, type RedisJournal } from './journal/redis/redis-journal.js'
export type { RedisJournalOptions } from './journal/redis/redis-journal-options.js'
export { redisSessionStore, type RedisSessionStoreOptions } from './sessions/redis-session-store.js'
export { StoreError, type StoreErrorReason } from './store-error.js'
