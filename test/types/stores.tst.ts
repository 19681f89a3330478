import { Cluster, Redis } from 'ioredis'
import { Client, Pool } from 'pg'
import { createClient, createCluster } from 'redis'
import { describe, expect, test } from 'tstyche'

import type { SessionStore, WsChannelOptions } from '../../lib/index.js'
import { migratePostgresSessions, postgresSessionSql, postgresSessionStore } from '../../lib/postgres.js'
import { redisJournal, redisSessionStore, type RedisJournal, type StoreError } from '../../lib/redis.js'

describe('redisSessionStore', () => {
  test('takes a client of either library, of one Redis or a cluster', () => {
    const prefix = 'app:'
    expect(redisSessionStore(new Redis(), { prefix })).type.toBe<SessionStore>()
    expect(redisSessionStore(new Cluster([]), { prefix })).type.toBe<SessionStore>()
    expect(redisSessionStore(createClient(), { prefix })).type.toBe<SessionStore>()
    expect(redisSessionStore(createCluster({ rootNodes: [] }), { prefix })).type.toBe<SessionStore>()
    expect<WsChannelOptions>().type.toBeAssignableFrom({ sessionStore: redisSessionStore(new Redis(), { prefix }) })
  })

  test('takes nothing else, and no options without a prefix', () => {
    expect(redisSessionStore).type.not.toBeCallableWith('redis://localhost', { prefix: 'app:' })
    expect(redisSessionStore).type.not.toBeCallableWith({}, { prefix: 'app:' })
    expect(redisSessionStore).type.not.toBeCallableWith(new Redis())
    expect(redisSessionStore).type.not.toBeCallableWith(new Redis(), {})
    expect(redisSessionStore).type.not.toBeCallableWith(new Redis(), { prefix: 'app:', ttl: 5 })
  })
})

describe('redisJournal', () => {
  test('takes a client of either library, of one Redis or a cluster', () => {
    const prefix = 'app:'
    for (const client of [new Redis(), new Cluster([]), createClient(), createCluster({ rootNodes: [] })]) {
      expect(redisJournal(client, { prefix, leaseMs: 5_000 })).type.toBe<RedisJournal>()
    }
    expect<WsChannelOptions>().type.toBeAssignableFrom({ journal: redisJournal(new Redis(), { prefix }) })
  })

  test('takes nothing else, and no options without a prefix', () => {
    expect(redisJournal).type.not.toBeCallableWith('redis://localhost', { prefix: 'app:' })
    expect(redisJournal).type.not.toBeCallableWith(new Redis())
    expect(redisJournal).type.not.toBeCallableWith(new Redis(), { leaseMs: 5_000 })
    expect(redisJournal).type.not.toBeCallableWith(new Redis(), { prefix: 'app:', lease: 5 })
  })
})

describe('postgresSessionStore', () => {
  test('takes a pool, and where the tables are', () => {
    expect(postgresSessionStore(new Pool())).type.toBe<SessionStore>()
    expect(postgresSessionStore(new Pool(), { schema: 'chat', table: 'talk', ttlMs: undefined })).type.toBe<SessionStore>()
    expect(migratePostgresSessions(new Pool(), { schema: 'chat' })).type.toBe<Promise<void>>()
    expect(postgresSessionSql({ table: 'talk' })).type.toBe<string>()
  })

  test('takes nothing else', () => {
    expect(postgresSessionStore).type.not.toBeCallableWith(new Client())
    expect(postgresSessionStore).type.not.toBeCallableWith('postgres://localhost')
    expect(postgresSessionStore).type.not.toBeCallableWith(new Pool(), { tables: 'talk' })
  })
})

describe('StoreError', () => {
  test('has one of six reasons', () => {
    expect<StoreError['reason']>().type.toBe<'away' | 'late' | 'full' | 'read-only' | 'refused' | 'closed'>()
  })
})
