import type { Redis } from 'ioredis'
import type { Test } from 'tap'

import type { Entry, NewEntry, OfferTerms, TurnEnd } from '../../lib/journal/journal.js'
import type { RedisJournalOptions } from '../../lib/journal/redis/redis-journal-options.js'
import { redisJournal } from '../../lib/journal/redis/redis-journal.js'
import { ioredisClient } from './redis-clients.js'
import { RedisServer } from './redis-server.js'

export const S = { owner: 'ann', agentId: 'main', sessionId: 's' }
export const TERMS: OfferTerms = { onBusy: 'queue', maxQueued: 9, displacedEnd: { finishReason: 'aborted' } }
export const STOP: TurnEnd = { finishReason: 'stop' }
export const PATIENCE_MS = 10_000
export const SETTINGS = {
  leaseMs: 10_000, idleMs: 60_000, liveMs: 60_000, dedupWindowMs: 1, maxEntries: 9, maxBytes: 999, isSharded: false
}

/** A Redis, somebody who may look into it, and journals over it. */
export async function open (t: Test) {
  const server = await RedisServer.start(t)
  const admin = await ioredisClient(t, server)
  const make = async (options: Partial<RedisJournalOptions> = {}) => {
    const journal = redisJournal(await ioredisClient(t, server), { prefix: 'test:', ...options })
    t.teardown(async () => { await journal.close() })
    await journal.ready()
    return journal
  }
  return { server, admin, make, journal: await make() }
}

export type Made = Awaited<ReturnType<typeof open>>['journal']

export async function begin (journal: Made, turnId = 't1') {
  await journal.offer(S, { turnId, message: `${turnId}?`, acceptedAt: 1 }, TERMS)
  const run = await journal.take(S, () => true)
  if (run === undefined) throw new Error('nothing was taken')
  return run
}

export async function follow (journal: Made, mergeUnits = 0) {
  const followed = await journal.follow(S, {}, () => {})
  if (followed === undefined) throw new Error('there is no room')
  return { ...followed, next: () => nextOf(() => followed.cursor.next(mergeUnits)) }
}

export async function nextOf (next: () => Entry | 'lost' | undefined): Promise<Entry | 'lost'> {
  for (;;) {
    const entry = next()
    if (entry !== undefined) return entry
    await new Promise((resolve) => { setImmediate(resolve) })
  }
}

/** What a cursor tells up to an end. */
export async function all (cursor: { next (mergeUnits: number): Entry | 'lost' | undefined }): Promise<string[]> {
  const told: string[] = []
  for (;;) {
    const entry = await nextOf(() => cursor.next(0))
    if (entry === 'lost') return [...told, 'lost']
    told.push(entry.kind === 'text' || entry.kind === 'message' ? entry.content : entry.kind === 'event' ? entry.name : `end ${entry.end.finishReason}`)
    if (entry.kind === 'end') return told
  }
}

export const text = (content: string): NewEntry => ({ kind: 'text', content })

/** The hash of the only session. */
export async function stateOf (admin: Redis): Promise<string> {
  const [key] = (await admin.keys('test:*')).filter((name) => name.endsWith(':s'))
  if (key === undefined) throw new Error('there is no session')
  return key
}
